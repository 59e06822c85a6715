//! The clock that moves only when it is told to, and how a clock that stands still is moved on.
//!
//! Tests and simulations want time to pass at once, and every timer to fire as if it had passed. So
//! time moves from deadline to deadline: each step sets the clock to the earliest deadline of all
//! drivers on it and fires there. Everything fires in order, sees its own time, and has fired before
//! [`ManualClock::advance`] returns. The same steps serve a clock that is paused, and executors that
//! let time pass by itself while they are idle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Follower, RUNNING, Source};
use crate::instant::{Instant, NEVER, nanos};
use crate::sync::{atomic::Ordering, lock};

/// A clock that moves only when told to, for tests and simulations.
///
/// Clones share one clock. Give it to a driver with
/// [`Builder::clock`](crate::Builder::clock); several drivers may share it. An executor of
/// [`rt`](crate::rt) that has nothing left to run moves it on to the next deadline by itself,
/// unless a [`hold`](Self::hold) says that work goes on elsewhere.
///
/// It needs no feature. Code that makes its own drivers, or that asks for the current one, runs on it
/// as on any clock; to stop a clock that runs, there is `time::pause` (feature `test-util`).
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ManualClock, ThreadPark};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let mut driver = Driver::builder().clock(&clock).build(ThreadPark::new());
/// let mut sleep = tokio_test::task::spawn(driver.handle().sleep(Duration::from_secs(3600)));
/// assert!(sleep.poll().is_pending());
///
/// clock.advance(Duration::from_secs(3599));
/// assert!(!sleep.is_woken());
/// clock.advance(Duration::from_secs(1));
/// assert!(sleep.is_woken() && sleep.poll().is_ready());
/// ```
#[derive(Clone)]
pub struct ManualClock(Clock);

impl ManualClock {
    /// Creates a clock that stands still.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self(Clock::with(Source::Hand, 0))
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

    /// Moves the clock on by `duration`, firing on the way.
    ///
    /// Every timer due by then has been fired, on this thread, when the call returns: earliest
    /// first, each while the clock shows its deadline, those of all drivers on this clock in one
    /// order. That includes timers that wakers arm meanwhile. What fires is the timer; the tasks
    /// that it readies run when their executor gets to them. A `duration` beyond the clock's end
    /// stops just short of it.
    ///
    /// If a driver turns on another thread at the same time, each timer is still fired once, but
    /// the two threads' shares are in no common order, and the other may not be through with its
    /// own when this returns.
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

    /// Moves the clock to the earliest deadline and fires what is due there.
    ///
    /// Returns whether there was one. Timers that never fire are not waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!reveille::ManualClock::new().advance_to_next());
    /// ```
    #[expect(
        clippy::must_use_candidate,
        reason = "what it is called for is the effect"
    )]
    pub fn advance_to_next(&self) -> bool {
        self.0.advance_to_next()
    }

    /// Keeps executors from moving the clock while the guard lives; see [`Clock::hold`].
    ///
    /// [`advance`](Self::advance) still works.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// let hold = clock.hold();
    /// // … a thread computes, and timeouts on this clock wait for it …
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

/// Keeps time on a clock from advancing by itself until dropped; see [`Clock::hold`].
///
/// Guards add up: time may go on when the last is dropped.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let mut driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
/// let mut sleep = tokio_test::task::spawn(driver.handle().sleep(Duration::from_secs(9)));
/// assert!(sleep.poll().is_pending());
///
/// let hold = clock.hold();
/// assert!(!driver.advance_when_idle());
/// drop(hold);
/// assert!(driver.advance_when_idle());
/// ```
#[must_use = "time is held only while the guard lives"]
pub struct Hold(Clock);

impl Hold {
    pub(super) fn new(clock: Clock) -> Self {
        Self(clock)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Release: what the holder did is seen by the executor that then moves the clock.
        if self.0.inner.holds.fetch_sub(1, Ordering::Release) == 1 {
            self.0.interrupt();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0).finish()
    }
}

impl Clock {
    /// Keeps executors from moving time on while the guard lives.
    ///
    /// Matters on a [`ManualClock`], and on a clock that is paused (`time::pause`, feature
    /// `test-util`). Take one wherever work goes on that an executor cannot see: on a helper thread,
    /// in another process, behind a socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ManualClock, ThreadPark, time::{sleep, Duration}};
    ///
    /// let mut driver = Driver::builder().clock(ManualClock::new()).build(ThreadPark::new());
    /// let _entered = driver.handle().clone().enter();
    /// let mut sleep = tokio_test::task::spawn(sleep(Duration::from_secs(1)));
    /// assert!(sleep.poll().is_pending());
    ///
    /// let hold = driver.handle().clock().hold();
    /// let helper = std::thread::spawn(move || drop(hold)); // takes its time, and the timer waits for it
    /// while !driver.advance_when_idle() {
    ///     driver.park();
    /// }
    /// assert!(sleep.is_woken());
    /// # helper.join().unwrap();
    /// ```
    pub fn hold(&self) -> Hold {
        // Under the lock that time is moved under: it may be moving just now, and not after this.
        let _hand = lock(&self.inner.hand);
        self.inner.holds.fetch_add(1, Ordering::Relaxed);
        Hold::new(self.clone())
    }

    /// Returns whether time stands still and moves only by [`advance`](Self::advance).
    pub(crate) fn is_frozen(&self) -> bool {
        self.inner.frozen.load(Ordering::Acquire) != RUNNING
    }

    /// See [`ManualClock::advance`]; a clock that runs is not moved.
    pub(crate) fn advance(&self, duration: Duration) {
        let target = self
            .nanos()
            .saturating_add(nanos(duration))
            .min(self.end() - 1);
        // A clock that somebody resumes meanwhile is no longer ours to move.
        while self.is_frozen()
            && let Some((at, follower)) = self.next().filter(|(at, _)| *at <= target)
        {
            self.move_to(at);
            follower.expire();
        }
        self.move_to(target);
        // With nothing due, too: a timer made before and first polled after this finds its deadline
        // passed without a look at the clock.
        for follower in self.followers() {
            follower.expire();
        }
    }

    /// See [`ManualClock::advance_to_next`].
    pub(crate) fn advance_to_next(&self) -> bool {
        let Some((at, _)) = self.next() else {
            return false;
        };
        self.advance(Duration::from_nanos(at.saturating_sub(self.nanos())));
        true
    }

    /// Moves on to the next deadline if time stands still and nobody holds it.
    pub(crate) fn advance_when_idle(&self) -> bool {
        if !self.is_free() {
            return false;
        }
        let Some((at, _)) = self.next() else {
            return false;
        };
        let moves = self.move_unless_held(at);
        if moves {
            // The time has come: what is due there fires.
            self.advance(Duration::ZERO);
        }
        moves
    }

    /// Whether [`advance_when_idle`](Self::advance_when_idle) would move time.
    #[cfg(feature = "rt")]
    pub(crate) fn can_advance(&self) -> bool {
        self.is_free() && self.next().is_some()
    }

    /// Whether time stands still and nobody holds it.
    fn is_free(&self) -> bool {
        // Acquire: pairs with the release in `Hold::drop`.
        self.is_frozen() && self.inner.holds.load(Ordering::Acquire) == 0
    }

    /// Never back: of two hands the one that is further ahead wins. A clock that somebody resumed
    /// meanwhile stays resumed.
    fn move_to(&self, at: u64) {
        let _hand = lock(&self.inner.hand);
        let now = self.inner.frozen.load(Ordering::Relaxed);
        if now != RUNNING && now < at {
            self.inner.frozen.store(at, Ordering::Release);
        }
    }

    /// Like [`move_to`](Self::move_to), but only while nobody holds time; whether so. Under the lock
    /// that a hold is taken under: who has taken one sees time stand still.
    fn move_unless_held(&self, at: u64) -> bool {
        let _hand = lock(&self.inner.hand);
        let free = self.is_free();
        if free && self.inner.frozen.load(Ordering::Relaxed) < at {
            self.inner.frozen.store(at, Ordering::Release);
        }
        free
    }

    /// The earliest deadline on this clock and whose it is; the first driver's among equals.
    fn next(&self) -> Option<(u64, Arc<dyn Follower>)> {
        self.followers()
            .into_iter()
            .map(|follower| (follower.earliest(), follower))
            .min_by_key(|(at, _)| *at)
            .filter(|(at, _)| *at != NEVER)
    }

    pub(super) fn interrupt(&self) {
        for follower in self.followers() {
            follower.interrupt();
        }
    }

    /// The drivers that still live, copied: they are called without our lock.
    fn followers(&self) -> Vec<Arc<dyn Follower>> {
        lock(&self.inner.followers)
            .iter()
            .filter_map(std::sync::Weak::upgrade)
            .collect()
    }
}
