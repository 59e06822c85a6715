//! A file transfer over UDP that arrives whole although every fifth datagram is lost.
//!
//! ```sh
//! cargo run --release --features io --example reliable_udp
//! ```
//!
//! The sender has up to sixteen chunks on their way. A [`DelayQueue`] holds each of them until its
//! acknowledgement arrives; a chunk that comes due in it is sent again, twice as late each time. So
//! one `select!` waits for the socket and for the earliest of all deadlines. The receiver puts the
//! chunks in order, and acknowledges each, even one that it has already: the first acknowledgement
//! may be lost, too.
//!
//! [`DelayQueue`]: reveille::time::DelayQueue

fn main() -> std::io::Result<()> {
    udp::main()
}

#[cfg(target_os = "linux")]
mod udp {
    use std::collections::{BTreeMap, HashMap};
    use std::io::{self, ErrorKind};
    use std::net::{SocketAddr, UdpSocket};

    use futures::{FutureExt as _, StreamExt as _, select};
    use reveille::FutureExt;
    use reveille::rt::{self, io::AsyncFd};
    use reveille::time::{DelayQueue, Duration, Instant, delay_queue};

    const CHUNK: usize = 1000;
    const WINDOW: usize = 16;
    /// How long the first acknowledgement may take. On a network it would be measured.
    const FIRST_WAIT: Duration = Duration::from_millis(4);
    const LONGEST_WAIT: Duration = Duration::from_millis(64);
    /// How long the receiver stays for a sender that has not heard of the last acknowledgements.
    const LINGER: Duration = Duration::from_millis(500);
    const ATTEMPTS: u32 = 20;
    /// How long the receiver waits for more of a file, which is longer than all attempts take.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub(crate) fn main() -> io::Result<()> {
        // Not a multiple of the length of a chunk.
        let file: Vec<u8> = (0..200_321u32)
            .map(|at| at.wrapping_mul(at >> 3) as u8)
            .collect();
        let start = Instant::now();
        let (sent, received) = rt::block_on(async {
            let receiver = Lossy::bind()?;
            let address = receiver.socket.get_ref().local_addr()?;
            let receiving = rt::spawn(receive(receiver));
            let sent = send(&file, address).await?;
            Ok::<_, io::Error>((sent, receiving.await??))
        })?;
        println!(
            "{} bytes arrived in {:?}: {} chunks, {} sent again",
            received.len(),
            start.elapsed(),
            sent.chunks,
            sent.again,
        );
        assert!(received == file, "the file has changed on its way");
        assert!(sent.again > 0, "no datagram was lost");
        Ok(())
    }

    struct Sent {
        chunks: usize,
        again: usize,
    }

    /// Sends all of `file`, and returns once all of it is acknowledged.
    async fn send(file: &[u8], to: SocketAddr) -> io::Result<Sent> {
        let mut lossy = Lossy::bind()?;
        // From now on only datagrams of this peer arrive. It does not block.
        lossy.socket.get_ref().connect(to)?;
        // The last chunk is shorter than the others, and empty if need be: so it marks the end.
        let chunks = file.len() / CHUNK + 1;
        let chunk = |number: usize| {
            let end = file.len().min((number + 1) * CHUNK);
            let mut datagram = (number as u32).to_be_bytes().to_vec();
            datagram.extend_from_slice(&file[number * CHUNK..end]);
            datagram
        };
        // The number of the chunk and of its attempts; and where in the queue each chunk is.
        let mut unacknowledged = DelayQueue::<(usize, u32)>::new();
        let mut keys = HashMap::<usize, delay_queue::Key>::new();
        let (mut next, mut again) = (0, 0);
        let mut buffer = [0; 4];
        loop {
            while next < chunks && keys.len() < WINDOW {
                lossy.send_to(&chunk(next), to).await?;
                keys.insert(next, unacknowledged.insert((next, 1), FIRST_WAIT));
                next += 1;
            }
            if keys.is_empty() {
                return Ok(Sent { chunks, again });
            }
            select! {
                // A future that is made anew in each round loses nothing when it is dropped: both
                // are cancel safe.
                len = lossy.socket.recv(&mut buffer).fuse() => {
                    if len? == buffer.len() {
                        let number = u32::from_be_bytes(buffer) as usize;
                        // `None`: an acknowledgement that came twice.
                        if let Some(key) = keys.remove(&number) {
                            unacknowledged.remove(&key);
                        }
                    }
                }
                expired = unacknowledged.select_next_some() => {
                    let (number, attempts) = expired.into_inner();
                    if attempts == ATTEMPTS {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    lossy.send_to(&chunk(number), to).await?;
                    again += 1;
                    let wait = (FIRST_WAIT * (1 << attempts.min(8))).min(LONGEST_WAIT);
                    keys.insert(number, unacknowledged.insert((number, attempts + 1), wait));
                }
            }
        }
    }

    /// Receives a file, and returns it once it is complete and the sender is silent. Fails if the
    /// sender is silent before.
    async fn receive(mut lossy: Lossy) -> io::Result<Vec<u8>> {
        let mut chunks = BTreeMap::<u32, Vec<u8>>::new();
        let mut buffer = [0; 4 + CHUNK];
        let mut last = None;
        loop {
            let is_complete = last.is_some_and(|last| chunks.len() == last as usize + 1);
            let limit = if is_complete { LINGER } else { PATIENCE };
            let (len, from) = match lossy.socket.recv_from(&mut buffer).timeout(limit).await {
                Ok(received) => received?,
                Err(_) if is_complete => return Ok(chunks.into_values().flatten().collect()),
                Err(elapsed) => return Err(elapsed.into()),
            };
            let Some((number, bytes)) = buffer[..len].split_first_chunk() else {
                continue; // not of this protocol
            };
            let at = u32::from_be_bytes(*number);
            if bytes.len() < CHUNK {
                last = Some(at);
            }
            chunks.entry(at).or_insert_with(|| bytes.to_vec());
            lossy.send_to(number, from).await?;
        }
    }

    /// A socket on a bad network.
    struct Lossy {
        socket: AsyncFd<UdpSocket>,
        random: u32,
    }

    impl Lossy {
        fn bind() -> io::Result<Self> {
            let socket = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
            let random = 0x9E37_79B9;
            Ok(Self { socket, random })
        }

        /// Sends a datagram, or loses it.
        async fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
            // The generator of Marsaglia: the same losses in each run.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            if !self.random.is_multiple_of(5) {
                self.socket.send_to(bytes, to).await?;
            }
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod udp {
    pub(crate) fn main() -> std::io::Result<()> {
        println!("The feature `io` is for Linux only, so far.");
        Ok(())
    }
}
