//! [`QuinnRuntime`], with which quinn runs on `rt` alone.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;

use quinn_0_11::{AsyncTimer, AsyncUdpSocket, Runtime};

use crate::adapters::quinn_0_11::socket::Socket;
use crate::instant::Instant;
use crate::rt;

/// Runs quinn on a runtime of [`rt`](crate::rt): its tasks, its timers, and its sockets, which the
/// runtime waits for in the same wait as for the timers. With the features `quinn-0_11` and `io`;
/// Linux only.
///
/// It belongs to one runtime, so an endpoint may be used, and a connection begun, by any thread. If
/// that runtime is gone, the connections of the endpoint are lost.
///
/// # On a manual clock
///
/// An idle timeout of an hour ends at once if nothing else is to be done. Between two endpoints on
/// the loopback device of one runtime, what was sent is read before time moves on, as a rule; see
/// [`rt::io`](crate::rt::io#on-a-manual-clock).
///
/// # Errors
///
/// Making an endpoint fails in the same cases as [`AsyncFd::new`](crate::rt::io::AsyncFd::new), and
/// if the kernel refuses an option of the socket.
///
/// # Examples
///
/// A server:
///
/// ```
/// # use quinn_0_11 as quinn;
/// use quinn::{Endpoint, EndpointConfig, ServerConfig};
/// use reveille::{adapters::quinn_0_11::QuinnRuntime, rt};
/// use std::{io, net::UdpSocket, sync::Arc};
///
/// async fn serve(config: EndpointConfig, server: ServerConfig) -> io::Result<()> {
///     let socket = UdpSocket::bind("0.0.0.0:4433")?;
///     let runtime = Arc::new(QuinnRuntime::current());
///     let endpoint = Endpoint::new(config, Some(server), socket, runtime)?;
///     while let Some(incoming) = endpoint.accept().await {
///         rt::spawn(async move {
///             let connection = incoming.await?;
///             let (mut answer, mut request) = connection.accept_bi().await?;
///             // ...
///             # drop((answer, request));
///             Ok::<_, quinn::ConnectionError>(())
///         });
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct QuinnRuntime {
    runtime: rt::Handle,
}

impl QuinnRuntime {
    /// Makes quinn run on `runtime`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use quinn_0_11 as quinn;
    /// use quinn::Runtime;
    /// use reveille::{ManualClock, adapters::quinn_0_11::QuinnRuntime, rt};
    /// use std::net::UdpSocket;
    ///
    /// let clock = ManualClock::new();
    /// let runtime = rt::Runtime::builder().clock(&clock).build()?;
    /// let quinn = QuinnRuntime::new(runtime.handle().clone());
    /// let socket = quinn.wrap_udp_socket(UdpSocket::bind("127.0.0.1:0")?)?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// assert_eq!(quinn.now(), clock.now().into_std());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn new(runtime: rt::Handle) -> Self {
        Self { runtime }
    }

    /// Makes quinn run on the runtime that this thread is in.
    ///
    /// # Panics
    ///
    /// If this thread is in no runtime of `rt`.
    ///
    /// # Examples
    ///
    /// See [`QuinnRuntime`].
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        Self::new(rt::Handle::current())
    }
}

impl Runtime for QuinnRuntime {
    fn new_timer(&self, deadline: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        let deadline = Instant::from_std(deadline);
        Box::pin(self.runtime.timers().sleep_until(deadline))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.runtime.spawn(future));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _entered = self.runtime.enter();
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> std::time::Instant {
        self.runtime.timers().now().into_std()
    }
}
