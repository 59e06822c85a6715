//! The timer of a [`DelayQueue`]: on which driver it is, and what that driver's clock says.
//!
//! It is a [`Sleep`], which moves to another driver when its own is gone. The clock of that driver
//! may show another time, so the deadlines in the queue would mean something else there. They are
//! left as they are, in *queue time*, which is the time on the clock of the first driver. `shift`
//! is added to get the time on the present driver's clock: so all values move at once, and keep
//! their order. The farthest instant, which never comes, is the same in both.
//!
//! If the first value is inserted where there is no driver, the timer is *unbound*, like a
//! [`Sleep`] that is made there, until the queue is given a value, or one is reset, where a driver
//! is current, or the queue is polled while some value can come due. Until then its deadlines are
//! on the system's clock. If the driver's clock shows another time, each value that was inserted
//! for a duration waits for the whole of it from then on (see [`UnboundWaits`]); a value that was
//! inserted for an instant keeps that instant.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{DelayQueue, Key};
use crate::driver::Handle;
use crate::instant::Instant;
use crate::queue::TimerQueue;
use crate::system;
use crate::time::sleep::{Sleep, sleep_until};

/// The timer of a queue.
pub(super) struct QueueTimer {
    sleep: Sleep,
    /// Nanoseconds from a deadline in queue time to the same deadline on the driver's clock.
    shift: i64,
}

impl QueueTimer {
    /// The deadline that never comes.
    pub(super) const NEVER: Instant = Instant::at(i64::MAX);

    /// Creates a timer on the current driver, or an unbound one if there is none.
    #[track_caller]
    pub(super) fn on_current_driver() -> Self {
        Self::with(sleep_until(Self::NEVER))
    }

    fn with(sleep: Sleep) -> Self {
        Self { sleep, shift: 0 }
    }

    /// Returns whether the timer has no driver yet. Its clock is the system's then.
    pub(super) fn is_unbound(&self) -> bool {
        self.sleep.is_unbound()
    }

    /// Gives an unbound timer its driver. Deadlines stay the instants that they are.
    fn bind(&mut self, driver: Handle) {
        self.sleep.bind(driver);
    }

    /// Returns a new timer on another driver, if the driver of this one is gone and there is
    /// another.
    pub(super) fn successor(&self) -> Option<Self> {
        if !self.sleep.is_orphaned() {
            return None;
        }
        Handle::successor().map(|driver| Self::with(driver.sleep_until(Self::NEVER)))
    }

    /// Returns the time on the driver's clock.
    pub(super) fn now(&self) -> Instant {
        self.sleep.driver().now()
    }

    /// Returns the queue time for a deadline on the driver's clock.
    pub(super) fn to_queue_time(&self, deadline: Instant) -> Instant {
        Self::shifted(deadline, self.shift.saturating_neg())
    }

    /// Returns the deadline on the driver's clock for one in queue time.
    pub(super) fn to_clock_time(&self, queue_time: Instant) -> Instant {
        Self::shifted(queue_time, self.shift)
    }

    fn shifted(instant: Instant, by: i64) -> Instant {
        if instant == Self::NEVER {
            return instant;
        }
        // Saturates just before the farthest instant, because that one means never.
        Instant::at(instant.nanos().saturating_add(by).min(i64::MAX - 1))
    }

    /// Returns whether the driver's clock has reached a deadline in queue time.
    pub(super) fn has_passed(&self, queue_time: Instant) -> bool {
        self.now() >= self.to_clock_time(queue_time)
    }

    /// Polls for a deadline in queue time. This is the one place where a queue waits for time.
    pub(super) fn poll(&mut self, queue_time: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.to_clock_time(queue_time);
        if self.sleep.deadline() != deadline {
            // Disarmed first, because resetting an armed timer to the past would wake the task that
            // is polling right now.
            self.sleep.disarm();
            self.sleep.reset_at(deadline);
        }
        let moving = ShiftIfMoved {
            driver: self.sleep.driver_id(),
            queue_time,
            timer: self,
        };
        Pin::new(&mut moving.timer.sleep).poll(cx)
    }

    /// Moves the timer to a later deadline in queue time; the waiting task is woken then.
    pub(super) fn postpone(&mut self, queue_time: Instant) {
        let deadline = self.to_clock_time(queue_time);
        self.sleep.reset_reading_clock(deadline);
    }

    /// Disarms the timer: it wakes no task until it is polled again.
    pub(super) fn disarm(&mut self) {
        self.sleep.disarm();
    }
}

/// Sets `shift` if a poll moves the timer to another driver, also if the poll panics after that.
struct ShiftIfMoved<'a> {
    timer: &'a mut QueueTimer,
    driver: *const (),
    /// The deadline that was polled for.
    queue_time: Instant,
}

impl Drop for ShiftIfMoved<'_> {
    fn drop(&mut self) {
        let timer = &mut *self.timer;
        if timer.sleep.driver_id() != self.driver {
            let deadline = timer.sleep.deadline().nanos();
            timer.shift = deadline.saturating_sub(self.queue_time.nanos());
        }
    }
}

/// The durations for which the values of an unbound queue were inserted. Values that were inserted
/// for an instant have none, and a queue that is bound has none at all.
#[derive(Debug, Default)]
pub(super) struct UnboundWaits(HashMap<Key, Duration>);

impl UnboundWaits {
    /// Notes the wait of a value that is inserted or moved, or that it has none.
    pub(super) fn set(&mut self, key: Key, wait: Option<Duration>) {
        match wait {
            Some(wait) => _ = self.0.insert(key, wait),
            None => self.remove(key),
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        // Checked first, so that a bound queue does not hash the key.
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0 = HashMap::new();
    }

    /// Starts each wait over at `now`. Values with equal waits keep their order.
    fn start_over<T>(&mut self, queue: &mut TimerQueue<T>, now: Instant) {
        let mut waits: Vec<_> = std::mem::take(&mut self.0)
            .into_iter()
            .filter_map(|(key, wait)| Some((wait, queue.deadline(key)?, key)))
            .collect();
        // Among equal waits, the one that began first had the earlier deadline.
        waits.sort_by_key(|(wait, deadline, key)| (*wait, *deadline, key.number()));
        for (wait, _, key) in waits {
            queue.reset(key, now + wait);
        }
    }
}

impl<T> DelayQueue<T> {
    /// Binds the queue to the current driver, if there is one and the queue has none yet.
    pub(super) fn bind_if_unbound(&mut self) {
        if self.is_unbound()
            && let Some(driver) = Handle::current_alive()
        {
            self.bind(driver);
        }
    }

    /// Returns whether the queue has a timer, but no driver yet.
    pub(super) fn is_unbound(&self) -> bool {
        self.timer.as_ref().is_some_and(QueueTimer::is_unbound)
    }

    /// Binds the queue to the current driver, or to the process-wide thread if there is none.
    #[cold]
    pub(super) fn bind_to_current_or_fallback(&mut self) {
        self.bind(Handle::current_or_fallback(system::monotonic()));
    }

    fn bind(&mut self, driver: Handle) {
        let Some(timer) = &mut self.timer else {
            return;
        };
        // First, because the clock may be foreign code that panics: then the queue is still
        // unbound.
        let start = (!driver.clock().is_real()).then(|| driver.now());
        timer.bind(driver);
        match start {
            None => self.waits.clear(),
            Some(now) => {
                self.waits.start_over(&mut self.queue, now);
                self.find_first();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// They are stored in a hash map, in no order, and their deadlines are equal where the system's
    /// clock has shown the same time for all.
    #[test]
    fn values_with_equal_waits_and_deadlines_start_over_in_their_order() {
        let wait = Duration::from_secs(1);
        let (mut queue, mut waits) = (TimerQueue::new(), UnboundWaits(HashMap::new()));
        for value in 0..16 {
            let key = queue.insert(Instant::at(5), value);
            waits.0.insert(key, wait);
        }
        let now = Instant::at(7);
        waits.start_over(&mut queue, now);
        let due = std::iter::from_fn(|| queue.pop_due(now + wait));
        let order: Vec<i32> = due.map(|due| due.value).collect();
        assert_eq!(order, Vec::from_iter(0..16));
    }
}
