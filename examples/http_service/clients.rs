//! The clients: what each kind does, and what answers it must get.
//!
//! They are tasks of one thread with a runtime of its own, over real sockets, so they see the
//! server from outside. A client checks by the clock of `std` that no answer came too early. It
//! waits for nothing but the server, so its measurements do not depend on a timer.

use std::error::Error;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::protocol::{self, IDLE, Work};

/// How many connections of each kind there are at any time. The user chooses the number of fast
/// ones.
const SLOW: u64 = 32;
const STUCK: u64 = 16;
const IDLE_ONES: u64 = 16;

/// The deadline of a request that cannot meet it, and the sleep that it asks for.
const TIGHT: Duration = Duration::from_millis(10);
const FOREVER: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

/// What all clients together did and received.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: u64,
    pub(crate) sent: u64,
    /// How many of the requests answered 200 had the server sleep.
    pub(crate) slow: u64,
    pub(crate) ok: u64,
    pub(crate) timed_out: u64,
    pub(crate) closed_idle: u64,
    /// Idle connections, which the server must close.
    pub(crate) left_idle: u64,
    /// Answers and closings that came too early.
    pub(crate) early: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.sent += other.sent;
        self.slow += other.slow;
        self.ok += other.ok;
        self.timed_out += other.timed_out;
        self.closed_idle += other.closed_idle;
        self.left_idle += other.left_idle;
        self.early += other.early;
    }
}

/// Describes the clients.
pub(crate) fn description(fast: u64) -> String {
    format!(
        "Connections: {fast} in a hurry, {SLOW} whose requests sleep 2 to 3 ms, {STUCK} whose \
         requests overrun\ntheir deadline of {TIGHT:?}, {IDLE_ONES} that fall silent and are closed \
         after {IDLE:?}."
    )
}

/// Runs clients of all kinds against `server` for `length`, and returns what they saw.
pub(crate) fn run(server: SocketAddr, fast: u64, length: Duration) -> Result<Seen, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let until = Instant::now() + length;
        let mut clients = JoinSet::new();
        for number in 0..fast {
            clients.spawn(asking(server, until, number, Kind::Fast));
        }
        for number in 0..SLOW {
            clients.spawn(asking(server, until, number, Kind::Slow));
        }
        for number in 0..STUCK {
            clients.spawn(asking(server, until, number, Kind::Stuck));
        }
        for _ in 0..IDLE_ONES {
            clients.spawn(idling(server, until));
        }
        let mut all = Seen::default();
        while let Some(seen) = clients.join_next().await {
            all += seen??;
        }
        Ok(all)
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Fast,
    Slow,
    Stuck,
}

/// Sends one request after the other on one connection.
async fn asking(
    server: SocketAddr,
    until: Instant,
    number: u64,
    kind: Kind,
) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let (mut sender, connection) = connect(server, &mut seen).await?;
    while Instant::now() < until {
        let (work, limit, least) = match kind {
            Kind::Fast => (Work::LookUp, None, Duration::ZERO),
            // 2 to 3 ms, so that they do not run in step.
            Kind::Slow => {
                let micros = 2000 + (137 * (seen.sent + 7 * number)) % 1000;
                let work = Duration::from_micros(micros);
                (Work::Sleep(work), None, work)
            }
            Kind::Stuck => (Work::Sleep(FOREVER), Some(TIGHT), TIGHT),
        };
        let asked = Instant::now();
        let status = ask(&mut sender, work, limit, &mut seen).await?;
        seen.early += u64::from(asked.elapsed() < least);
        match (kind, status) {
            (Kind::Fast, StatusCode::OK) => seen.ok += 1,
            (Kind::Slow, StatusCode::OK) => {
                seen.ok += 1;
                seen.slow += 1;
            }
            (Kind::Stuck, StatusCode::GATEWAY_TIMEOUT) => seen.timed_out += 1,
            (_, status) => return Err(format!("an unexpected answer: {status}").into()),
        }
    }
    drop(sender); // closes the connection
    connection.await??;
    Ok(seen)
}

/// Sends one request, is silent until the server closes the connection, and connects again.
async fn idling(server: SocketAddr, until: Instant) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let (mut sender, connection) = connect(server, &mut seen).await?;
        seen.left_idle += 1;
        let asked = Instant::now();
        match ask(&mut sender, Work::LookUp, None, &mut seen).await? {
            StatusCode::OK => seen.ok += 1,
            status => return Err(format!("an unexpected answer: {status}").into()),
        }
        connection.await??;
        seen.closed_idle += 1;
        seen.early += u64::from(asked.elapsed() < IDLE);
    }
    Ok(seen)
}

type Connection = JoinHandle<hyper::Result<()>>;

async fn connect(
    server: SocketAddr,
    seen: &mut Seen,
) -> Result<(SendRequest<Empty<Bytes>>, Connection), Failure> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    seen.connections += 1;
    Ok((sender, tokio::spawn(connection)))
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    work: Work,
    limit: Option<Duration>,
    seen: &mut Seen,
) -> Result<StatusCode, Failure> {
    seen.sent += 1;
    let answer = async {
        sender.ready().await?;
        let response = sender.send_request(protocol::request(work, limit)).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok::<_, hyper::Error>(status)
    };
    let answer = answer.await;
    let number = seen.sent;
    answer.map_err(|error| format!("no answer to request {number} of a connection: {error}").into())
}
