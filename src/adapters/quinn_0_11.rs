//! QUIC by the crate quinn, version 0.11, on this crate's timers and sockets: feature `quinn-0_11`.
//!
//! | for | give quinn |
//! |---|---|
//! | quinn on [`rt`](crate::rt) alone, with the feature `io` | `QuinnRuntime` |
//! | quinn on another executor, such as tokio, with timers of this crate | [`QuinnTimers`] around quinn's runtime for that executor |
//!
//! A [`Sleep`] is a `quinn::AsyncTimer`, for a `quinn::Runtime` of your own.
//!
//! quinn makes one timer for each connection, and moves it after nearly every packet. It counts in
//! instants of `std`, and both runtimes tell it the time as well, so that deadlines are right on a
//! manual or paused clock, too.
//!
//! [`docs::adapters`] has a whole program, a server and a client.
//!
//! [`docs::adapters`]: https://docs.rs/reveille/latest/reveille/docs/adapters/index.html

#[cfg(all(feature = "io", target_os = "linux", not(loom)))]
mod runtime;
#[cfg(all(feature = "io", target_os = "linux", not(loom)))]
mod socket;

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn_0_11::{AsyncTimer, AsyncUdpSocket, Runtime};

use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::{self, Sleep};

#[cfg(all(feature = "io", target_os = "linux", not(loom)))]
pub use self::runtime::QuinnRuntime;

/// A runtime of quinn with its timers replaced by those of this crate. `R` opens the sockets and
/// spawns the tasks.
///
/// [`new`](Self::new) serves an endpoint wherever it runs: each timer is on the driver that is
/// [current](Handle::current) where quinn makes it, as those of [`time::sleep`] are. Inside a tokio
/// runtime, with the feature `tokio`, that is a driver on this runtime.
///
/// # Panics
///
/// Making a timer panics in the same cases as [`time::sleep`].
///
/// # Examples
///
/// ```
/// # use quinn_0_11 as quinn;
/// use quinn::{Endpoint, EndpointConfig, Runtime};
/// use reveille::adapters::quinn_0_11::QuinnTimers;
/// use std::{io, net::UdpSocket, sync::Arc};
///
/// /// Makes an endpoint on any runtime of quinn, such as `quinn::TokioRuntime`.
/// fn endpoint(config: EndpointConfig, runtime: impl Runtime) -> io::Result<Endpoint> {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     let runtime = Arc::new(QuinnTimers::new(runtime));
///     Endpoint::new(config, None, socket, runtime)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct QuinnTimers<R> {
    runtime: R,
    driver: Option<Handle>,
}

impl<R> QuinnTimers<R> {
    /// Makes a runtime whose timers are on the driver that is current where quinn makes them.
    ///
    /// # Examples
    ///
    /// See [`QuinnTimers`].
    #[must_use]
    pub const fn new(runtime: R) -> Self {
        Self {
            runtime,
            driver: None,
        }
    }

    /// Makes a runtime whose timers are all on `driver`, and which tells quinn the time of its
    /// clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use quinn_0_11 as quinn;
    /// use quinn::Runtime;
    /// use reveille::{DriverThread, adapters::quinn_0_11::QuinnTimers};
    ///
    /// /// Moves the timers of `runtime` to a thread of their own.
    /// fn on(thread: &DriverThread, runtime: impl Runtime) -> impl Runtime {
    ///     QuinnTimers::with_driver(runtime, thread.handle().clone())
    /// }
    /// ```
    #[must_use]
    pub const fn with_driver(runtime: R, driver: Handle) -> Self {
        Self {
            runtime,
            driver: Some(driver),
        }
    }
}

impl<R: Runtime> Runtime for QuinnTimers<R> {
    #[track_caller]
    fn new_timer(&self, deadline: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        let deadline = Instant::from_std(deadline);
        Box::pin(match &self.driver {
            Some(driver) => driver.sleep_until(deadline),
            None => time::sleep_until(deadline),
        })
    }

    #[track_caller]
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.runtime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.runtime.wrap_udp_socket(socket)
    }

    fn now(&self) -> std::time::Instant {
        let now = match &self.driver {
            Some(driver) => driver.now(),
            None => Instant::now(),
        };
        now.into_std()
    }
}

/// With the feature `quinn-0_11`.
impl AsyncTimer for Sleep {
    fn reset(self: Pin<&mut Self>, deadline: std::time::Instant) {
        Sleep::reset(self, Instant::from_std(deadline));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self, cx)
    }
}
