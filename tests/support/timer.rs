//! A timer that checks how often it may have been woken, for tests with many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use reveille::Handle;
use reveille::time::Sleep;

use super::poll_with;

/// Counts the wakes of one timer and unparks the thread that waits for it.
struct Notify {
    wakes: AtomicUsize,
    thread: thread::Thread,
}

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A timer under way, and what is known of it.
pub(crate) struct Timer {
    pub(crate) sleep: Sleep,
    notify: Arc<Notify>,
    waker: Waker,
    /// How often it was armed, which is how often it may have been woken at most.
    pub(crate) armed: usize,
}

impl Timer {
    pub(crate) fn new(handle: &Handle, limit: Duration) -> Self {
        let notify = Arc::new(Notify {
            wakes: AtomicUsize::new(0),
            thread: thread::current(),
        });
        Self {
            sleep: handle.sleep(limit),
            waker: Waker::from(notify.clone()),
            notify,
            armed: 1,
        }
    }

    /// Moves the timer. It is unknown whether it has fired before, so it may wake once more.
    pub(crate) fn reset(&mut self, handle: &Handle, limit: Duration) {
        self.armed += 1;
        self.sleep.reset_at(handle.now() + limit);
    }

    fn wakes(&self) -> usize {
        self.notify.wakes.load(Ordering::SeqCst)
    }

    /// Polls the timer. If the driver of `handle` is gone, its end may have woken the timer once
    /// more.
    pub(crate) fn is_over(&mut self, handle: &Handle) -> bool {
        let wakes = self.wakes();
        // After reading the wakes, because the wake by the driver's end comes after that end.
        let closed = handle.is_closed();
        let most = self.armed + usize::from(closed);
        assert!(wakes <= most, "woken {wakes} times of {most}");
        let deadline = self.sleep.deadline();
        if wakes == self.armed && !closed {
            assert!(handle.now() >= deadline, "woken early");
        }
        let over = poll_with(&mut self.sleep, &self.waker) == Poll::Ready(());
        assert!(!over || handle.now() >= deadline, "ready early");
        over
    }

    /// Waits for the timer's wake, because a poll alone would be ready without it.
    pub(crate) fn wait(mut self, handle: &Handle) -> Dropped {
        loop {
            let seen = self.wakes();
            if self.is_over(handle) {
                return self.drop_timer();
            }
            while self.wakes() == seen {
                thread::park();
            }
        }
    }

    pub(crate) fn drop_timer(self) -> Dropped {
        Dropped {
            notify: self.notify,
            armed: self.armed,
        }
    }
}

/// What is left of a dropped timer. A wake may be under way.
pub(crate) struct Dropped {
    notify: Arc<Notify>,
    armed: usize,
}

impl Dropped {
    /// Checks the wakes, when none can be under way any more.
    pub(crate) fn check(&self) {
        assert!(self.notify.wakes.load(Ordering::SeqCst) <= self.armed);
        assert!(self.is_released(), "a waker still exists");
    }

    /// Returns whether no waker of the timer exists any more.
    pub(crate) fn is_released(&self) -> bool {
        Arc::strong_count(&self.notify) == 1
    }
}
