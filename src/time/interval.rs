//! [`Interval`], a series of ticks, and what it does about ticks that were missed.
//!
//! It resets one [`Sleep`] to the time of the next tick. That time is computed from
//! the scheduled time of the last tick, not from when it took place, so that the period is exact in
//! the long run. (Only `Delay` computes it from when a missed tick took place.)

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::driver::limits::Permit;
use crate::driver::{DriverRef, Handle};
use crate::instant::Instant;
use crate::system;
use crate::time::sleep::{Sleep, sleep, sleep_until};

/// Returns an interval that ticks every `period`, the first time at once.
///
/// A tick beyond the clock's end (292 years) never comes.
///
/// If no driver is [current](Handle::current) at this call, the interval takes the one that is
/// current when it is first polled or reset. If the clock of that driver is the system's, the first
/// tick is scheduled for the time of this call, otherwise for the time of the first poll.
///
/// # Panics
///
/// If `period` is zero, and in the same cases as [`sleep`](super::sleep).
///
/// # Examples
///
/// ```
/// use reveille::time::{interval, Duration};
///
/// pollster::block_on(async {
///     let mut interval = interval(Duration::from_millis(1));
///     let first = interval.tick().await;
///     let second = interval.tick().await;
///     assert_eq!(second - first, Duration::from_millis(1));
/// });
/// ```
#[must_use]
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let sleep = sleep(Duration::ZERO);
    let now = sleep.deadline();
    Interval::new(sleep, now, period)
}

/// Returns an interval that ticks every `period`, the first time at `start`.
///
/// If `start` is in the past, it ticks at once, and then as [`MissedTickBehavior`] says. About a
/// `start` that was read outside of the runtime, see [`sleep_until`](super::sleep_until).
///
/// # Panics
///
/// If `period` is zero, and in the same cases as [`sleep`](super::sleep).
///
/// # Examples
///
/// ```
/// use reveille::time::{interval_at, Duration, Instant};
///
/// pollster::block_on(async {
///     let start = Instant::now() + Duration::from_millis(1);
///     let mut interval = interval_at(start, Duration::from_millis(2));
///     assert_eq!(interval.tick().await, start);
/// });
/// ```
#[must_use]
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(sleep_until(start), start, period)
}

impl Handle {
    /// Returns an interval that ticks every `period`, like [`time::interval`](interval), on this
    /// driver.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// let mut interval = timers.handle().interval(std::time::Duration::from_millis(1));
    /// pollster::block_on(interval.tick());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn interval(&self, period: Duration) -> Interval {
        let now = self.now();
        Interval::new(self.sleep_until(now), now, period)
    }

    /// Returns an interval that ticks every `period` from `start` on, like
    /// [`time::interval_at`](interval_at), on this driver.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let timers = reveille::DriverThread::new()?;
    /// let start = timers.handle().now();
    /// let mut interval = timers.handle().interval_at(start, Duration::from_millis(1));
    /// assert_eq!(pollster::block_on(interval.tick()), start);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn interval_at(&self, start: Instant, period: Duration) -> Interval {
        Interval::new(self.sleep_until(start), start, period)
    }
}

/// What an [`Interval`] does about ticks that were missed.
///
/// ```text
/// scheduled  1     2     3     4     5     6     7
/// Burst      |     |     work -----------||| |     |   all ticks come, as fast as possible
/// Delay      |     |     work -----------|     |     | the schedule starts over at the late tick
/// Skip       |     |     work -----------|   |     |   missed ticks are left out
/// ```
///
/// A tick counts as missed if it is late by more than half the period, or by more than 5 ms if that
/// is less. The [slack](Handle::slack) of its driver does not count as lateness. (A clock that
/// stands, because it is manual or paused, has no slack.) If a tick is less late, the driver or the
/// machine was late, not the program: the ticks after it keep their times, and those that have
/// passed meanwhile come at once. So an interval whose period is shorter than the slack ticks
/// several times in a row, and as often as it should on average.
///
/// # Examples
///
/// ```
/// use reveille::time::{interval, Duration, MissedTickBehavior};
///
/// let mut interval = interval(Duration::from_millis(10));
/// interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
/// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Skip);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks as often as scheduled, without a pause until it has caught up.
    #[default]
    Burst,
    /// After a missed tick, ticks one period later, and every period from there.
    Delay,
    /// After a missed tick, ticks at the next scheduled time that has not passed.
    Skip,
}

impl MissedTickBehavior {
    /// Returns the time of the next tick, after the one for `scheduled` took place too late, at
    /// `now`.
    fn next(self, scheduled: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => scheduled + period,
            Self::Delay => now + period,
            Self::Skip => {
                let into = (now - scheduled).as_nanos() % period.as_nanos();
                // The cast fits, because the difference of two instants does.
                now + (period - Duration::from_nanos(into as u64))
            }
        }
    }

    /// Returns how many ticks were missed, if the one for `scheduled` took place too late, at
    /// `now`: that one, and those that will not come.
    fn missed(self, scheduled: Instant, now: Instant, period: Duration) -> u64 {
        match self {
            Self::Burst => 1,
            // The cast saturates only in theory: the difference of two instants fits in 64 bits.
            Self::Delay | Self::Skip => {
                1 + ((now - scheduled).as_nanos() / period.as_nanos()) as u64
            }
        }
    }
}

/// A series of ticks, returned by [`interval`] and [`interval_at`].
///
/// It is also a [`Stream`] of ticks, which never ends. Dropping it cancels its timer.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use reveille::time::{interval, Duration, Instant};
///
/// pollster::block_on(async {
///     let ticks: Vec<Instant> = interval(Duration::from_millis(1)).take(3).collect().await;
///     assert_eq!(ticks[2] - ticks[0], Duration::from_millis(2));
/// });
/// ```
pub struct Interval {
    sleep: Sleep,
    /// When the next tick is due. `sleep.deadline()` is not enough, because a `Sleep` turns a
    /// deadline before its clock's epoch into the epoch.
    scheduled: Instant,
    period: Duration,
    behavior: MissedTickBehavior,
    /// Kept until the interval is dropped.
    _permit: Option<Permit>,
}

impl Interval {
    #[track_caller]
    fn new(sleep: Sleep, start: Instant, period: Duration) -> Self {
        assert!(
            period > Duration::ZERO,
            "`period` must be non-zero, but is {period:?}: for work without a pause, loop"
        );
        Self {
            sleep,
            scheduled: start,
            period,
            behavior: MissedTickBehavior::default(),
            _permit: None,
        }
    }

    /// Keeps a permit of a limited handle until the interval is dropped.
    pub(in crate::time) fn with_permit(mut self, permit: Option<Permit>) -> Self {
        self._permit = permit;
        self
    }

    /// Waits for the next tick and returns when it was due.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: a tick is consumed only when the future is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval_at, Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let start = Instant::now();
    ///     let mut interval = interval_at(start, Duration::from_millis(1));
    ///     assert_eq!(interval.tick().await, start);
    ///     assert_eq!(interval.tick().await, start + Duration::from_millis(1));
    /// });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick and returns when it was due.
    ///
    /// The task is registered to be woken only if the poll is pending. After a tick, it has to poll
    /// again for the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration};
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let mut interval = interval(Duration::from_secs(1));
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(interval.poll_tick(&mut cx).is_ready());
    /// assert!(interval.poll_tick(&mut cx).is_pending());
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.sleep.is_unbound() {
            self.bind();
        }
        let moving = RescheduleIfMoved {
            driver: self.sleep.driver_id(),
            interval: self,
        };
        let poll = Pin::new(&mut moving.interval.sleep).poll(cx);
        drop(moving);
        ready!(poll);

        let now = self.sleep.driver().now();
        let scheduled = self.scheduled;
        let next = if now - scheduled > self.tolerance() {
            let next = self.behavior.next(scheduled, now, self.period);
            let missed = self.behavior.missed(scheduled, now, self.period);
            let shared = &self.sleep.driver().shared;
            shared.counters.count_missed_ticks(missed);
            next
        } else {
            scheduled + self.period
        };
        self.schedule(next);
        Poll::Ready(scheduled)
    }

    /// Binds the timer to the current driver, or to the process-wide thread.
    #[cold]
    fn bind(&mut self) {
        if self
            .sleep
            .bind(Handle::current_or_fallback(system::monotonic()))
        {
            self.scheduled = self.sleep.deadline();
        }
    }

    /// Starts over: the next tick is one period from now.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let mut interval = interval(Duration::from_millis(1));
    ///     interval.reset();
    ///     assert!(interval.tick().await <= Instant::now());
    /// });
    /// ```
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Starts over: the next tick comes at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration};
    ///
    /// pollster::block_on(async {
    ///     let mut interval = interval(Duration::from_secs(60));
    ///     interval.tick().await;
    ///     interval.reset_immediately();
    ///     interval.tick().await;
    /// });
    /// ```
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// Starts over: the next tick is `after` from now. If that is beyond the clock's end, it never
    /// comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration};
    ///
    /// pollster::block_on(async {
    ///     let mut interval = interval(Duration::from_secs(60));
    ///     interval.reset_after(Duration::from_millis(1));
    ///     interval.tick().await;
    /// });
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        // The reset may wake a task, and the waker may panic.
        let interval = RescheduleOnDrop(self);
        interval.0.sleep.reset_after(after);
    }

    /// Starts over: the next tick is at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let mut interval = interval(Duration::from_secs(60));
    ///     let deadline = Instant::now() + Duration::from_millis(1);
    ///     interval.reset_at(deadline);
    ///     assert_eq!(interval.tick().await, deadline);
    /// });
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.schedule(deadline);
    }

    /// Returns what the interval does about missed ticks.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration, MissedTickBehavior};
    ///
    /// let interval = interval(Duration::from_secs(1));
    /// assert_eq!(interval.missed_tick_behavior(), MissedTickBehavior::Burst);
    /// ```
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.behavior
    }

    /// Sets what the interval does about missed ticks.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration, MissedTickBehavior};
    ///
    /// let mut interval = interval(Duration::from_secs(1));
    /// interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.behavior = behavior;
    }

    /// Returns the period.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{interval, Duration};
    ///
    /// assert_eq!(interval(Duration::from_secs(1)).period(), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns how late a tick may be without being counted as missed.
    ///
    /// The slack is added, because the driver waits that long on purpose, except where the clock
    /// stands still. Beyond the slack, the tick must be nearer to its own time than to that
    /// of the next one.
    fn tolerance(&self) -> Duration {
        let own = (self.period / 2).min(Duration::from_millis(5));
        match self.driver().clock().is_frozen() {
            true => own,
            false => self.driver().slack().saturating_add(own),
        }
    }

    pub(crate) fn driver(&self) -> &DriverRef {
        self.sleep.driver()
    }

    fn schedule(&mut self, next: Instant) {
        self.scheduled = next;
        self.sleep.reset_at(next);
    }
}

/// Notes when the next tick is due, after its timer was moved, also if that panics.
struct RescheduleOnDrop<'a>(&'a mut Interval);

impl Drop for RescheduleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.scheduled = self.0.sleep.deadline();
    }
}

/// Notes when the next tick is due if a poll moves the timer to another driver, because its own is
/// gone: the clock there may show another time. Does so also if the poll panics after that.
struct RescheduleIfMoved<'a> {
    interval: &'a mut Interval,
    driver: *const (),
}

impl Drop for RescheduleIfMoved<'_> {
    fn drop(&mut self) {
        if self.interval.sleep.driver_id() != self.driver {
            self.interval.scheduled = self.interval.sleep.deadline();
        }
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// An interval never ends.
impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("scheduled", &self.scheduled)
            .field("period", &self.period)
            .field("missed_tick_behavior", &self.behavior)
            .finish()
    }
}
