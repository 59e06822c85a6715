//! Operations for traits that poll: those of futures-io, hyper and quinn.
//!
//! They wait as `poll_readable` and `poll_writable` do: one task at a time for each direction.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use crate::rt::io::async_fd::{AsyncFd, Progress};
use crate::rt::reactor::registration::{Direction, WaiterId};

impl<T: AsFd> AsyncFd<T> {
    /// Tries a reading operation, and begins to wait if it fails with `WouldBlock`.
    pub(crate) fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Read, cx, operation)
    }

    fn poll_with<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut progress = Progress::new(None, WaiterId::Poll);
        self.poll_operation(direction, &mut progress, cx, &mut operation)
    }
}

// The sockets of quinn read and write by other calls, and wait for room by a future of their own.
#[cfg(any(feature = "futures-io", feature = "hyper"))]
impl<T: AsFd> AsyncFd<T> {
    /// Polls for bytes to read into `buffer`, as [`read`](Self::read) waits for them.
    pub(crate) fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>
    where
        for<'a> &'a T: io::Read,
    {
        let mut progress = Progress::new(self.wait_before_read(buffer), WaiterId::Poll);
        let mut read = |io: &T| self.read_noting_short(io, buffer);
        self.poll_operation(Direction::Read, &mut progress, cx, &mut read)
    }

    /// Tries a writing operation, and begins to wait if it fails with `WouldBlock`.
    pub(crate) fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Direction::Write, cx, operation)
    }

    /// Ends the writing half of a socket. For anything else, which is closed by its drop, does
    /// nothing.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        use rustix::io::Errno;
        use rustix::net::{Shutdown, shutdown};

        match shutdown(self.get_ref(), Shutdown::Write) {
            Ok(()) | Err(Errno::NOTSOCK | Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
