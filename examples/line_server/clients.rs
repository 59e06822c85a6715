//! The clients: what each kind does, and what answers it must get.
//!
//! They are simple threads that block, with clocks of their own: a client that is cut off checks
//! that this was not too early. None waits for longer than `MAX_WAIT`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{IDLE, LINE, MAX_LINE, REQUEST};

/// A client that gets no answer for so long fails.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A kind of client.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    pub(crate) clients: usize,
    /// The answers that all clients of this kind must get together, by status.
    pub(crate) due: &'static [(&'static str, usize)],
    run: fn(usize, &mut Client) -> io::Result<()>,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind {
        name: "steady",
        does: "ECHO, UPPER, SUM, SLOW 1 to 40, 60 times",
        clients: 40,
        due: &[("200", 9600)],
        run: steady,
    },
    Kind {
        name: "patient",
        does: "one line each half of the idle limit, six times",
        clients: 8,
        due: &[("200", 48)],
        run: patient,
    },
    Kind {
        name: "heavy",
        does: "SLOW 5000, an ECHO, four times",
        clients: 10,
        due: &[("504", 40), ("200", 40)],
        run: heavy,
    },
    Kind {
        name: "silent",
        does: "connect, say nothing",
        clients: 10,
        due: &[("408", 10)],
        run: silent,
    },
    Kind {
        name: "dripping",
        does: "a byte each 20 ms, never a line",
        clients: 8,
        due: &[("408", 8)],
        run: dripping,
    },
    Kind {
        name: "bulky",
        does: "a line longer than allowed",
        clients: 4,
        due: &[("413", 4)],
        run: bulky,
    },
    Kind {
        name: "leaving",
        does: "an ECHO, half a line, hang up",
        clients: 6,
        due: &[("200", 6)],
        run: leaving,
    },
];

/// What the clients of one kind got.
pub(crate) struct Outcome {
    /// How many answers of each status, the most frequent first.
    pub(crate) got: Vec<(String, usize)>,
    pub(crate) failures: Vec<String>,
}

/// Runs clients of all kinds at once and returns what each kind got.
pub(crate) fn run(server: SocketAddr) -> Vec<Outcome> {
    let start = |kind: &'static Kind| {
        let client = move |number| thread::spawn(move || Client::run(kind, number, server));
        (0..kind.clients).map(client).collect::<Vec<_>>()
    };
    let threads: Vec<_> = KINDS.iter().map(start).collect();
    let outcome = |threads: Vec<thread::JoinHandle<Client>>| {
        let mut outcome = Outcome {
            got: Vec::new(),
            failures: Vec::new(),
        };
        for thread in threads {
            match thread.join() {
                Ok(client) => outcome.add(client),
                Err(_) => outcome.failures.push("a client panicked".into()),
            }
        }
        outcome
            .got
            .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        outcome
    };
    threads.into_iter().map(outcome).collect()
}

impl Outcome {
    fn add(&mut self, client: Client) {
        for status in client.got {
            match self.got.iter_mut().find(|(known, _)| *known == status) {
                Some((_, count)) => *count += 1,
                None => self.got.push((status, 1)),
            }
        }
        self.failures.extend(client.failures);
    }
}

struct Client {
    server: SocketAddr,
    socket: Option<BufReader<TcpStream>>,
    got: Vec<String>,
    failures: Vec<String>,
}

impl Client {
    fn run(kind: &Kind, number: usize, server: SocketAddr) -> Self {
        let mut client = Self {
            server,
            socket: None,
            got: Vec::new(),
            failures: Vec::new(),
        };
        if let Err(error) = (kind.run)(number, &mut client) {
            client.failures.push(error.to_string());
        }
        client.socket = None; // closed now, and not when all clients have ended
        client
    }

    fn socket(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.socket.is_none() {
            let socket = TcpStream::connect_timeout(&self.server, MAX_WAIT)?;
            socket.set_read_timeout(Some(MAX_WAIT))?;
            socket.set_nodelay(true)?;
            self.socket = Some(BufReader::new(socket));
        }
        self.socket
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected.into())
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.socket()?.get_mut().write_all(text.as_bytes())
    }

    /// Reads an answer, which must be `wanted`.
    fn expect(&mut self, wanted: &str) -> io::Result<()> {
        let mut line = String::new();
        self.socket()?.read_line(&mut line)?;
        let line = line.trim_end();
        self.got.push(line.split(' ').next().unwrap_or("").into());
        if line != wanted {
            self.failures.push(format!("got {line:?} for {wanted:?}"));
        }
        Ok(())
    }

    fn ask(&mut self, request: &str, wanted: &str) -> io::Result<()> {
        self.send(&format!("{request}\n"))?;
        self.expect(wanted)
    }

    /// Checks that the server has closed the connection.
    fn expect_end(&mut self) -> io::Result<()> {
        if self.socket()?.read(&mut [0])? != 0 {
            self.failures.push("got more than one answer".into());
        }
        Ok(())
    }

    fn check_waited(&mut self, since: Instant, limit: Duration) {
        let waited = since.elapsed();
        if waited < limit {
            self.failures
                .push(format!("waited {waited:?} of {limit:?}"));
        }
    }
}

fn steady(number: usize, client: &mut Client) -> io::Result<()> {
    for round in 0..60 {
        client.ask(&format!("ECHO {number}"), &format!("200 {number}"))?;
        client.ask("UPPER on time", "200 ON TIME")?;
        let sum = number + round + 1;
        client.ask(&format!("SUM {number} {round} 1"), &format!("200 {sum}"))?;
        let millis = 1 + (7 * number + 11 * round) % 40;
        let asked = Instant::now();
        client.ask(&format!("SLOW {millis}"), "200 done")?;
        client.check_waited(asked, Duration::from_millis(millis as u64));
    }
    Ok(())
}

fn patient(number: usize, client: &mut Client) -> io::Result<()> {
    for _ in 0..6 {
        client.ask(&format!("ECHO {number}"), &format!("200 {number}"))?;
        thread::sleep(IDLE / 2);
    }
    Ok(())
}

fn heavy(_number: usize, client: &mut Client) -> io::Result<()> {
    for _ in 0..4 {
        let asked = Instant::now();
        client.ask("SLOW 5000", "504 deadline")?;
        client.check_waited(asked, REQUEST);
        client.ask("ECHO still here", "200 still here")?;
    }
    Ok(())
}

fn silent(_number: usize, client: &mut Client) -> io::Result<()> {
    let connected = Instant::now();
    client.expect("408 idle")?;
    client.check_waited(connected, IDLE);
    client.expect_end()
}

fn dripping(_number: usize, client: &mut Client) -> io::Result<()> {
    let started = Instant::now();
    client.send("E")?;
    // One thread sends bytes until the socket is shut down, while this one waits for the answer.
    let mut tap = client.socket()?.get_ref().try_clone()?;
    let drip = thread::spawn(move || {
        while started.elapsed() < MAX_WAIT && tap.write_all(b"C").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    client.expect("408 line too slow")?;
    client.check_waited(started, LINE);
    client.expect_end()?;
    client
        .socket()?
        .get_ref()
        .shutdown(std::net::Shutdown::Both)?;
    drip.join().map_err(|_| io::Error::other("the tap broke"))
}

fn bulky(_number: usize, client: &mut Client) -> io::Result<()> {
    client.send(&"X".repeat(2 * MAX_LINE))?;
    client.expect("413 line too long")?;
    client.expect_end()
}

fn leaving(_number: usize, client: &mut Client) -> io::Result<()> {
    client.ask("ECHO so long", "200 so long")?;
    client.send("ECHO and tha")
    // The socket is dropped, which closes the connection.
}
