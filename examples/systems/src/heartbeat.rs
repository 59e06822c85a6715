//! A WebSocket that pings its peer, and drops one that is silent.
//!
//! TCP notices nothing when a peer loses its power or its network: the connection stays open, and
//! its memory is held, for hours. A ping asks the peer for a sign of life.

use futures_util::{SinkExt, StreamExt};
use reveille::time::{Duration, Instant, MissedTickBehavior, Sleep, interval, sleep, timeout_at};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// How a connection has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer has closed it.
    Closed,
    /// Nothing came from the peer for too long.
    Silent,
}

/// Echoes text to the peer, and pings it `every` so often. Ends if nothing has come for `patience`,
/// which should be at least three times as long.
///
/// Where the process has stood still, what came meanwhile may be known only some time after the
/// timers are due. So each peer has another `every` to answer one more ping, except one whose
/// buffers were full already, so that a message to it had to wait.
///
/// # Errors
///
/// If the connection breaks, or the peer violates the protocol.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    every: Duration,
    patience: Duration,
) -> Result<Ended, Error> {
    let mut pings = interval(every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pings.reset(); // the first one after a period, not at once
    let mut pinged = Instant::now();
    // One timer, which each frame of the peer moves: a pong, but any other as well.
    let mut silence = sleep(patience);
    loop {
        let message = select! {
            // In this order: where the process has stood still, what came meanwhile counts.
            biased;
            message = socket.next() => match message {
                Some(message) => message?,
                None => return Ok(Ended::Closed),
            },
            _ = pings.tick() => {
                // Pings were missed. It is this branch that finds that out, since a ping is due
                // earlier than the silence is.
                let now = Instant::now();
                if now - pinged > every.saturating_mul(3) / 2 && silence.deadline() < now + every {
                    silence.reset_at(now + every);
                }
                pinged = now;
                if send(&mut socket, Message::Ping(Bytes::new()), &silence).await? {
                    continue;
                }
                return Ok(Ended::Silent);
            }
            () = &mut silence => return Ok(Ended::Silent),
        };
        silence.reset_after(patience);
        let echoed = match message {
            Message::Text(_) => send(&mut socket, message, &silence).await?,
            _ => true, // pongs, and what tungstenite answers by itself
        };
        if !echoed {
            return Ok(Ended::Silent);
        }
    }
}

/// Sends a message. Returns false if the peer has not taken it when the `silence` is over: one that
/// does not read either, and whose buffers are full.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    message: Message,
    silence: &Sleep,
) -> Result<bool, Error> {
    match timeout_at(silence.deadline(), socket.send(message)).await {
        Ok(sent) => sent.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// A client: says something, and then only listens, for `listens`. While it does, tungstenite
/// answers the pings. Returns the texts that came.
///
/// # Errors
///
/// If the connection breaks.
pub async fn listen<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    says: &'static str,
    listens: Duration,
) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    socket.send(Message::text(says)).await?;
    let mut end = sleep(listens);
    loop {
        select! {
            message = socket.next() => match message.transpose()? {
                Some(Message::Text(text)) => texts.push(text.to_string()),
                Some(_) => {}
                None => return Ok(texts),
            },
            () = &mut end => return Ok(texts),
        }
    }
}
