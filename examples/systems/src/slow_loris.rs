//! A server under attack by clients that send a header byte by byte, and what stops them.
//!
//! - **A deadline for the header** ends each of them. But they come back, and if there are more of
//!   them than the server has places, an honest client waits in a queue with all of them.
//! - **A limit for each peer** leaves the other places to the others: a [limited](Handle::limited)
//!   driver for each address, on which each of its connections has one timer, the end of its life.
//!   A connection that gets no timer is closed at once.
//!
//! A limit on the timers of one connection would not help here: a slow one needs a single timer. It
//! helps where a client can have many requests at once on one connection, as with HTTP/2. Then make
//! a limited driver for each connection, too, as `examples/limits_and_stats.rs` does.
//!
//! Behind a proxy all clients have its address. Then the limit belongs into the proxy.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reveille::adapters::hyper::HyperTimer;
use reveille::time::{self, Duration, Sleep};
use reveille::{Handle, LimitError, Limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::Semaphore;

/// Serves one connection. A client has `header` for each of its headers, if that is given.
///
/// # Errors
///
/// If the connection breaks, or the header takes too long.
pub async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    header: Option<Duration>,
) -> Result<(), hyper::Error> {
    let service =
        service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))));
    http1::Builder::new()
        .timer(HyperTimer::new())
        // `None` turns the deadline off.
        .header_read_timeout(header)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// The peers that are connected, each with a limit.
#[derive(Debug)]
pub struct Peers {
    limits: Limits,
    lifetime: Duration,
    connected: Mutex<HashMap<IpAddr, Peer>>,
}

#[derive(Debug)]
struct Peer {
    timers: Handle,
    /// The entry goes with the last one, so the table is no larger than what is connected.
    connections: usize,
}

impl Peers {
    /// Lets each peer have so many connections at once, each for `lifetime` at most. The lifetime
    /// also ends a connection that sends its headers in time and then reads its answers slowly.
    #[must_use]
    pub fn new(connections: usize, lifetime: Duration) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new().timers(connections),
            lifetime,
            connected: Mutex::default(),
        })
    }

    /// Admits a new connection of a peer, whose life begins now.
    ///
    /// # Errors
    ///
    /// If the peer has as many connections as it may have.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, LimitError> {
        let network = network(address);
        let mut connected = self.lock();
        let timers = match connected.get(&network) {
            Some(peer) => peer.timers.clone(),
            None => Handle::current().limited(self.limits),
        };
        // It takes a permit for its timer, and gives that back when it ends or is dropped.
        let end = timers.try_sleep(self.lifetime)?;
        let new = || Peer {
            timers,
            connections: 0,
        };
        connected.entry(network).or_insert_with(new).connections += 1;
        Ok(Admitted {
            end,
            network,
            peers: self.clone(),
        })
    }

    /// Returns how many peers are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Peer>> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what stands for a peer: of IPv6 the network, since a client has all addresses of one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// The place of a connection among those of its peer, until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    end: Sleep,
    network: IpAddr,
    peers: Arc<Peers>,
}

impl Admitted {
    /// Runs `serve`, which serves the connection, to its end, or until the end of the connection's
    /// life. Returns whether that came first.
    pub async fn run(mut self, serve: impl Future) -> bool {
        select! {
            _ = serve => false,
            () = &mut self.end => true,
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut connected = self.peers.lock();
        if let Some(peer) = connected.get_mut(&self.network) {
            peer.connections -= 1;
            if peer.connections == 0 {
                connected.remove(&self.network);
            }
        }
    }
}

/// Serves as many connections at once as there are `places`. The others wait. If there is a limit
/// for the `peers`, those above it are closed, and take no place. If the system cannot accept one,
/// such as without a free descriptor, it is asked again after 100 ms.
pub async fn serve(
    listener: TcpListener,
    places: Arc<Semaphore>,
    header: Option<Duration>,
    peers: Option<Arc<Peers>>,
) -> Infallible {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            // It is about one client, which has gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            // The system is short of something, for now.
            Err(error) => {
                eprintln!("no client accepted: {error}");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admitted = match peers.as_ref().map(|peers| peers.admit(address.ip())) {
            Some(Err(_)) => continue, // which closes it
            Some(Ok(admitted)) => Some(admitted),
            None => None,
        };
        // Nobody closes the semaphore, so there is a place at some time.
        let place = places.clone().acquire_owned().await;
        tokio::spawn(async move {
            let connection = connection(stream, header);
            match admitted {
                Some(admitted) => drop(admitted.run(connection).await),
                None => drop(connection.await),
            }
            drop(place);
        });
    }
}

/// An attacker: sends the header of a request byte by byte, without end, until it is disconnected.
/// Returns how many bytes it has sent.
pub async fn attack<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, pause: Duration) -> u64 {
    let mut sent = 0;
    let header = b"GET / HTTP/1.1\r\nx-slow: ".iter().copied();
    for byte in header.chain(std::iter::repeat(b'a')) {
        let mut answer = [0; 256];
        let is_open = select! {
            read = stream.read(&mut answer) => matches!(read, Ok(n) if n > 0),
            () = time::sleep(pause) => stream.write_all(&[byte]).await.is_ok(),
        };
        if !is_open {
            break;
        }
        sent += 1;
    }
    sent
}

/// An honest client: returns whether it has got an answer.
///
/// # Errors
///
/// If the connection breaks.
pub async fn request(mut stream: TcpStream) -> io::Result<bool> {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}
