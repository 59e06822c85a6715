//! hyper on this crate's timers, sockets and executor: feature `hyper`.
//!
//! | hyper asks for | give it | if these features are on, too |
//! |---|---|---|
//! | a `Timer` | [`HyperTimer`], on any executor | |
//! | a stream to `Read` and `Write` | [`AsyncFd`](crate::rt::io::AsyncFd) as it is | `io` |
//! | an `Executor`, for HTTP/2 and for the client of hyper-util | `HyperExecutor` | `rt` |
//! | a connector, for the client of hyper-util | `HyperConnector` | `hyper-util` |
//!
//! A [`Sleep`] is a `hyper::rt::Sleep`.
//!
//! [`docs::adapters`] has whole programs: a server and a client on [`rt`](crate::rt) alone, and a
//! server on tokio.
//!
//! [`docs::adapters`]: https://docs.rs/reveille/latest/reveille/docs/adapters/index.html

#[cfg(all(feature = "hyper-util", target_os = "linux", not(loom)))]
mod connector;
#[cfg(feature = "rt")]
mod executor;
#[cfg(all(feature = "io", target_os = "linux", not(loom)))]
mod io;

use std::pin::Pin;
use std::time::Duration;

use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::{self, Sleep};

#[cfg(all(feature = "hyper-util", target_os = "linux", not(loom)))]
pub use self::connector::HyperConnector;
#[cfg(feature = "rt")]
pub use self::executor::HyperExecutor;

/// hyper's timer: for `header_read_timeout` of a server, `keep_alive_timeout` of HTTP/2, and the
/// `pool_timer` of hyper-util's client.
///
/// [`new`](Self::new) serves connections wherever they run: each timer is on the driver that is
/// [current](Handle::current) where hyper makes it, as those of [`time::sleep`] are. That is `rt`'s
/// own, tokio's with the feature `tokio`, and otherwise that of the process-wide thread.
///
/// hyper counts in instants of `std`. This timer tells hyper the time as well, so deadlines are
/// right on a manual or paused clock, too. Moving a deadline allocates nothing once warm.
///
/// # Panics
///
/// Making a timer panics in the same cases as [`time::sleep`].
///
/// # Examples
///
/// ```
/// use hyper::rt::Timer;
/// use reveille::adapters::hyper::HyperTimer;
/// use std::time::Duration;
///
/// let timer = HyperTimer::new();
/// let start = timer.now();
/// let mut sleep = timer.sleep(Duration::from_secs(60));
/// timer.reset(&mut sleep, start + Duration::from_millis(1));
/// pollster::block_on(sleep);
/// assert!(timer.now() >= start + Duration::from_millis(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct HyperTimer {
    driver: Option<Handle>,
}

impl HyperTimer {
    /// Makes a timer that uses the driver that is current at each call.
    ///
    /// # Examples
    ///
    /// See [`HyperTimer`].
    #[must_use]
    pub const fn new() -> Self {
        Self { driver: None }
    }

    /// Makes a timer that always uses `driver`, for instance one on a manual clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper::rt::Timer;
    /// use reveille::adapters::hyper::HyperTimer;
    /// use reveille::{Driver, ManualClock, ThreadPark};
    ///
    /// let clock = ManualClock::new();
    /// let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    /// let timer = HyperTimer::with_driver(driver.handle().clone());
    /// assert_eq!(timer.now(), clock.now().into_std());
    /// ```
    #[must_use]
    pub const fn with_driver(driver: Handle) -> Self {
        Self {
            driver: Some(driver),
        }
    }
}

impl hyper::rt::Timer for HyperTimer {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(match &self.driver {
            Some(driver) => driver.sleep(duration),
            None => time::sleep(duration),
        })
    }

    #[track_caller]
    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let deadline = Instant::from_std(deadline);
        Box::pin(match &self.driver {
            Some(driver) => driver.sleep_until(deadline),
            None => time::sleep_until(deadline),
        })
    }

    fn now(&self) -> std::time::Instant {
        let now = match &self.driver {
            Some(driver) => driver.now(),
            None => Instant::now(),
        };
        now.into_std()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: std::time::Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.reset(Instant::from_std(deadline)),
            // A timer that another `Timer` has made.
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// With the feature `hyper`.
impl hyper::rt::Sleep for Sleep {}
