//! The owner of a descriptor that tasks wait for.
//!
//! It registers the descriptor with the reactor when it is made, and removes it before the
//! descriptor can be closed.

use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use crate::rt::handle::NoRuntime;
use crate::rt::io::mode::Mode;
use crate::rt::reactor::Reactor;
use crate::rt::reactor::registration::{Attempt, Direction, Registration, Wait, WaiterId};
use crate::rt::scopes;

/// Waits on the current runtime until a file descriptor can be read or written; Linux only.
///
/// `T` owns it: a `TcpListener`, `TcpStream` or `UdpSocket` of std, a pipe, an `OwnedFd`.
///
/// # Non-blocking mode
///
/// The descriptor is non-blocking as long as the `AsyncFd` exists: an operation that blocks would
/// hold up the worker with all its tasks and timers. If it was blocking before, it is again after
/// [`into_inner`](Self::into_inner) or a drop.
///
/// The mode belongs to the open file, which *duplicates* share: those made by `try_clone` and
/// `dup`, and those that another process has inherited or passed on, such as standard input. They
/// are non-blocking meanwhile, too. If several duplicates are each in an `AsyncFd` of this process,
/// the last of these to go restores the mode. The same is true of unrelated descriptors of one
/// terminal, named pipe or device. A descriptor that is non-blocking already is left as it is,
/// which also saves four or five system calls. Among eventfds, timerfds and their like, that goes
/// for each one that is found non-blocking, also for a duplicate of one that is in an `AsyncFd`.
///
/// **If another process uses a duplicate** that has to stay non-blocking, as after a restart that
/// hands the listener over, call `set_nonblocking(true)` before [`new`](Self::new). Otherwise the
/// drop here makes the duplicate blocking there, and its next operation may block a worker.
///
/// # Waiting
///
/// Any number of tasks may wait for the descriptor, through a shared reference or an `Arc`, on any
/// executor. The workers of the runtime on which it was made wake them. A descriptor that is ready
/// is a reason to try, not a promise: another task may be faster. [`read`](Self::read),
/// [`write`](Self::write) and, for any operation, [`read_with`](Self::read_with) and
/// [`write_with`](Self::write_with) try, wait and try again. Such a wait is for what comes after
/// the operation has failed with `WouldBlock`, or after a short read (see below). On a socket or
/// pipe the first one is a system call, and later ones are usually none.
/// [`readable`](Self::readable) and the like ask the kernel each time, and end at once if the
/// descriptor is ready already.
///
/// A [`read`](Self::read) that gets less than it has room for has taken all that a TCP socket had.
/// So on a stream that [`connect`](AsyncFd::connect) or [`accept`](AsyncFd::<TcpListener>::accept)
/// has made, the next `read` waits at once, which saves a system call for each message. On others
/// that cannot be known, and it tries first. A program that takes urgent data by `MSG_OOB`, or
/// changes how such a stream reads, by kTLS for example, calls [`read_with`](Self::read_with),
/// which always tries first.
///
/// A peer that hangs up, a closed end of a pipe and an error of a socket make the descriptor
/// readable and writable, because a task learns of them by reading or writing. Once the runtime is
/// gone, waiting fails, and a task that is waiting then is woken to get the error.
///
/// Dropping an `AsyncFd` removes the descriptor from the runtime and then drops `T`.
///
/// # Examples
///
/// A server that accepts connections and echoes, with a limit on how long it waits for a client:
///
/// ```
/// use reveille::FutureExt;
/// use reveille::rt::{self, io::AsyncFd};
/// use reveille::time::{Duration, sleep};
/// use std::io;
/// use std::net::{TcpListener, TcpStream};
///
/// async fn serve(listener: AsyncFd<TcpListener>) {
///     loop {
///         match listener.accept().await {
///             Ok((stream, _)) => drop(rt::spawn(echo(stream))),
///             // The client has gone already.
///             Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
///             // The system is short of something, such as descriptors. It may be better soon.
///             Err(error) => {
///                 eprintln!("no connection accepted: {error}");
///                 sleep(Duration::from_millis(100)).await;
///             }
///         }
///     }
/// }
///
/// async fn echo(stream: AsyncFd<TcpStream>) -> io::Result<()> {
///     let limit = Duration::from_secs(30);
///     let mut buffer = [0; 1024];
///     loop {
///         let len = stream.read(&mut buffer).timeout(limit).await??;
///         if len == 0 {
///             return Ok(());
///         }
///         stream.write_all(&buffer[..len]).timeout(limit).await??;
///     }
/// }
///
/// rt::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     rt::spawn(serve(AsyncFd::new(listener)?));
///
///     let client = AsyncFd::connect(address).await?;
///     client.write_all(b"hello").await?;
///     let mut answer = [0; 5];
///     let len = client.read(&mut answer).await?;
///     assert_eq!(&answer[..len], b"hello");
///     Ok::<_, io::Error>(())
/// })?;
/// # Ok::<_, io::Error>(())
/// ```
// In this order, so that what an operation needs is side by side, as a rule in one cache line.
#[repr(C)]
pub struct AsyncFd<T: AsFd> {
    pub(super) registration: Arc<Registration>,
    key: usize,
    /// How many operations were tried without a wait, for each direction.
    operations: [AtomicU32; 2],
    /// Whether `io` is a TCP stream of std that `connect` or `accept` has made: then a short read
    /// has taken all that there was (see `registration`).
    is_tcp: bool,
    // `None` only at the end of `into_inner`.
    io: Option<T>,
    reactor: Arc<Reactor>,
    mode: Mode,
}

/// How far an operation has come.
pub(super) struct Progress {
    /// The wait that has to end before it is tried.
    wait: Option<Wait>,
    pub(super) waiter: WaiterId,
    /// Whether it has let other tasks have their turn, and not been tried since. Then it is tried,
    /// whatever the others have counted meanwhile.
    has_yielded: bool,
}

impl Progress {
    pub(super) fn new(wait: Option<Wait>, waiter: WaiterId) -> Self {
        Self {
            wait,
            waiter,
            has_yielded: false,
        }
    }
}

/// How many operations may be tried without a wait before other tasks have their turn.
const OPERATIONS_IN_A_ROW: u32 = 64;

impl<T: AsFd> AsyncFd<T> {
    /// Registers a descriptor with the current runtime, and makes it non-blocking.
    ///
    /// `io.as_fd()` must return the same descriptor each time.
    ///
    /// # Errors
    ///
    /// - If the kernel refuses the descriptor: a regular file or directory cannot be waited for
    ///   ([`Unsupported`](io::ErrorKind::Unsupported)), and no descriptor can be registered twice
    ///   ([`AlreadyExists`](io::ErrorKind::AlreadyExists)).
    /// - If too many duplicates of it are registered: the kernel allows a runtime with n workers
    ///   500 / n duplicates of one open file, or more
    ///   ([`InvalidInput`](io::ErrorKind::InvalidInput)).
    ///   Share one `AsyncFd` instead, by an `Arc`.
    /// - If the runtime is gone.
    /// - If the runtime was made when the process had no file descriptors left, as that of
    ///   [`rt::block_on`](crate::rt::block_on()) may have been. Then the
    ///   [source](std::error::Error::source) is the system's error.
    ///
    /// `io` is dropped in each case.
    ///
    /// # Panics
    ///
    /// If this thread is in no runtime: neither in a task, nor in `block_on`, nor entered by a
    /// guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io::ErrorKind;
    ///
    /// rt::block_on(async {
    ///     let (reader, _writer) = std::io::pipe()?;
    ///     assert!(AsyncFd::new(reader).is_ok());
    ///
    ///     let file = std::fs::File::open("/proc/self/exe")?;
    ///     let error = AsyncFd::new(file).unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::Unsupported);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        let Some(inner) = scopes::current() else {
            panic!("{NoRuntime}");
        };
        Self::with_reactor(io, inner.pool.reactor.clone())
    }

    pub(super) fn with_reactor(io: T, reactor: Arc<Reactor>) -> io::Result<Self> {
        let descriptor = io.as_fd();
        let (key, registration) = reactor.register(descriptor)?;
        let mode = match Mode::set_nonblocking(descriptor) {
            Ok(mode) => mode,
            Err(error) => {
                reactor.deregister(descriptor, key, &registration);
                return Err(error);
            }
        };
        Ok(Self {
            io: Some(io),
            key,
            registration,
            reactor,
            mode,
            is_tcp: false,
            operations: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    /// Returns the owner of the descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::net::UdpSocket;
    ///
    /// rt::block_on(async {
    ///     let socket = AsyncFd::new(UdpSocket::bind("127.0.0.1:0")?)?;
    ///     assert!(socket.get_ref().local_addr()?.ip().is_loopback());
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[expect(
        clippy::missing_panics_doc,
        reason = "only `into_inner` takes it, and consumes self"
    )]
    #[must_use]
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect("taken by into_inner")
    }

    /// Returns the owner of the descriptor, to change it.
    ///
    /// Do not replace it by the owner of another descriptor: that one is not registered, and
    /// waiting for it fails ([`NotFound`](io::ErrorKind::NotFound)). If it is replaced by a
    /// duplicate of itself, the kernel goes on reporting events of the old registration, and wakes
    /// workers for nothing, until all duplicates are closed.
    ///
    /// Tasks that wait by [`poll_readable`](Self::poll_readable) and the like are woken, to poll
    /// again, but only once between two events. The next wait asks the kernel anew, which is a
    /// system call.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io::BufReader;
    ///
    /// struct Lines(BufReader<std::io::PipeReader>);
    /// # impl std::os::fd::AsFd for Lines {
    /// #     fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> { self.0.get_ref().as_fd() }
    /// # }
    ///
    /// rt::block_on(async {
    ///     let (reader, _writer) = std::io::pipe()?;
    ///     let mut lines = AsyncFd::new(Lines(BufReader::new(reader)))?;
    ///     lines.get_mut().0.consume(0);
    ///     # use std::io::BufRead;
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[expect(
        clippy::missing_panics_doc,
        reason = "only `into_inner` takes it, and consumes self"
    )]
    #[must_use]
    pub fn get_mut(&mut self) -> &mut T {
        self.registration.forget();
        self.is_tcp = false;
        self.io.as_mut().expect("taken by into_inner")
    }

    /// Removes the descriptor from the runtime and returns its owner. The descriptor is blocking
    /// again if it was before; see [non-blocking mode](Self#non-blocking-mode).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    ///
    /// rt::block_on(async {
    ///     let (reader, _writer) = std::io::pipe()?;
    ///     let reader = AsyncFd::new(reader)?.into_inner();
    ///     assert!(AsyncFd::new(reader).is_ok());
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[expect(
        clippy::missing_panics_doc,
        reason = "only `into_inner` takes it, and consumes self"
    )]
    #[must_use]
    pub fn into_inner(mut self) -> T {
        self.deregister();
        self.io.take().expect("taken by into_inner")
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn poll_ready(
        &self,
        direction: Direction,
        wait: Wait,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // This is the caller's code, so it is called before any lock is taken.
        let descriptor = (self.as_fd(), self.key);
        self.registration
            .poll(direction, wait, waiter, cx, descriptor)
    }

    /// Says that `io` is a new TCP stream of std.
    pub(super) fn of_tcp(mut self) -> Self {
        self.is_tcp = true;
        self
    }

    /// Returns the wait that a read into `buffer` begins with, if there is nothing to read.
    pub(super) fn wait_before_read(&self, buffer: &[u8]) -> Option<Wait> {
        // Without room it need not wait for anything.
        let may_wait = self.is_tcp && !buffer.is_empty();
        may_wait
            .then(|| self.registration.wait_after_short_read())
            .flatten()
    }

    /// Reads into `buffer`, and notes whether the read was short.
    pub(super) fn read_noting_short(&self, mut io: &T, buffer: &mut [u8]) -> io::Result<usize>
    where
        for<'a> &'a T: Read,
    {
        let events = self.registration.read_events();
        let len = io.read(buffer)?;
        if self.is_tcp && 0 < len && len < buffer.len() {
            self.registration.note_short_read(events);
        }
        Ok(len)
    }

    /// Polls for the end of a wait, if there is one, and tries an operation until it does not block.
    // Inlined: see `Worker::run_task`.
    #[inline(always)]
    pub(super) fn poll_operation<R>(
        &self,
        direction: Direction,
        progress: &mut Progress,
        cx: &mut Context<'_>,
        operation: &mut impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if let Some(wait) = progress.wait {
                let polled = self.poll_ready(direction, wait, &mut progress.waiter, cx);
                if polled.is_pending() {
                    self.reset_budget(direction);
                }
                ready!(polled)?;
                progress.wait = None;
            }
            if !mem::take(&mut progress.has_yielded) && self.spend_budget(direction) {
                progress.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let descriptor = (self.as_fd(), self.key);
            let operation = || operation(self.get_ref());
            match self.registration.attempt(direction, descriptor, operation) {
                Attempt::Blocked(wait) => progress.wait = Some(wait),
                Attempt::Done(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Attempt::Done(result) => return Poll::Ready(result),
            }
        }
    }

    /// Counts an operation that is about to be tried. Returns whether the budget was spent before:
    /// then other tasks have their turn first.
    ///
    /// A peer that sends as fast as a task reads would otherwise keep the worker from all its other
    /// tasks and timers.
    fn spend_budget(&self, direction: Direction) -> bool {
        let operations = &self.operations[direction as usize];
        // Not `fetch_add`, which costs more than all else here: where two tasks read one descriptor
        // at once, a count may be lost.
        let tried = operations.load(Relaxed);
        let spent = tried >= OPERATIONS_IN_A_ROW;
        operations.store(if spent { 0 } else { tried + 1 }, Relaxed);
        spent
    }

    /// Counts from zero again, because other tasks have their turn: a wait is pending.
    ///
    /// Each direction has a count of its own. A task that polls both may wait for one, and go on
    /// with the other.
    fn reset_budget(&self, direction: Direction) {
        self.operations[direction as usize].store(0, Relaxed);
    }

    /// Removes the descriptor from the reactor. That comes before it is closed: right after that
    /// its number may be another one's.
    ///
    /// Not in a process that was forked: the registration and the open file are also the parent's.
    fn deregister(&self) {
        if self.reactor.is_forked() {
            return;
        }
        if let Some(io) = &self.io {
            let descriptor = io.as_fd();
            self.reactor
                .deregister(descriptor, self.key, &self.registration);
            self.mode.restore(descriptor);
        }
    }
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("io", self.get_ref())
            .finish_non_exhaustive()
    }
}
