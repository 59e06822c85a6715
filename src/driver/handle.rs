//! [`Handle`], the reference through which any thread uses a driver.
//!
//! Its methods here concern the driver as a whole. The methods that make timers are in `time`, and
//! those that find the current driver in `backend`.

mod debug;

use std::hash::{Hash, Hasher};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::driver::late::{Function, LateTurn};
use crate::driver::limits::Tenant;
use crate::driver::shared::Shared;
use crate::instant::{Instant, nanos};
use crate::sync::lock_std;

/// A reference to a [`Driver`](crate::Driver) through which any thread makes timers.
///
/// Clones refer to the same driver. A handle may outlive its driver: then
/// [`is_closed`](Self::is_closed) says so, and timers made through it run on another driver (see
/// [`Sleep`](crate::time::Sleep)).
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ThreadPark};
/// use std::time::Duration;
///
/// let mut driver = Driver::new(ThreadPark::new());
/// let handle = driver.handle().clone();
/// let sleep = std::thread::spawn(move || handle.sleep(Duration::from_secs(3600))).join().unwrap();
/// assert!(sleep.deadline() > driver.handle().now());
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// `None` if the handle has no limits.
    pub(super) tenant: Option<Arc<Tenant>>,
}

/// A reference to a driver without any limits: what a timer keeps.
#[derive(Clone)]
pub(crate) struct DriverRef {
    pub(crate) shared: Arc<Shared>,
}

impl DriverRef {
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    pub(crate) fn slack(&self) -> Duration {
        Duration::from_nanos(self.shared.slack.get())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

impl PartialEq for DriverRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl From<Handle> for DriverRef {
    #[inline]
    fn from(handle: Handle) -> Self {
        let shared = handle.shared;
        Self { shared }
    }
}

// No foreign code runs under a lock, so a panic of a waker or an unpark leaves no half of a change.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}
impl UnwindSafe for DriverRef {}
impl RefUnwindSafe for DriverRef {}

impl Handle {
    /// Makes a handle without limits.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let tenant = None;
        Self { shared, tenant }
    }

    /// Returns what a timer on this driver keeps.
    #[inline]
    pub(crate) fn driver_ref(&self) -> DriverRef {
        let shared = self.shared.clone();
        DriverRef { shared }
    }

    /// Returns the time on the driver's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert!(driver.handle().now() <= driver.handle().now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Returns the driver's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert!(driver.handle().clock().now() <= driver.handle().now());
    /// ```
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Returns how many timers are armed on this driver.
    ///
    /// A runtime with several workers, of `rt` or of tokio, has a driver for each of them, and one
    /// for all other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().armed(), 0);
    /// ```
    #[must_use]
    pub fn armed(&self) -> usize {
        // After a fork the locks of a driver that is gone may be held for ever.
        if self.is_closed() {
            return 0;
        }
        self.shared.armed()
    }

    /// Returns the slack: how far apart wake-ups for timers are kept.
    ///
    /// If no slack was set, it is what the driver has chosen, between 50 µs and 1 ms, and changes
    /// as the driver measures what a wake-up costs; [`Builder::slack`] tells how. It begins with
    /// [`Builder::DEFAULT_SLACK`]. A timer is late by the slack at most on purpose.
    ///
    /// [`Builder::slack`]: crate::Builder::slack
    /// [`Builder::DEFAULT_SLACK`]: crate::Builder::DEFAULT_SLACK
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().slack(), reveille::Builder::DEFAULT_SLACK);
    /// ```
    #[must_use]
    pub fn slack(&self) -> Duration {
        Duration::from_nanos(self.shared.slack.get())
    }

    /// Sets the slack: timers wake the loop at most once per slack.
    ///
    /// That is a promise, for any timers: a thousand that are due at random, one task that sleeps
    /// in a loop, a cache that removes key after key. With a millisecond there are at most a
    /// thousand wake-ups for timers a second, which takes about as much CPU as `tokio::time`, at
    /// half its lateness. A timer is late by the slack at most because of it, and by nothing if no
    /// timer has woken the loop within one slack before. Zero wakes the loop for every deadline.
    /// More than a second counts as a second.
    ///
    /// If no slack is set, the driver chooses one itself, and uses it only while timers are dense;
    /// see [`Builder::slack`].
    ///
    /// Any thread may call it at any time: the loop is interrupted, and waits with the new slack.
    /// The slack belongs to the loop. All workers of a runtime (tokio's, or one of `rt`) share one
    /// slack, which can be set through the handle of any of them. Where there is no other driver,
    /// the handle that [`Handle::current`] returns sets that of the process-wide thread.
    ///
    /// Where time does not pass by itself, the slack is not used: on a manual clock, and while a
    /// clock is paused. On a tokio runtime whose clock may be paused (`test-util`, one thread) it
    /// is zero, and stays zero.
    ///
    /// A wake-up for a timer that was dropped or put off during the wait is counted, too. What else
    /// wakes a loop is not: an [unpark](Self::unpark), I/O, or a timer that another thread arms and
    /// that is due before all others.
    ///
    /// [`Builder::slack`]: crate::Builder::slack
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// driver.handle().set_slack(Duration::from_millis(1));
    /// assert_eq!(driver.handle().slack(), Duration::from_millis(1));
    /// driver.handle().set_slack(Duration::MAX);
    /// assert_eq!(driver.handle().slack(), Duration::from_secs(1));
    /// ```
    pub fn set_slack(&self, slack: Duration) {
        self.change_slack(Some(slack));
    }

    /// Has the driver choose its slack again, after [`set_slack`](Self::set_slack).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let handle = driver.handle();
    /// handle.set_slack(Duration::ZERO);
    /// // ... what must be as punctual as can be ...
    /// handle.adapt_slack();
    /// assert_eq!(handle.slack(), reveille::Builder::DEFAULT_SLACK);
    /// ```
    pub fn adapt_slack(&self) {
        self.change_slack(None);
    }

    fn change_slack(&self, slack: Option<Duration>) {
        self.shared.slack.set(slack.map(nanos));
        // The loop may be waiting with the old slack, of up to a second.
        self.shared.make_loop_look_again();
    }

    /// Interrupts the driver's loop: its park, or whatever it blocks in, returns.
    ///
    /// Use it to make the loop do something that no timer asks for, such as to stop, or if the
    /// clock has jumped. If the loop is not blocked at the moment, its next park returns at once.
    ///
    /// The loop of a runtime (`rt` or tokio) does not return to your code: it reads the clock
    /// again, fires the timers that are due, and then waits for the next deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let handle = driver.handle().clone();
    /// std::thread::spawn(move || handle.unpark());
    /// driver.park(); // with no timer armed, until unparked
    /// ```
    pub fn unpark(&self) {
        self.shared.make_loop_look_again();
    }

    /// Returns whether the driver is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let handle = driver.handle().clone();
    /// assert!(!handle.is_closed());
    /// drop(driver);
    /// assert!(handle.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Calls `f` after each turn in which a timer fired late by `threshold` or more.
    ///
    /// It is called on the thread that turns the driver, after the tasks of the timers were woken,
    /// with no lock held; it may use the driver. It should be short, since the loop waits for it. A
    /// panic in it is reported by the panic hook and goes no further. It replaces the function of
    /// an earlier call; a `threshold` of `Duration::MAX` is never reached. It is dropped when the
    /// driver ends. Of a runtime with several workers, it is called for the drivers of all of them.
    ///
    /// To emit an event of the `tracing` crate, use the feature of that name.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let driver = Driver::new(ThreadPark::new());
    /// driver.handle().on_late_turn(Duration::from_millis(10), |turn| {
    ///     eprintln!("{} timers fired, one of them {:?} late", turn.fired(), turn.lateness());
    /// });
    /// ```
    pub fn on_late_turn(&self, threshold: Duration, f: impl Fn(LateTurn) + Send + Sync + 'static) {
        let f: Function = Arc::new(f);
        let origin = self.shared.origin();
        let own = std::slice::from_ref(&self.shared);
        let shards = match origin.shards.is_empty() {
            true => own,
            false => &origin.shards,
        };
        let setting = lock_std(&shards[0].late.setting);
        let set = |shard: &Arc<Shared>| {
            let before = shard.late.set(threshold, f.clone());
            // It may have ended meanwhile: then its end has not dropped the function.
            if shard.is_closed() {
                shard.late.forget();
            }
            before
        };
        let before: Vec<_> = shards.iter().map(set).collect();
        drop(setting);
        drop(before);
    }
}

/// Handles are equal if they refer to the same driver, whatever their limits.
impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Handle {}

impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.shared).hash(state);
    }
}
