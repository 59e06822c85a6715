//! The clock of a driver: where it reads the time, and whether it runs.
//!
//! Drivers read every clock through this one type, so that a test can give them another one. A
//! [`Clock`] counts nanoseconds from its epoch. Inside the crate a time is such a `u64`, and
//! [`NEVER`] stands for every time that an [`Instant`] cannot represent (292 years and more). A
//! clock that runs reads a source: the system's monotonic clock, the one that counts suspend, or a
//! function of the user's. A [`ManualClock`](crate::ManualClock) never runs: it is frozen, and
//! moves only when it is told to.
//!
//! With the feature `test-util` a running clock can be paused, which freezes it until it is resumed
//! (`clock/pause.rs`). Each read then checks whether the clock is paused and how far it is shifted
//! against its source, and starts over if either changes during the read. Without the feature none
//! of this is compiled, and a read only reads the source.
//!
//! Invariant: no clock goes back. The system's clocks do not, and a function of the user's is
//! clamped to the latest time that it has shown. (A thread that reads a clock at the moment when it
//! is paused may see some nanoseconds more than the time at which the clock then stands: processors
//! read their counters out of order.)

mod manual;
#[cfg(feature = "test-util")]
mod pause;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::instant::{Instant, NEVER, nanos};
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    lock,
};
use crate::system;

pub use self::manual::{Hold, ManualClock};

/// The value of `Inner::frozen` while the clock runs.
const RUNNING: u64 = u64::MAX;

/// Whether a running clock can be paused. It is a constant, so that the compiler removes the checks
/// for it from each read.
const CAN_PAUSE: bool = cfg!(feature = "test-util");

/// If a deadline is this much later than the time on the system's coarse clock, it is assumed not
/// to have passed: ten ticks of the system, at 100 a second.
pub(crate) const FAR: u64 = 100_000_000;

/// A source of time for drivers.
///
/// Clones share one clock. The default is [`Clock::monotonic`].
///
/// # Examples
///
/// ```
/// use reveille::{Clock, Driver, ThreadPark};
///
/// // A laptop's reminder: the time that the machine sleeps counts.
/// let driver = Driver::builder().clock(Clock::boottime()).build(ThreadPark::new());
/// assert!(driver.next_deadline().is_none());
/// ```
#[derive(Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

// A function of the user's that panics while a clock is read changes nothing of the clock.
impl UnwindSafe for Clock {}
impl RefUnwindSafe for Clock {}

struct Inner {
    /// Where this clock's zero lies on the axis of `system`, the process-wide time line in
    /// nanoseconds (on Linux, that of `CLOCK_MONOTONIC`).
    epoch: i64,
    /// The longest wait: [`capped_deadline_after`](Clock::capped_deadline_after), and nothing else,
    /// shortens a longer one to it.
    longest: u64,
    source: Source,
    /// Counts the changes between running and frozen (but not `stop`), two for each: the count is
    /// odd while a change is being made. It stays zero unless the clock can be paused.
    changes: AtomicU64,
    /// The time at which the clock stands, or `RUNNING`.
    frozen: AtomicU64,
    /// A signed number that is added to the source while the clock runs. `resume` changes it.
    shift: AtomicU64,
    /// Held by the thread that changes `frozen` or `shift` or adds to `holds`. A thread that reads
    /// the clock takes it only to wait for a change that is under way.
    change_lock: Mutex<()>,
    /// How many [`Hold`] guards keep executors from advancing the clock.
    holds: AtomicUsize,
    /// Keeps the runtime whose clock this is from advancing it.
    hold_runtime: Option<HoldRuntime>,
    /// The drivers on this clock, which are called when it is moved, paused or resumed.
    observers: Mutex<Vec<Weak<dyn ClockObserver>>>,
}

/// Keeps a runtime from advancing its clock until what it returns is dropped. It returns `None` if
/// the runtime is gone.
pub(crate) type HoldRuntime = Box<dyn Fn() -> Option<Arc<dyn Send + Sync>> + Send + Sync>;

/// Where a clock reads the time while it runs.
enum Source {
    Monotonic,
    /// The system's clock that counts suspend, and what it showed at the epoch.
    Boottime(i64),
    /// A function of the user's, and the latest time that it has shown.
    Custom(Box<dyn Fn() -> Duration + Send + Sync>, AtomicU64),
    /// A clock that is frozen for good, and shows `frozen`.
    Manual,
}

/// A driver, or a set of drivers, that a clock calls when it is moved, paused or resumed.
///
/// The drivers implement it, in the modules above: so a clock fires timers and names no driver.
pub(crate) trait ClockObserver: Send + Sync {
    /// Returns the earliest deadline of the timers that this observer fires, [`NEVER`] if there is
    /// none.
    fn earliest(&self) -> u64;
    /// The clock was moved: fires, on this thread, the timers that are due by now. (`rt::idle`
    /// fires none: the shards are observers themselves.)
    fn clock_moved(&self);
    /// Makes the driver's loop read the clock again.
    fn look_again(&self);
}

impl Clock {
    /// Returns the system's monotonic clock, that of [`std::time::Instant`]: nanoseconds, never set
    /// back.
    ///
    /// Whether it counts the time that the machine is suspended is the platform's choice (Linux and
    /// macOS: no; Windows: yes).
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::Clock::monotonic();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn monotonic() -> Self {
        // Epoch zero: what this clock shows are positions on the axis, and converting costs
        // nothing.
        Self::with_epoch(0, Source::Monotonic)
    }

    /// Returns a monotonic clock that also counts the time that the machine is suspended.
    ///
    /// On Linux it is `CLOCK_BOOTTIME`. Park in a `BoottimePark`, which waits on the same clock: in
    /// a [`ThreadPark`](crate::ThreadPark) a wait during which the machine is suspended ends late
    /// by the time of the suspend. On other systems this is the same as [`Clock::monotonic`].
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::Clock::boottime();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn boottime() -> Self {
        Self::with(Source::Boottime(system::boottime()))
    }

    /// Makes a clock of your own: `elapsed` returns the time since an epoch of your choice.
    ///
    /// It serves game ticks, simulated hardware, or a platform's own counter. Drivers call the
    /// function outside of every lock, on any thread that arms timers or turns a driver, and expect
    /// it to be cheap. If it goes back, the clock stands still until the function has caught up
    /// with the latest time that it showed.
    ///
    /// The function should only read a counter. It must not ask this crate for the time, which
    /// would call the function again (use [`std::time::Instant`]), nor wake a task, nor block.
    ///
    /// A driver that blocks takes the clock's nanoseconds for real ones. On a slower clock it wakes
    /// early and blocks again. On a faster one, or one that jumps, timers are late unless the loop
    /// is [unparked](crate::Handle::unpark) or [turned](crate::Driver::turn).
    ///
    /// # Panics
    ///
    /// A panic of `elapsed` goes to the caller that needed the time: it leaves the call that makes,
    /// polls or moves a timer, or turns a driver. No timer is lost, and the next call reads the
    /// clock again. (A `Timeout` or a stream that has a result needs the time only for what comes
    /// after it. It returns the result, and reads the clock again in its next poll.) On a
    /// runtime, where nobody has called, the time counts as unknown: a worker looks again at once,
    /// and so uses its core until the function returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// use std::time::Duration;
    ///
    /// let frames = Arc::new(AtomicU64::new(0));
    /// let counter = frames.clone();
    /// let clock = reveille::Clock::custom(move || {
    ///     Duration::from_secs(counter.load(Ordering::Relaxed)) / 60
    /// });
    /// let start = clock.now();
    /// frames.store(120, Ordering::Relaxed);
    /// assert_eq!(clock.now() - start, Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn custom(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self::with(Source::Custom(Box::new(elapsed), AtomicU64::new(0)))
    }

    /// Makes the clock of a tokio runtime, which may pause and move it: `elapsed` returns its time
    /// on the axis of `system`, and `hold` keeps the runtime from moving it.
    ///
    /// Such a runtime advances its paused clock by itself, for timers of any length. So the longest
    /// wait is thirty years, as for tokio's own timers.
    #[cfg(feature = "tokio")]
    pub(crate) fn of_tokio_runtime(
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
        hold: HoldRuntime,
    ) -> Self {
        const YEARS: u64 = 30 * 365 * 86_400 * 1_000_000_000;
        let source = Source::Custom(Box::new(elapsed), AtomicU64::new(0));
        Self::make(0, YEARS, source, Some(hold))
    }

    /// Stops the clock of a tokio runtime that has ended, for good: at the latest time that it has
    /// shown. It counts as frozen from then on.
    #[cfg(feature = "tokio")]
    pub(crate) fn stop(&self) {
        if let Source::Custom(_, latest) = &self.inner.source {
            let _guard = lock(&self.inner.change_lock);
            let at = latest.load(Ordering::Relaxed);
            self.inner.frozen.store(at, Ordering::Release);
        }
    }

    /// Returns the time on this clock.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::Clock::monotonic();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.instant(self.nanos())
    }

    /// Makes a clock whose epoch is now.
    fn with(source: Source) -> Self {
        Self::with_epoch(system::monotonic(), source)
    }

    fn with_epoch(epoch: i64, source: Source) -> Self {
        Self::make(epoch, NEVER, source, None)
    }

    fn make(epoch: i64, longest: u64, source: Source, hold_runtime: Option<HoldRuntime>) -> Self {
        let frozen = match source {
            // It stands at its epoch.
            Source::Manual => 0,
            _ => RUNNING,
        };
        Self {
            inner: Arc::new(Inner {
                epoch,
                longest,
                source,
                changes: AtomicU64::new(0),
                frozen: AtomicU64::new(frozen),
                shift: AtomicU64::new(0),
                change_lock: Mutex::new(()),
                holds: AtomicUsize::new(0),
                hold_runtime,
                observers: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Returns where instants end: a deadline at or after that is [`NEVER`], and no clock shows it.
    #[inline]
    fn end(&self) -> u64 {
        self.inner.end()
    }

    /// Returns the nanoseconds since the epoch, below the end.
    // Not inlined: otherwise each caller would save registers for the rare ways to read a clock.
    #[inline(never)]
    pub(crate) fn nanos(&self) -> u64 {
        match self.inner.read_system() {
            Some(now) => now,
            None => self.nanos_slow(),
        }
    }

    /// Reads any clock. If a thread is pausing or resuming it at this moment, waits until that is
    /// done.
    #[inline(never)]
    fn nanos_slow(&self) -> u64 {
        loop {
            if let Some(now) = self.inner.read() {
                return now;
            }
            // Waits for the thread that pauses or resumes the clock.
            drop(lock(&self.inner.change_lock));
        }
    }

    /// Returns whether `deadline` is so far off that the system's coarse clock shows that it has
    /// not passed. `false` means that the clock has to be read to know.
    ///
    /// The coarse clock is behind by a tick of the system, 10 ms at most. If a virtual machine
    /// holds up its ticks for longer than [`FAR`], the deadline may have passed.
    #[inline]
    pub(crate) fn is_far_off(&self, deadline: u64) -> bool {
        let coarse = || system::coarse().map(i64::cast_unsigned);
        self.inner.is_system()
            && coarse().is_some_and(|coarse| coarse.saturating_add(FAR) < deadline)
    }

    /// Returns the time, like [`now`](Self::now), but `None` if reading it would call foreign code.
    #[inline]
    pub(crate) fn now_without_foreign_code(&self) -> Option<Instant> {
        let foreign = matches!(self.inner.source, Source::Custom(..));
        (!foreign).then(|| self.now())
    }

    /// Returns the instant that is `nanos` after the epoch.
    #[inline]
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        Instant::at(self.inner.epoch.saturating_add_unsigned(nanos))
    }

    /// Returns the nanoseconds from the epoch to `instant`: zero if it is before the epoch,
    /// [`NEVER`] for the farthest instant.
    #[inline]
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        if instant.nanos() == i64::MAX {
            return NEVER;
        }
        // A negative difference is a time before the epoch.
        instant.nanos().saturating_sub(self.inner.epoch).max(0) as u64
    }

    /// Returns the deadline `duration` from now, [`NEVER`] if no instant can represent it.
    #[inline]
    pub(crate) fn deadline_after(&self, duration: Duration) -> u64 {
        self.deadline(nanos(duration))
    }

    /// Like [`deadline_after`](Self::deadline_after), but a `duration` beyond the longest wait of
    /// this clock counts as the longest wait.
    #[inline]
    pub(crate) fn capped_deadline_after(&self, duration: Duration) -> u64 {
        self.deadline(nanos(duration).min(self.inner.longest))
    }

    #[inline]
    fn deadline(&self, nanos: u64) -> u64 {
        let nanos = self.nanos().saturating_add(nanos);
        if nanos < self.end() { nanos } else { NEVER }
    }

    /// Returns whether the clock shows the time of the system's monotonic clock, so that an instant
    /// means the same on both.
    pub(crate) fn is_real(&self) -> bool {
        // Of the clocks that run, only the system's and that of a tokio runtime have the epoch
        // zero.
        if self.inner.epoch != 0 || self.is_frozen() {
            return false;
        }
        match self.inner.source {
            Source::Monotonic => self.inner.shift.load(Ordering::Relaxed) == 0,
            _ => system::shows_real_time(|| self.nanos().cast_signed()),
        }
    }

    /// Returns whether `other` is a clone of this clock.
    #[cfg(any(feature = "rt", all(feature = "tokio", feature = "test-util")))]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Adds an observer, and removes those that are gone.
    pub(crate) fn observe(&self, observer: Weak<dyn ClockObserver>) {
        let mut observers = lock(&self.inner.observers);
        observers.retain(|known| known.strong_count() > 0);
        observers.push(observer);
    }
}

impl Inner {
    #[inline]
    fn end(&self) -> u64 {
        (i64::MAX - self.epoch) as u64
    }

    /// Returns whether this is the system's clock, and was never paused.
    #[inline]
    fn is_system(&self) -> bool {
        matches!(self.source, Source::Monotonic)
            && (!CAN_PAUSE || self.changes.load(Ordering::Acquire) == 0)
    }

    /// Reads the usual clock, the system's that was never paused. Returns `None` for any other.
    #[inline]
    fn read_system(&self) -> Option<u64> {
        if !matches!(self.source, Source::Monotonic) {
            return None;
        }
        if !CAN_PAUSE {
            return Some(self.monotonic());
        }
        // As in `read`, but a count that is not zero is left to `read`.
        if self.changes.load(Ordering::Acquire) != 0 {
            return None;
        }
        let now = self.monotonic();
        fence(Ordering::Acquire);
        (self.changes.load(Ordering::Relaxed) == 0).then_some(now)
    }

    /// Returns the time, or `None` if the clock was paused or resumed during the read.
    ///
    /// Without this check, a thread that is preempted between reading the source and `shift` would
    /// add values that do not belong together, and one that is preempted before a pause would see a
    /// later time than the one at which the clock then stands.
    fn read(&self) -> Option<u64> {
        if !CAN_PAUSE {
            return Some(self.source().min(self.end() - 1));
        }
        // Acquire: pairs with the release that ends `change`.
        let changes = self.changes.load(Ordering::Acquire);
        let now = match self.frozen.load(Ordering::Acquire) {
            RUNNING => self.shifted(self.source()),
            at => at,
        };
        // Pairs with the fence in `change`: a reader that has seen a store of a change also sees
        // the count that the change began with.
        match self.source {
            // SeqCst: the change reads `latest`, which this read may just have raised. If the
            // thread that changes the clock has missed the new value, this thread must not miss the
            // change.
            Source::Custom(..) => fence(Ordering::SeqCst),
            _ => fence(Ordering::Acquire),
        }
        (changes.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == changes)
            .then_some(now)
    }

    /// Returns the time of a running clock whose source shows `source`.
    #[inline]
    fn shifted(&self, source: u64) -> u64 {
        let shift = self.shift.load(Ordering::Relaxed).cast_signed();
        source.saturating_add_signed(shift).min(self.end() - 1)
    }

    /// Returns what the system's clock shows. Only a clock with the epoch zero reads it.
    #[inline]
    fn monotonic(&self) -> u64 {
        debug_assert_eq!(self.epoch, 0);
        // Positive: the axis begins before the process does.
        system::monotonic().cast_unsigned()
    }

    /// Returns what the source shows. May call foreign code.
    fn source(&self) -> u64 {
        match &self.source {
            Source::Monotonic => self.monotonic(),
            Source::Boottime(epoch) => (system::boottime() - epoch).max(0) as u64,
            Source::Custom(elapsed, latest) => {
                let now = nanos(elapsed()).min(i64::MAX.cast_unsigned());
                latest.fetch_max(now, Ordering::Relaxed).max(now)
            }
            // Acquire: pairs with the release in `stand_at`.
            Source::Manual => self.frozen.load(Ordering::Acquire),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::monotonic()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.inner.source {
            Source::Monotonic => "monotonic",
            Source::Boottime(_) => "boottime",
            Source::Custom(..) => "custom",
            Source::Manual => "manual",
        };
        f.debug_struct("Clock")
            .field("source", &source)
            .field("frozen", &self.is_frozen())
            .field("now_nanos", &self.nanos())
            .finish()
    }
}
