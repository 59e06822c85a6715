//! Whom to wake for what concerns one thread alone: its main future, its local tasks.

use std::sync::{Arc, PoisonError};

use crate::clock::{Clock, Hold};
use crate::park::{ThreadUnpark, Unpark};
use crate::rt::here;
use crate::rt::pool::Pool;
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering, fence},
};

/// No worker.
const NONE: usize = usize::MAX;

/// A thread, as a worker or as one that waits to be one.
pub(super) struct Seat {
    worker: AtomicUsize,
    waits: Option<Waits>,
}

/// What there is to a thread that waits to be a worker.
struct Waits {
    unpark: ThreadUnpark,
    time: Mutex<Time>,
}

/// Time that is moved by hand waits for a thread from the moment when that is woken, as it does for
/// a worker, though none of them knows of it.
#[derive(Default)]
struct Time {
    hold: Option<Hold>,
    /// The thread is a worker, or gone: nobody would let go any more.
    over: bool,
}

impl Seat {
    pub(super) fn worker(worker: usize) -> Arc<Self> {
        Arc::new(Self {
            worker: AtomicUsize::new(worker),
            waits: None,
        })
    }

    pub(super) fn thread(unpark: ThreadUnpark) -> Arc<Self> {
        Arc::new(Self {
            worker: AtomicUsize::new(NONE),
            waits: Some(Waits {
                unpark,
                time: Mutex::default(),
            }),
        })
    }

    /// Takes over the hold on time that who woke the thread has taken for it.
    pub(super) fn take_hold(&self) -> Option<Hold> {
        self.waits.as_ref()?.time().hold.take()
    }

    /// The thread waits no longer.
    pub(super) fn leave(&self) {
        let hold = self.waits.as_ref().and_then(|waits| {
            let mut time = waits.time();
            time.over = true;
            time.hold.take()
        });
        // After the lock is released: it may wake others.
        drop(hold);
    }

    /// The thread becomes a worker. Before it sleeps as one it looks at what it may be woken for.
    pub(super) fn move_to(&self, worker: usize) {
        self.worker.store(worker, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either the thread sees what was put there for it, or its
        // new seat is seen.
        fence(Ordering::SeqCst);
    }

    /// Has a thread that waits to be a worker look whether it can be.
    pub(super) fn call(&self) {
        if let Some(waits) = &self.waits {
            waits.unpark.unpark();
        }
    }

    /// Wakes the thread, if it sleeps. To be called after what it is to find was put there.
    pub(super) fn wake(&self, pool: &Pool) {
        fence(Ordering::SeqCst);
        match self.worker.load(Ordering::Relaxed) {
            NONE => {
                if let Some(waits) = &self.waits {
                    waits.hold(pool.clock());
                    waits.unpark.unpark();
                }
            }
            worker if here::worker(pool) == Some(worker) => {}
            worker => pool.wake(worker),
        }
    }
}

impl Waits {
    fn hold(&self, clock: &Clock) {
        if clock.is_frozen() {
            let mut time = self.time();
            if !time.over {
                time.hold.get_or_insert_with(|| clock.hold());
            }
        }
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
