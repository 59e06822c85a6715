//! Which driver wakes the queue, and what does its clock say of a deadline?
//!
//! A [`Sleep`], which moves to another driver when its own is gone. That one's clock may show
//! another time, so the queue's deadlines would mean something else there. They are left as they
//! are, on the clock of the first driver (*inside*), and `shift` is what to add for the clock of
//! the present one (*outside*): all values move at once, and keep their order.
//!
//! Invariant: the farthest instant, which never comes, is the same on both sides.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::sleep::{Sleep, sleep_until};

/// The timer of a queue.
pub(super) struct Home {
    sleep: Sleep,
    /// Nanoseconds from a deadline inside to the same outside.
    shift: i64,
}

impl Home {
    /// The deadline that does not come.
    pub(super) const NEVER: Instant = Instant::at(i64::MAX);

    /// On the driver that is current here, or unbound if there is none.
    #[track_caller]
    pub(super) fn here() -> Self {
        Self::with(sleep_until(Self::NEVER))
    }

    fn with(sleep: Sleep) -> Self {
        Self { sleep, shift: 0 }
    }

    /// Whether it has no driver yet; then its clock is the system's.
    pub(super) fn is_unbound(&self) -> bool {
        self.sleep.is_unbound()
    }

    /// Takes the driver that it lacks. Deadlines stay the instants that they are.
    pub(super) fn bind(&mut self, driver: Handle) {
        self.sleep.bind(driver);
    }

    /// Whether the driver's clock shows the system's time.
    pub(super) fn is_real(&self) -> bool {
        self.sleep.handle().clock().is_real()
    }

    /// A timer on another driver, if the driver of this one is gone and there is another.
    pub(super) fn heir(&self) -> Option<Self> {
        if !self.sleep.is_orphaned() {
            return None;
        }
        Handle::heir().map(|heir| Self::with(heir.sleep_until(Self::NEVER)))
    }

    pub(super) fn now(&self) -> Instant {
        self.sleep.handle().now()
    }

    /// The deadline inside, for one on the driver's clock.
    pub(super) fn inside(&self, outside: Instant) -> Instant {
        Self::moved(outside, self.shift.saturating_neg())
    }

    /// The deadline on the driver's clock, for one inside.
    pub(super) fn outside(&self, inside: Instant) -> Instant {
        Self::moved(inside, self.shift)
    }

    fn moved(instant: Instant, by: i64) -> Instant {
        if instant == Self::NEVER {
            return instant;
        }
        // What is as far off as can be said is still not never.
        Instant::at(instant.nanos().saturating_add(by).min(i64::MAX - 1))
    }

    /// Whether the driver's clock has reached a deadline.
    pub(super) fn has_passed(&self, inside: Instant) -> bool {
        self.now() >= self.outside(inside)
    }

    /// Waits for a deadline. This is the one place where a queue asks whether it is time.
    pub(super) fn poll(&mut self, inside: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.outside(inside);
        if self.sleep.deadline() != deadline {
            // Disarmed, or a deadline that is past would wake the task that is about to see it.
            self.sleep.disarm();
            self.sleep.reset_at(deadline);
        }
        let driver = self.sleep.driver();
        let poll = Pin::new(&mut self.sleep).poll(cx);
        if self.sleep.driver() != driver {
            let outside = self.sleep.deadline().nanos();
            self.shift = outside.saturating_sub(inside.nanos());
        }
        poll
    }

    /// Puts off when a task that waits is woken.
    pub(super) fn put_off(&mut self, inside: Instant) {
        let deadline = self.outside(inside);
        self.sleep.reset_unseen(deadline);
    }

    /// Wakes nobody any more until the next poll.
    pub(super) fn stop(&mut self) {
        self.sleep.disarm();
    }
}
