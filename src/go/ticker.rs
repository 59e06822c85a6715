//! [`Ticker`], Go's series of ticks.
//!
//! In Go the runtime puts each tick into a channel that has room for one, and drops it if the last
//! one is still there. Here nothing happens until the owner asks: then the tick that the timer was
//! set for is the one that the channel would hold, and those that came after it until now are the
//! ones that would have been dropped. So a late ticker gives one tick for the past, at its own
//! time, and goes on with the next time of its grid.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::instant::Instant;
use crate::time::Sleep;
use crate::time::sleep;

/// A series of ticks, one each period, as Go's `time.Ticker`.
///
/// The first tick comes when one period has passed. Each gives the time at which it was due, which
/// is on the grid of the period.
///
/// If the ticks are received too late, at most one of them is caught up on: the earliest that was
/// missed. The others are dropped and [counted](Self::dropped), and the next tick is that of the
/// grid. With a period of 10 ms, of which nothing is received for 105 ms:
///
/// ```text
/// due       10   20   30   40   50   60   70   80   90  100  110  120
/// received                                                 |10  |110 |120      dropped: 9
/// ```
///
/// It is a [`Stream`] of the ticks, too, which never ends: while the ticker is stopped, it is
/// pending. In `futures::select!`, as `ticker.select_next_some()`, it is left out then. Dropping
/// the ticker cancels it.
///
/// For other ways to deal with ticks that were missed see [`Interval`](crate::time::Interval).
///
/// # Examples
///
/// ```
/// use reveille::go::Ticker;
/// use reveille::time::Duration;
///
/// pollster::block_on(async {
///     let mut ticker = Ticker::new(Duration::from_millis(1));
///     let first = ticker.tick().await;
///     assert!(ticker.tick().await >= first + Duration::from_millis(1));
///     ticker.stop();
/// });
/// ```
#[must_use = "a ticker does nothing unless its ticks are awaited"]
pub struct Ticker {
    /// Its deadline is when the next tick is due.
    sleep: Sleep,
    period: Duration,
    active: bool,
    dropped: u64,
}

impl Ticker {
    /// Makes a ticker whose first tick is due when `period` has passed from now.
    ///
    /// With a period beyond the clock's end (292 years), such as `Duration::MAX`, it never ticks.
    ///
    /// # Panics
    ///
    /// If `period` is zero, and in the same cases as [`time::sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Ticker;
    /// use reveille::time::{Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let start = Instant::now();
    ///     let mut ticker = Ticker::new(Duration::from_millis(1));
    ///     assert!(ticker.tick().await >= start + Duration::from_millis(1));
    /// });
    /// ```
    #[track_caller]
    pub fn new(period: Duration) -> Self {
        check_period(period);
        Self::with(period, true)
    }

    #[track_caller]
    fn with(period: Duration, active: bool) -> Self {
        Self {
            sleep: sleep::uncapped(period),
            period,
            active,
            dropped: 0,
        }
    }

    /// Waits for the next tick and returns when it was due. Pending while the ticker is stopped.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: a tick is consumed only when the future is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Ticker;
    ///
    /// let mut ticker = Ticker::new(std::time::Duration::from_millis(1));
    /// pollster::block_on(ticker.tick());
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if !self.active {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let now = self.sleep.driver().now();
        let late = (now - due).as_nanos();
        let period = self.period.as_nanos();
        // The casts fit, because the difference of two instants does.
        let (missed, into) = ((late / period) as u64, (late % period) as u64);
        if missed > 0 {
            self.dropped = self.dropped.saturating_add(missed);
            let shared = &self.sleep.driver().shared;
            shared.counters.count_missed_ticks(missed);
        }
        // `now` cannot be earlier than `due`, unless the clock stopped with its driver.
        let next = now.max(due) + (self.period - Duration::from_nanos(into));
        self.sleep.reset_at(next);
        Poll::Ready(due)
    }

    /// Stops the ticker: nothing is received until it is [reset](Self::reset), not even a tick that
    /// is due. Does nothing if it is stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::FutureExt;
    /// use reveille::go::Ticker;
    ///
    /// let mut ticker = Ticker::new(std::time::Duration::from_nanos(1));
    /// ticker.stop();
    /// assert_eq!(ticker.tick().now_or_never(), None);
    /// ```
    pub fn stop(&mut self) {
        self.active = false;
        self.sleep.disarm();
    }

    /// Starts the ticker anew, also if it was stopped: the next tick is due when `period`, the new
    /// period, has passed from now. A tick that was due is not received any more. If a task waits
    /// for a tick, it waits on.
    ///
    /// After a [`stop`](Self::stop), poll the ticker again for it to start: nothing wakes a task
    /// that has polled it before.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Ticker;
    /// use std::time::Duration;
    ///
    /// let mut ticker = Ticker::new(Duration::from_secs(60));
    /// ticker.reset(Duration::from_millis(1));
    /// pollster::block_on(ticker.tick());
    /// ```
    #[track_caller]
    pub fn reset(&mut self, period: Duration) {
        check_period(period);
        // First, because it reads the clock, which may panic: a ticker that was stopped stays so.
        self.sleep.reset_after(period);
        self.period = period;
        self.active = true;
    }

    /// Returns how many ticks were dropped since the ticker was made, because a tick before them
    /// was received too late.
    ///
    /// Ticks that were due when the ticker was stopped or reset do not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Ticker;
    /// use std::time::Duration;
    ///
    /// let mut ticker = Ticker::new(Duration::from_millis(1));
    /// std::thread::sleep(Duration::from_millis(5)); // receives nothing
    /// pollster::block_on(ticker.tick());
    /// assert!(ticker.dropped() >= 4);
    /// ```
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[track_caller]
fn check_period(period: Duration) {
    assert!(
        period > Duration::ZERO,
        "the period of a ticker must be non-zero, but is {period:?}: for work without a pause, loop"
    );
}

/// Makes a [`Ticker`], as Go's `time.Tick`.
///
/// The difference to [`Ticker::new`] is that a period of zero is no error: as in Go, where `Tick`
/// returns a nil channel then, nothing is ever received, until the ticker is
/// [reset](Ticker::reset).
///
/// # Panics
///
/// In the same cases as [`time::sleep`](crate::time::sleep).
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use reveille::{go, time::Duration};
///
/// pollster::block_on(async {
///     let mut ticks = go::tick(Duration::from_millis(1)).take(3);
///     while let Some(due) = ticks.next().await {
///         println!("{due:?}");
///     }
/// });
/// ```
#[track_caller]
pub fn tick(period: Duration) -> Ticker {
    Ticker::with(period, period > Duration::ZERO)
}

impl Stream for Ticker {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// It is terminated while it is stopped.
impl FusedStream for Ticker {
    fn is_terminated(&self) -> bool {
        !self.active
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker")
            .field("next", &self.sleep.deadline())
            .field("period", &self.period)
            .field("active", &self.active)
            .field("dropped", &self.dropped)
            .finish()
    }
}
