//! Which connections have something to do?
//!
//! Those whose wakers were woken, in that order, each once. Timers and sockets come in by the same
//! door: a timer that fires wakes the waker that its future was polled with, and for a socket that
//! is ready the loop wakes it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The wakes that the loop has not attended to.
#[derive(Clone, Default)]
pub(crate) struct Wakes(Arc<Mutex<VecDeque<Arc<Mark>>>>);

/// Behind each waker: whom it stands for, and whether that one is in the queue.
struct Mark {
    key: u64,
    queued: AtomicBool,
    wakes: Wakes,
}

impl Wakes {
    /// Makes a waker that puts `key` into the queue.
    pub(crate) fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(Mark {
            key,
            queued: AtomicBool::new(false),
            wakes: self.clone(),
        }))
    }

    pub(crate) fn len(&self) -> usize {
        self.queue().len()
    }

    /// Takes out the key that was woken first.
    pub(crate) fn next(&self) -> Option<u64> {
        let mark = self.queue().pop_front()?;
        // Before the connection runs, so that what happens from now on wakes it again.
        mark.queued.store(false, Ordering::Release);
        Some(mark.key)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Mark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Does not interrupt the poll: timers fire within `Driver::turn`, on the loop's own thread,
    /// which looks at the queue before it blocks. Wakers that other threads wake would have to.
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.wakes.queue().push_back(self.clone());
        }
    }
}
