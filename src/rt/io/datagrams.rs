//! Datagrams: sent and received, whole.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::rt::io::async_fd::AsyncFd;

impl AsyncFd<UdpSocket> {
    /// Waits for a datagram, copies it into `buffer`, and returns its length and its sender.
    ///
    /// The rest of a datagram that is longer than `buffer` is lost; 65,535 bytes are enough for
    /// any. A length of 0 is an empty datagram, not an end: a UDP socket has none, so put a
    /// [`timeout`](crate::FutureExt::timeout) around a wait for an answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no datagram: the next call returns it.
    ///
    /// # Errors
    ///
    /// Those of the system, except `WouldBlock` and `Interrupted`, and those of
    /// [`readable`](Self::readable). On a connected socket the system reports here that the peer
    /// has refused an earlier datagram ([`ConnectionRefused`](io::ErrorKind::ConnectionRefused)).
    /// That is one report about one datagram, and a client that tries again goes on after it.
    ///
    /// # Examples
    ///
    /// A server that sends each datagram back:
    ///
    /// ```
    /// use reveille::FutureExt;
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::{io, net::UdpSocket, time::Duration};
    ///
    /// async fn serve(socket: AsyncFd<UdpSocket>) -> io::Result<()> {
    ///     let mut buffer = [0; 65_535];
    ///     loop {
    ///         let (len, from) = socket.recv_from(&mut buffer).await?;
    ///         socket.send_to(&buffer[..len], from).await?;
    ///     }
    /// }
    ///
    /// rt::block_on(async {
    ///     let server = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
    ///     let address = server.get_ref().local_addr()?;
    ///     rt::spawn(serve(server));
    ///
    ///     let client = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
    ///     client.send_to(b"hello", address).await?;
    ///     let mut buffer = [0; 64];
    ///     let answer = client.recv_from(&mut buffer).timeout(Duration::from_secs(5));
    ///     let (len, from) = answer.await??;
    ///     assert_eq!((&buffer[..len], from), (&b"hello"[..], address));
    ///     Ok::<_, io::Error>(())
    /// })?;
    /// # Ok::<_, io::Error>(())
    /// ```
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.read_with(|socket| socket.recv_from(buffer)).await
    }

    /// Sends a datagram to `address`, and waits while the socket has no room for it. Returns how
    /// many bytes, which is all of them.
    ///
    /// That it was sent does not mean that it arrives. The address is an address: looking up a name
    /// with [`ToSocketAddrs`](std::net::ToSocketAddrs) blocks, and is work for `rt::spawn_blocking`
    /// (feature `blocking`).
    ///
    /// # Cancel safety
    ///
    /// Nothing is sent if the future is dropped before it is ready: a datagram is sent whole or not
    /// at all.
    ///
    /// # Errors
    ///
    /// Those of the system, except `WouldBlock` and `Interrupted`, and those of
    /// [`writable`](Self::writable). A datagram of more than 65,507 bytes is too long for IPv4.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::net::UdpSocket;
    ///
    /// rt::block_on(async {
    ///     let socket = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
    ///     let address = socket.get_ref().local_addr()?;
    ///     assert_eq!(socket.send_to(b"to myself", address).await?, 9);
    ///     assert!(socket.send_to(&[0; 65_508], address).await.is_err());
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn send_to(&self, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.write_with(|socket| socket.send_to(bytes, address))
            .await
    }

    /// Waits for a datagram, copies it into `buffer`, and returns its length.
    ///
    /// On a socket that was connected with [`UdpSocket::connect`] (through
    /// [`get_ref`](Self::get_ref); it does not block) these are the datagrams of that peer alone.
    /// Otherwise like [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no datagram: the next call returns it.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Examples
    ///
    /// A request that is sent again until it is answered. A peer that refuses it may listen a
    /// little later, so that counts as lost, too. (If several requests are sent through one socket,
    /// they need numbers: a late answer would be taken for that to the next request.)
    ///
    /// ```
    /// use reveille::FutureExt;
    /// use reveille::rt::{self, io::AsyncFd};
    /// use reveille::time::{Duration, Instant, sleep_until};
    /// use std::{io, net::{SocketAddr, UdpSocket}};
    ///
    /// async fn ask(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    ///     let socket = UdpSocket::bind("127.0.0.1:0")?;
    ///     socket.connect(server)?;
    ///     let socket = AsyncFd::new(socket)?;
    ///     let mut buffer = [0; 65_535];
    ///     for attempt in 0..5 {
    ///         let limit = Duration::from_millis(10 << attempt); // twice as long each time
    ///         let next_attempt = Instant::now() + limit;
    ///         let answer = async {
    ///             socket.send(request).await?;
    ///             socket.recv(&mut buffer).await
    ///         };
    ///         match answer.timeout_at(next_attempt).await {
    ///             Ok(Ok(len)) => return Ok(buffer[..len].to_vec()),
    ///             Ok(Err(error)) if error.kind() != io::ErrorKind::ConnectionRefused => {
    ///                 return Err(error);
    ///             }
    ///             _ => sleep_until(next_attempt).await, // lost, late or refused: send it again
    ///         }
    ///     }
    ///     Err(io::ErrorKind::TimedOut.into())
    /// }
    ///
    /// rt::block_on(async {
    ///     let server = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
    ///     let address = server.get_ref().local_addr()?;
    ///     rt::spawn(async move {
    ///         let mut buffer = [0; 64];
    ///         server.recv(&mut buffer).await?; // the first one is lost
    ///         let (len, from) = server.recv_from(&mut buffer).await?;
    ///         server.send_to(&buffer[..len], from).await
    ///     });
    ///     assert_eq!(ask(address, b"ping").await?, b"ping");
    ///     Ok::<_, io::Error>(())
    /// })?;
    /// # Ok::<_, io::Error>(())
    /// ```
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|socket| socket.recv(buffer)).await
    }

    /// Sends a datagram to the peer that the socket was connected to with [`UdpSocket::connect`].
    /// Returns how many bytes, which is all of them.
    ///
    /// Otherwise like [`send_to`](Self::send_to).
    ///
    /// # Cancel safety
    ///
    /// Nothing is sent if the future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to), and that the socket is not connected, or that the peer
    /// has refused an earlier datagram
    /// ([`ConnectionRefused`](io::ErrorKind::ConnectionRefused)); then this one was not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::net::UdpSocket;
    ///
    /// rt::block_on(async {
    ///     let server = UdpSocket::bind("127.0.0.1:0")?;
    ///     let client = UdpSocket::bind("127.0.0.1:0")?;
    ///     client.connect(server.local_addr()?)?;
    ///     let (server, client) = (AsyncFd::new(server)?, AsyncFd::new(client)?);
    ///     client.send(b"hello").await?;
    ///     let mut buffer = [0; 64];
    ///     assert_eq!(server.recv(&mut buffer).await?, 5);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|socket| socket.send(bytes)).await
    }
}
