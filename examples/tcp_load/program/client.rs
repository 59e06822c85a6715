//! The clients: their kinds, and what is counted of them.
//!
//! Each client is a task that connects, does what its kind does until the connection ends, and
//! connects again, until the server has closed. Clients see the server from outside: by the clock
//! of `std`, which is independent of this crate, they check whether an answer or a disconnect came
//! too early.

mod bad;
mod good;

use std::io::{self, ErrorKind};
use std::net::SocketAddrV4;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reveille::rt::{self, JoinHandle};
use reveille::time::{Instant, sleep, sleep_until, timeout};

use super::end::{End, Ends};
use super::meter::Meter;
use super::protocol::{Frame, LONGEST_ANSWER};
use super::wire::Wire;

/// A kind of client.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    /// How many of a thousand connections are of this kind. Those of the first kind are the rest.
    of_thousand: usize,
    run: fn(Client) -> Run,
}

type Run = Pin<Box<dyn Future<Output = io::Result<Seen>> + Send>>;

pub(crate) const KINDS: [Kind; 7] = [
    Kind {
        name: "steady",
        does: "asks by its timetable",
        of_thousand: 0,
        run: |client| Box::pin(good::steady(client)),
    },
    Kind {
        name: "slow",
        does: "sends a byte each 50 ms",
        of_thousand: 20,
        run: |client| Box::pin(bad::slow(client)),
    },
    Kind {
        name: "silent",
        does: "answers pings, asks nothing",
        of_thousand: 40,
        run: |client| Box::pin(bad::silent(client)),
    },
    Kind {
        name: "mute",
        does: "asks, does not answer pings",
        of_thousand: 20,
        run: |client| Box::pin(bad::mute(client)),
    },
    Kind {
        name: "abrupt",
        does: "hangs up in mid-request",
        of_thousand: 20,
        run: |client| Box::pin(bad::abrupt(client)),
    },
    Kind {
        name: "deaf",
        does: "asks for much, reads nothing",
        of_thousand: 4,
        run: |client| Box::pin(bad::deaf(client)),
    },
    Kind {
        name: "extra",
        does: "comes when the server is full",
        of_thousand: 20,
        run: |client| Box::pin(good::extra(client)),
    },
];

/// How long a client waits to be told whether it was accepted.
const LONGEST_GREETING: Duration = Duration::from_secs(5);

/// How long a client that was turned away waits before it tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// When the clients act.
#[derive(Clone, Copy)]
pub(crate) struct Timetable {
    /// When the first one connects, and when the steady ones begin to send requests.
    pub(crate) connect: Instant,
    pub(crate) begin: Instant,
    /// How many requests all clients together send in a second.
    pub(crate) rate: u64,
}

/// What one client needs to know.
#[derive(Clone)]
pub(crate) struct Client {
    number: usize,
    /// How many clients of its kind there are.
    count: usize,
    server: SocketAddrV4,
    timetable: Timetable,
    meter: Arc<Meter>,
}

/// What one client, or many, did and received.
#[derive(Default)]
pub(crate) struct Seen {
    /// Connections that were made, and those among them that ended before the server had accepted
    /// them.
    pub(crate) connected: u64,
    pub(crate) unserved: u64,
    pub(crate) ends: Ends,
    /// Requests that were sent in full. The next four counters add up to it.
    pub(crate) sent: u64,
    /// Requests that were answered, with the work done.
    pub(crate) done: u64,
    /// Requests that were answered, but whose handler took too long.
    pub(crate) overdue: u64,
    /// Requests that the server did not take, as it said at the end.
    pub(crate) refused: u64,
    /// Requests of unknown outcome: the connection was reset, or the client closed it.
    pub(crate) abandoned: u64,
    /// Requests that the server says it has taken and has not answered, or the reverse.
    pub(crate) lost: u64,
    /// Answers and disconnects that came too early.
    pub(crate) early: u64,
}

impl AddAssign<&Self> for Seen {
    fn add_assign(&mut self, other: &Self) {
        self.connected += other.connected;
        self.unserved += other.unserved;
        for end in End::ALL {
            self.ends.add(end, other.ends.count(end));
        }
        self.sent += other.sent;
        self.done += other.done;
        self.overdue += other.overdue;
        self.refused += other.refused;
        self.abandoned += other.abandoned;
        self.lost += other.lost;
        self.early += other.early;
    }
}

impl Seen {
    fn ended(&mut self, end: End) {
        self.ends.add(end, 1);
    }

    /// Checks that the server waited for at least `limit` since `since`.
    fn check(&mut self, since: std::time::Instant, limit: Duration) {
        self.early += u64::from(since.elapsed() < limit);
    }
}

/// Returns how many clients of each kind there are. Those of the last kind are in addition to
/// `connections`.
pub(crate) fn counts(connections: usize) -> [usize; KINDS.len()] {
    let mut counts = KINDS.map(|kind| (connections * kind.of_thousand / 1000).max(1));
    let [first, others @ .., _] = &mut counts;
    *first = connections - others.iter().sum::<usize>();
    counts
}

/// Starts all clients, one after the other, until the timetable begins.
pub(crate) fn start(
    server: SocketAddrV4,
    connections: usize,
    timetable: Timetable,
    meter: &Arc<Meter>,
) -> Vec<Vec<JoinHandle<io::Result<Seen>>>> {
    let counts = counts(connections);
    let step = (timetable.begin - timetable.connect) / counts.iter().sum::<usize>() as u32;
    let mut connect = timetable.connect;
    let mut start = |(kind, count): (&Kind, usize)| {
        let one = |number| {
            let client = Client {
                number,
                count,
                server,
                timetable,
                meter: meter.clone(),
            };
            connect += step;
            let (at, run) = (connect, (kind.run)(client));
            rt::spawn(async move {
                sleep_until(at).await;
                run.await
            })
        };
        (0..count).map(one).collect()
    };
    KINDS.iter().zip(counts).map(&mut start).collect()
}

impl Client {
    /// Connects, again and again until the server accepts. Returns `None` once the server has
    /// closed.
    async fn connect(&self, seen: &mut Seen, buffer: Option<usize>) -> io::Result<Option<Wire>> {
        loop {
            let mut wire = match Wire::connect(self.server, LONGEST_ANSWER, buffer).await {
                Ok(wire) => wire,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(error),
            };
            seen.connected += 1;
            match timeout(LONGEST_GREETING, wire.receive()).await {
                Ok(Ok(Some(Frame::Hello))) => return Ok(Some(wire)),
                Ok(Ok(Some(Frame::Bye { why, .. }))) => {
                    seen.ended(why);
                    drop(wire);
                    sleep(PAUSE).await;
                }
                Ok(Ok(Some(frame))) => return Err(unexpected(frame)),
                // It was in the backlog when the server closed. Or it was half-open then: the kernel
                // drops the server's end without a word, and nothing would ever come.
                Ok(Ok(None) | Err(_)) | Err(_) => seen.unserved += 1,
            }
        }
    }
}

/// Reads the rest, and returns why the server has ended the connection.
async fn last_words(mut wire: Wire) -> End {
    loop {
        match wire.receive().await {
            Ok(Some(Frame::Bye { why, .. })) => return why,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return End::Cut,
        }
    }
}

fn unexpected(frame: Frame) -> io::Error {
    io::Error::other(format!("a client got an unexpected {frame:?}"))
}
