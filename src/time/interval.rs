//! When is the next tick, if this one was late?

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::driver::Handle;
use crate::instant::Instant;
use crate::system;
use crate::time::sleep::{Sleep, sleep, sleep_until};

/// Ticks every `period`, the first time at once.
///
/// A tick that would come beyond the clock's end (292 years) never does.
///
/// Made where no driver is entered and no runtime runs, it takes the driver that it is first polled
/// on. If that one's clock is the system's, the first tick is scheduled for this call; on another it
/// is for the first poll.
///
/// # Panics
///
/// If `period` is zero, and as [`sleep`](super::sleep) does.
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

/// Ticks every `period`, the first time at `start`.
///
/// A `start` in the past ticks at once, and then as [`MissedTickBehavior`] says. Of a `start` that was
/// read outside of the runtime, [`sleep_until`](super::sleep_until) tells more.
///
/// # Panics
///
/// If `period` is zero, and as [`sleep`](super::sleep) does.
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
    /// Like [`time::interval`](interval), on this driver.
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

    /// Like [`time::interval_at`](interval_at), on this driver.
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
/// Burst      |     |     work -----------||| |     |   none left out, hurries until caught up
/// Delay      |     |     work -----------|     |     | starts over from the late tick
/// Skip       |     |     work -----------|   |     |   leaves out what was missed, keeps the beat
/// ```
///
/// A tick counts as missed if it is late by more than half the period, or by more than 5 ms if that is
/// less, the [slack](Handle::slack) of its driver not included. A tick that is less late is the doing
/// of the driver or the machine: those after it keep their times, and what is past by then comes at
/// once. So an interval whose period is shorter than the slack ticks several times in a row, as often
/// as it should on the whole.
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
    /// Ticks as often as scheduled, hurrying until it has caught up.
    #[default]
    Burst,
    /// Ticks one period after the late tick, if that was missed, and every period from there.
    Delay,
    /// Ticks at the next scheduled time that is still to come, if a tick was missed.
    Skip,
}

impl MissedTickBehavior {
    /// The tick after the one scheduled for `scheduled` that took place at `now`, too late.
    fn next(self, scheduled: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => scheduled + period,
            Self::Delay => now + period,
            Self::Skip => {
                let into = (now - scheduled).as_nanos() % period.as_nanos();
                // Fits: what is late is at most what an instant can say.
                now + (period - Duration::from_nanos(into as u64))
            }
        }
    }
}

/// A series of ticks; made by [`interval`] and [`interval_at`].
///
/// It is a [`Stream`] of ticks, too, that never ends. Dropping it cancels its timer.
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
    /// When the next tick is due. Not asked of `sleep`, which knows no time before its clock's
    /// epoch.
    scheduled: Instant,
    period: Duration,
    behavior: MissedTickBehavior,
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
        }
    }

    /// Waits for the next tick and returns when it was due.
    ///
    /// # Cancel safety
    ///
    /// Safe: a tick is taken only when the future is ready.
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

    /// Polls for the next tick.
    ///
    /// `Pending` registers the task, `Ready` does not: who wants another tick polls again.
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
        let driver = self.sleep.driver();
        let poll = Pin::new(&mut self.sleep).poll(cx);
        if self.sleep.driver() != driver {
            // Its driver is gone and it has moved to another, whose clock may show another time.
            self.scheduled = self.sleep.deadline();
        }
        ready!(poll);

        let now = self.sleep.handle().now();
        let scheduled = self.scheduled;
        let next = if now - scheduled > self.tolerance() {
            self.behavior.next(scheduled, now, self.period)
        } else {
            scheduled + self.period
        };
        self.schedule(next);
        Poll::Ready(scheduled)
    }

    /// Gives the timer the driver that it lacks.
    #[cold]
    fn bind(&mut self) {
        if self.sleep.bind(Handle::serving(system::monotonic())) {
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

    /// Starts over: the next tick is at once.
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

    /// Starts over: the next tick is `after` from now, never if that is beyond the clock's end.
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
        self.sleep.reset_after(after);
        self.scheduled = self.sleep.deadline();
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

    /// Returns what is done about missed ticks.
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

    /// Sets what is done about missed ticks.
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

    /// How late a tick may be and not count as missed.
    ///
    /// What the driver waits on purpose is not the program's doing; beyond that the tick is to be
    /// nearer to its own time than to the next one's.
    fn tolerance(&self) -> Duration {
        let own = (self.period / 2).min(Duration::from_millis(5));
        self.handle().slack().saturating_add(own)
    }

    pub(super) fn handle(&self) -> &Handle {
        self.sleep.handle()
    }

    fn schedule(&mut self, next: Instant) {
        self.scheduled = next;
        self.sleep.reset_at(next);
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

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("scheduled", &self.scheduled)
            .field("period", &self.period)
            .field("missed_tick_behavior", &self.behavior)
            .finish()
    }
}
