//! A connection of the server: what it waits for, and for how long.
//!
//! | waits for                   | for at most | and then          |
//! |-----------------------------|-------------|-------------------|
//! | the first byte of a request | `IDLE`      | Bye, idle         |
//! | the rest of a request       | `REQUEST`   | Bye, slow request |
//! | a handler                   | `HANDLER`   | Answer, overdue   |
//! | the client to read          | `READ`      | resets            |
//! | the answer to a ping        | `PING`      | Bye, no pong      |
//! | the client to hang up       | `LINGER`    | resets            |
//!
//! The first two limits are one `Sleep`, made with the connection and moved in place with each
//! request; a limit that is not reached never wakes the task. The pings are an `Interval`.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::Shared;
use reveille::rt::yield_now;
use reveille::time::{
    Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep, sleep_until, timeout,
    timeout_at,
};

use super::end::End;
use super::meter::{Accepted, Span};
use super::protocol::{Frame, LONGEST_CONTENT, Outcome, Request};
use super::wire::Wire;

pub(crate) const IDLE: Duration = Duration::from_millis(1000);
pub(crate) const REQUEST: Duration = Duration::from_millis(500);
pub(crate) const HANDLER: Duration = Duration::from_millis(30);
pub(crate) const READ: Duration = Duration::from_millis(400);
pub(crate) const PING: Duration = Duration::from_millis(300);
const LINGER: Duration = Duration::from_millis(500);

/// How many events of one client are handled before other tasks run.
const BUDGET: u32 = 32;

/// Ready when the server shuts down.
pub(crate) type Stop = Shared<oneshot::Receiver<()>>;

pub(crate) struct Connection {
    wire: Wire,
    accepted: Accepted,
    stop: Stop,
    stopping: bool,
    /// When the client has been idle for too long.
    idle_at: Instant,
    /// That, or when the request that was begun must be complete.
    limit: Sleep,
    begun: bool,
    pings: Interval,
    ping: u32,
    ponged: bool,
    taken: u64,
}

enum Event {
    Frame(Frame),
    /// The first bytes of a frame have come.
    Begun,
    Gone,
    Malformed,
    Limit,
    Ping(Instant),
    Stop,
}

impl Connection {
    pub(crate) fn new(wire: Wire, accepted: Accepted, stop: Stop) -> Self {
        let now = Instant::now();
        let mut pings = interval_at(now + PING, PING);
        // After a stall, not two pings at once, because the client needs time to answer.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            wire,
            accepted,
            stop,
            stopping: false,
            idle_at: now + IDLE,
            limit: sleep_until(now + IDLE),
            begun: false,
            pings,
            ping: 0,
            ponged: true,
            taken: 0,
        }
    }

    /// Serves the client until either side ends the connection.
    pub(crate) async fn serve(mut self) {
        let end = self.converse().await;
        end_with(self.wire, self.accepted, end, self.taken).await;
    }

    async fn converse(&mut self) -> End {
        let mut events = 0u32;
        loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            let meter = self.accepted.meter();
            match event {
                Event::Frame(Frame::Request(request)) => {
                    if let Err(end) = self.attend(request).await {
                        return end;
                    }
                    self.idle_at = Instant::now() + IDLE;
                    self.wait_until(self.idle_at, false);
                }
                Event::Frame(Frame::Pong(number)) if number == self.ping => {
                    self.ponged = true;
                    if self.begun {
                        self.wait_until(self.idle_at, false);
                    }
                }
                Event::Frame(_) | Event::Malformed => return End::Malformed,
                Event::Begun => self.wait_until(Instant::now() + REQUEST, true),
                Event::Gone if self.begun || self.wire.is_mid_frame() => return End::MidRequest,
                Event::Gone => return End::Left,
                Event::Limit if self.begun => {
                    meter.waited(Span::Request, self.limit.deadline());
                    return End::SlowRequest;
                }
                Event::Limit => {
                    meter.waited(Span::Idle, self.limit.deadline());
                    return End::Idle;
                }
                Event::Ping(due) => {
                    // A ping that came due before the last answer was late because of that work.
                    if due + IDLE >= self.idle_at {
                        meter.waited(Span::Ping, due);
                    }
                    if !self.ponged {
                        return End::NoPong;
                    }
                    self.ponged = false;
                    self.ping += 1;
                    self.wire.queue(Frame::Ping(self.ping));
                }
                Event::Stop => self.stopping = true,
            }
            // A request that was begun is in flight, so the connection waits for it.
            if self.stopping && !self.wire.is_mid_frame() {
                return End::Closing;
            }
            events = events.wrapping_add(1);
            if events.is_multiple_of(BUDGET) {
                yield_now().await;
            }
        }
    }

    /// Returns the next event. If there are several, those from the client come first, so that it
    /// does not count as silent when the server was slow to read.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match self.wire.poll_receive(cx) {
            Poll::Ready(Ok(Some(frame))) => return Poll::Ready(Event::Frame(frame)),
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                return Poll::Ready(Event::Malformed);
            }
            Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Pending => {}
        }
        if self.wire.is_mid_frame() && !self.begun {
            return Poll::Ready(Event::Begun);
        }
        if Pin::new(&mut self.limit).poll(cx).is_ready() {
            return Poll::Ready(Event::Limit);
        }
        if let Poll::Ready(due) = self.pings.poll_tick(cx) {
            return Poll::Ready(Event::Ping(due));
        }
        if !self.stopping && Pin::new(&mut self.stop).poll(cx).is_ready() {
            return Poll::Ready(Event::Stop);
        }
        Poll::Pending
    }

    fn wait_until(&mut self, deadline: Instant, begun: bool) {
        self.begun = begun;
        self.limit.reset_at(deadline);
    }

    /// Does the requested work and answers.
    async fn attend(&mut self, request: Request) -> Result<(), End> {
        if request.length > LONGEST_CONTENT {
            return Err(End::Malformed);
        }
        let meter = self.accepted.meter();
        self.taken += 1;
        meter.taken.add(1);
        let outcome = self.handle(request.work).await;
        meter.answered.add(1);
        self.wire.queue(Frame::Answer {
            id: request.id,
            outcome,
            length: request.length,
        });
        // The server reads nothing more from a client that does not read.
        let deadline = Instant::now() + READ;
        match timeout_at(deadline, self.wire.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::MidRequest),
            Err(_) => {
                self.accepted.meter().waited(Span::Read, deadline);
                Err(End::NotReading)
            }
        }
    }

    /// The work, here a sleep in place of a database.
    async fn handle(&self, work: Duration) -> Outcome {
        if work.is_zero() {
            return Outcome::Done;
        }
        let meter = self.accepted.meter();
        let work = sleep(work);
        let (done, deadline) = (work.deadline(), Instant::now() + HANDLER);
        match timeout_at(deadline, work).await {
            Ok(()) => {
                meter.waited(Span::Work, done);
                Outcome::Done
            }
            Err(_) => {
                meter.waited(Span::Handler, deadline);
                Outcome::Overdue
            }
        }
    }
}

/// Tells the client the reason, if there is one to tell, and waits until it has read it.
async fn end_with(mut wire: Wire, mut accepted: Accepted, end: End, taken: u64) {
    if end.is_told() {
        wire.queue(Frame::Bye { why: end, taken });
        match timeout(READ, wire.flush()).await {
            Ok(Ok(())) => {}
            // The client is gone, or does not read, so it will never know.
            Ok(Err(_)) | Err(_) => return,
        }
    }
    accepted.ended(end);
    if end.is_told() {
        linger(wire).await;
    }
}

/// Waits, for a limited time, until a client that was told has closed the connection.
pub(crate) async fn linger(mut wire: Wire) {
    // Whether that was in time, or failed because the client is gone: the connection has ended.
    let _ = timeout(LINGER, wire.end()).await;
}
