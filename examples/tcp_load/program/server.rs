//! The server: accepts connections, and shuts down.
//!
//! One task accepts connections and spawns a task for each; in between, it waits for those tasks to
//! end. If there are as many connections as allowed, it tells new clients so and turns them away.
//! If many are being turned away, it accepts none, and the kernel keeps new connections waiting.
//!
//! To shut down, it accepts no more connections and notifies each existing one: idle ones end at
//! once, those with a request in flight end after the answer. At the deadline, the remaining ones
//! are cut off.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use reveille::rt::io::AsyncFd;
use reveille::rt::{self, JoinHandle};
use reveille::time::{Instant, sleep, timeout_at};
use rustix::net::sockopt;

use super::connection::{Connection, Stop, linger};
use super::end::End;
use super::meter::Meter;
use super::protocol::{Frame, LONGEST_REQUEST};
use super::wire::Wire;

/// How long the shutdown may take.
pub(crate) const DRAIN: Duration = Duration::from_millis(250);

/// How many clients are being turned away at once, at most.
const REFUSALS: usize = 64;

/// How many bytes the kernel buffers for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// How many connections are accepted before other tasks run.
const BUDGET: u32 = 32;

/// How long to wait when the system has no file descriptors left.
const RETRY_AFTER: Duration = Duration::from_millis(10);

pub(crate) struct Server {
    listener: AsyncFd<TcpListener>,
    most: usize,
    stop: Stop,
    meter: Arc<Meter>,
    serving: usize,
    refusing: usize,
    tasks: FuturesUnordered<JoinHandle<Task>>,
}

/// What the task of a connection was for.
#[derive(Clone, Copy)]
enum Task {
    Serve,
    Refuse,
}

/// The result of the shutdown.
pub(crate) struct Drained {
    pub(crate) took: Duration,
    /// How many connections there were when it began, and at its deadline.
    pub(crate) open: usize,
    pub(crate) left: usize,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        most: usize,
        stop: Stop,
        meter: Arc<Meter>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: AsyncFd::new(listener)?,
            most,
            stop,
            meter,
            serving: 0,
            refusing: 0,
            tasks: FuturesUnordered::new(),
        })
    }

    /// Serves until told to stop, and then until the last connection has ended.
    pub(crate) async fn run(mut self) -> io::Result<Drained> {
        let mut count = 0u32;
        while let Some(accepted) = poll_fn(|cx| self.poll_accept(cx)).await {
            // In a flood of connections it never waits, but other tasks must run all the same.
            count = count.wrapping_add(1);
            if count.is_multiple_of(BUDGET) {
                rt::yield_now().await;
            }
            match accepted {
                Ok(socket) => self.welcome(socket)?,
                // The client has given up while it waited in the backlog.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if is_exhausted(&error) => sleep(RETRY_AFTER).await,
                Err(error) => return Err(error),
            }
        }
        drop(self.listener);

        let begun = Instant::now();
        let open = self.tasks.len();
        let all = async {
            while let Some(task) = self.tasks.next().await {
                task.map_err(|error| io::Error::other(format!("a connection: {error}")))?;
            }
            Ok::<_, io::Error>(())
        };
        let left = match timeout_at(begun + DRAIN, all).await {
            Ok(all) => all.map(|()| 0)?,
            Err(_) => {
                self.tasks.iter().for_each(JoinHandle::abort);
                self.tasks.count().await
            }
        };
        let took = begun.elapsed();
        Ok(Drained { took, open, left })
    }

    /// Returns the next connection, or `None` once the server has to stop.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        while let Poll::Ready(Some(task)) = self.tasks.poll_next_unpin(cx) {
            match task {
                Ok(Task::Serve) => self.serving -= 1,
                Ok(Task::Refuse) => self.refusing -= 1,
                Err(error) => {
                    let error = io::Error::other(format!("a connection: {error}"));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if Pin::new(&mut self.stop).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if self.refusing >= REFUSALS {
            return Poll::Pending;
        }
        loop {
            match self.listener.get_ref().accept() {
                Ok((socket, _)) => return Poll::Ready(Some(Ok(socket))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Err(error) = ready!(self.listener.poll_readable(cx)) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Spawns a task for a connection. The client is told at once whether it was accepted, whatever
    /// happens to the connection later.
    fn welcome(&mut self, socket: TcpStream) -> io::Result<()> {
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        let mut wire = Wire::new(socket, LONGEST_REQUEST)?;
        let mut accepted = self.meter.accept();
        if self.serving >= self.most {
            let (why, taken) = (End::Full, 0);
            wire.queue(Frame::Bye { why, taken });
            wire.flush_now();
            accepted.ended(why);
            self.refusing += 1;
            self.tasks.push(rt::spawn(async {
                linger(wire).await;
                Task::Refuse
            }));
            return Ok(());
        }
        self.serving += 1;
        wire.queue(Frame::Hello);
        wire.flush_now();
        let connection = Connection::new(wire, accepted, self.stop.clone());
        self.tasks.push(rt::spawn(async {
            connection.serve().await;
            Task::Serve
        }));
        Ok(())
    }
}

/// Returns whether there are no file descriptors or no memory left; connections that end free some.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
