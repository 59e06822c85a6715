//! Connections: made, and accepted, without blocking.
//!
//! The sockets are non-blocking from the start, so no mode has to be restored.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{self as unix, UnixListener, UnixStream};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, acceptfrom_with, connect, ipproto, socket_with,
};

use crate::rt::io::async_fd::AsyncFd;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

impl AsyncFd<TcpStream> {
    /// Connects to a TCP server, on the current runtime.
    ///
    /// There is no limit on the time other than the kernel's, which is about two minutes; put a
    /// [`timeout`](crate::FutureExt::timeout) around it. The address is an address: looking up a
    /// name with [`ToSocketAddrs`](std::net::ToSocketAddrs) blocks, and is work for
    /// `rt::spawn_blocking` (feature `blocking`).
    ///
    /// The socket stays non-blocking after [`into_inner`](Self::into_inner).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// If there is no connection, with the system's reason, such as
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused), and those of [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If this thread is in no runtime when the future is first polled, and connecting has not
    /// failed at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::FutureExt;
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::{io, net::TcpListener, time::Duration};
    ///
    /// rt::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let address = listener.local_addr()?;
    ///     let client = AsyncFd::connect(address).timeout(Duration::from_secs(5)).await??;
    ///     assert_eq!(client.get_ref().peer_addr()?, address);
    ///
    ///     drop(listener);
    ///     let error = AsyncFd::connect(address).await.unwrap_err();
    ///     assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    ///     Ok::<_, io::Error>(())
    /// })?;
    /// # Ok::<_, io::Error>(())
    /// ```
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, Some(ipproto::TCP))?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = Self::new(TcpStream::from(socket))?;
        loop {
            stream.writable().await?;
            if let Some(error) = stream.get_ref().take_error()? {
                return Err(error);
            }
            // Being writable is a reason to look, not a promise.
            match stream.get_ref().peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(stream.of_tcp()),
            }
        }
    }
}

impl AsyncFd<TcpListener> {
    /// Accepts a connection. The returned stream is on the runtime of the listener.
    ///
    /// The stream stays non-blocking after [`into_inner`](Self::into_inner).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    ///
    /// # Errors
    ///
    /// Those of the system and of [`new`](Self::new). A server goes on after them: one is about a
    /// connection that has ended before it was accepted
    /// ([`ConnectionAborted`](io::ErrorKind::ConnectionAborted)), and others are about what the
    /// system is short of, such as file descriptors. Wait a moment after these, because the
    /// connection stays in the listener's queue, and the next call fails at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// rt::block_on(async {
    ///     let listener = AsyncFd::new(TcpListener::bind("127.0.0.1:0")?)?;
    ///     let client = TcpStream::connect(listener.get_ref().local_addr()?)?;
    ///     let (_stream, address) = listener.accept().await?;
    ///     assert_eq!(address, client.local_addr()?);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn accept(&self) -> io::Result<(AsyncFd<TcpStream>, SocketAddr)> {
        let accepted = self.read_with(|listener| Ok(acceptfrom_with(listener, FLAGS)?));
        let (socket, address) = accepted.await?;
        let address = match address {
            Some(address) => SocketAddr::try_from(address)?,
            None => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let stream = AsyncFd::with_reactor(TcpStream::from(socket), self.reactor().clone())?;
        Ok((stream.of_tcp(), address))
    }
}

impl AsyncFd<UnixListener> {
    /// Accepts a connection. The returned stream is on the runtime of the listener.
    ///
    /// The stream stays non-blocking after [`into_inner`](Self::into_inner).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    ///
    /// # Errors
    ///
    /// As for TCP.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::os::unix::net::{UnixListener, UnixStream};
    ///
    /// # let directory = std::env::temp_dir().join(format!("accept-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// # let path = directory.join("socket");
    /// rt::block_on(async {
    ///     let listener = AsyncFd::new(UnixListener::bind(&path)?)?;
    ///     let client = AsyncFd::new(UnixStream::connect(&path)?)?;
    ///     let (server, _) = listener.accept().await?;
    ///     server.write_all(b"hello").await?;
    ///     let mut buffer = [0; 16];
    ///     assert_eq!(client.read(&mut buffer).await?, 5);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn accept(&self) -> io::Result<(AsyncFd<UnixStream>, unix::SocketAddr)> {
        let (stream, address) = self.read_with(|listener| listener.accept()).await?;
        stream.set_nonblocking(true)?;
        let stream = AsyncFd::with_reactor(stream, self.reactor().clone())?;
        Ok((stream, address))
    }
}
