//! Pauses between the attempts of the crate backon: feature `backon`.
//!
//! # Examples
//!
//! ```
//! use backon::{ExponentialBuilder, Retryable};
//! use reveille::adapters::backon::BackonSleeper;
//! use std::time::Duration;
//!
//! fn main() {
//!     // Fails twice, and then succeeds.
//!     let mut failures = 2;
//!     let fetch = || {
//!         failures -= 1;
//!         std::future::ready(if failures < 0 { Ok("page") } else { Err("busy") })
//!     };
//!     let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(1));
//!     let page = pollster::block_on(fetch.retry(pauses).sleep(BackonSleeper::new()));
//!     assert_eq!(page, Ok("page"));
//! }
//! ```

use std::time::Duration;

use crate::driver::Handle;
use crate::time::{self, Sleep};

/// The `Sleeper` of the crate backon, which waits between two attempts.
///
/// [`new`](Self::new) serves tasks wherever they run: each timer is on the driver that is
/// [current](Handle::current) where the retry makes it, as those of [`time::sleep`] are. A function
/// is a `Sleeper`, too, so `.sleep(reveille::time::sleep)` does the same; this type can be named in
/// a struct, and has [`with_driver`](Self::with_driver).
///
/// backon counts in durations alone: its `with_total_delay` is the sum of the pauses, and does not
/// include the attempts. A limit on both is a [`timeout`](crate::FutureExt::timeout) around the
/// retry.
///
/// # Cancel safety
///
/// Dropping the retry cancels its timer.
///
/// # Panics
///
/// Making a timer panics in the same cases as [`time::sleep`].
///
/// # Examples
///
/// On a [`ManualClock`](crate::ManualClock), pauses of a minute take no time:
///
/// ```
/// use backon::{ConstantBuilder, Retryable};
/// use reveille::{ManualClock, adapters::backon::BackonSleeper};
/// use std::time::Duration;
///
/// let minute = ConstantBuilder::new().with_delay(Duration::from_secs(60)).with_max_times(2);
/// let attempt = || async { Err::<(), _>("refused") };
/// let (result, elapsed) =
///     ManualClock::new().simulate(attempt.retry(minute).sleep(BackonSleeper::new()));
/// assert_eq!(result, Err("refused"));
/// assert_eq!(elapsed, Duration::from_secs(120));
/// ```
#[derive(Clone, Debug, Default)]
pub struct BackonSleeper {
    driver: Option<Handle>,
}

impl BackonSleeper {
    /// Makes a sleeper that uses the driver that is current at each call.
    ///
    /// # Examples
    ///
    /// See [`BackonSleeper`].
    #[must_use]
    pub const fn new() -> Self {
        Self { driver: None }
    }

    /// Makes a sleeper that always uses `driver`.
    ///
    /// # Examples
    ///
    /// ```
    /// use backon::Sleeper;
    /// use reveille::adapters::backon::BackonSleeper;
    /// use reveille::{Driver, ManualClock, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    /// let sleeper = BackonSleeper::with_driver(driver.handle().clone());
    /// let sleep = sleeper.sleep(Duration::from_secs(1));
    /// assert_eq!(sleep.deadline(), clock.now() + Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn with_driver(driver: Handle) -> Self {
        Self {
            driver: Some(driver),
        }
    }
}

impl backon::Sleeper for BackonSleeper {
    type Sleep = Sleep;

    #[track_caller]
    fn sleep(&self, duration: Duration) -> Sleep {
        match &self.driver {
            Some(driver) => driver.sleep(duration),
            None => time::sleep(duration),
        }
    }
}
