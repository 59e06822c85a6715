//! The tasks that must not leave their thread.
//!
//! They are on a list of their own, and, when they are ready, in an inbox that the thread empties. They
//! end with the thread's scope in the runtime.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::rt::notifier::ThreadNotifier;
use crate::rt::pool::Pool;
use crate::rt::task::{List, Route, Runnable};
use crate::sync::{Mutex, MutexGuard, thread};

/// The local tasks of one thread.
#[derive(Clone)]
pub(super) struct LocalQueue {
    list: Arc<List>,
    inbox: Arc<Inbox>,
}

struct Inbox {
    ready: Mutex<VecDeque<Runnable>>,
    pool: Arc<Pool>,
    notifier: Arc<ThreadNotifier>,
}

impl LocalQueue {
    pub(super) fn new(pool: Arc<Pool>, notifier: Arc<ThreadNotifier>) -> Self {
        let inbox = Arc::new(Inbox {
            ready: Mutex::default(),
            pool,
            notifier,
        });
        Self {
            list: List::new(inbox.clone()),
            inbox,
        }
    }

    pub(super) fn list(&self) -> &Arc<List> {
        &self.list
    }

    /// Takes the next task that is ready.
    pub(super) fn pop(&self) -> Option<Runnable> {
        self.inbox.ready().pop_front()
    }

    /// Returns whether a task is ready.
    pub(super) fn is_ready(&self) -> bool {
        !self.inbox.ready().is_empty()
    }

    /// Ends all tasks, on their thread: waking makes each of them ready, and dropping one that is ready
    /// ends it. What such a task spawns or wakes when it is dropped is ended in the next round.
    pub(super) fn end(&self) {
        while self.list.close() > 0 {
            let Some(task) = self.pop() else {
                // Another thread is waking one just now, and about to put it into the inbox.
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

impl Route for Inbox {
    fn ready(&self, task: Runnable) {
        self.ready().push_back(task);
        self.notifier.notify(self.pool.idle());
    }
}

impl Inbox {
    fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
