//! [`Stats`], what a driver has done since it was made.
//!
//! It is a copy of the figures that `counters` keeps, for the user to look at. The histograms are
//! in `stats/histogram.rs`.

mod histogram;

use std::fmt;
use std::slice;

use crate::driver::Handle;

pub(super) use self::histogram::{BATCH_BUCKETS, BUCKETS, batch_bucket, bucket_of, lower_bound};
pub use self::histogram::{BatchSizes, Histogram};

impl Handle {
    /// Returns what the driver has done since it was made.
    ///
    /// The figures are always kept, and cost next to nothing. Reading them takes no lock and stops
    /// nothing, so any thread may do so at any time: it takes about a microsecond, and one more for
    /// a few hundred chunks of 512 timers each.
    ///
    /// Of a runtime with several workers, of `rt` or of tokio, they are the sums over the drivers
    /// of all workers and of the external threads, until the runtime ends. They are those of all
    /// handles of the driver, [limited](Self::limited) ones too.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ManualClock};
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let mut driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    /// let handle = driver.handle().clone();
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(handle.sleep(Duration::from_millis(1)));
    /// assert!(sleep.as_mut().poll(&mut cx).is_pending());
    ///
    /// clock.advance(Duration::from_millis(1));
    /// let stats = handle.stats();
    /// assert_eq!((stats.armed(), stats.fired(), stats.pending()), (1, 1, 0));
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let origin = self.shared.origin();
        let shards = match &*origin.shards {
            [] => slice::from_ref(&self.shared),
            shards => shards,
        };
        let mut stats = Stats::default();
        // No lock is taken: after a fork one may be held for ever.
        for shard in shards {
            // What ends a timer is read before what begins one.
            shard.counters.add_to(&mut stats);
            shard.chunks.add_to(&mut stats);
        }
        stats
    }
}

/// What a driver has done, returned by [`Handle::stats`].
///
/// All counts begin when the driver is made, and only grow, except [`pending`](Self::pending).
/// When a runtime has ended, a handle tells of one of its drivers alone, so its counts may then be
/// less than before. What is counted are timers that a driver was told of: a timeout whose future
/// is ready at its first poll, or a timer that is due at its first poll, is not among them.
///
/// Each timer that was armed has fired, or was cancelled, or is pending: `armed = fired + cancelled
/// \+ pending`, at every moment at which no other thread is just doing any of it. A timer that is
/// [moved](crate::time::Sleep::reset_at) while it is armed counts as reset, and as nothing else,
/// unless it is moved to a time that has passed: then it has also fired. One that has fired and is
/// used again counts as armed again.
///
/// # Examples
///
/// ```
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let stats = driver.handle().stats();
/// assert_eq!(stats.armed(), stats.fired() + stats.cancelled() + stats.pending());
/// println!("{stats}");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub(super) armed: u64,
    pub(super) fired: u64,
    pub(super) cancelled: u64,
    pub(super) reset: u64,
    pub(super) rejected: u64,
    pub(super) peak: u64,
    pub(super) turns: u64,
    pub(super) parks: u64,
    pub(super) unparks: u64,
    pub(super) missed_ticks: u64,
    pub(super) batch_sizes: BatchSizes,
    pub(super) lateness: Histogram,
    pub(super) turn_duration: Histogram,
}

impl Stats {
    /// Returns how many timers were armed.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().armed(), 0);
    /// ```
    #[must_use]
    pub fn armed(&self) -> u64 {
        self.armed
    }

    /// Returns how many timers have fired: a turn took them out and woke their tasks, or a poll or
    /// a reset found them due before that.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().fired(), 0);
    /// ```
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// Returns how many timers were dropped or stopped before they fired. Those that were armed
    /// when the driver ended are among them.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let timer = driver.handle().call_after(std::time::Duration::from_secs(1), || {});
    /// timer.stop();
    /// assert_eq!(driver.handle().stats().cancelled(), 1);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// Returns how often an armed timer was moved to another deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let timer = driver.handle().call_after(Duration::from_secs(1), || {});
    /// timer.reset(Duration::from_secs(2));
    /// let stats = driver.handle().stats();
    /// assert_eq!((stats.armed(), stats.reset()), (1, 1));
    /// ```
    #[must_use]
    pub fn reset(&self) -> u64 {
        self.reset
    }

    /// Returns how many timers were refused by a [limit](Handle::limited).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Limits;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let tenant = driver.handle().limited(Limits::new().timers(0));
    /// assert!(tenant.try_sleep(std::time::Duration::from_secs(1)).is_err());
    /// assert_eq!(driver.handle().stats().rejected(), 1);
    /// ```
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns how many timers are armed: [`armed`](Self::armed) without those that have fired or
    /// were cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let _timer = driver.handle().call_after(std::time::Duration::from_secs(1), || {});
    /// assert_eq!(driver.handle().stats().pending(), 1);
    /// ```
    #[must_use]
    pub fn pending(&self) -> u64 {
        // While others count, more may be seen to have ended than were seen to begin.
        self.armed.saturating_sub(self.fired + self.cancelled)
    }

    /// Returns how many timers were pending when there were most.
    ///
    /// Of a runtime, the sum of the peaks of its drivers, which may have been at different times.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// for _ in 0..3 {
    ///     driver.handle().call_after(Duration::from_secs(1), || {}).stop();
    /// }
    /// assert_eq!(driver.handle().stats().peak(), 1);
    /// ```
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Returns how often the driver's loop has looked at its timers: calls of
    /// [`turn`](crate::Driver::turn) and [`park`](crate::Driver::park). Of a runtime, how often one
    /// of its threads has found that timers may be due in one of its drivers. To move a clock by
    /// hand is no turn, though it fires timers.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// driver.turn();
    /// assert_eq!(driver.handle().stats().turns(), 1);
    /// ```
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Returns how often the loop was about to block: calls of [`park`](crate::Driver::park) and
    /// [`next_timeout`](crate::Driver::next_timeout) while nothing was due. Of a runtime of `rt`,
    /// how often its workers were about to park. A tokio runtime does not tell: it is zero there.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let _ = driver.next_timeout();
    /// assert_eq!(driver.handle().stats().parks(), 1);
    /// ```
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.parks
    }

    /// Returns how often the loop was interrupted: for a timer that is due earlier than the loop
    /// would have woken, by [`Handle::unpark`], or because the clock or the slack has changed. In a
    /// runtime this may only have changed when it wakes, and a change of a clock that is moved by
    /// hand counts once for each of its drivers. In a runtime whose clock is frozen, or may be
    /// paused by tokio, it also counts when the timer that the loop waits for is dropped or put
    /// off.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// driver.handle().unpark();
    /// assert_eq!(driver.handle().stats().unparks(), 1);
    /// ```
    #[must_use]
    pub fn unparks(&self) -> u64 {
        self.unparks
    }

    /// Returns how many timers were taken out at once, in order to be fired: up to 64.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().batch_sizes().count(), 0);
    /// ```
    #[must_use]
    pub fn batch_sizes(&self) -> &BatchSizes {
        &self.batch_sizes
    }

    /// Returns how many ticks came so late that they
    /// [count as missed](crate::time::MissedTickBehavior), or did not come at all: of intervals, of
    /// tickers, and of [`call_every`](Handle::call_every). Of the last two only ticks that did not
    /// come at all, because a whole period had passed.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().missed_ticks(), 0);
    /// ```
    #[must_use]
    pub fn missed_ticks(&self) -> u64 {
        self.missed_ticks
    }

    /// Returns how late timers were when a turn fired them: the time on the driver's clock at the
    /// beginning of the turn, less the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let stats = driver.handle().stats();
    /// let late = stats.lateness();
    /// println!("p50 {:?}, p99.9 {:?}, at most {:?}", late.p50(), late.p99_9(), late.max());
    /// ```
    #[must_use]
    pub fn lateness(&self) -> &Histogram {
        &self.lateness
    }

    /// Returns how long turns have taken that fired timers, wakers and callbacks included, on the
    /// driver's clock. A clock that is moved by hand fires timers as well, which counts here.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().turn_duration().count(), 0);
    /// ```
    #[must_use]
    pub fn turn_duration(&self) -> &Histogram {
        &self.turn_duration
    }
}

/// Shows all counts, and of the histograms a summary.
impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("armed", &self.armed)
            .field("fired", &self.fired)
            .field("cancelled", &self.cancelled)
            .field("pending", &self.pending())
            .field("peak", &self.peak)
            .field("reset", &self.reset)
            .field("rejected", &self.rejected)
            .field("turns", &self.turns)
            .field("parks", &self.parks)
            .field("unparks", &self.unparks)
            .field("missed_ticks", &self.missed_ticks)
            .field("batch_sizes", &self.batch_sizes)
            .field("lateness", &self.lateness)
            .field("turn_duration", &self.turn_duration)
            .finish()
    }
}

/// Shows a summary on one line, for people: how many timers there are, what became of the others,
/// and how late they were. What is shown may change, so read the figures from the getters.
///
/// ```
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// driver.handle().call_after(std::time::Duration::from_secs(1), || {}).stop();
/// assert_eq!(
///     driver.handle().stats().to_string(),
///     "0 timers pending (peak 1), 0 fired, 1 cancelled, 0 rejected"
/// );
/// ```
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} timers pending (peak {}), {} fired, {} cancelled, {} rejected",
            self.pending(),
            self.peak,
            self.fired,
            self.cancelled,
            self.rejected
        )?;
        let late = &self.lateness;
        if late.count() == 0 {
            return Ok(());
        }
        write!(
            f,
            "; late by {:.1?} (p50), {:.1?} (p99), {:.1?} (max)",
            late.p50(),
            late.p99(),
            late.max()
        )
    }
}
