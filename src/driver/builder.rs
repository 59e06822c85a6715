//! The builder of a driver: its clock, its slack and its limits.

use std::time::Duration;

use crate::clock::Clock;
use crate::driver::limits::Limits;
use crate::driver::shared::{Notifier, Shared};
use crate::driver::slack::{PlannedWait, Planner, SharedSlack};
use crate::driver::{Driver, Handle};
use crate::park::{Park, Unpark};

/// Sets up a [`Driver`]; made by [`Driver::builder`].
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ManualClock, ThreadPark};
/// use std::time::Duration;
///
/// let driver = Driver::builder()
///     .clock(ManualClock::new())
///     .slack(Duration::ZERO)
///     .build(ThreadPark::new());
/// assert_eq!(driver.next_deadline(), None);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    clock: Clock,
    slack: Option<Duration>,
    limits: Limits,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::monotonic(),
            slack: None,
            limits: Limits::new(),
        }
    }

    /// The first slack of a driver that chooses its slack itself: 150 µs. The
    /// [benchmarks](crate::docs::benchmarks) show what a slack costs and what it saves.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// assert_eq!(reveille::Builder::DEFAULT_SLACK, Duration::from_micros(150));
    /// ```
    pub const DEFAULT_SLACK: Duration = Duration::from_micros(150);

    /// Sets the clock, [`Clock::monotonic`] by default.
    ///
    /// # Examples
    ///
    /// ```
    /// let clock = reveille::ManualClock::new();
    /// let driver = reveille::Driver::builder().clock(&clock).build(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().now(), clock.now());
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets the slack: timers wake the loop at most once per slack.
    ///
    /// A longer slack saves CPU, a shorter one is more punctual: timers that are due at random are
    /// late by half of it on average, none by more than the slack because of it. Zero wakes the
    /// loop for every deadline. More than a second counts as a second. [`Handle::set_slack`] tells
    /// what exactly is promised, and sets the slack while the driver is in use.
    ///
    /// # If no slack is set
    ///
    /// Then the driver chooses one, between 50 µs and 1 ms, and uses it only while timers are
    /// dense: if two or more become due within the slack, or if they ask for more than one wake-up
    /// in a slack and the waits between these differ. Then the loop wakes at most once per slack.
    /// Otherwise each timer is on time, and so is each timer of a single task that sleeps again and
    /// again, for one duration or for up to four durations in turn.
    ///
    /// The choice is that wake-ups for dense timers take a sixtieth of a core. The driver measures
    /// what one costs, the CPU time of its thread around a wait, in one wait of 16, while there are
    /// more than a thousand in a second. A wake-up that takes 4 µs makes for a slack of 240 µs, one
    /// of 15 µs, as on a virtual machine, for 900 µs. [`Handle::slack`] returns what is chosen.
    /// Before the first measurement it is [`DEFAULT_SLACK`](Self::DEFAULT_SLACK), and it stays that
    /// on systems other than Linux, and where time does not pass by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let punctual = reveille::Driver::builder().slack(Duration::ZERO);
    /// let frugal = reveille::Driver::builder().slack(Duration::from_millis(1));
    /// # drop((punctual, frugal));
    /// ```
    pub fn slack(mut self, slack: Duration) -> Self {
        self.slack = Some(slack);
        self
    }

    /// Limits the `try_` constructors of the driver's [`handle`](Driver::handle), and of those that
    /// are made of it, all together: see [`Handle::limited`]. By default there are no limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, Limits, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let limits = Limits::new().timers(100_000).longest(Duration::from_secs(86_400));
    /// let driver = Driver::builder().limits(limits).build(ThreadPark::new());
    /// assert!(driver.handle().try_sleep(Duration::from_secs(604_800)).is_err());
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes a driver that blocks in `park`.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::builder().build(reveille::ThreadPark::new());
    /// assert_eq!(driver.next_deadline(), None);
    /// ```
    #[must_use]
    pub fn build<P: Park>(self, park: P) -> Driver<P> {
        let notifier = Box::new(park.unparker());
        self.driver(park, notifier)
    }

    /// Makes a driver for a loop that blocks elsewhere; see [`Driver::with_unpark`].
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::builder().build_with_unpark(|| {});
    /// assert_eq!(driver.next_timeout(), None);
    /// ```
    #[must_use]
    pub fn build_with_unpark(self, unpark: impl Unpark) -> Driver<()> {
        self.driver((), Box::new(unpark))
    }

    pub(crate) fn driver<P>(self, park: P, notifier: Box<dyn Notifier>) -> Driver<P> {
        let slack = SharedSlack::of(self.slack);
        // On a frozen clock the driver itself moves time, and asks then what is armed.
        let notify_on_cancel = false;
        let shared = Shared::new(self.clock, notifier, notify_on_cancel, slack.clone());
        let mut handle = Handle::new(shared);
        if self.limits != Limits::new() {
            handle = handle.limited(self.limits);
        }
        Driver {
            inner: park,
            handle,
            planner: Planner::new(slack),
            wait: PlannedWait::none(),
        }
    }
}
