//! Timers in an event loop without futures: UDP pings on mio, resent until they are answered.
//!
//! ```sh
//! cargo run --release --features mio --example mio_loop
//! ```
//!
//! The same fits calloop, winit, or any loop that blocks for a given time: a [`TimerQueue`] holds
//! what is to be done and when, the loop blocks until its earliest deadline, and then takes out
//! what is due.
//!
//! In a manifest of your own mio needs two features: `mio = { version = "1", features = ["net",
//! "os-poll"] }`.
//!
//! The queue belongs to the loop. Another thread that wants a timer sends the loop a message, and
//! ends its poll by the poll's own waker.

use std::io::{self, ErrorKind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use reveille::TimerQueue;
use reveille::time::Instant;

const CLIENT: Token = Token(0);
const SERVER: Token = Token(1);
const ORDERS: Token = Token(2);
const PINGS: u8 = 20;
/// So many are there at the start. The others come from another thread.
const FIRST: u8 = 10;
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

    let (orders, ordered) = mpsc::channel();
    // Kept here, too: mio forgets a wake-up whose waker is dropped before the poll has seen it.
    let waker = Arc::new(Waker::new(poll.registry(), ORDERS)?);
    let waking = waker.clone();
    let thread = thread::spawn(move || {
        for ping in FIRST..PINGS {
            let due = Instant::now() + Duration::from_micros(500);
            orders.send((due, ping)).expect("the loop waits for all");
            // The message first: a poll that ends has to find it.
            waking.wake()?;
        }
        Ok::<_, io::Error>(())
    });

    // The first pings are due now. One that was sent is due again, until the answer removes it.
    let mut unanswered = TimerQueue::new();
    let start = Instant::now();
    let mut keys = [const { None }; PINGS as usize];
    for ping in 0..FIRST {
        keys[usize::from(ping)] = Some(unanswered.insert(start, ping));
    }
    let (mut sent, mut lost, mut answered) = (0, 0, 0);
    while answered < PINGS {
        // Without a timer, `None`: the poll waits for sockets and orders alone. Mio counts
        // milliseconds, and rounds up.
        let next = unanswered.next_deadline();
        // The time is read here: after an interrupted poll, and after the work of the last round, less
        // of the wait is left.
        let timeout = next.map(|next| next - Instant::now());
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == ORDERS {
                for (due, ping) in ordered.try_iter() {
                    keys[usize::from(ping)] = Some(unanswered.insert(due, ping));
                }
                continue;
            }
            let mut ping = [0];
            let socket = if event.token() == CLIENT {
                &client
            } else {
                &server
            };
            while received(socket.recv(&mut ping))? {
                match event.token() {
                    CLIENT => {
                        // `None`: it was sent twice, and answered twice.
                        if let Some(key) = keys[usize::from(ping[0])].take() {
                            unanswered.remove(key);
                            answered += 1;
                        }
                    }
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
        start.elapsed()
    );
    assert!(sent >= usize::from(PINGS) + lost, "one was not sent again");
    thread.join().expect("the thread does not panic")?;
    drop(waker);
    Ok(())
}

/// Returns whether a datagram was there.
fn received(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        other => other.map(|_| true),
    }
}
