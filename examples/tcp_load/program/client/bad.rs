//! The badly behaved clients, which the server has to disconnect.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use reveille::time::sleep;
use rustix::net::sockopt;

use super::super::connection::{IDLE, PING, REQUEST};
use super::super::end::End;
use super::super::protocol::{Frame, LONGEST_CONTENT, Outcome, Request};
use super::super::wire::Wire;
use super::good::ask_once;
use super::{Client, Seen, last_words, unexpected};

/// How long a slow client takes for one byte.
const DRIP: Duration = Duration::from_millis(50);

/// Sends a request slowly, byte by byte.
pub(super) async fn slow(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    while let Some(mut wire) = client.connect(&mut seen, None).await? {
        let end = loop {
            if let Some(end) = trickle(&client, &mut wire, &mut seen).await? {
                break end;
            }
        };
        seen.ended(end);
    }
    Ok(seen)
}

/// Sends one request. Returns how the connection ended, or `None` if the request was answered,
/// which is possible if the server is slower.
async fn trickle(client: &Client, wire: &mut Wire, seen: &mut Seen) -> io::Result<Option<End>> {
    let mut bytes = Vec::new();
    Frame::Request(client.request(seen.sent)).encode(&mut bytes);
    let begun = Instant::now();
    let mut drops = bytes.iter();
    loop {
        if let Some(byte) = drops.next() {
            wire.queue_bytes(&[*byte]);
            seen.sent += u64::from(drops.as_slice().is_empty());
        }
        let is_sent = drops.as_slice().is_empty();
        match listen(wire, DRIP).await {
            // A pong now would be in the middle of the request.
            Heard::Nothing | Heard::Frame(Frame::Ping(_)) => {}
            Heard::Frame(Frame::Answer { outcome, .. }) => {
                match outcome {
                    Outcome::Done => seen.done += 1,
                    Outcome::Overdue => seen.overdue += 1,
                }
                client.meter.received.add(1);
                return Ok(None);
            }
            Heard::Frame(Frame::Bye { why, .. }) => {
                seen.refused += u64::from(is_sent);
                if why == End::SlowRequest {
                    seen.check(begun, REQUEST);
                }
                return Ok(Some(why));
            }
            Heard::Frame(frame) => return Err(unexpected(frame)),
            Heard::End => {
                seen.abandoned += u64::from(is_sent);
                return Ok(Some(End::Cut));
            }
        }
    }
}

/// Answers pings and sends no request.
pub(super) async fn silent(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let begun = Instant::now();
        let Some(mut wire) = client.connect(&mut seen, None).await? else {
            return Ok(seen);
        };
        let end = loop {
            match wire.receive().await {
                Ok(Some(Frame::Ping(number))) => wire.queue(Frame::Pong(number)),
                Ok(Some(Frame::Bye { why, .. })) => break why,
                Ok(Some(frame)) => return Err(unexpected(frame)),
                Ok(None) | Err(_) => break End::Cut,
            }
        };
        if end == End::Idle {
            seen.check(begun, IDLE);
        }
        seen.ended(end);
    }
}

/// Sends one request and then does not answer pings.
pub(super) async fn mute(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let begun = Instant::now();
        let Some(mut wire) = client.connect(&mut seen, None).await? else {
            return Ok(seen);
        };
        let mut end = ask_once(&client, &mut wire, &mut seen).await?;
        if end == End::Left {
            end = last_words(wire).await;
        }
        if end == End::NoPong {
            seen.check(begun, 2 * PING);
        }
        seen.ended(end);
    }
}

/// Sends one request and half of another, and closes the connection.
pub(super) async fn abrupt(client: Client) -> io::Result<Seen> {
    let mut seen = Seen::default();
    while let Some(mut wire) = client.connect(&mut seen, None).await? {
        let mut bytes = Vec::new();
        Frame::Request(client.request(seen.sent)).encode(&mut bytes);
        let half = bytes.len() / 2;
        bytes.extend_from_within(..half);
        wire.queue_bytes(&bytes);
        seen.sent += 1;
        seen.abandoned += 1;
        let end = match wire.flush().await {
            Ok(()) => End::MidRequest,
            Err(_) => last_words(wire).await,
        };
        seen.ended(end);
        sleep(Duration::from_millis(100)).await;
    }
    Ok(seen)
}

/// Requests more than the sockets hold, and does not read it.
pub(super) async fn deaf(client: Client) -> io::Result<Seen> {
    const BUFFER: usize = 4096;
    let mut seen = Seen::default();
    while let Some(mut wire) = client.connect(&mut seen, Some(BUFFER)).await? {
        wire.queue(Frame::Request(Request {
            id: seen.sent,
            work: Duration::ZERO,
            length: LONGEST_CONTENT,
        }));
        seen.sent += 1;
        seen.abandoned += 1;
        wire.flush_now();
        // While there is something to read, there is no way to wait for a reset.
        while sockopt::socket_error(wire.socket())?.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        seen.ended(last_words(wire).await);
    }
    Ok(seen)
}

enum Heard {
    Nothing,
    Frame(Frame),
    End,
}

/// Reads for a while.
async fn listen(wire: &mut Wire, time: Duration) -> Heard {
    let mut end = pin!(sleep(time));
    poll_fn(|cx| match wire.poll_receive(cx) {
        Poll::Ready(Ok(Some(frame))) => Poll::Ready(Heard::Frame(frame)),
        Poll::Ready(Ok(None) | Err(_)) => Poll::Ready(Heard::End),
        Poll::Pending => end.as_mut().poll(cx).map(|()| Heard::Nothing),
    })
    .await
}
