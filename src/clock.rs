//! The clock of a driver: where it reads the time, and whether it runs.
//!
//! Drivers read every clock through this one type, so that a test can give them another one. A
//! [`Clock`] counts nanoseconds from its epoch; inside the crate time is such a `u64`, and [`NEVER`]
//! stands for all that an [`Instant`] cannot say (292 years and more). A clock runs from a source:
//! the system's monotonic clock, one that counts suspend, or a function of the user's. A
//! [`ManualClock`](crate::ManualClock) never runs: it is frozen, and moves only when it is told to.
//!
//! With the feature `test-util` a clock that runs can be paused, which freezes it until it is resumed
//! (`clock/pause.rs`). Every reading has to allow for that: it asks whether the clock is paused and
//! by how much it is behind its source, and it starts over if that changes meanwhile. Without the
//! feature none of this is compiled, and a reading is one look at the source.
//!
//! Invariant: no clock goes back. The system's do not; a function of the user's is clamped to the
//! latest time that it has shown. (When a clock is paused, a thread that reads it at that very moment
//! may see some nanoseconds more than it then stands at: processors read their counters out of order.)

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

/// Whether a clock that runs can be paused. A constant, so that the compiler removes what a reading
/// does for the sake of it.
const CAN_PAUSE: bool = cfg!(feature = "test-util");

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
    /// The instant that reads as nanosecond zero, on the axis of `system`.
    epoch: i64,
    /// The longest wait that is taken as it is: a longer one counts as this long.
    longest: u64,
    source: Source,
    /// Counts the changes between running and frozen, two for each: odd while one is being made. Zero
    /// for ever unless the clock can be paused.
    changes: AtomicU64,
    /// Where time stands, or `RUNNING`.
    frozen: AtomicU64,
    /// Added, wrapping, to the source while the clock runs; moved by `resume`.
    shift: AtomicU64,
    /// Held by the thread that changes `frozen` or `shift` or adds to `holds`. A thread that reads
    /// them does without.
    hand: Mutex<()>,
    /// How many guards keep time from advancing by itself.
    holds: AtomicUsize,
    /// The drivers that run on this clock.
    followers: Mutex<Vec<Weak<dyn Follower>>>,
}

/// Where a running clock reads the time.
enum Source {
    Monotonic,
    /// What the clock that counts suspend read at the epoch.
    Boottime(i64),
    /// The function, and the latest time that it has shown.
    Custom(Box<dyn Fn() -> Duration + Send + Sync>, AtomicU64),
    /// A clock that does not run: time stands at `frozen`.
    Hand,
}

/// What must happen to a driver when its clock is moved by hand.
///
/// The one implementation lives above, in `fire`; the trait turns that arrow round.
pub(crate) trait Follower: Send + Sync {
    /// The earliest deadline, [`NEVER`] if there is none.
    fn earliest(&self) -> u64;
    /// Fires, on this thread, what is due by now.
    fn expire(&self);
    /// Makes the driver's thread look at the clock again.
    fn interrupt(&self);
}

impl Clock {
    /// The system's monotonic clock, [`std::time::Instant`]: nanoseconds, never set back.
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
        // The axis itself, so that an instant is its own reading.
        Self::with_epoch(0, Source::Monotonic, RUNNING)
    }

    /// A monotonic clock that also counts the time that the machine is suspended.
    ///
    /// Linux: `CLOCK_BOOTTIME`. Park in a `BoottimePark`, which waits on the same clock: in a
    /// [`ThreadPark`](crate::ThreadPark) a wait that a suspend interrupts ends late by the suspend.
    /// Elsewhere this is the same as [`Clock::monotonic`].
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::Clock::boottime();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn boottime() -> Self {
        Self::with(Source::Boottime(system::boottime()), RUNNING)
    }

    /// A clock of your own: `elapsed` returns the time since an epoch of your choice.
    ///
    /// For game ticks, simulated hardware, or a platform's own counter. Drivers call it outside
    /// every lock, on whatever thread arms or turns, and expect it to be cheap. If it goes back,
    /// the clock stands still until the function has caught up with the latest time it showed.
    ///
    /// It should do no more than read a counter: not ask this crate for the time (use
    /// [`std::time::Instant`]; ours would ask the function again), wake a task, or block.
    ///
    /// A driver that blocks takes the clock's nanoseconds for real ones. On a clock that is slower
    /// it wakes early and blocks again; on one that is faster, or jumps, timers are late unless the
    /// loop is [unparked](crate::Handle::unpark) or [turned](crate::Driver::turn).
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
        Self::with(
            Source::Custom(Box::new(elapsed), AtomicU64::new(0)),
            RUNNING,
        )
    }

    /// The clock of a runtime that may move it: where it stands on the axis of `system`.
    ///
    /// A runtime that moves time on by itself does so for timers of any length: the longest wait is
    /// thirty years, as it is for tokio's own.
    #[cfg(feature = "tokio")]
    pub(crate) fn hosted(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        const YEARS: u64 = 30 * 365 * 86_400 * 1_000_000_000;
        let source = Source::Custom(Box::new(elapsed), AtomicU64::new(0));
        Self::make(0, YEARS, source, RUNNING)
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

    fn with(source: Source, frozen: u64) -> Self {
        Self::with_epoch(system::monotonic(), source, frozen)
    }

    fn with_epoch(epoch: i64, source: Source, frozen: u64) -> Self {
        Self::make(epoch, NEVER, source, frozen)
    }

    fn make(epoch: i64, longest: u64, source: Source, frozen: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                epoch,
                longest,
                source,
                changes: AtomicU64::new(0),
                frozen: AtomicU64::new(frozen),
                shift: AtomicU64::new(0),
                hand: Mutex::new(()),
                holds: AtomicUsize::new(0),
                followers: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Deadlines at or after this are [`NEVER`]: it is where instants end. No clock gets there.
    #[inline]
    fn end(&self) -> u64 {
        self.inner.end()
    }

    /// Returns the nanoseconds since the epoch, below the end.
    // A call, so that a caller need not save registers for all the ways to get the time.
    #[inline(never)]
    pub(crate) fn nanos(&self) -> u64 {
        match self.inner.read_system() {
            Some(now) => now,
            None => self.nanos_of_any(),
        }
    }

    #[inline(never)]
    fn nanos_of_any(&self) -> u64 {
        loop {
            if let Some(now) = self.inner.read() {
                return now;
            }
            // Wait for the thread that pauses or resumes the clock.
            drop(lock(&self.inner.hand));
        }
    }

    /// Like [`now`](Self::now), but `None` where foreign code would have to be asked.
    #[inline]
    pub(crate) fn own_now(&self) -> Option<Instant> {
        let foreign = matches!(self.inner.source, Source::Custom(..));
        (!foreign).then(|| self.now())
    }

    /// The instant that is `nanos` after the epoch.
    #[inline]
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        Instant::at(self.inner.epoch.saturating_add_unsigned(nanos))
    }

    /// Nanoseconds from the epoch to `instant`: zero for the past, [`NEVER`] for the farthest.
    #[inline]
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        if instant.nanos() == i64::MAX {
            return NEVER;
        }
        // Positive, or the past.
        instant.nanos().saturating_sub(self.inner.epoch).max(0) as u64
    }

    /// The deadline `duration` from now: [`NEVER`] when no instant can say it.
    #[inline]
    pub(crate) fn nanos_after(&self, duration: Duration) -> u64 {
        self.deadline(nanos(duration))
    }

    /// Like [`nanos_after`](Self::nanos_after), but at most the longest wait that this clock knows.
    #[inline]
    pub(crate) fn nanos_after_wait(&self, duration: Duration) -> u64 {
        self.deadline(nanos(duration).min(self.inner.longest))
    }

    #[inline]
    fn deadline(&self, nanos: u64) -> u64 {
        let nanos = self.nanos().saturating_add(nanos);
        if nanos < self.end() { nanos } else { NEVER }
    }

    /// Whether it shows the time of the system's monotonic clock, so that an instant means the same
    /// on both.
    pub(crate) fn is_real(&self) -> bool {
        // All but the system's and a runtime's have an epoch of their own.
        if self.inner.epoch != 0 || self.is_frozen() {
            return false;
        }
        match self.inner.source {
            Source::Monotonic => self.inner.shift.load(Ordering::Relaxed) == 0,
            _ => system::is_shown_by(|| self.nanos().cast_signed()),
        }
    }

    /// Adds a driver to those that this clock moves.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) {
        let mut followers = lock(&self.inner.followers);
        followers.retain(|known| known.strong_count() > 0);
        followers.push(follower);
    }
}

impl Inner {
    #[inline]
    fn end(&self) -> u64 {
        (i64::MAX - self.epoch) as u64
    }

    /// Reads the usual clock: the system's, never paused. Returns `None` of any other.
    #[inline]
    fn read_system(&self) -> Option<u64> {
        if !matches!(self.source, Source::Monotonic) {
            return None;
        }
        if !CAN_PAUSE {
            return Some(self.monotonic());
        }
        // As in `read`, but for what cannot be.
        if self.changes.load(Ordering::Acquire) != 0 {
            return None;
        }
        let now = self.monotonic();
        fence(Ordering::Acquire);
        (self.changes.load(Ordering::Relaxed) == 0).then_some(now)
    }

    /// Returns the time, or `None` if the clock was paused or resumed in the middle of reading it.
    ///
    /// Otherwise a thread that is held up between the source and `shift` would add what does not
    /// belong together, and one that is held up before a pause would see more than the clock then
    /// stands at.
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
        // Pairs with the fence in `change`: a thread that read one of its stores sees its count, too.
        fence(Ordering::Acquire);
        (changes.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == changes)
            .then_some(now)
    }

    /// Returns the time of a clock that runs, when its source shows `source`.
    #[inline]
    fn shifted(&self, source: u64) -> u64 {
        let shift = self.shift.load(Ordering::Relaxed).cast_signed();
        source.saturating_add_signed(shift).min(self.end() - 1)
    }

    /// Returns what the system's clock shows. Only a clock whose epoch is the axis itself asks it.
    #[inline]
    fn monotonic(&self) -> u64 {
        debug_assert_eq!(self.epoch, 0);
        // Positive: the axis begins before the process does.
        system::monotonic().cast_unsigned()
    }

    /// Returns what the source shows; may call foreign code.
    fn source(&self) -> u64 {
        match &self.source {
            Source::Monotonic => self.monotonic(),
            Source::Boottime(epoch) => (system::boottime() - epoch).max(0) as u64,
            Source::Custom(elapsed, latest) => {
                let now = nanos(elapsed()).min(i64::MAX.cast_unsigned());
                latest.fetch_max(now, Ordering::Relaxed).max(now)
            }
            // Acquire: pairs with the release in `move_to`.
            Source::Hand => self.frozen.load(Ordering::Acquire),
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
            Source::Hand => "manual",
        };
        f.debug_struct("Clock")
            .field("source", &source)
            .field("frozen", &self.is_frozen())
            .field("now_nanos", &self.nanos())
            .finish()
    }
}
