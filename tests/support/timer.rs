//! A timer that knows how often it may have been woken.

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

/// A timer under way, and what may be said of it.
pub(crate) struct Timer {
    pub(crate) sleep: Sleep,
    notify: Arc<Notify>,
    waker: Waker,
    /// How often it was armed: it may have been woken that often, and no more.
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

    /// Moves the timer. Whether it has fired before nobody knows: it may wake once more.
    pub(crate) fn reset(&mut self, handle: &Handle, limit: Duration) {
        self.armed += 1;
        self.sleep.reset_at(handle.now() + limit);
    }

    fn wakes(&self) -> usize {
        self.notify.wakes.load(Ordering::SeqCst)
    }

    /// Polls the timer. The driver of `handle` may be gone: its end wakes each of its timers once.
    pub(crate) fn is_over(&mut self, handle: &Handle) -> bool {
        let wakes = self.wakes();
        // After the look at the wakes: the one of the end comes after the end.
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

    /// Waits for the timer's own wake: a poll alone would find it over without.
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

/// What is left of a timer that is gone; a wake may have been under way.
pub(crate) struct Dropped {
    notify: Arc<Notify>,
    armed: usize,
}

impl Dropped {
    /// For when nothing is under way any more.
    pub(crate) fn check(&self) {
        assert!(self.notify.wakes.load(Ordering::SeqCst) <= self.armed);
        assert!(self.is_released(), "a waker is left");
    }

    /// Returns whether no waker of the timer is left anywhere.
    pub(crate) fn is_released(&self) -> bool {
        Arc::strong_count(&self.notify) == 1
    }
}
