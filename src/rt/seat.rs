//! Whom to wake for what concerns one thread alone: its main future, its local tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::park::{ThreadUnpark, Unpark};
use crate::rt::context;
use crate::rt::pool::Pool;

/// No worker.
const NONE: usize = usize::MAX;

/// A thread, as a worker or as one that waits to be one.
pub(super) struct Seat {
    worker: AtomicUsize,
    unpark: Option<ThreadUnpark>,
}

impl Seat {
    pub(super) fn worker(worker: usize) -> Arc<Self> {
        Arc::new(Self {
            worker: AtomicUsize::new(worker),
            unpark: None,
        })
    }

    pub(super) fn thread(unpark: ThreadUnpark) -> Arc<Self> {
        Arc::new(Self {
            worker: AtomicUsize::new(NONE),
            unpark: Some(unpark),
        })
    }

    /// The thread becomes a worker. Before it sleeps as one it looks at what it may be woken for.
    pub(super) fn move_to(&self, worker: usize) {
        self.worker.store(worker, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either the thread sees what was put there for it, or its
        // new seat is seen.
        fence(Ordering::SeqCst);
    }

    /// Wakes the thread, if it sleeps. To be called after what it is to find was put there.
    pub(super) fn wake(&self, pool: &Arc<Pool>) {
        fence(Ordering::SeqCst);
        match self.worker.load(Ordering::Relaxed) {
            NONE => {
                if let Some(unpark) = &self.unpark {
                    unpark.unpark();
                }
            }
            worker if context::worker_of(Arc::as_ptr(pool)) == Some(worker) => {}
            worker => pool.wake(worker),
        }
    }
}
