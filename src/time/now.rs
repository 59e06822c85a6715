//! `Instant::now`: the time on the clock of the current driver.
//!
//! That is the driver entered on this thread, or the tokio runtime that the thread is in, so that
//! code which asks for the time sees a paused or manual clock. Where there is neither it is the
//! system's.

use std::time::Duration;

use crate::backend::tokio_driver;
use crate::driver::Handle;
use crate::instant::Instant;
use crate::system;

impl Instant {
    /// Returns the time on the clock of the driver entered on this thread, or of the tokio runtime
    /// that it is in, else the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ManualClock, ThreadPark, time::Instant};
    ///
    /// let clock = ManualClock::new();
    /// let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    /// let _entered = driver.handle().enter();
    /// assert_eq!(Instant::now(), clock.now());
    /// ```
    #[must_use]
    pub fn now() -> Self {
        match Handle::with_entered(|handle| Some(handle.clock().now_without_foreign_code())) {
            Some(Some(now)) => now,
            Some(None) => Self::now_by_foreign_code(),
            None => tokio_driver::now().unwrap_or_else(|| Self::at(system::monotonic())),
        }
    }

    // A function of its own, so that reading a clock of the system need not push registers for it.
    #[inline(never)]
    fn now_by_foreign_code() -> Self {
        match Handle::entered_driver() {
            Some(driver) => driver.now(),
            None => Self::at(system::monotonic()),
        }
    }

    /// Returns the time since this instant, zero if it is yet to come.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let far = Instant::now() + Duration::from_secs(60);
    /// assert_eq!(far.elapsed(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now() - *self
    }
}
