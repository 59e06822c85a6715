//! Operations that fail.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use futures_io::{AsyncRead, AsyncWrite};

use super::*;

/// A socket whose operations fail in turn, and then do nothing.
struct Failing {
    socket: UnixStream,
    errors: Mutex<VecDeque<io::ErrorKind>>,
}

impl Failing {
    fn next(&self) -> io::Result<usize> {
        let error = self.errors.lock().unwrap().pop_front();
        error.map_or(Ok(0), |kind| Err(kind.into()))
    }
}

impl AsFd for Failing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Read for &Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.next()
    }
}

impl Write for &Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.next()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_operation_is_tried_again_after_a_signal_and_after_no_other_error() {
    let (reactor, task) = (reactor(), Task::new());
    let (socket, _peer) = UnixStream::pair().unwrap();
    let errors = [
        io::ErrorKind::Interrupted,
        io::ErrorKind::Interrupted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::Interrupted,
    ];
    let errors = Mutex::new(VecDeque::from(errors));
    let failing = register(&reactor, Failing { socket, errors });
    let mut io = &failing;
    let read = Pin::new(&mut io).poll_read(&mut task.context(), &mut [0]);
    assert_eq!(kind(read.map_ok(drop)), io::ErrorKind::ConnectionReset);
    let write = Pin::new(&mut io).poll_write(&mut task.context(), &[0]);
    assert_eq!(kind(write.map_ok(drop)), io::ErrorKind::BrokenPipe);
    let write = Pin::new(&mut io).poll_write(&mut task.context(), &[0]);
    assert!(matches!(write, Poll::Ready(Ok(0))));
    assert_eq!((task.wakes(), task.held()), (0, 0));
}
