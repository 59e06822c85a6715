//! Descriptors in a model: what `AsyncFd` and its futures do, around the reactor and registrations
//! that ship.

use std::io;
use std::mem;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use rustix::event::epoll::EventFlags;

use crate::rt::reactor::Reactor;
use crate::rt::reactor::kernel::{Epoll, File, Kind};
use crate::rt::reactor::registration::{Attempt, Direction, Registration, Wait, WaiterId};

/// The I/O of a runtime.
#[derive(Clone)]
pub(super) struct Io {
    reactor: Arc<Reactor>,
    epoll: Weak<Epoll>,
}

/// A file with two ends. This is the other end, which makes it ready.
pub(super) struct Peer {
    file: Arc<File>,
    epoll: Weak<Epoll>,
}

/// The end that is registered; an `AsyncFd`.
pub(super) struct Fd {
    file: Arc<File>,
    key: usize,
    registration: Arc<Registration>,
    reactor: Arc<Reactor>,
    epoll: Weak<Epoll>,
}

/// A task's wait; a `Readable` or `Writable`.
pub(super) struct Ready<'a> {
    fd: &'a Fd,
    direction: Direction,
    wait: Wait,
    id: WaiterId,
}

impl Io {
    pub(super) fn new() -> Self {
        let reactor = Reactor::new().expect("refused");
        let epoll = reactor.epoll().expect("just made");
        Self {
            reactor: Arc::new(reactor),
            epoll: Arc::downgrade(&epoll),
        }
    }

    /// Opens a socket.
    pub(super) fn open(&self) -> Peer {
        self.open_as(Kind::Socket)
    }

    /// Opens a terminal.
    pub(super) fn open_terminal(&self) -> Peer {
        self.open_as(Kind::Terminal)
    }

    fn open_as(&self, kind: Kind) -> Peer {
        let epoll = self.epoll.upgrade().expect("closed");
        Peer {
            file: Arc::new(epoll.open(kind)),
            epoll: self.epoll.clone(),
        }
    }

    /// Registers the other end of a file.
    pub(super) fn register(&self, peer: &Peer) -> io::Result<Fd> {
        let (key, registration) = self.reactor.register(&peer.file)?;
        Ok(Fd {
            file: peer.file.clone(),
            key,
            registration,
            reactor: self.reactor.clone(),
            epoll: self.epoll.clone(),
        })
    }

    /// What a worker does when it has nothing else to do.
    pub(super) fn sleep(&self) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.sleep();
        }
    }

    /// Ends that.
    pub(super) fn wake(&self) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.wake();
        }
    }

    /// What a worker does after that, and now and then.
    pub(super) fn poll(&self) {
        self.reactor.poll();
    }

    /// What the end of the runtime does.
    pub(super) fn close(&self) {
        self.reactor.close();
    }

    /// Returns whether anything keeps the epoll instance open.
    pub(super) fn is_open(&self) -> bool {
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
    pub(super) fn make_readable(&self) {
        self.make_ready(EventFlags::IN);
    }

    /// Has taken something.
    pub(super) fn make_writable(&self) {
        self.make_ready(EventFlags::OUT);
    }

    /// Has closed its end.
    pub(super) fn hang_up(&self) {
        self.make_ready(EventFlags::HUP);
    }

    /// Has the next read of the other end meet another one.
    pub(super) fn set_busy(&self) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.set_busy(&self.file);
        }
    }

    /// Has another descriptor of the other end read all that there is.
    pub(super) fn read_elsewhere(&self) {
        let epoll = self.epoll.upgrade().expect("closed");
        epoll.take(&self.file, EventFlags::IN).expect("was sent");
    }

    fn make_ready(&self, ready: EventFlags) {
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.set_ready(&self.file, ready);
        }
    }

    /// Returns whether a read would find something.
    pub(super) fn is_readable(&self) -> bool {
        let epoll = self.epoll.upgrade();
        epoll.is_some_and(|epoll| epoll.is_ready(&self.file, EventFlags::IN))
    }
}

impl Fd {
    /// Waits until it is readable.
    pub(super) fn readable(&self) -> Ready<'_> {
        self.wait(Direction::Read, Wait::Asking)
    }

    /// Waits until it is writable.
    pub(super) fn writable(&self) -> Ready<'_> {
        self.wait(Direction::Write, Wait::Asking)
    }

    fn wait(&self, direction: Direction, wait: Wait) -> Ready<'_> {
        Ready {
            fd: self,
            direction,
            wait,
            id: WaiterId::Future(None),
        }
    }

    /// Polls for it becoming readable, for one task at a time.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Direction::Read, cx)
    }

    /// Polls for it becoming writable, for one task at a time.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Direction::Write, cx)
    }

    fn poll(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (id, wait) = (&mut WaiterId::Poll, Wait::Asking);
        let descriptor = (&*self.file, self.key);
        self.registration.poll(direction, wait, id, cx, descriptor)
    }

    /// Reads all that there is, or waits until there is more.
    pub(super) fn read(&self) -> Result<(), Ready<'_>> {
        self.attempt(Direction::Read)
    }

    /// Reads all that there is, which is less than it has room for, or waits until there is more.
    pub(super) fn read_short(&self) -> Result<(), Ready<'_>> {
        if let Some(wait) = self.registration.wait_after_short_read() {
            return Err(self.wait(Direction::Read, wait));
        }
        let events = self.registration.read_events();
        self.read()?;
        self.registration.note_short_read(events);
        Ok(())
    }

    /// Fills all the room that there is, or waits until there is more.
    pub(super) fn write(&self) -> Result<(), Ready<'_>> {
        self.attempt(Direction::Write)
    }

    fn attempt(&self, direction: Direction) -> Result<(), Ready<'_>> {
        let taken = match direction {
            Direction::Read => EventFlags::IN,
            Direction::Write => EventFlags::OUT,
        };
        let operation = || match self.epoll.upgrade() {
            Some(epoll) => epoll.take(&self.file, taken),
            None => Err(io::ErrorKind::WouldBlock.into()),
        };
        let descriptor = (&*self.file, self.key);
        match self.registration.attempt(direction, descriptor, operation) {
            Attempt::Done(result) => Ok(result.expect("no error but WouldBlock")),
            Attempt::Blocked(wait) => Err(self.wait(direction, wait)),
        }
    }

    /// Reads as a trait that polls does, for one task at a time.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = match self.read() {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(ready) => ready,
            };
            ready.id = WaiterId::Poll;
            let polled = ready.poll(cx);
            // Not to be cancelled by its drop.
            ready.id = WaiterId::Future(None);
            match polled {
                Poll::Ready(Ok(())) => {}
                polled => return polled,
            }
        }
    }

    /// Gives out `&mut T`, here the file.
    pub(super) fn get_mut(&mut self) -> &mut Arc<File> {
        self.registration.forget();
        &mut self.file
    }

    /// Replaces the file by another one, and closes it: it is in no epoll instance any more.
    pub(super) fn replace(&mut self, peer: &Peer) {
        let replaced = mem::replace(self.get_mut(), peer.file.clone());
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.remove(&replaced);
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        assert!(!self.reactor.is_forked());
        self.reactor
            .deregister(&self.file, self.key, &self.registration);
    }
}

impl Ready<'_> {
    /// As the method of a future.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { fd, id, .. } = self;
        let descriptor = (&*fd.file, fd.key);
        fd.registration
            .poll(self.direction, self.wait, id, cx, descriptor)
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.fd.registration.cancel(self.direction, &mut self.id);
    }
}
