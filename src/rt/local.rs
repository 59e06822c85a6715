//! What belongs to one thread of a runtime: how it is notified, and its local tasks.
//!
//! A thread is notified of what concerns it alone: its main future, its local tasks. It parks in one of
//! two places: as a worker in its worker's parker, otherwise in a park of its own. A thread in `block_on`
//! changes between them, and its notifier follows it.
//!
//! # No notification is lost
//!
//! The notifying thread puts something where the other thread looks (a flag, a task in an inbox), fences,
//! and reads where that thread parks. The thread that changes its place writes the new one, fences, and
//! looks before it parks. One of the two sees the other (Dekker's argument; both fences are sequentially
//! consistent): either the thread finds what is there, or it is unparked where it parks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::{Clock, Hold};
use crate::park::{ThreadUnpark, Unpark};
use crate::rt::idle::Idle;
use crate::rt::pool::Pool;
use crate::rt::task::{List, Route, Runnable};
use crate::sync::{
    Mutex, MutexGuard, ThreadId,
    atomic::{AtomicUsize, Ordering, fence},
    lock, this_thread, thread,
};

/// No worker.
const NONE: usize = usize::MAX;

/// Unparks one thread, wherever it parks.
pub(crate) struct ThreadNotifier {
    thread: Option<ThreadId>,
    /// Which worker the thread is, or `NONE`.
    worker: AtomicUsize,
    /// The park of a thread that is not always a worker.
    own: Option<OwnPark>,
}

struct OwnPark {
    unpark: ThreadUnpark,
    held: Mutex<Held>,
}

/// Time that is moved by hand stands still for a thread in `block_on` from the moment when it is
/// notified, as it does for a worker that is unparked. No worker knows of the thread, so the notifying
/// thread takes a hold for it.
#[derive(Default)]
struct Held {
    hold: Option<Hold>,
    /// The thread is a worker, or gone: it would not take the hold over.
    refused: bool,
}

impl ThreadNotifier {
    /// For the calling thread, which is a worker for good.
    pub(crate) fn of_worker(worker: usize) -> Arc<Self> {
        Arc::new(Self {
            thread: this_thread(),
            worker: AtomicUsize::new(worker),
            own: None,
        })
    }

    /// For the calling thread, which parks by itself until [`set_worker`](Self::set_worker).
    pub(crate) fn of_thread(unpark: ThreadUnpark) -> Arc<Self> {
        Arc::new(Self {
            thread: this_thread(),
            worker: AtomicUsize::new(NONE),
            own: Some(OwnPark {
                unpark,
                held: Mutex::default(),
            }),
        })
    }

    /// Notes that the thread has become this worker, or is none any longer.
    ///
    /// Before it parks the next time, the thread looks at what it may have been notified of.
    pub(crate) fn set_worker(&self, worker: Option<usize>) {
        if let Some(own) = &self.own {
            own.held().refused = worker.is_some();
        }
        self.worker.store(worker.unwrap_or(NONE), Ordering::Relaxed);
        // Pairs with the fence in `notify`: either the thread sees what it is notified of, or the
        // notifying thread sees where it parks now.
        fence(Ordering::SeqCst);
    }

    /// Takes over the hold on time that was taken for the thread.
    pub(crate) fn take_hold(&self) -> Option<Hold> {
        self.own.as_ref()?.held().hold.take()
    }

    /// Notes that the thread leaves the runtime.
    pub(crate) fn leave(&self) {
        let hold = self.own.as_ref().and_then(|own| {
            let mut held = own.held();
            held.refused = true;
            held.hold.take()
        });
        // After the lock is released: it may unpark others.
        drop(hold);
    }

    /// Tells a thread that waits for a core that there may be one.
    pub(crate) fn offer_core(&self) {
        if let Some(own) = &self.own {
            own.unpark.unpark();
        }
    }

    /// Unparks the thread, if it is parked. To be called after what it is to find was put there.
    pub(crate) fn notify(&self, idle: &Idle) {
        if self.thread.is_some() && self.thread == this_thread() {
            // It runs, and looks before it parks.
            return;
        }
        fence(Ordering::SeqCst);
        match self.worker.load(Ordering::Relaxed) {
            NONE => {
                if let Some(own) = &self.own {
                    own.hold_time(idle.clock());
                    own.unpark.unpark();
                }
            }
            worker => idle.notify(worker),
        }
    }
}

impl OwnPark {
    fn hold_time(&self, clock: &Clock) {
        if clock.is_frozen() {
            let mut held = self.held();
            if !held.refused {
                held.hold.get_or_insert_with(|| clock.hold());
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

/// The local tasks of one thread, which must not leave it.
///
/// They have a list of their own and, when they are ready, lie in an inbox that the thread empties. They
/// end with the thread's scope in the runtime.
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
        lock(&self.ready)
    }
}
