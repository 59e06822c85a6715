//! A connection: what it waits for in each phase, and for how long.
//!
//! | phase   | waits for                | for at most | and then                 |
//! |---------|--------------------------|-------------|--------------------------|
//! | Idle    | the first byte of a line | `IDLE`      | `408 idle`               |
//! | Line    | the rest of the line     | `LINE`      | `408 line too slow`      |
//! | Work    | a request's work         | `REQUEST`   | `504 deadline`, then Idle |
//! | Closing | the client to close      | `LINGER`    | closes anyway            |
//!
//! One `Sleep` holds the limit of every phase but `Work`: it is made with the connection and moved
//! in place at each change, thousands of times. So nothing is allocated, and a limit that is not
//! reached never wakes the connection. `Work` runs inside a `Timeout`, whose timers are dropped
//! with it.

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use reveille::Handle;
use reveille::time::{Instant, Sleep, Timeout};

use crate::meter::{End, Meter};
use crate::poll::Interest;
use crate::request::{self, Request};

pub(crate) const IDLE: Duration = Duration::from_millis(400);
pub(crate) const LINE: Duration = Duration::from_millis(250);
pub(crate) const REQUEST: Duration = Duration::from_millis(100);
const LINGER: Duration = Duration::from_millis(200);

pub(crate) const MAX_LINE: usize = 1024;

/// How many steps a connection takes before the others are driven.
const BUDGET: usize = 32;

pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    /// What the poller has been asked to report about the socket.
    pub(crate) registered: Interest,
    timers: Handle,
    input: Vec<u8>,
    output: Vec<u8>,
    phase: Phase,
    limit: Sleep,
}

enum Phase {
    Idle,
    Line,
    /// The work, here a sleep in place of a database, with its deadline.
    Work(Timeout<Sleep>, Instant),
    Closing(End),
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, timers: &Handle, meter: &mut Meter) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        meter.made += 1;
        Ok(Self {
            socket,
            registered: Interest::Nothing,
            timers: timers.clone(),
            input: Vec::new(),
            output: Vec::new(),
            phase: Phase::Idle,
            limit: timers.sleep(IDLE),
        })
    }

    /// Makes progress until it would block. Ready when the connection has ended.
    ///
    /// The connection is driven again when a timer wakes `cx`, or the socket is ready for its
    /// `interest`.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>, meter: &mut Meter) -> Poll<End> {
        for _ in 0..BUDGET {
            let step = match self.step(cx, meter) {
                Poll::Pending => self.expire(cx, meter),
                step => step,
            };
            match ready!(step) {
                Ok(None) => {}
                Ok(Some(end)) => return Poll::Ready(end),
                Err(_) => return Poll::Ready(End::Broken),
            }
        }
        // A client that never stops sending must not stay beyond its limit, which is checked otherwise
        // when there is nothing to read, nor keep the others from being served.
        if let Poll::Ready(Ok(Some(end))) = self.expire(cx, meter) {
            return Poll::Ready(end);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns what the connection waits for apart from its timers.
    pub(crate) fn interest(&self) -> Interest {
        match self.phase {
            _ if !self.output.is_empty() => Interest::Write,
            // Its next request stays in the kernel, which slows down a client that sends too fast.
            Phase::Work(..) => Interest::Nothing,
            Phase::Idle | Phase::Line | Phase::Closing(_) => Interest::Read,
        }
    }

    /// Takes one step. Ready if another one may follow, or with the end if this was the last.
    fn step(&mut self, cx: &mut Context<'_>, meter: &mut Meter) -> Poll<io::Result<Option<End>>> {
        ready!(self.flush())?;
        match &mut self.phase {
            Phase::Idle | Phase::Line => self.read_line(meter),
            Phase::Work(work, deadline) => {
                let done = ready!(Pin::new(&mut *work).poll(cx));
                let due = done
                    .as_ref()
                    .map_or(*deadline, |()| work.get_ref().deadline());
                meter.expired(due, self.timers.now());
                if done.is_ok() {
                    self.answer("200 done", meter);
                } else {
                    meter.overdue += 1;
                    self.send("504 deadline");
                    self.enter(Phase::Idle, IDLE, meter);
                }
                Poll::Ready(Ok(None))
            }
            Phase::Closing(end) => {
                let end = *end;
                // This fails if the client has closed the connection.
                let _ = self.socket.shutdown(Shutdown::Write);
                // If the socket was closed while bytes are unread, it would reset the connection,
                // and the client might never see the reason.
                let more = ready!(self.fill()).unwrap_or(false);
                self.input.clear();
                Poll::Ready(Ok((!more).then_some(end)))
            }
        }
    }

    /// Checks whether the limit of the phase has passed.
    fn expire(&mut self, cx: &mut Context<'_>, meter: &mut Meter) -> Poll<io::Result<Option<End>>> {
        let end = match self.phase {
            // The limit is still that of the line before, and `Work` has its own.
            Phase::Work(..) => return Poll::Pending,
            Phase::Idle => End::Idle,
            Phase::Line => End::SlowLine,
            Phase::Closing(end) => end,
        };
        ready!(Pin::new(&mut self.limit).poll(cx));
        meter.expired(self.limit.deadline(), self.timers.now());
        if matches!(self.phase, Phase::Closing(_)) {
            return Poll::Ready(Ok(Some(end)));
        }
        self.close(end, meter);
        Poll::Ready(Ok(None))
    }

    fn read_line(&mut self, meter: &mut Meter) -> Poll<io::Result<Option<End>>> {
        let newline = self.input.iter().position(|byte| *byte == b'\n');
        if newline.unwrap_or(self.input.len()) > MAX_LINE {
            self.close(End::LongLine, meter);
            return Poll::Ready(Ok(None));
        }
        if let Some(newline) = newline {
            let line: Vec<u8> = self.input.drain(..=newline).collect();
            let line = String::from_utf8_lossy(&line[..newline]);
            match request::parse(line.trim_end()) {
                Request::Answer(answer) => self.answer(&answer, meter),
                Request::Work(duration) => self.work(duration, meter),
            }
            return Poll::Ready(Ok(None));
        }
        if !self.input.is_empty() && matches!(self.phase, Phase::Idle) {
            // Counts from the first byte of the line; later bytes do not move the limit.
            self.enter(Phase::Line, LINE, meter);
        }
        let more = ready!(self.fill())?;
        let left = if self.input.is_empty() {
            End::Left
        } else {
            End::LeftMidLine
        };
        Poll::Ready(Ok((!more).then_some(left)))
    }

    fn answer(&mut self, answer: &str, meter: &mut Meter) {
        meter.answered += 1;
        self.send(answer);
        self.enter(Phase::Idle, IDLE, meter);
    }

    fn work(&mut self, duration: Duration, meter: &mut Meter) {
        meter.made += 2;
        let deadline = self.timers.now() + REQUEST;
        let work = self.timers.sleep(duration);
        self.phase = Phase::Work(self.timers.timeout_at(deadline, work), deadline);
    }

    fn close(&mut self, end: End, meter: &mut Meter) {
        self.input.clear();
        if let Some(message) = end.message() {
            self.send(message);
        }
        self.enter(Phase::Closing(end), LINGER, meter);
    }

    fn enter(&mut self, phase: Phase, limit: Duration, meter: &mut Meter) {
        meter.moved += 1;
        self.phase = phase;
        self.limit.reset_at(self.timers.now() + limit);
    }

    fn send(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
    }

    /// Writes what is buffered. Ready when nothing is left.
    fn flush(&mut self) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(attempt(|| self.socket.write(&self.output)))?;
            self.output.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is available. Ready with `false` if the client has closed the connection.
    fn fill(&mut self) -> Poll<io::Result<bool>> {
        let mut buffer = [0; 4096];
        let read = ready!(attempt(|| self.socket.read(&mut buffer)))?;
        self.input.extend_from_slice(&buffer[..read]);
        Poll::Ready(Ok(read > 0))
    }
}

/// Calls `operate` on a socket that does not block, and returns `Pending` where it would.
fn attempt<T>(mut operate: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match operate() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
