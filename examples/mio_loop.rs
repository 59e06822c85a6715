//! Timers in an event loop without futures: UDP pings on mio, resent until they are answered.
//!
//! ```sh
//! cargo run --release --features mio --example mio_loop
//! ```
//!
//! The same fits calloop, winit, or any loop that blocks for a given time: a [`TimerQueue`] holds
//! what is to be done and when, the loop blocks until its earliest deadline, and then takes out
//! what is due.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use reveille::TimerQueue;
use reveille::time::Instant;

const CLIENT: Token = Token(0);
const SERVER: Token = Token(1);
const PINGS: u8 = 20;
const RESEND: Duration = Duration::from_millis(2);

fn main() -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
    let here = "127.0.0.1:0".parse().expect("an address");
    let (mut client, mut server) = (UdpSocket::bind(here)?, UdpSocket::bind(here)?);
    client.connect(server.local_addr()?)?;
    server.connect(client.local_addr()?)?;
    for (socket, token) in [(&mut client, CLIENT), (&mut server, SERVER)] {
        poll.registry()
            .register(socket, token, Interest::READABLE)?;
    }

    // All pings are due now. One that was sent is due again, until the answer removes it.
    let mut unanswered = TimerQueue::new();
    let now = Instant::now();
    let mut keys: Vec<_> = (0..PINGS)
        .map(|ping| Some(unanswered.insert(now, ping)))
        .collect();
    let (mut sent, mut lost) = (0, 0);
    // This loop ends with its last timer. A server passes `next_deadline()` on as an `Option`, and
    // goes on after `ErrorKind::Interrupted`.
    while let Some(next) = unanswered.next_deadline() {
        // Mio counts milliseconds, and rounds up.
        poll.poll(&mut events, Some(next - Instant::now()))?;
        for event in &events {
            let mut ping = [0];
            let socket = if event.token() == CLIENT {
                &client
            } else {
                &server
            };
            while received(socket.recv(&mut ping))? {
                match event.token() {
                    CLIENT => drop(
                        keys[usize::from(ping[0])]
                            .take()
                            .map(|key| unanswered.remove(key)),
                    ),
                    _ if lost < sent / 4 => lost += 1, // as a bad network does
                    _ => drop(server.send(&ping)?),
                }
            }
        }
        let now = Instant::now();
        while let Some(due) = unanswered.pop_due(now) {
            client.send(&[due.value])?;
            sent += 1;
            keys[usize::from(due.value)] = Some(unanswered.insert(now + RESEND, due.value));
        }
    }
    println!(
        "{PINGS} pings answered: {sent} sent, {lost} of them lost, after {:?}",
        now.elapsed()
    );
    assert!(sent >= usize::from(PINGS) + lost, "one was not sent again");
    Ok(())
}

/// Returns whether a datagram was there.
fn received(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        other => other.map(|_| true),
    }
}
