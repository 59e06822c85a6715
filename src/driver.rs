//! A driver: decides how long its loop may block, and fires what is due when the loop wakes.
//!
//! A [`Driver`] belongs to one loop. Two methods carry it: [`next_timeout`](Driver::next_timeout)
//! says how long the loop may block, and [`turn`](Driver::turn) fires what is due.
//! [`park`](Driver::park) does both around a [`Park`].
//!
//! The modules: `shared` (what handles share with a driver, and how a loop is interrupted),
//! `shared::announcement` (until when a loop parks), `shared::fire` (firing), `wakers` (the timers,
//! in order), `handle`, `builder`, `turn` (what a turn returns), `slack` (why a wake-up may be
//! delayed), `sharded` (the drivers of a runtime, all on one loop), `counters` and `stats` (what is
//! counted), `limits` (how many timers there may be), and `late` (a function to call when timers
//! are late). The futures are in `time`; `backend` finds the driver for a timer.

mod builder;
mod counters;
mod handle;
pub(crate) mod late;
pub(crate) mod limits;
#[cfg(any(feature = "tokio", feature = "rt"))]
pub(crate) mod sharded;
pub(crate) mod shared;
pub(crate) mod slack;
pub(crate) mod stats;
mod turn;
mod wakers;

use std::fmt;
use std::time::Duration;

use crate::driver::slack::{NO_INTERRUPT, PlannedWait, Planner};
use crate::instant::{Instant, NEVER, nanos};
use crate::park::{Park, Unpark};
use crate::sync;

pub use self::builder::Builder;
pub(crate) use self::handle::DriverRef;
pub use self::handle::Handle;
pub use self::turn::Turn;

/// How many timers one turn fires before the loop runs the tasks that they readied.
const TIMERS_PER_TURN: usize = sync::under_loom_or(4, 1024);

/// Fires the timers of one loop.
///
/// Put it where your loop blocks:
///
/// - A loop that only waits for timers and wake-ups gives the driver a [`Park`] and calls
///   [`park`](Self::park) when it has nothing to run.
/// - A loop that blocks in a poll of its own (sockets, a window system) makes the driver with
///   [`with_unpark`](Self::with_unpark), blocks for at most [`next_timeout`](Self::next_timeout),
///   and calls [`turn`](Self::turn) afterwards.
///
/// In both cases a busy loop should call [`turn`](Self::turn) now and then: if nothing is due, that
/// costs one read of the clock.
///
/// Drivers are independent of each other, and a process may have any number. Dropping one wakes the
/// tasks of all its timers; [`Sleep`](crate::time::Sleep) describes what the timers do then.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ThreadPark};
/// use std::time::Duration;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let mut driver = Driver::new(ThreadPark::new());
/// // An executor has a waker that schedules the task.
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut sleep = pin!(driver.handle().sleep(Duration::from_millis(1)));
/// while sleep.as_mut().poll(&mut cx).is_pending() {
///     driver.park(); // until the deadline
/// }
/// ```
pub struct Driver<P> {
    // Not named `park`: `driver.park` without a call would then be an error about a private field.
    inner: P,
    handle: Handle,
    planner: Planner,
    wait: PlannedWait,
}

impl<P: Park> Driver<P> {
    /// Makes a driver that blocks in `park`, on the system's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.next_deadline(), None);
    /// ```
    #[must_use]
    pub fn new(park: P) -> Self {
        Driver::builder().build(park)
    }

    /// Blocks until the earliest deadline or an unpark, then [turns](Self::turn).
    ///
    /// May return early with nothing fired: call it in a loop, and run what is ready in between.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(driver.handle().sleep(Duration::from_millis(1)));
    /// while sleep.as_mut().poll(&mut cx).is_pending() {
    ///     driver.park();
    /// }
    /// ```
    pub fn park(&mut self) -> Turn {
        self.park_at_most(None)
    }

    /// Like [`park`](Self::park), but blocks for about `limit` at most.
    ///
    /// Zero does not block; `Duration::MAX` is no limit. The limit is real time, also where the
    /// driver's clock is moved by hand.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.park_timeout(Duration::from_millis(1)).fired(), 0);
    /// ```
    pub fn park_timeout(&mut self, limit: Duration) -> Turn {
        self.park_at_most(Some(limit))
    }

    fn park_at_most(&mut self, limit: Option<Duration>) -> Turn {
        let timeout = self.announce(limit);
        self.inner.park(timeout);
        self.turn()
    }
}

impl Driver<()> {
    /// Starts to set up a driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::builder().build(reveille::ThreadPark::new());
    /// assert_eq!(driver.next_deadline(), None);
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Makes a driver for a loop that blocks in a poll of its own.
    ///
    /// `unpark` makes that poll return, from any thread; it may be a closure. It is called when a
    /// timer is armed for a time before the loop would wake. A loop that never blocks (one that
    /// renders frame after frame) may pass `|| {}`.
    ///
    /// # Examples
    ///
    /// A loop that blocks in `recv_timeout`:
    ///
    /// ```
    /// use reveille::Driver;
    /// use std::{sync::mpsc, time::Duration};
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let (sender, events) = mpsc::channel::<()>();
    /// let mut driver = Driver::with_unpark(move || {
    ///     let _ = sender.send(()); // fails once the loop is gone
    /// });
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(driver.handle().sleep(Duration::from_millis(1)));
    ///
    /// while sleep.as_mut().poll(&mut cx).is_pending() {
    ///     let timeout = driver.next_timeout().unwrap_or(Duration::MAX);
    ///     let _ = events.recv_timeout(timeout); // a message, or the time is over
    ///     driver.turn();
    /// }
    /// ```
    #[must_use]
    pub fn with_unpark(unpark: impl Unpark) -> Self {
        Self::builder().build_with_unpark(unpark)
    }
}

impl<P> Driver<P> {
    /// Returns the handle through which timers are made.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let handle = driver.handle().clone(); // to other threads
    /// assert_eq!(handle.armed(), 0);
    /// ```
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the park that the driver blocks in.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, Park, ThreadPark};
    ///
    /// let driver = Driver::new(ThreadPark::new());
    /// let unparker = driver.get_ref().unparker();
    /// # drop(unparker);
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &P {
        &self.inner
    }

    /// Returns the park that the driver blocks in.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ThreadPark};
    ///
    /// let mut stacked = Driver::new(Driver::new(ThreadPark::new()));
    /// let inner: &mut Driver<ThreadPark> = stacked.get_mut();
    /// inner.turn();
    /// ```
    pub fn get_mut(&mut self) -> &mut P {
        &mut self.inner
    }

    /// Returns the earliest deadline, `None` if no timer is armed that would ever fire.
    ///
    /// It only observes, and may be called at any time, for example to log the deadline: whether a
    /// timer that is armed interrupts the loop does not depend on it. A loop that is about to block
    /// calls [`next_timeout`](Self::next_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(driver.handle().sleep(Duration::from_secs(9)));
    /// assert!(sleep.as_mut().poll(&mut cx).is_pending());
    /// assert_eq!(driver.next_deadline(), Some(sleep.deadline()));
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let shared = &self.handle.shared;
        let (state, next) = shared.lock_and_find_next(true);
        drop(state);
        (next != NEVER).then(|| shared.clock.instant(next))
    }

    /// Returns how long the loop may block, `None` for as long as it likes.
    ///
    /// It is zero if something is due. The call announces that the loop blocks for that long: until
    /// the next [`turn`](Self::turn), arming a timer that is due earlier calls the [`Unpark`]. But
    /// if the [slack](Builder::slack) delays the wake-up, the result includes that delay, and no
    /// timer interrupts the loop. To read the deadline without announcing anything, call
    /// [`next_deadline`](Self::next_deadline). A poll that counts milliseconds must round up: a
    /// loop that is woken early finds nothing due, and polls again.
    ///
    /// On a clock that is moved by hand no wait makes a timer due: the result is zero or `None`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.next_timeout(), None);
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(driver.handle().sleep(Duration::from_secs(9)));
    /// assert!(sleep.as_mut().poll(&mut cx).is_pending());
    /// assert!(driver.next_timeout().unwrap() <= Duration::from_secs(9));
    /// ```
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.announce(None)
    }

    /// Fires the timers that are due, without blocking.
    ///
    /// The earliest timer fires first, and equal deadlines in the order in which they were armed,
    /// or last reset to an earlier time. On a clock that is moved by hand, a reset to a later time
    /// counts, too. Wakers are called outside of every lock of the driver; release locks of your
    /// own that wakers take, such as that of a queue of tasks. One turn fires about a thousand
    /// timers at most (see [`Turn::is_unfinished`]). If a waker panics, the others are woken all
    /// the same, and the turn returns. If nothing is due, a turn costs one read of the clock, and
    /// without timers not even that.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let clock = reveille::ManualClock::new();
    /// let mut driver = reveille::Driver::builder().clock(&clock).build_with_unpark(|| {});
    /// assert_eq!(driver.turn().fired(), 0);
    /// ```
    pub fn turn(&mut self) -> Turn {
        let shared = &self.handle.shared;
        shared.counters.count_turn();
        if shared.announced() != NO_INTERRUPT {
            shared.reset_interruptions();
            shared.clear_announcement();
        }
        let nothing = Turn {
            fired: 0,
            unfinished: false,
        };
        // Without timers the clock is not read either.
        if !shared.may_have_timers() {
            self.wait.clear();
            return nothing;
        }
        let now = shared.clock.nanos();
        shared.note_turn(now);
        if !shared.may_be_due(now) {
            // The wait was cut short. What this thread does until something is due is no part of
            // its cost.
            self.wait.clear();
            return nothing;
        }
        self.fire(now)
    }

    // A function of its own, so that a turn with nothing due need not push registers for it.
    #[inline(never)]
    fn fire(&mut self, now: u64) -> Turn {
        let (wake_at, sample) = self.wait.take();
        if now >= wake_at {
            // `turn` has not reset them if the slack had fixed the end of the wait: nothing was
            // announced then.
            self.handle.shared.reset_interruptions();
        }
        if let Some(sample) = sample
            && now >= wake_at
        {
            self.planner.note_sample(sample);
        }
        let (fired, unfinished) = self.handle.shared.fire(now, TIMERS_PER_TURN);
        if fired == 0 && now >= wake_at {
            self.planner.woke_in_vain(now);
        }
        self.planner.note_fired(now, fired);
        Turn { fired, unfinished }
    }

    /// Advances a clock that is moved by hand to the next deadline, and fires the timers that are
    /// due then.
    ///
    /// It is for executors: call it when nothing is left to run, and park only if it returns
    /// `false`. Then a test on a paused or manual clock takes no longer than its work. It moves
    /// nothing if the clock runs, is [held](crate::Clock::hold), or has no deadline to come. Timers
    /// that never fire have none. After `false` on a paused or manual clock, the next timer with a
    /// deadline that is armed calls the [`Unpark`], unless a [`turn`](Self::turn) comes first.
    /// While the clock is held, the end of the hold does so, and a timer need not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let clock = reveille::ManualClock::new();
    /// let mut driver = reveille::Driver::builder().clock(&clock).build_with_unpark(|| {});
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(driver.handle().sleep(Duration::from_secs(9)));
    /// assert!(sleep.as_mut().poll(&mut cx).is_pending());
    ///
    /// assert!(driver.advance_when_idle());
    /// assert!(sleep.as_mut().poll(&mut cx).is_ready());
    /// assert!(!driver.advance_when_idle());
    /// ```
    pub fn advance_when_idle(&mut self) -> bool {
        let shared = &self.handle.shared;
        if !shared.clock.is_frozen() {
            return false;
        }
        // First `NEVER` is announced, then the deadlines are read. Otherwise a timer that another
        // thread arms in between would not interrupt the park that follows, and on a frozen clock
        // nothing else ends the park. To announce the earliest deadline is not enough: its timer
        // may be dropped before the deadlines are read, and a later timer armed after that. (While
        // time is held, the deadlines are not read. The end of the hold interrupts.)
        shared.announce(&shared.lock(), NEVER);
        let advanced = shared.clock.advance_when_idle();
        if advanced {
            shared.clear_announcement();
        }
        advanced
    }

    /// Announces a wait until the next deadline or `limit`. Returns how long it may last.
    fn announce(&self, limit: Option<Duration>) -> Option<Duration> {
        let shared = &self.handle.shared;
        // The clock is foreign code: not under the lock.
        let now = shared.clock.nanos();
        shared.note_turn(now);
        self.wait.set(NEVER, None);
        let frozen = shared.clock.is_frozen();
        let limit_at = limit
            .filter(|_| !frozen)
            .map(|limit| now.saturating_add(nanos(limit)));

        let (state, next) = shared.lock_and_find_next(false);
        if next <= now {
            shared.clear_announcement();
            return Some(Duration::ZERO);
        }
        shared.counters.count_park();
        let early = shared
            .needs_margin()
            .then(|| shared.wake_with_margin(next, now));
        let next = early.unwrap_or(next);
        let plan = self.planner.plan(next);
        // If the caller's limit ends the wait, the planner does not count that as a wake-up.
        let for_timers = plan.wake_at;
        let plan = plan.no_later_than(limit_at.unwrap_or(NEVER));
        // On a frozen clock the slack is not used: every earlier timer interrupts the wait.
        let until = if frozen { next } else { plan.announcement() };
        match early == Some(until) {
            true => shared.announce_early(&state, until),
            false => shared.announce(&state, until),
        }
        drop(state);

        if frozen || plan.wake_at == NEVER {
            return limit;
        }
        let sample = self.planner.begin_sample();
        self.wait.set(for_timers, sample);
        Some(Duration::from_nanos(plan.wake_at - now))
    }
}

/// A driver is itself a park: it blocks in its own park, and turns when that returns.
///
/// So drivers can be stacked, each with a clock and timers of its own, on one blocking call.
impl<P: Park> Park for Driver<P> {
    type Unpark = P::Unpark;

    fn unparker(&self) -> Self::Unpark {
        self.inner.unparker()
    }

    fn park(&mut self, timeout: Option<Duration>) {
        self.park_at_most(timeout);
    }
}

impl<P> Drop for Driver<P> {
    fn drop(&mut self) {
        self.handle.shared.close();
    }
}

impl<P> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("handle", &self.handle)
            .field("planner", &self.planner)
            .finish_non_exhaustive()
    }
}
