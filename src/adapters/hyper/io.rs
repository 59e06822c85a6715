//! hyper's traits for reading and writing, on `AsyncFd`.
//!
//! Both wait as `poll_readable` and `poll_writable` do: one task at a time for each direction, as
//! a connection of hyper has.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;

use crate::rt::io::AsyncFd;

/// At most so many bytes are read by one call. It is the size of the buffer that hyper begins with.
const READ: usize = 8192;

/// With the features `hyper` and `io`. One task at a time may read; see
/// [`poll_readable`](AsyncFd::poll_readable).
impl<T: AsFd + Unpin> hyper::rt::Read for AsyncFd<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Only unsafe code can tell hyper's buffer that bytes were read into it, so they are
        // copied.
        let mut bytes = [0; READ];
        let limit = buffer.remaining().min(READ);
        let len = ready!(self.poll_read_into(cx, &mut bytes[..limit]))?;
        buffer.put_slice(&bytes[..len]);
        Poll::Ready(Ok(()))
    }
}

/// With the features `hyper` and `io`. One task at a time may write; see
/// [`poll_writable`](AsyncFd::poll_writable). `poll_shutdown` ends the writing half of a socket, so
/// that the peer reads the end; anything else is closed by its drop.
impl<T: AsFd + Unpin> hyper::rt::Write for AsyncFd<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |mut io| io.write_vectored(buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, |mut io| io.flush())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(self.shut_down())
    }
}
