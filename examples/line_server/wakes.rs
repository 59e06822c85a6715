//! The queue of woken connections.
//!
//! It has the connections whose wakers were woken, in that order, each once. Timers and sockets
//! both use it: a timer that fires wakes the waker that its future was polled with, and for a
//! socket that is ready the loop wakes the connection's waker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The connections that were woken and not driven since.
#[derive(Clone, Default)]
pub(crate) struct Wakes(Arc<Mutex<VecDeque<Arc<Mark>>>>);

/// The contents of a waker: the key of the connection, and whether it is in the queue.
struct Mark {
    key: u64,
    queued: AtomicBool,
    wakes: Wakes,
}

impl Wakes {
    /// Returns a waker that puts `key` into the queue.
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
        // Before the connection is driven, so that what happens from now on wakes it again.
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
    /// which checks the queue before it blocks. Wakers that are woken on other threads would have
    /// to interrupt it.
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.wakes.queue().push_back(self.clone());
        }
    }
}
