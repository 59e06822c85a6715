//! How a thread of a runtime is told of what is for it alone: its main future, its local tasks.
//!
//! It parks in one of two places: as a worker in its worker's parker, else in a park of its own. A
//! thread in `block_on` changes between them, and its notifier follows it.
//!
//! # No notification is lost
//!
//! The notifying thread puts something where the other one looks (a flag, a task in an inbox), fences,
//! and reads where that one parks. The thread that changes its place writes the new one, fences, and
//! looks before it parks. One of the two sees the other (Dekker's argument; both fences are
//! sequentially consistent): either the thread finds what is there, or it is unparked where it parks.

use std::sync::{Arc, PoisonError};

use crate::clock::{Clock, Hold};
use crate::park::{ThreadUnpark, Unpark};
use crate::rt::idle::Idle;
use crate::sync::{
    Mutex, MutexGuard, ThreadId,
    atomic::{AtomicUsize, Ordering, fence},
    this_thread,
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
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
