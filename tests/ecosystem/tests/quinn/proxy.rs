//! A UDP proxy that drops some of the datagrams.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use reveille::rt::{self, io::AsyncFd};

/// Returns whether a datagram is dropped, by its number in its direction.
pub type Drops = fn(u32) -> bool;

/// A proxy between one client and a server: two tasks of the current runtime of `rt`.
pub struct Proxy {
    /// Where the client sends to.
    pub address: SocketAddr,
    dropped: Arc<AtomicU32>,
}

impl Proxy {
    pub fn new(server: SocketAddr, to_server: Drops, to_client: Drops) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        back.connect(server).unwrap();
        let address = front.local_addr().unwrap();
        let front = Arc::new(AsyncFd::new(front).unwrap());
        let back = Arc::new(AsyncFd::new(back).unwrap());
        let dropped = Arc::new(AtomicU32::new(0));
        let client = Arc::new(OnceLock::new());
        rt::spawn(forward_to_server(
            front.clone(),
            back.clone(),
            client.clone(),
            Dropper::new(to_server, &dropped),
        ));
        let dropper = Dropper::new(to_client, &dropped);
        rt::spawn(forward_to_client(back, front, client, dropper));
        Self { address, dropped }
    }

    /// Returns how many datagrams were dropped.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn forward_to_server(
    front: Arc<AsyncFd<UdpSocket>>,
    back: Arc<AsyncFd<UdpSocket>>,
    client: Arc<OnceLock<SocketAddr>>,
    mut dropper: Dropper,
) {
    let mut buffer = vec![0; 65_535];
    loop {
        let (len, sender) = front.recv_from(&mut buffer).await.unwrap();
        client.get_or_init(|| sender);
        if !dropper.drops_next() {
            // The server may have gone.
            let _ = back.send(&buffer[..len]).await;
        }
    }
}

async fn forward_to_client(
    back: Arc<AsyncFd<UdpSocket>>,
    front: Arc<AsyncFd<UdpSocket>>,
    client: Arc<OnceLock<SocketAddr>>,
    mut dropper: Dropper,
) {
    let mut buffer = vec![0; 65_535];
    while let Ok(len) = back.recv(&mut buffer).await {
        let client = *client.get().expect("the client sends first");
        if !dropper.drops_next() {
            front.send_to(&buffer[..len], client).await.unwrap();
        }
    }
}

/// Counts the datagrams of one direction.
struct Dropper {
    drops: Drops,
    next: u32,
    dropped: Arc<AtomicU32>,
}

impl Dropper {
    fn new(drops: Drops, dropped: &Arc<AtomicU32>) -> Self {
        Self {
            drops,
            next: 0,
            dropped: dropped.clone(),
        }
    }

    fn drops_next(&mut self) -> bool {
        let drops = (self.drops)(self.next);
        self.next += 1;
        self.dropped.fetch_add(u32::from(drops), Ordering::Relaxed);
        drops
    }
}
