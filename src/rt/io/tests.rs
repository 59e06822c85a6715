//! The reactor without an executor: polled by the test itself, or by a loop of a few lines.

use std::fs::File;
use std::future::Future;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::*;
use crate::instant::NEVER;
use crate::park::worker::worker_park;
use crate::rt::reactor::Reactor;
use crate::system;

mod busy;
mod edges;
mod ends;
#[cfg(feature = "futures-io")]
mod errors;
mod waits;
mod watch;

/// A task that counts how often it is woken.
struct Task(Arc<Wakes>, Waker);

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Task {
    fn new() -> Self {
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        Self(wakes.clone(), wakes.into())
    }

    fn wakes(&self) -> usize {
        self.0.0.load(SeqCst)
    }

    /// How many of its wakers others hold.
    fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 2
    }

    fn context(&self) -> Context<'_> {
        Context::from_waker(&self.1)
    }

    fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut self.context())
    }
}

/// Wakes by running a closure.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn reactor() -> Arc<Reactor> {
    Arc::new(Reactor::new().unwrap())
}

fn register<T: AsFd>(reactor: &Arc<Reactor>, io: T) -> AsyncFd<T> {
    AsyncFd::with_reactor(io, reactor.clone()).unwrap()
}

fn piped(reactor: &Arc<Reactor>) -> (AsyncFd<PipeReader>, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    (register(reactor, reader), writer)
}

/// Two connected streams; what is written to the first does not block, and its buffer is full.
fn full(reactor: &Arc<Reactor>) -> (AsyncFd<UnixStream>, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    while (&here).write(&[0; 4096]).is_ok() {}
    (register(reactor, here), there)
}

fn is_ok(poll: Poll<io::Result<()>>) -> bool {
    matches!(poll, Poll::Ready(Ok(())))
}

fn kind(poll: Poll<io::Result<()>>) -> io::ErrorKind {
    match poll {
        Poll::Ready(Err(error)) => error.kind(),
        _ => panic!("no error: {poll:?}"),
    }
}

/// Runs `future` in the loop of a worker that waits for I/O.
fn run<F: Future>(reactor: &Arc<Reactor>, future: F) -> F::Output {
    let park = Arc::new(worker_park(1, reactor.io_source()).unwrap());
    let unparking = park.clone();
    let waker = Waker::from(Arc::new(Call(move || unparking.unpark())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    park.set_io(true);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        park.park();
        reactor.poll();
    }
}

/// Runs `test` on a thread of its own and panics if it hangs.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("still running after a minute"),
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().unwrap_err()),
    }
}
