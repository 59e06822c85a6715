//! Timers on a limited handle: the constructors that may be refused.
//!
//! Such a sleep or timeout is armed at once, with a waker that wakes nothing, and its first poll
//! exchanges the waker. So the driver has an entry for it from the beginning, and keeps its permit
//! there: the permit is given back when the entry is freed, and a [`Sleep`] needs no room for it.

use std::future::IntoFuture;
use std::task::Waker;
use std::time::Duration;

use crate::backend;
use crate::driver::Handle;
use crate::driver::limits::{LimitError, Permit};
use crate::driver::shared::Arm;
use crate::instant::Instant;
use crate::time::interval::Interval;
use crate::time::sleep::{Identity, Phase, Sleep};
use crate::time::timeout::Timeout;

impl Handle {
    /// Waits until `duration` has passed, like [`sleep`](Self::sleep), if the
    /// [limits](Self::limited) of this handle allow it.
    ///
    /// The timer is armed at once. It keeps its permit until it fires or is dropped.
    ///
    /// # Errors
    ///
    /// If `duration` is longer than the handle allows, or there are as many timers as it allows.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{DriverThread, Limits};
    /// use std::time::Duration;
    ///
    /// let timers = DriverThread::new()?;
    /// let connection = timers.handle().limited(Limits::new().timers(1));
    /// let sleep = connection.try_sleep(Duration::from_millis(1))?;
    /// assert!(connection.try_sleep(Duration::from_millis(1)).is_err());
    /// pollster::block_on(sleep);
    /// assert!(connection.try_sleep(Duration::from_millis(1)).is_ok());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_sleep(&self, duration: Duration) -> Result<Sleep, LimitError> {
        let permit = self.take_permit(duration)?;
        Ok(self.sleep(duration).arm_with_permit(permit))
    }

    /// Waits until `deadline`, like [`sleep_until`](Self::sleep_until), if the
    /// [limits](Self::limited) of this handle allow it.
    ///
    /// Otherwise like [`try_sleep`](Self::try_sleep).
    ///
    /// # Errors
    ///
    /// If `deadline` is farther away than the handle allows, or there are as many timers as it
    /// allows.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, Limits, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let driver = Driver::new(ThreadPark::new());
    /// let tenant = driver.handle().limited(Limits::new().longest(Duration::from_secs(60)));
    /// let now = tenant.now();
    /// assert!(tenant.try_sleep_until(now + Duration::from_secs(50)).is_ok());
    /// assert!(tenant.try_sleep_until(now + Duration::from_secs(3600)).is_err());
    /// ```
    pub fn try_sleep_until(&self, deadline: Instant) -> Result<Sleep, LimitError> {
        let permit = self.take_permit(self.until(deadline))?;
        Ok(self.sleep_until(deadline).arm_with_permit(permit))
    }

    /// Requires `future` to complete before `duration` has passed, like [`timeout`](Self::timeout),
    /// if the [limits](Self::limited) of this handle allow it.
    ///
    /// The timer is armed at once, also if `future` is ready when it is first polled. It keeps its
    /// permit until it fires or the returned future is dropped.
    ///
    /// # Errors
    ///
    /// As [`try_sleep`](Self::try_sleep). `future` is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{DriverThread, Limits};
    /// use std::time::Duration;
    ///
    /// let timers = DriverThread::new()?;
    /// let connection = timers.handle().limited(Limits::new().timers(1));
    /// let answer = connection.try_timeout(Duration::from_secs(1), async { 42 })?;
    /// assert_eq!(pollster::block_on(answer), Ok(42));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_timeout<F: IntoFuture>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<Timeout<F::IntoFuture>, LimitError> {
        let permit = self.take_permit(duration)?;
        let sleep = Sleep::uncapped(self.driver_ref(), duration).arm_with_permit(permit);
        Ok(Timeout::new(future, sleep))
    }

    /// Returns an interval that ticks every `period`, like [`interval`](Self::interval), if the
    /// [limits](Self::limited) of this handle allow it.
    ///
    /// It keeps its permit until it is dropped.
    ///
    /// # Errors
    ///
    /// If `period` is longer than the handle allows, or there are as many timers as it allows.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{DriverThread, Limits};
    /// use std::time::Duration;
    ///
    /// let timers = DriverThread::new()?;
    /// let connection = timers.handle().limited(Limits::new().timers(1));
    /// let mut heartbeat = connection.try_interval(Duration::from_millis(1))?;
    /// pollster::block_on(heartbeat.tick());
    /// assert!(connection.try_interval(Duration::from_millis(1)).is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn try_interval(&self, period: Duration) -> Result<Interval, LimitError> {
        let permit = self.take_permit(period)?;
        Ok(self.interval(period).with_permit(permit))
    }

    fn until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.now())
    }
}

impl Sleep {
    /// Arms the timer, if it has a permit to keep, and it is not due.
    fn arm_with_permit(mut self, permit: Option<Permit>) -> Self {
        let Some(permit) = permit else {
            return self;
        };
        let shared = self.driver.shared.clone();
        // As in a poll: see `Sleep::poll_elapsed`.
        backend::notice_fork(&shared);
        if shared.is_closed() {
            // After a fork its lock may be held for ever. The first poll finds another driver.
            return self;
        }
        let waker = Waker::noop().clone();
        let arm = shared.arm_with_permit(self.deadline, &mut Some(waker), permit);
        if let Arm::Armed {
            index,
            must_interrupt,
        } = arm
        {
            // Not that of the waker: no task has polled this timer.
            self.waker_id = Identity::NONE;
            self.index = index;
            self.phase = Phase::Registered;
            if must_interrupt {
                // It is foreign code. If it panics, the timer is dropped.
                shared.interrupt();
            }
        }
        self
    }
}
