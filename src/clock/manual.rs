//! [`ManualClock`], [`Hold`], and the parts of [`Clock`] that move time.
//!
//! Time moves from deadline to deadline: each step sets the clock to the earliest deadline of all
//! drivers on it and fires what is due. So timers fire in order, each fires while the clock shows
//! its deadline, and all have fired before [`ManualClock::advance`] returns. The same steps move a
//! paused clock, and executors use them to let time pass while they are idle.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::{CAN_PAUSE, Clock, ClockObserver, RUNNING, Source};
use crate::instant::{Instant, NEVER, nanos};
use crate::panic::{catch_first, drop_payload};
use crate::sync::{atomic::Ordering, lock};

/// A clock that moves only when the program moves it, for tests and simulations.
///
/// Clones share one clock. Give it to a driver with [`Builder::clock`](crate::Builder::clock);
/// several drivers may share it. An executor of `rt` that has nothing left to run
/// moves it to the next deadline automatically, unless a [`hold`](Self::hold) says that work is
/// still going on elsewhere.
///
/// If several runtimes share the clock, each moves it when its own workers are idle: it does not
/// know whether those of the others are.
///
/// It needs no feature. Code that makes its own drivers, or that asks for the current one, runs on
/// it as on any clock. To stop a clock that runs, use `time::pause` (feature `test-util`).
///
/// | to | use |
/// |---|---|
/// | run one future on it, with all that it joins and selects | [`simulate`](Self::simulate) |
/// | run tasks that are spawned | `rt::Runtime::builder().worker_threads(1).clock(&clock)` (feature `rt`) |
/// | move it by hand, in a test of a scheduler | [`advance`](Self::advance), [`advance_to_next`](Self::advance_to_next) |
/// | let it move while a loop of your own is idle | [`Driver::advance_when_idle`](crate::Driver::advance_when_idle) |
/// | keep it from moving | [`hold`](Self::hold) |
///
/// `examples/three_servers.rs` simulates a queue with futures, and checks the result.
/// `rt::io` describes what happens to sockets.
///
/// # Reproducible runs
///
/// A program on a manual clock does the same in each run if nothing else decides what happens next:
///
/// - *One thread.* [`simulate`](Self::simulate), one driver, or a runtime with one worker. Several
///   workers run tasks in any order between two deadlines.
/// - *No chance.* `futures::select!` polls its branches in random order: write `select_biased!`,
///   which polls them from the top. `FuturesUnordered` and `join!` are the same in each run, the
///   iteration of a `HashMap` is not. Give a generator of random numbers a fixed seed.
/// - *No time from outside.* Read [`Instant::now`](crate::time::Instant::now) inside of the future,
///   and never that of std. With [`starting_at`](Self::starting_at) and
///   [`Instant::ORIGIN`](crate::time::Instant::ORIGIN) the instants themselves are the same in each
///   run, which matters where they are printed, or hashed.
/// - *No answers from outside*: threads and sockets answer when they like. [Hold](Self::hold) the
///   clock until they have.
///
/// Timers fire in the order of their deadlines, and while one fires, the clock shows its deadline.
/// Timers with *equal* deadlines fire in the order in which they were armed (first polled)
/// or last [reset](crate::time::Sleep::reset_at). If they are on several drivers, those of the
/// driver that was made first come first. The tasks that they wake are run in that order by `rt` on
/// one worker; in `simulate` there is one task, which is polled after all of them have fired, and
/// polls its branches in its own order.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ManualClock, ThreadPark};
/// use std::time::Duration;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let clock = ManualClock::new();
/// let mut driver = Driver::builder().clock(&clock).build(ThreadPark::new());
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut sleep = pin!(driver.handle().sleep(Duration::from_secs(3600)));
/// assert!(sleep.as_mut().poll(&mut cx).is_pending());
///
/// clock.advance(Duration::from_secs(3599));
/// assert!(sleep.as_mut().poll(&mut cx).is_pending());
/// clock.advance(Duration::from_secs(1));
/// assert!(sleep.as_mut().poll(&mut cx).is_ready());
/// ```
#[derive(Clone)]
pub struct ManualClock(Clock);

impl ManualClock {
    /// Creates a clock that does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self(Clock::with(Source::Manual))
    }

    /// Creates a clock that does not run and shows `start`. If `start` is before the origin, the
    /// clock shows the origin. If it is the farthest instant, which no clock reaches, the clock
    /// shows the one before it, and stays there.
    ///
    /// [`new`](Self::new) shows the present. A clock that starts at
    /// [`Instant::ORIGIN`](crate::time::Instant::ORIGIN) shows the same instants in each run, for
    /// logs that are compared, or as input of a generator of random numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{ManualClock, time::{Duration, Instant, sleep}};
    ///
    /// let clock = ManualClock::starting_at(Instant::ORIGIN);
    /// let simulated = clock.simulate(async {
    ///     sleep(Duration::from_secs(90)).await;
    ///     format!("{:?}", Instant::now())
    /// });
    /// assert_eq!(simulated.0, "Instant(90s)");
    /// ```
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        // No epoch is negative, so that the farthest instant is within reach of `u64` from each;
        // and none is the farthest instant, so that there is a time for the clock to show.
        let epoch = start.nanos().clamp(0, i64::MAX - 1);
        Self(Clock::with_epoch(epoch, Source::Manual))
    }

    /// Returns the time on this clock.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Moves the clock on by `duration` and fires the timers that come due.
    ///
    /// When the call returns, every timer due by then has been fired on this thread: earliest
    /// first, each while the clock shows its deadline, the timers of all drivers on this clock in
    /// one order. That includes timers that wakers arm during the call. Only the timers fire here;
    /// the tasks that they wake run when their executor gets to them. A `duration` beyond the
    /// clock's end stops just short of it.
    ///
    /// The call moves the clock to the time that is `duration` after the time at its start. So two
    /// calls at the same time, on two threads or one in a waker that the other wakes, do not add
    /// up: the clock ends at the later of the two times.
    ///
    /// If a driver turns on another thread at the same time, each timer is still fired once, but
    /// there is no order between the timers that the two threads fire, and the other thread may not
    /// have finished when this call returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let clock = reveille::ManualClock::new();
    /// let start = clock.now();
    /// clock.advance(Duration::from_millis(1500));
    /// assert_eq!(clock.now() - start, Duration::from_millis(1500));
    /// ```
    pub fn advance(&self, duration: Duration) {
        self.0.advance(duration);
    }

    /// Moves the clock to the earliest deadline and fires the timers that are due then.
    ///
    /// Returns whether there was a deadline. Timers that never come due do not count.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!reveille::ManualClock::new().advance_to_next());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn advance_to_next(&self) -> bool {
        self.0.advance_to_next()
    }

    /// Returns a guard that keeps executors from moving the clock; see [`Clock::hold`].
    ///
    /// [`advance`](Self::advance) still works.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// let hold = clock.hold();
    /// // … a thread computes, and no timeout on this clock ends meanwhile …
    /// drop(hold);
    /// ```
    pub fn hold(&self) -> Hold {
        self.0.hold()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("now_nanos", &self.0.nanos())
            .finish()
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Self {
        manual.0
    }
}

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Self {
        manual.0.clone()
    }
}

/// A guard that keeps executors from moving a clock until it is dropped; see [`Clock::hold`].
///
/// If there are several guards, time may move once the last one is dropped. That unparks the
/// drivers on the clock, so an executor that waits for it need not be told.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ManualClock};
/// use std::time::Duration;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let clock = ManualClock::new();
/// let mut driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut sleep = pin!(driver.handle().sleep(Duration::from_secs(9)));
/// assert!(sleep.as_mut().poll(&mut cx).is_pending());
///
/// let hold = clock.hold();
/// assert!(!driver.advance_when_idle());
/// drop(hold);
/// assert!(driver.advance_when_idle());
/// ```
#[must_use = "time is held only while the guard lives: name it, as in `let _hold =`"]
pub struct Hold {
    clock: Clock,
    /// Keeps the runtime that the clock belongs to from moving it.
    _runtime: Option<Arc<dyn Send + Sync>>,
}

impl Hold {
    /// Returns whether it holds this clock.
    #[cfg(feature = "rt")]
    pub(crate) fn is_on(&self, clock: &Clock) -> bool {
        self.clock.is_same_as(clock)
    }
}

// Dropping what keeps a runtime from moving its clock only tells two of its tasks to end.
impl UnwindSafe for Hold {}
impl RefUnwindSafe for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `may_move`, so that the executor that moves the clock
        // sees what the holder of the guard has done.
        if self.clock.inner.holds.fetch_sub(1, Ordering::Release) > 1 {
            return;
        }
        // Read under the lock: a thread that pauses the clock after this finds no guard.
        let is_frozen = {
            let _guard = lock(&self.clock.inner.change_lock);
            self.clock.is_frozen()
        };
        if is_frozen {
            self.clock.look_again();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.clock).finish()
    }
}

impl Clock {
    /// Returns a guard; while it lives, no executor moves the clock.
    ///
    /// It matters for a [`ManualClock`], and for a clock that `time::pause` has paused (feature
    /// `test-util`). Take a guard for work that an executor cannot see: on another thread, in
    /// another process, behind a socket.
    ///
    /// The clock of a tokio runtime is tokio's to move. Where it may be paused (tokio's feature
    /// `test-util`, a runtime of one thread), a guard keeps tokio from moving it by what tokio
    /// provides for that: a task of `tokio::task::spawn_blocking`. All guards together take one
    /// thread of the runtime's blocking pool. If `max_blocking_threads` is 1, other blocking work
    /// waits until the last of them is dropped. A guard that outlives its runtime does not keep it
    /// from shutting down.
    ///
    /// # Panics
    ///
    /// If the clock is that of a tokio runtime which may be paused, and the system refuses to start
    /// that thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ManualClock, ThreadPark, time::{sleep, Duration}};
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let mut driver = Driver::builder().clock(ManualClock::new()).build(ThreadPark::new());
    /// let _entered = driver.handle().clone().enter();
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = pin!(sleep(Duration::from_secs(1)));
    /// assert!(sleep.as_mut().poll(&mut cx).is_pending());
    ///
    /// let hold = driver.handle().clock().hold();
    /// // The helper takes its time, and the timer waits for it.
    /// let helper = std::thread::spawn(move || drop(hold));
    /// while !driver.advance_when_idle() {
    ///     driver.park();
    /// }
    /// assert!(sleep.as_mut().poll(&mut cx).is_ready());
    /// # helper.join().unwrap();
    /// ```
    pub fn hold(&self) -> Hold {
        // Before the lock is taken, as it is foreign code.
        let runtime = self.inner.hold_runtime.as_ref().and_then(|hold| hold());
        // The clock is moved under the same lock: it may be moving just now, and does not move
        // after this.
        let _guard = lock(&self.inner.change_lock);
        self.inner.holds.fetch_add(1, Ordering::Relaxed);
        Hold {
            clock: self.clone(),
            _runtime: runtime,
        }
    }

    /// Returns a guard if the clock is frozen, or may be paused while the guard lives.
    #[cfg(feature = "rt")]
    pub(crate) fn hold_if_movable(&self) -> Option<Hold> {
        (super::CAN_PAUSE || self.is_frozen()).then(|| self.hold())
    }

    /// Returns whether the clock is paused, manual, or stopped: it moves only by
    /// [`advance`](Self::advance), if at all.
    pub(crate) fn is_frozen(&self) -> bool {
        self.inner.frozen.load(Ordering::Acquire) != RUNNING
    }

    /// Does what [`ManualClock::advance`] does. A running clock is not moved.
    pub(crate) fn advance(&self, duration: Duration) {
        self.advance_until(self.nanos().saturating_add(nanos(duration)));
    }

    /// Advances the clock to `target`. If it is there already, this fires what is due.
    fn advance_until(&self, target: u64) {
        let target = target.min(self.end() - 1);
        // If another thread resumes the clock meanwhile, it must not be moved any more.
        while self.is_frozen()
            && let Some((at, observer)) = self.next().filter(|(at, _)| *at <= target)
        {
            self.move_to(at);
            observer.clock_moved();
        }
        self.move_to(target);
        // Also if nothing is due: a timer that was made before this, and is first polled after it,
        // then finds that its deadline has passed, without a read of the clock.
        for observer in self.observers() {
            observer.clock_moved();
        }
    }

    /// Advances the clock to the earliest deadline; see [`ManualClock::advance_to_next`].
    pub(crate) fn advance_to_next(&self) -> bool {
        let Some((at, _)) = self.next() else {
            return false;
        };
        // Not by a duration: another thread may move the clock meanwhile, and the two would add up.
        self.advance_until(at);
        true
    }

    /// Moves the clock to the next deadline if it is frozen and no guard holds it. Returns whether
    /// it did.
    pub(crate) fn advance_when_idle(&self) -> bool {
        if !self.may_move() {
            return false;
        }
        let Some((at, _)) = self.next() else {
            return false;
        };
        let moves = self.move_unless_held(at);
        if moves {
            // Fires the timers that are due now.
            self.advance(Duration::ZERO);
        }
        moves
    }

    /// Returns whether [`advance_when_idle`](Self::advance_when_idle) would move time.
    #[cfg(feature = "rt")]
    pub(crate) fn can_advance(&self) -> bool {
        self.may_move() && self.next().is_some()
    }

    /// Returns whether an executor may move the clock: it is frozen, and no guard holds it.
    pub(crate) fn may_move(&self) -> bool {
        // Acquire: pairs with the release in `Hold::drop`.
        self.is_frozen() && self.inner.holds.load(Ordering::Acquire) == 0
    }

    /// Moves a frozen clock to `at`, never back: if two threads move it, the later time wins. A
    /// clock that another thread has resumed meanwhile stays as it is.
    fn move_to(&self, at: u64) {
        let _guard = lock(&self.inner.change_lock);
        let now = self.inner.frozen.load(Ordering::Relaxed);
        if now != RUNNING && now < at {
            self.stand_at(at);
        }
    }

    /// Does what [`move_to`](Self::move_to) does unless a guard holds the clock. Returns whether
    /// none did. It uses the lock under which a guard is made, so that time does not move once the
    /// guard exists.
    fn move_unless_held(&self, at: u64) -> bool {
        let _guard = lock(&self.inner.change_lock);
        let free = self.may_move();
        if free && self.inner.frozen.load(Ordering::Relaxed) < at {
            self.stand_at(at);
        }
        free
    }

    /// Moves a frozen clock. The caller holds `change_lock`.
    fn stand_at(&self, at: u64) {
        // Without the feature `test-util` a clock with a function is frozen only by `stop`, and a
        // read does not look at `frozen`.
        if let (false, Source::Custom(_, latest)) = (CAN_PAUSE, &self.inner.source) {
            latest.fetch_max(at, Ordering::Relaxed);
        }
        self.inner.frozen.store(at, Ordering::Release);
    }

    /// Returns the earliest deadline on this clock, and the observer that has it: the first one if
    /// several have the same deadline.
    fn next(&self) -> Option<(u64, Arc<dyn ClockObserver>)> {
        self.observers()
            .into_iter()
            .map(|observer| (observer.earliest(), observer))
            .min_by_key(|(at, _)| *at)
            .filter(|(at, _)| *at != NEVER)
    }

    /// Makes all drivers on this clock read it again.
    ///
    /// That unparks loops, which is foreign code. A panic in one does not keep the others from
    /// being told. The first panic is passed on at the end, unless this thread is panicking
    /// already.
    pub(super) fn look_again(&self) {
        let mut first_panic = None;
        for observer in self.observers() {
            // The observer is dropped inside: this may be the last reference to it.
            catch_first(&mut first_panic, move || observer.look_again());
        }
        match first_panic {
            Some(payload) if thread::panicking() => drop_payload(payload),
            Some(payload) => resume_unwind(payload),
            None => {}
        }
    }

    /// Returns the observers that are still alive. They are copied, so that they are called with
    /// the lock released.
    fn observers(&self) -> Vec<Arc<dyn ClockObserver>> {
        lock(&self.inner.observers)
            .iter()
            .filter_map(std::sync::Weak::upgrade)
            .collect()
    }
}
