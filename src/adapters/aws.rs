//! Time for the AWS SDK and other clients made by smithy-rs: feature `aws`, for the crate
//! aws-smithy-async.
//!
//! [`AwsSleep`] is the `sleep_impl` of a client's configuration: the client's timeouts and the
//! pauses between its attempts wait on it. The SDK's own needs a tokio runtime. [`AwsTimeSource`]
//! is the `time_source` for a test in which a clock is moved by hand.
//!
//! [`docs::adapters`] shows how a client of the SDK is given both.
//!
//! [`docs::adapters`]: https://docs.rs/reveille/latest/reveille/docs/adapters/index.html

use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep;
use aws_smithy_async::time::TimeSource;

use crate::clock::Clock;
use crate::driver::Handle;
use crate::instant::Instant;
use crate::time;

/// The `AsyncSleep` of aws-smithy-async: timeouts of clients, and pauses between their attempts.
///
/// [`new`](Self::new) serves clients wherever they run: each timer is on the driver that is
/// [current](Handle::current) where the client makes it, as those of [`time::sleep`] are.
///
/// # Cancel safety
///
/// Dropping a sleep, as a client does whose call is dropped, cancels its timer.
///
/// # Panics
///
/// Making a timer panics in the same cases as [`time::sleep`].
///
/// # Examples
///
/// ```
/// use aws_smithy_async::{future::timeout::Timeout, rt::sleep::AsyncSleep};
/// use reveille::{ManualClock, adapters::aws::AwsSleep};
/// use std::{future, time::Duration};
///
/// let (late, elapsed) = ManualClock::new().simulate(async {
///     let limit = AwsSleep::new().sleep(Duration::from_secs(30));
///     Timeout::new(future::pending::<()>(), limit).await
/// });
/// assert!(late.is_err());
/// assert_eq!(elapsed, Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, Default)]
pub struct AwsSleep {
    driver: Option<Handle>,
}

impl AwsSleep {
    /// Makes timers on the driver that is current at each call.
    ///
    /// # Examples
    ///
    /// See [`AwsSleep`].
    #[must_use]
    pub const fn new() -> Self {
        Self { driver: None }
    }

    /// Makes all timers on `driver`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aws_smithy_async::rt::sleep::AsyncSleep;
    /// use reveille::{DriverThread, adapters::aws::AwsSleep};
    /// use std::time::Duration;
    ///
    /// let thread = DriverThread::new()?;
    /// let sleep = AwsSleep::with_driver(thread.handle().clone());
    /// pollster::block_on(sleep.sleep(Duration::from_millis(1)));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn with_driver(driver: Handle) -> Self {
        Self {
            driver: Some(driver),
        }
    }
}

impl sleep::AsyncSleep for AwsSleep {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> sleep::Sleep {
        sleep::Sleep::new(match &self.driver {
            Some(driver) => driver.sleep(duration),
            None => time::sleep(duration),
        })
    }
}

/// The `TimeSource` of aws-smithy-async on a [`Clock`]: the time of day in a test in which a clock
/// is moved by hand.
///
/// It tells a given time when it is made, and from then on moves as the clock does. So the expiry
/// of credentials, and the date in a signature, agree with the timers of [`AwsSleep`].
///
/// A client in production has the system's time without this. It should keep that: a service
/// refuses requests whose date is some minutes off, and a clock of timers does not follow when the
/// time of day is set, nor, on Linux, when the machine was suspended.
///
/// # Examples
///
/// ```
/// use aws_smithy_async::time::TimeSource;
/// use reveille::{ManualClock, adapters::aws::AwsTimeSource};
/// use std::time::{Duration, SystemTime};
///
/// let clock = ManualClock::new();
/// let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let source = AwsTimeSource::new(&clock, start);
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(source.now(), start + Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct AwsTimeSource {
    clock: Clock,
    made_at: Instant,
    start: SystemTime,
}

impl AwsTimeSource {
    /// Makes a time source that tells `start` now, and moves on with `clock`.
    ///
    /// The clock of paused time, which has no name, is that of the driver:
    /// `Handle::current().clock().clone()`.
    ///
    /// # Examples
    ///
    /// See [`AwsTimeSource`].
    #[must_use]
    pub fn new(clock: impl Into<Clock>, start: SystemTime) -> Self {
        let clock = clock.into();
        let made_at = clock.now();
        Self {
            clock,
            made_at,
            start,
        }
    }
}

impl TimeSource for AwsTimeSource {
    /// Returns the time of day. A time beyond what the system can represent is `start`.
    fn now(&self) -> SystemTime {
        let elapsed = self.clock.now() - self.made_at;
        self.start.checked_add(elapsed).unwrap_or(self.start)
    }
}
