//! The least of a loop on mio with timers: a UDP server that forgets peers when they fall silent.
//!
//! ```sh
//! cargo run --release --features mio --example mio_silence
//! ```
//!
//! In a manifest of your own mio needs two features: `mio = { version = "1", features = ["net",
//! "os-poll"] }`.
//!
//! `mio_loop` adds orders from another thread, and resending.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use reveille::TimerQueue;
use reveille::time::{Duration, Instant};

const SILENCE: Duration = Duration::from_millis(50);

fn main() -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    let mut server = UdpSocket::bind("127.0.0.1:0".parse().expect("it is an address"))?;
    let registry = poll.registry();
    registry.register(&mut server, Token(0), Interest::READABLE)?;
    let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    client.send_to(b"hello", server.local_addr()?)?;

    let (mut timers, mut peers) = (TimerQueue::new(), HashMap::new());
    loop {
        let timeout = timers.next_deadline().map(|next| next - Instant::now());
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        loop {
            let peer = match server.recv_from(&mut [0; 1500]) {
                Ok((_, peer)) => peer,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let deadline = Instant::now() + SILENCE;
            if let Some(&key) = peers.get(&peer) {
                timers.reset(key, deadline);
            } else {
                peers.insert(peer, timers.insert(deadline, peer));
            }
        }
        if let Some(due) = timers.pop_due(Instant::now()) {
            peers.remove(&due.value);
            println!("silent: {}, {:?} ago", due.value, due.deadline.elapsed());
            return Ok(());
        }
    }
}
