//! Where are the tasks that must not leave their thread?
//!
//! On a list of their own, and, when they are ready, in a mailbox that the thread empties. They end
//! with its stay in the runtime.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::rt::task::{List, Route, Runnable};
use crate::sync::{Mutex, MutexGuard, thread};

/// The local tasks of one thread.
#[derive(Clone)]
pub(super) struct Locals {
    list: Arc<List>,
    mailbox: Arc<Mailbox>,
}

struct Mailbox {
    ready: Mutex<VecDeque<Runnable>>,
    /// Wakes the thread, if it sleeps.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Locals {
    /// `wake` wakes the thread, if it sleeps.
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let mailbox = Arc::new(Mailbox {
            ready: Mutex::default(),
            wake: Box::new(wake),
        });
        Self {
            list: List::new(mailbox.clone()),
            mailbox,
        }
    }

    pub(super) fn list(&self) -> &Arc<List> {
        &self.list
    }

    /// The next task that is ready.
    pub(super) fn pop(&self) -> Option<Runnable> {
        self.mailbox.ready().pop_front()
    }

    /// Whether one is ready.
    pub(super) fn has_mail(&self) -> bool {
        !self.mailbox.ready().is_empty()
    }

    /// Ends all, on their thread: waking makes each of them ready, and dropping one that is ready
    /// ends it. What such a task spawns or wakes when it is dropped is ended in the next round.
    pub(super) fn end(&self) {
        while self.list.close() > 0 {
            let Some(task) = self.pop() else {
                // Another thread is waking one just now, and about to put it into the mailbox.
                thread::yield_now();
                continue;
            };
            drop(task);
            while let Some(task) = self.pop() {
                drop(task);
            }
        }
    }
}

impl Route for Mailbox {
    fn ready(&self, task: Runnable) {
        self.ready().push_back(task);
        (self.wake)();
    }

    /// Nobody else may run them.
    fn help(&self) {}
}

impl Mailbox {
    fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
