//! [`HyperConnector`], which connects hyper-util's client.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::future_ext::FutureExt;
use crate::rt::{self, AbortHandle, io::AsyncFd};
use crate::time::Instant;

/// Connects to the servers of `http` addresses, for hyper-util's client on a runtime of
/// [`rt`](crate::rt); feature `hyper-util`.
///
/// It looks up the name by [`rt::spawn_blocking`](crate::rt::spawn_blocking), tries the addresses
/// one after the other, and turns off Nagle's algorithm. For TLS, give it to a connector that
/// encrypts, such as that of the crate hyper-rustls, with
/// [`enforce_http(false)`](Self::enforce_http).
///
/// # Panics
///
/// A connector made with [`new`](Self::new) panics where it connects if no runtime of `rt` is
/// current there.
///
/// # Errors
///
/// Connecting fails with the system's error for the lookup or for the last address that was tried,
/// with [`InvalidInput`](io::ErrorKind::InvalidInput) for an address that is not `http` or has no
/// host, with [`NotFound`](io::ErrorKind::NotFound) if the lookup finds no address, and with
/// [`TimedOut`](io::ErrorKind::TimedOut) if the lookup or the last attempt takes longer than its
/// part of the [limit](Self::connect_timeout).
///
/// # Examples
///
/// The client is made by `Client::builder(HyperExecutor::new()).build(HyperConnector::new())`;
/// [`docs::adapters`](https://docs.rs/reveille/latest/reveille/docs/adapters/index.html) has a
/// whole program. The connector by itself:
///
/// ```
/// use reveille::adapters::hyper::HyperConnector;
/// use std::{net::TcpListener, time::Duration};
/// use tower_service::Service;
///
/// reveille::rt::block_on(async {
///     let server = TcpListener::bind("127.0.0.1:0")?;
///     let uri = format!("http://localhost:{}/", server.local_addr()?.port());
///     let mut connector = HyperConnector::new().connect_timeout(Duration::from_secs(5));
///     let stream = connector.call(uri.parse()?).await?;
///     assert_eq!(stream.get_ref().peer_addr()?, server.local_addr()?);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HyperConnector {
    runtime: Option<rt::Handle>,
    connect_timeout: Duration,
    enforce_http: bool,
}

impl HyperConnector {
    /// Makes a connector that connects on the runtime that is current at each call.
    ///
    /// # Examples
    ///
    /// See [`HyperConnector`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            runtime: None,
            connect_timeout: Duration::MAX,
            enforce_http: true,
        }
    }

    /// Makes a connector that always connects on `runtime`, for a client that is also used by
    /// threads outside of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{adapters::hyper::HyperConnector, rt::Runtime};
    /// use std::net::TcpListener;
    /// use tower_service::Service;
    ///
    /// let runtime = Runtime::new()?;
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let uri = format!("http://{}/", server.local_addr()?);
    /// let mut connector = HyperConnector::with_runtime(runtime.handle().clone());
    /// let stream = pollster::block_on(connector.call(uri.parse()?))?;
    /// assert_eq!(stream.get_ref().peer_addr()?, server.local_addr()?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_runtime(runtime: rt::Handle) -> Self {
        Self {
            runtime: Some(runtime),
            connect_timeout: Duration::MAX,
            enforce_http: true,
        }
    }

    /// Sets how long connecting may take, the lookup of the name included. Without this call there
    /// is no limit other than the kernel's, which is about two minutes for each address.
    ///
    /// If the name has several addresses, each attempt may take the time that is left, divided by
    /// the number of addresses that are left. So one that does not answer leaves time for the next.
    ///
    /// # Examples
    ///
    /// See [`HyperConnector`].
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets whether addresses other than those of `http` are refused. That is the default, because
    /// this connector does not encrypt. Turn it off only for a connector that does, on top of this
    /// one; the port of `https` is then 443 if the address has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::adapters::hyper::HyperConnector;
    ///
    /// let below_tls = HyperConnector::new().enforce_http(false);
    /// ```
    #[must_use]
    pub const fn enforce_http(mut self, enforce: bool) -> Self {
        self.enforce_http = enforce;
        self
    }

    /// Returns the host and the port to connect to.
    fn target(&self, uri: &Uri) -> io::Result<(String, u16)> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {why}"));
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            _ if self.enforce_http => return Err(invalid("not an http address")),
            Some("https") => 443,
            _ => return Err(invalid("neither an http nor an https address")),
        };
        let host = uri.host().ok_or_else(|| invalid("no host"))?;
        // An IPv6 address is in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok((host.to_owned(), uri.port_u16().unwrap_or(default_port)))
    }
}

impl Default for HyperConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<Uri> for HyperConnector {
    type Response = AsyncFd<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let target = self.target(&uri);
        let limit = self.connect_timeout;
        let mut connect = Box::pin(async move {
            let (host, port) = target?;
            connect(host, port, limit).await
        });
        let Some(runtime) = self.runtime.clone() else {
            return connect;
        };
        Box::pin(poll_fn(move |cx| {
            let _entered = runtime.enter();
            connect.as_mut().poll(cx)
        }))
    }
}

async fn connect(host: String, port: u16, limit: Duration) -> io::Result<AsyncFd<TcpStream>> {
    let start = Instant::now();
    let no_address = format!("{host} has no address");
    let addresses = look_up(host, port).timeout(limit).await??;
    let left = limit.saturating_sub(start.elapsed());
    let stream = connect_to_any(&addresses, left).await?;
    stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, no_address))
}

/// Connects to the first address that accepts, within `limit`. Returns `None` if there is no
/// address.
async fn connect_to_any(
    addresses: &[SocketAddr],
    limit: Duration,
) -> io::Result<Option<AsyncFd<TcpStream>>> {
    let start = Instant::now();
    let mut result = Ok(None);
    for (&address, addresses_left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = limit.saturating_sub(start.elapsed());
        let share = left / u32::try_from(addresses_left).unwrap_or(u32::MAX);
        result = match connect_to(address).timeout(share).await {
            Ok(Ok(stream)) => return Ok(Some(stream)),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(elapsed.into()),
        };
    }
    result
}

async fn connect_to(address: SocketAddr) -> io::Result<AsyncFd<TcpStream>> {
    let stream = AsyncFd::connect(address).await?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let look_up = move || Ok((host.as_str(), port).to_socket_addrs()?.collect());
    unblock(look_up).await?
}

/// Runs `work` where it may block. If this future is dropped before `work` has begun, `work` is not
/// called.
async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let task = rt::spawn_blocking(work);
    let _abort = AbortOnDrop(task.abort_handle());
    Ok(task.await?)
}

/// Aborts a lookup that nobody waits for any longer. Otherwise, while a name server does not
/// answer, the lookups of all requests that have timed out would be called one after the other,
/// before those that are waited for.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With the feature `hyper-util`: a connection of its client.
impl Connection for AsyncFd<TcpStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex, mpsc};

    /// How many threads there are for work that blocks.
    const THREADS: usize = 500;

    #[test]
    fn work_that_is_given_up_while_all_threads_are_blocked_is_not_called() {
        rt::block_on(async {
            let (begins, begun) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let gate = Arc::new(Mutex::new(gate));
            for _ in 0..THREADS {
                let (begins, gate) = (begins.clone(), gate.clone());
                drop(rt::spawn_blocking(move || {
                    begins.send(()).unwrap();
                    let _ = gate.lock().unwrap().recv();
                }));
            }
            for _ in 0..THREADS {
                // The system may refuse that many threads. The last call would never begin then.
                begun.recv_timeout(Duration::from_secs(60)).unwrap();
            }

            let called = Arc::new(AtomicU32::new(0));
            for _ in 0..10 {
                let its = called.clone();
                let work = unblock(move || its.fetch_add(1, Ordering::Relaxed));
                assert!(work.timeout(Duration::from_millis(1)).await.is_err());
            }
            rt::yield_now().await; // the aborted tasks are dropped
            drop(open);
            while Arc::strong_count(&called) > 1 {
                crate::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(called.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        rt::block_on(async {
            // A listener whose queue is full: the kernel answers no more attempts.
            let full = TcpListener::bind("127.0.0.1:0").unwrap();
            rustix::net::listen(&full, 0).unwrap();
            let dead = full.local_addr().unwrap();
            let mut queued = Vec::new();
            let limit = Duration::from_millis(20);
            while let Ok(stream) = AsyncFd::connect(dead).timeout(limit).await {
                queued.push(stream.unwrap());
                assert!(queued.len() < 100);
            }

            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let live = listener.local_addr().unwrap();
            let stream = connect_to_any(&[dead, live], Duration::from_secs(2)).await;
            let peer = stream.unwrap().unwrap().get_ref().peer_addr();
            assert_eq!(peer.unwrap(), live);
        });
    }

    #[test]
    fn the_error_is_that_of_the_last_address() {
        rt::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let refuses = listener.local_addr().unwrap();
            drop(listener);
            let error = connect_to_any(&[refuses; 2], Duration::MAX)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(connect_to_any(&[], Duration::MAX).await.unwrap().is_none());
        });
    }
}
