//! The futures of an `AsyncFd`, and operations that are tried until they do not block.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::rt::io::async_fd::{AsyncFd, Progress};
use crate::rt::reactor::registration::{Direction, Wait, WaiterId};

impl<T: AsFd> AsyncFd<T> {
    /// Waits until the descriptor is readable: there are data, a connection to accept, or the end.
    ///
    /// Reading may still find nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait, and takes no event from other waits.
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
        Readable(Ready::new(Fd::Borrowed(self), Direction::Read))
    }

    /// Waits until the descriptor is writable: there is room, or a connection was made, or has
    /// failed.
    ///
    /// Writing may still find no room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait, and takes no event from other waits.
    ///
    /// # Errors
    ///
    /// The future fails if the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    ///
    /// rt::block_on(async {
    ///     let (_reader, writer) = std::io::pipe()?;
    ///     AsyncFd::new(writer)?.writable().await
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn writable(&self) -> Writable<'_, T> {
        Writable(Ready::new(Fd::Borrowed(self), Direction::Write))
    }

    /// Waits until the descriptor is readable, as [`readable`](Self::readable) does. The returned
    /// future owns a reference, so it can be kept in a struct or moved to another task.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait, and takes no event from other waits.
    ///
    /// # Errors
    ///
    /// The future fails if the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// A connection, and a limit for its next request, that are polled by hand:
    ///
    /// ```
    /// use reveille::rt::{self, io::{AsyncFd, Readable}};
    /// use reveille::time::{Duration, Timeout, timeout};
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::Arc;
    ///
    /// struct Connection {
    ///     stream: Arc<AsyncFd<UnixStream>>,
    ///     request: Timeout<Readable<'static, UnixStream>>,
    /// }
    ///
    /// rt::block_on(async {
    ///     let (stream, _client) = UnixStream::pair()?;
    ///     let stream = Arc::new(AsyncFd::new(stream)?);
    ///     let request = timeout(Duration::from_millis(1), stream.clone().readable_owned());
    ///     let connection = Connection { stream, request };
    ///     assert!(connection.request.await.is_err());
    ///     # drop(connection.stream);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn readable_owned(self: Arc<Self>) -> Readable<'static, T> {
        Readable(Ready::new(Fd::Shared(self), Direction::Read))
    }

    /// Waits until the descriptor is writable, as [`writable`](Self::writable) does. The returned
    /// future owns a reference, as that of [`readable_owned`](Self::readable_owned) does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait, and takes no event from other waits.
    ///
    /// # Errors
    ///
    /// The future fails if the runtime is gone or the descriptor was replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::sync::Arc;
    ///
    /// rt::block_on(async {
    ///     let (_reader, writer) = std::io::pipe()?;
    ///     let writer = Arc::new(AsyncFd::new(writer)?);
    ///     rt::spawn(writer.clone().writable_owned()).await?
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn writable_owned(self: Arc<Self>) -> Writable<'static, T> {
        Writable(Ready::new(Fd::Shared(self), Direction::Write))
    }

    /// Polls whether the descriptor has become readable since the last call that returned `Ready`.
    ///
    /// Only the task of the last call is woken. A call by another task displaces a task that waits,
    /// and wakes it so that it can call again. Any number of tasks may use
    /// [`readable`](Self::readable).
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
        self.poll_ready(Direction::Read, Wait::Asking, &mut WaiterId::Poll, cx)
    }

    /// Polls whether the descriptor has become writable since the last call that returned `Ready`.
    ///
    /// Only the task of the last call is woken, as with [`poll_readable`](Self::poll_readable).
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
        self.poll_ready(Direction::Write, Wait::Asking, &mut WaiterId::Poll, cx)
    }

    /// Runs a reading operation, and repeats it until it does not fail with `WouldBlock`.
    ///
    /// It is tried at once, and then each time that the descriptor becomes readable. An operation
    /// that a signal interrupts is repeated at once. After 64 operations in a row other tasks have
    /// their turn first.
    ///
    /// The operation may fail with `WouldBlock` only where the descriptor did, because it had
    /// nothing more to read. What is there already makes the descriptor *become* readable no more:
    /// an operation that leaves bytes there and fails with `WouldBlock` is tried again when more
    /// come, and not before. To look at what is there without taking it, wait by
    /// [`readable`](Self::readable), which ends at once if there is anything.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no data: an operation that succeeds has returned its result.
    ///
    /// # Errors
    ///
    /// Those of the operation, except `WouldBlock` and `Interrupted`, and those of
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
    pub fn read_with<R>(
        &self,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.try_with(Direction::Read, None, operation)
    }

    /// Runs a writing operation, and repeats it until it does not fail with `WouldBlock`.
    ///
    /// Like [`read_with`](Self::read_with), but waits until the descriptor is writable. The
    /// operation may fail with `WouldBlock` only where the descriptor did, because it had no more
    /// room, and where its becoming writable says that there is some. Two operations on Unix
    /// sockets are different:
    ///
    /// - `connect` to a listener whose queue is full: no event says that there is room in it, and
    ///   the wait never ends. Try again after a [`sleep`](crate::time::sleep()).
    /// - Sending from a datagram socket that is not connected, to a receiver that has no room: the
    ///   socket itself is writable, so this is tried again and again, on a whole core. Connect the
    ///   socket first; then it is writable when its peer has room.
    ///
    /// # Errors
    ///
    /// Those of the operation, except `WouldBlock` and `Interrupted`, and those of
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
    pub fn write_with<R>(
        &self,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.try_with(Direction::Write, None, operation)
    }

    /// Tries an operation until it does not block. Begins with a wait, if there is one.
    pub(super) fn try_with<F>(
        &self,
        direction: Direction,
        wait: Option<Wait>,
        operation: F,
    ) -> Operation<'_, T, F> {
        Operation {
            fd: self,
            direction,
            progress: Progress::new(wait, WaiterId::Future(None)),
            operation,
        }
    }
}

/// Tries an operation until it does not block.
pub(super) struct Operation<'a, T: AsFd, F> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    progress: Progress,
    operation: F,
}

/// The operation is called, and never pinned.
impl<T: AsFd, F> Unpin for Operation<'_, T, F> {}

impl<T: AsFd, R, F: FnMut(&T) -> io::Result<R>> Future for Operation<'_, T, F> {
    type Output = io::Result<R>;

    // Inlined into the caller's future: see `Worker::run_task`.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = &mut *self;
        let (direction, progress) = (this.direction, &mut this.progress);
        this.fd
            .poll_operation(direction, progress, cx, &mut this.operation)
    }
}

impl<T: AsFd, F> Drop for Operation<'_, T, F> {
    fn drop(&mut self) {
        self.fd
            .registration
            .cancel(self.direction, &mut self.progress.waiter);
    }
}

/// Waits until an [`AsyncFd`] is readable; see [`AsyncFd::readable`] and
/// [`AsyncFd::readable_owned`].
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

/// Waits until an [`AsyncFd`] is writable; see [`AsyncFd::writable`] and
/// [`AsyncFd::writable_owned`].
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

/// What a future keeps of its descriptor.
enum Fd<'a, T: AsFd> {
    Borrowed(&'a AsyncFd<T>),
    Shared(Arc<AsyncFd<T>>),
}

impl<T: AsFd> Deref for Fd<'_, T> {
    type Target = AsyncFd<T>;

    fn deref(&self) -> &AsyncFd<T> {
        match self {
            Fd::Borrowed(fd) => fd,
            Fd::Shared(fd) => fd,
        }
    }
}

/// Waits for one of the two directions.
struct Ready<'a, T: AsFd> {
    fd: Fd<'a, T>,
    direction: Direction,
    waiter: WaiterId,
}

impl<'a, T: AsFd> Ready<'a, T> {
    fn new(fd: Fd<'a, T>, direction: Direction) -> Self {
        Self {
            fd,
            direction,
            waiter: WaiterId::Future(None),
        }
    }
}

impl<T: AsFd> Future for Ready<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.fd
            .poll_ready(this.direction, Wait::Asking, &mut this.waiter, cx)
    }
}

impl<T: AsFd> Drop for Ready<'_, T> {
    fn drop(&mut self) {
        self.fd
            .registration
            .cancel(self.direction, &mut self.waiter);
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
