//! The well-behaved clients.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use reveille::rt::yield_now;
use reveille::time::{Instant, Sleep, sleep, sleep_until};

use super::super::connection::HANDLER;
use super::super::end::End;
use super::super::meter::Span;
use super::super::protocol::{Frame, Outcome, Request};
use super::super::wire::Wire;
use super::{Client, Seen, unexpected};

/// How many events of one client are handled before other tasks run.
const BUDGET: u32 = 32;

/// A request that is not answered yet.
struct Asked {
    request: Request,
    due: Instant,
    sent: std::time::Instant,
}

enum Event {
    Frame(Frame),
    Gone,
    /// The next request is due.
    Due,
}

/// Sends requests when they are due, whether or not the last answer has come.
///
/// So a server that stalls still gets the requests that are due meanwhile, and each one's latency
/// counts from when it was due. A client that waits for an answer before it sends the next request
/// would measure one long wait instead of many ("coordinated omission").
pub(super) async fn steady(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut next = 0;
    let mut timer = sleep_until(client.due(next));
    while let Some(wire) = client.connect(&mut seen, None).await? {
        let mut talk = Talk {
            client: &client,
            wire,
            asked: VecDeque::new(),
            answered: 0,
        };
        let end = talk.talk(&mut next, &mut timer, &mut seen).await?;
        seen.ended(end);
    }
    Ok(seen)
}

struct Talk<'a> {
    client: &'a Client,
    wire: Wire,
    asked: VecDeque<Asked>,
    answered: u64,
}

impl Talk<'_> {
    /// Sends requests and reads answers until the connection ends.
    async fn talk(
        &mut self,
        next: &mut u64,
        timer: &mut Sleep,
        seen: &mut Seen,
    ) -> io::Result<End> {
        let mut events = 0u32;
        loop {
            // If it is behind its timetable it never waits, but other tasks must run all the same.
            events = events.wrapping_add(1);
            if events.is_multiple_of(BUDGET) {
                yield_now().await;
            }
            match self.event(timer).await {
                Event::Due => {
                    let due = self.client.due(*next);
                    self.client.meter.waited(Span::Arrival, due);
                    self.ask(*next, due, seen);
                    *next += 1;
                    timer.reset_at(self.client.due(*next));
                }
                Event::Frame(Frame::Ping(number)) => self.wire.queue(Frame::Pong(number)),
                Event::Frame(Frame::Bye { why, taken }) => {
                    seen.lost += taken.abs_diff(self.answered);
                    seen.refused += self.asked.len() as u64;
                    return Ok(why);
                }
                Event::Frame(frame) => self.heard(frame, seen)?,
                Event::Gone => {
                    seen.abandoned += self.asked.len() as u64;
                    return Ok(End::Cut);
                }
            }
        }
    }

    async fn event(&mut self, timer: &mut Sleep) -> Event {
        poll_fn(|cx| {
            match self.wire.poll_receive(cx) {
                Poll::Ready(Ok(Some(frame))) => return Poll::Ready(Event::Frame(frame)),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Event::Gone),
                Poll::Pending => {}
            }
            Pin::new(&mut *timer).poll(cx).map(|()| Event::Due)
        })
        .await
    }

    fn ask(&mut self, id: u64, due: Instant, seen: &mut Seen) {
        let request = self.client.request(id);
        self.wire.queue(Frame::Request(request));
        self.asked.push_back(Asked {
            request,
            due,
            sent: std::time::Instant::now(),
        });
        seen.sent += 1;
    }

    /// Takes an answer, which must be that to the first unanswered request.
    fn heard(&mut self, frame: Frame, seen: &mut Seen) -> io::Result<()> {
        let asked = self.asked.pop_front().ok_or_else(|| unexpected(frame))?;
        let Request { id, work, length } = asked.request;
        let outcome = match frame {
            Frame::Answer {
                id: of,
                outcome,
                length: len,
            } if of == id && len == length => outcome,
            _ => return Err(unexpected(frame)),
        };
        match outcome {
            Outcome::Done => {
                seen.done += 1;
                seen.check(asked.sent, work);
            }
            Outcome::Overdue => {
                seen.overdue += 1;
                seen.check(asked.sent, HANDLER);
            }
        }
        self.answered += 1;
        let meter = &self.client.meter;
        meter.received.add(1);
        meter.waited(Span::FromDue, asked.due);
        meter.record(Span::FromSent, asked.sent.elapsed());
        Ok(())
    }
}

impl Client {
    /// Returns when a request is due. The first ones are spread over one period at random, so that
    /// they do not arrive at the server in a regular pattern.
    fn due(&self, id: u64) -> Instant {
        let period = self.count as u64 * 1_000_000_000 / self.timetable.rate;
        let first = random(self.number as u64) % period;
        self.timetable.begin + Duration::from_nanos(first + id * period)
    }

    /// Three of eight are answered at once, and one of 64 takes longer than the deadline.
    pub(super) fn request(&self, id: u64) -> Request {
        let random = random((self.number as u64) << 32 | id);
        let work = match random % 64 {
            0 => Duration::from_secs(1),
            1..=24 => Duration::ZERO,
            _ => Duration::from_micros(200 + (random >> 8) % 3000),
        };
        let length = 64 + (random >> 32) as u32 % 1024;
        Request { id, work, length }
    }
}

/// Connects when the server is full, and sends one request if it is accepted after all.
pub(super) async fn extra(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    while let Some(mut wire) = client.connect(&mut seen, None).await? {
        let end = ask_once(&client, &mut wire, &mut seen).await?;
        seen.ended(end);
        drop(wire);
        sleep(Duration::from_millis(100)).await;
    }
    Ok(seen)
}

/// Sends a request and waits for the answer. Returns how the connection ended, if the client closes
/// it then.
pub(super) async fn ask_once(client: &Client, wire: &mut Wire, seen: &mut Seen) -> io::Result<End> {
    let request = client.request(seen.sent);
    let sent = std::time::Instant::now();
    wire.queue(Frame::Request(request));
    seen.sent += 1;
    loop {
        match wire.receive().await {
            Ok(Some(Frame::Answer { id, outcome, .. })) if id == request.id => {
                match outcome {
                    Outcome::Done => seen.done += 1,
                    Outcome::Overdue => seen.overdue += 1,
                }
                seen.check(sent, request.work.min(HANDLER));
                client.meter.received.add(1);
                return Ok(End::Left);
            }
            Ok(Some(Frame::Ping(number))) => wire.queue(Frame::Pong(number)),
            Ok(Some(Frame::Bye { why, taken })) => {
                seen.lost += taken;
                seen.refused += 1;
                return Ok(why);
            }
            Ok(Some(frame)) => return Err(unexpected(frame)),
            Ok(None) | Err(_) => {
                seen.abandoned += 1;
                return Ok(End::Cut);
            }
        }
    }
}

/// Returns a pseudo-random number (Steele, Lea, Flood: splitmix64), the same in every run.
fn random(seed: u64) -> u64 {
    let mut number = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}
