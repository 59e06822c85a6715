//! How does a task wait for a descriptor, and how does it try an operation until it goes through?

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::rt::io::async_fd::AsyncFd;
use crate::rt::io::source::{Direction, Place};
use crate::rt::join::yield_now;

impl<T: AsFd> AsyncFd<T> {
    /// Waits until the descriptor may be read, or accept, or has come to its end.
    ///
    /// Reading may still find nothing. Dropping the future ends the wait and takes nothing away from
    /// others.
    ///
    /// # Errors
    ///
    /// The future fails if the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io::Write;
    ///
    /// rt::block_on(async {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = AsyncFd::new(reader)?;
    ///     writer.write_all(b"x")?;
    ///     reader.readable().await
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn readable(&self) -> Readable<'_, T> {
        Readable(Ready::new(self, Direction::Read))
    }

    /// Waits until the descriptor may be written, or has connected, or failed to.
    ///
    /// Writing may still find no room. Dropping the future ends the wait and takes nothing away from
    /// others.
    ///
    /// # Errors
    ///
    /// The future fails if the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// A connection that is made without blocking; std cannot begin one, rustix or socket2 can:
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use rustix::io::Errno;
    /// use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    /// use std::net::{SocketAddrV4, TcpStream};
    /// use std::{io, net::TcpListener};
    ///
    /// async fn connected(address: SocketAddrV4) -> io::Result<AsyncFd<TcpStream>> {
    ///     let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    ///     let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    ///     match connect(&socket, &address) {
    ///         Ok(()) | Err(Errno::INPROGRESS) => {}
    ///         Err(error) => return Err(error.into()),
    ///     }
    ///     let stream = AsyncFd::new(TcpStream::from(socket))?;
    ///     stream.writable().await?;
    ///     match stream.get_ref().take_error()? {
    ///         Some(error) => Err(error),
    ///         None => Ok(stream),
    ///     }
    /// }
    ///
    /// rt::block_on(async {
    ///     let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    ///     let std::net::SocketAddr::V4(address) = listener.local_addr()? else { unreachable!() };
    ///     assert!(connected(address).await?.get_ref().peer_addr().is_ok());
    ///     drop(listener);
    ///     let error = connected(address).await.unwrap_err();
    ///     assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    ///     Ok::<_, io::Error>(())
    /// })?;
    /// # Ok::<_, io::Error>(())
    /// ```
    pub fn writable(&self) -> Writable<'_, T> {
        Writable(Ready::new(self, Direction::Write))
    }

    /// Polls for the descriptor becoming readable since the last call that was ready.
    ///
    /// For one task at a time: another's call displaces it, and wakes it so that it may call again.
    /// [`readable`](Self::readable) is for any number.
    ///
    /// # Errors
    ///
    /// If the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::{future::poll_fn, io::Write};
    ///
    /// rt::block_on(async {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = AsyncFd::new(reader)?;
    ///     writer.write_all(b"x")?;
    ///     poll_fn(|cx| reader.poll_readable(cx)).await
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(Direction::Read, &mut Place::Shared, cx)
    }

    /// Polls for the descriptor becoming writable since the last call that was ready.
    ///
    /// For one task at a time, as [`poll_readable`](Self::poll_readable).
    ///
    /// # Errors
    ///
    /// If the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::future::poll_fn;
    ///
    /// rt::block_on(async {
    ///     let (_reader, writer) = std::io::pipe()?;
    ///     let writer = AsyncFd::new(writer)?;
    ///     poll_fn(|cx| writer.poll_writable(cx)).await
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(Direction::Write, &mut Place::Shared, cx)
    }

    /// Runs a reading operation, again and again until it does not say that it would block.
    ///
    /// It is tried at once, and after that whenever the descriptor is readable; one that a signal
    /// interrupts is repeated. When many went through in a row, other tasks have their turn first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the operation has not been done, or its result was
    /// returned.
    ///
    /// # Errors
    ///
    /// Those of the operation, but for `WouldBlock` and `Interrupted`, and those of
    /// [`readable`](Self::readable).
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
    ///     socket.write_with(|socket| socket.send_to(b"to myself", address)).await?;
    ///
    ///     let mut buffer = [0; 64];
    ///     let (len, from) = socket.read_with(|socket| socket.recv_from(&mut buffer)).await?;
    ///     assert_eq!((&buffer[..len], from), (&b"to myself"[..], address));
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn read_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.try_with(Direction::Read, operation).await
    }

    /// Runs a writing operation, again and again until it does not say that it would block.
    ///
    /// As [`read_with`](Self::read_with), and waits until the descriptor is writable.
    ///
    /// # Errors
    ///
    /// Those of the operation, but for `WouldBlock` and `Interrupted`, and those of
    /// [`writable`](Self::writable).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// rt::block_on(async {
    ///     let (here, mut there) = UnixStream::pair()?;
    ///     let here = AsyncFd::new(here)?;
    ///     here.write_with(|mut here| here.write(b"x")).await?;
    ///     assert_eq!(there.read(&mut [0])?, 1);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn write_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.try_with(Direction::Write, operation).await
    }

    async fn try_with<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            if self.has_had_its_turn() {
                yield_now().await;
            }
            match operation(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Ready::new(self, direction).await?;
                    self.begin_turn();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// Waits until an [`AsyncFd`] is readable; see [`AsyncFd::readable`].
///
/// # Examples
///
/// ```
/// use reveille::rt::{self, io::{AsyncFd, Readable}};
///
/// rt::block_on(async {
///     let (reader, writer) = std::io::pipe()?;
///     let reader = AsyncFd::new(reader)?;
///     let end: Readable<'_, _> = reader.readable();
///     drop(writer);
///     end.await
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Readable<'a, T: AsFd>(Ready<'a, T>);

/// Waits until an [`AsyncFd`] is writable; see [`AsyncFd::writable`].
///
/// # Examples
///
/// ```
/// use reveille::rt::{self, io::{AsyncFd, Writable}};
///
/// rt::block_on(async {
///     let (_reader, writer) = std::io::pipe()?;
///     let writer = AsyncFd::new(writer)?;
///     let room: Writable<'_, _> = writer.writable();
///     room.await
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Writable<'a, T: AsFd>(Ready<'a, T>);

/// Either of them.
struct Ready<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    place: Place,
}

impl<'a, T: AsFd> Ready<'a, T> {
    fn new(fd: &'a AsyncFd<T>, direction: Direction) -> Self {
        let place = Place::Own(None);
        Self {
            fd,
            direction,
            place,
        }
    }
}

impl<T: AsFd> Future for Ready<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.fd.poll_ready(this.direction, &mut this.place, cx)
    }
}

impl<T: AsFd> Drop for Ready<'_, T> {
    fn drop(&mut self) {
        self.fd.leave(self.direction, &mut self.place);
    }
}

impl<T: AsFd> Future for Readable<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T: AsFd> Future for Writable<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T: AsFd> fmt::Debug for Readable<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").finish_non_exhaustive()
    }
}

impl<T: AsFd> fmt::Debug for Writable<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").finish_non_exhaustive()
    }
}
