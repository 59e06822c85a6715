//! The system calls of the reactor: an epoll instance in which each descriptor waits for one event.
//!
//! A room of its own so that the loom models can put a stand-in in its place and run the reactor and
//! its sources as they ship (`rt/model/kernel.rs`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::park::worker::IoSource;

/// How many events are collected at once.
const BATCH: usize = 256;

/// What an [`Epoll`] is told to wait for.
pub(super) type Descriptor<'a> = BorrowedFd<'a>;

/// Where events are collected to.
pub(super) type Batch = [MaybeUninit<Event>; BATCH];

/// An epoll instance. It is readable, in another one or in a poll, while it has events.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// Makes one without descriptors; fails if the process may have no more of them.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Enters a descriptor, for no event yet.
    pub(super) fn add(&self, descriptor: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        epoll::add(&self.0, descriptor, data(key), EventFlags::ONESHOT).map_err(refused)
    }

    /// Asks for one event out of `interest`, instead of what was asked for before.
    pub(super) fn arm(
        &self,
        descriptor: BorrowedFd<'_>,
        key: usize,
        interest: EventFlags,
    ) -> io::Result<()> {
        let flags = interest | EventFlags::ONESHOT;
        epoll::modify(&self.0, descriptor, data(key), flags).map_err(refused)
    }

    /// Takes a descriptor out again.
    pub(super) fn remove(&self, descriptor: BorrowedFd<'_>) {
        // It fails if the owner has put another descriptor in the place of this one, which then
        // is closed, and so out already.
        let _ = epoll::delete(&self.0, descriptor);
    }

    /// Returns what a worker's parker waits for.
    pub(super) fn io_source(epoll: Arc<Self>) -> Option<IoSource> {
        Some(epoll)
    }

    /// Makes room for a batch of events.
    pub(super) fn batch() -> Batch {
        [const { MaybeUninit::uninit() }; BATCH]
    }

    /// Returns the key and the kind of events that there are, as many as fit, without blocking.
    pub(super) fn collect<'a>(
        &self,
        batch: &'a mut Batch,
    ) -> impl ExactSizeIterator<Item = (usize, EventFlags)> + 'a {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // It fails only if a signal interrupts it, and is called again soon.
        let events = match epoll::wait(&self.0, batch, Some(&at_once)) {
            Ok((events, _)) => events,
            Err(_) => &mut [],
        };
        let key = |data: EventData| usize::try_from(data.u64()).unwrap_or(usize::MAX);
        events
            .iter()
            .map(move |&Event { flags, data, .. }| (key(data), flags))
    }
}

/// A worker's parker waits for it.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}

/// Returns what an error means, if the caller of the public function can do something about it.
fn refused(error: Errno) -> io::Error {
    let (kind, meaning) = match error {
        Errno::PERM => (
            io::ErrorKind::Unsupported,
            "this descriptor cannot be waited for: regular files, directories and their like are \
             always ready",
        ),
        Errno::EXIST => (
            io::ErrorKind::AlreadyExists,
            "this descriptor is registered already: share the AsyncFd, or duplicate the descriptor",
        ),
        Errno::NOENT => (
            io::ErrorKind::NotFound,
            "this is not the descriptor that was registered: it was replaced or closed",
        ),
        _ => return error.into(),
    };
    io::Error::new(kind, meaning)
}
