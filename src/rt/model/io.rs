//! How do the loom models get at the I/O?
//!
//! The reactor and its sources are those that ship. Under them is a stand-in for the kernel, around
//! them what `AsyncFd` and its futures do.

#[path = "kernel.rs"]
mod kernel;
#[allow(dead_code, reason = "no model begins without I/O, or has beds")]
#[path = "../io/reactor.rs"]
mod reactor;
#[path = "../io/source.rs"]
mod source;

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use rustix::event::epoll::EventFlags;

use self::kernel::{Epoll, File};
use self::reactor::Reactor;
use self::source::{Direction, Place, Source};

/// The I/O of a runtime.
#[derive(Clone)]
pub struct Io {
    reactor: Arc<Reactor>,
    epoll: Weak<Epoll>,
}

/// A file with two ends. This is the one of somebody else, who makes it ready.
pub struct Peer {
    file: Arc<File>,
    epoll: Weak<Epoll>,
}

/// The end that is registered; an `AsyncFd`.
pub struct Fd {
    file: Arc<File>,
    key: usize,
    source: Arc<Source>,
    reactor: Arc<Reactor>,
}

/// A task's wait; a `Readable` or `Writable`.
pub struct Wait<'a> {
    fd: &'a Fd,
    direction: Direction,
    place: Place,
}

impl Io {
    #[expect(clippy::missing_panics_doc, reason = "a model is never refused one")]
    #[must_use]
    pub fn new() -> Self {
        let reactor = Reactor::new().expect("refused");
        let epoll = reactor.epoll().expect("just made");
        Self {
            reactor: Arc::new(reactor),
            epoll: Arc::downgrade(&epoll),
        }
    }

    /// Opens a file.
    #[expect(clippy::missing_panics_doc, reason = "models open files first")]
    #[must_use]
    pub fn open(&self) -> Peer {
        let epoll = self.epoll.upgrade().expect("closed");
        Peer {
            file: Arc::new(epoll.open()),
            epoll: self.epoll.clone(),
        }
    }

    /// Registers the other end of a file.
    ///
    /// # Errors
    ///
    /// If closed.
    pub fn register(&self, peer: &Peer) -> io::Result<Fd> {
        let (key, source) = self.reactor.register(&peer.file)?;
        Ok(Fd {
            file: peer.file.clone(),
            key,
            source,
            reactor: self.reactor.clone(),
        })
    }

    /// What a worker does when it has nothing else to do.
    pub fn sleep(&self) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.sleep();
        }
    }

    /// Ends that.
    pub fn wake(&self) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.wake();
        }
    }

    /// What a worker does after that, and now and then.
    pub fn poll(&self) {
        self.reactor.poll();
    }

    /// What the end of the runtime does.
    pub fn close(&self) {
        self.reactor.close();
    }

    /// Returns whether anything keeps the epoll instance open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.epoll.strong_count() > 0
    }
}

impl Default for Io {
    fn default() -> Self {
        Self::new()
    }
}

impl Peer {
    /// Has sent something.
    pub fn make_readable(&self) {
        self.make_ready(EventFlags::IN);
    }

    /// Has taken something.
    pub fn make_writable(&self) {
        self.make_ready(EventFlags::OUT);
    }

    fn make_ready(&self, ready: EventFlags) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.set_ready(&self.file, ready);
        }
    }

    /// Returns whether a read would find something.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let epoll = self.epoll.upgrade();
        epoll.is_some_and(|epoll| epoll.is_ready(&self.file, EventFlags::IN))
    }
}

impl Fd {
    /// Waits until it is readable.
    #[must_use]
    pub fn readable(&self) -> Wait<'_> {
        self.wait(Direction::Read)
    }

    /// Waits until it is writable.
    #[must_use]
    pub fn writable(&self) -> Wait<'_> {
        self.wait(Direction::Write)
    }

    fn wait(&self, direction: Direction) -> Wait<'_> {
        Wait {
            fd: self,
            direction,
            place: Place::Own(None),
        }
    }

    /// Polls for it becoming readable, for one task at a time.
    ///
    /// # Errors
    ///
    /// If closed.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let place = &mut Place::Shared;
        self.source
            .poll(Direction::Read, place, cx, &self.file, self.key)
    }

    /// What giving out `&mut T` does.
    pub fn get_mut(&mut self) {
        self.source.trim();
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        self.reactor.deregister(&self.file, self.key, &self.source);
    }
}

impl Wait<'_> {
    /// As the method of a future.
    ///
    /// # Errors
    ///
    /// If closed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            fd,
            direction,
            place,
        } = self;
        fd.source.poll(*direction, place, cx, &fd.file, fd.key)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.fd.source.leave(self.direction, &mut self.place);
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fd").finish_non_exhaustive()
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
