//! What does the server do for one connection, and for how long does it wait?
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
//! The first two are one `Sleep`, made with the connection and moved in place with each request; a
//! limit that is not reached wakes nobody. The pings are an `Interval`.

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

/// How many events of one client are attended to before other tasks get their turn.
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
    /// That, or when the request that was begun must be there.
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
        // After a stall, not two pings at once: the client must have time to answer.
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

    /// Serves the client until either side ends it.
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
                    // One that came due before the last answer was late for the work on that.
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
            // A request that was begun is in flight: it is waited for.
            if self.stopping && !self.wire.is_mid_frame() {
                return End::Closing;
            }
            events = events.wrapping_add(1);
            if events.is_multiple_of(BUDGET) {
                yield_now().await;
            }
        }
    }

    /// What comes first; of several at once, what the client did, so that it is not told to have been
    /// silent when it was the server who did not listen.
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

    /// Does what was asked for and answers.
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
        // Nothing more is read of a client that does not read itself.
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

/// Tells the client why, if there is anything to tell, and sees that it hears it.
async fn end_with(mut wire: Wire, mut accepted: Accepted, end: End, taken: u64) {
    if end.is_told() {
        wire.queue(Frame::Bye { why: end, taken });
        match timeout(READ, wire.flush()).await {
            Ok(Ok(())) => {}
            // The client is gone, or does not read: it will never know.
            Ok(Err(_)) | Err(_) => return,
        }
    }
    accepted.ended(end);
    if end.is_told() {
        linger(wire).await;
    }
}

/// Waits until a client that was told has hung up, for a while.
pub(crate) async fn linger(mut wire: Wire) {
    // In time or not, or with an error because the client is gone: it is over.
    let _ = timeout(LINGER, wire.end()).await;
}
