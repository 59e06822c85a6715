//! Frames over a socket that does not block.
//!
//! Frames to be sent wait in `output` until the socket takes them, which is tried whenever the task
//! waits for a frame: so neither direction can block the other. A task that must not queue more
//! than the other side reads calls [`flush`](Wire::flush) and waits for it.
//!
//! A `Wire` is for one task, which polls the descriptor by `poll_readable` and `poll_writable`.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use reveille::rt::{io::AsyncFd, yield_now};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::protocol::Frame;

/// How many reads are dropped before other tasks run.
const BUDGET: u32 = 32;

pub(crate) struct Wire {
    socket: AsyncFd<TcpStream>,
    /// The longest frame that the other side may send.
    longest: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of `output` has been sent.
    sent: usize,
}

impl Wire {
    /// Wraps a socket. Dropping the wire resets the connection, whatever is under way;
    /// [`end`](Self::end) ends it in an orderly way.
    pub(crate) fn new(socket: TcpStream, longest: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        Ok(Self::of(AsyncFd::new(socket)?, longest))
    }

    fn of(socket: AsyncFd<TcpStream>, longest: usize) -> Self {
        Self {
            socket,
            longest,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
        }
    }

    /// Connects without blocking. `buffer` limits the size of the receive buffer.
    pub(crate) async fn connect(
        to: SocketAddrV4,
        longest: usize,
        buffer: Option<usize>,
    ) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if let Some(size) = buffer {
            sockopt::set_socket_recv_buffer_size(&socket, size)?;
        }
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = AsyncFd::new(TcpStream::from(socket))?;
        socket.writable().await?;
        match socket.get_ref().take_error()? {
            None => {}
            // It was connected and has ended already. The data that came before can be read.
            Some(error) if is_reset(&error) => {}
            Some(error) => return Err(error),
        }
        socket.get_ref().set_nodelay(true)?;
        Ok(Self::of(socket, longest))
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    /// Queues a frame to be sent.
    pub(crate) fn queue(&mut self, frame: Frame) {
        frame.encode(&mut self.output);
    }

    /// Queues bytes to be sent that make up a frame only together with later ones.
    pub(crate) fn queue_bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Returns whether the next frame has arrived in part.
    pub(crate) fn is_mid_frame(&self) -> bool {
        !self.input.is_empty()
    }

    /// Waits for the next frame, and sends meanwhile. Yields `None` when the other side has ended.
    ///
    /// If the socket can no longer be written, it may still hold frames, so it is read to its end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame>>> {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.output.clear();
            self.sent = 0;
        }
        loop {
            let decoded = Frame::decode(&self.input, self.longest);
            let decoded = decoded.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if let Some((frame, length)) = decoded {
                self.input.drain(..length);
                return Poll::Ready(Ok(Some(frame)));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Option<Frame>> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Waits until the socket has taken all that was queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends what the socket takes at once. The rest is sent while the task waits for a frame.
    pub(crate) fn flush_now(&mut self) {
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    /// Ends the connection once the other side has received everything and closed its end.
    ///
    /// If the socket was closed while bytes are unread, it would reset the connection, and the
    /// other side might never get our last frames.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)?;
        loop {
            for _ in 0..BUDGET {
                self.input.clear();
                if poll_fn(|cx| self.poll_fill(cx)).await? == 0 {
                    return Ok(());
                }
            }
            // A client that never stops sending must not keep the caller from its limit.
            yield_now().await;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() {
            match (&mut self.socket()).write(&self.output[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) => ready!(self.poll_again(error, |socket| socket.poll_writable(cx)))?,
            }
        }
        self.output.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads what is available. Zero means the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; 4096];
        loop {
            match (&mut self.socket()).read(&mut buffer) {
                Ok(length) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    return Poll::Ready(Ok(length));
                }
                Err(error) => ready!(self.poll_again(error, |socket| socket.poll_readable(cx)))?,
            }
        }
    }

    /// Ready if an operation that failed should be tried again, or if it cannot succeed.
    fn poll_again(
        &self,
        error: io::Error,
        wait: impl FnOnce(&AsyncFd<TcpStream>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match error.kind() {
            ErrorKind::WouldBlock => wait(&self.socket),
            ErrorKind::Interrupted => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(error)),
        }
    }
}

/// Returns whether the other side had accepted the connection, or was about to, and reset it.
fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
