//! The system calls of the reactor: an epoll instance that reports the edges of descriptors.
//!
//! The loom models replace this file by `tests/loom/kernel.rs`, and run the reactor and the
//! registrations that ship.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, retry_on_intr};

use crate::park::worker::IoSource;

/// How many events are collected at once.
const BATCH: usize = 256;

/// What is registered with an [`Epoll`].
pub(super) type Descriptor<'a> = BorrowedFd<'a>;

/// A buffer for events.
pub(super) type Batch = [MaybeUninit<Event>; BATCH];

/// What may cut a read of a TCP socket short although there is more: the end, an error, and urgent
/// data.
pub(super) const MORE_THAN_DATA: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR)
    .union(EventFlags::PRI);

/// The timeout of a call that must not block.
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// An epoll instance. It is itself readable while it has events: for another instance, or for
/// `poll`.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// Makes an instance without descriptors. Fails if the process may have no more of them.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Registers a descriptor, for nothing but errors and hang-ups yet, which the kernel always
    /// reports.
    pub(super) fn add(&self, descriptor: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        epoll::add(&self.0, descriptor, data(key), EventFlags::ET).map_err(explain)
    }

    /// Returns whether each readiness of a descriptor that comes after an operation has failed with
    /// `WouldBlock` makes an edge.
    ///
    /// That is certain of sockets and pipes. A terminal lets a read fail while another one reads,
    /// and there are many other kinds of files. The system does not tell an eventfd from these.
    pub(super) fn makes_edges(descriptor: BorrowedFd<'_>) -> bool {
        fstat(descriptor).is_ok_and(|stat| {
            let file_type = FileType::from_raw_mode(stat.st_mode);
            matches!(file_type, FileType::Socket | FileType::Fifo)
        })
    }

    /// Asks for the edges of `interest`, in place of what was asked for before. What is ready now
    /// counts as an edge. Events for reading also tell of [`MORE_THAN_DATA`].
    pub(super) fn ask(
        &self,
        descriptor: BorrowedFd<'_>,
        key: usize,
        interest: EventFlags,
    ) -> io::Result<()> {
        let mut flags = interest | EventFlags::ET;
        if interest.contains(EventFlags::IN) {
            flags |= MORE_THAN_DATA;
        }
        epoll::modify(&self.0, descriptor, data(key), flags).map_err(explain)
    }

    /// Removes a descriptor.
    pub(super) fn remove(&self, descriptor: BorrowedFd<'_>) {
        // Fails if the owner has replaced the descriptor by another one. If the owner has closed
        // it, the kernel has removed it. If not, it cannot be registered here again.
        let _ = epoll::delete(&self.0, descriptor);
    }

    /// Returns what a worker's parker waits for.
    pub(super) fn io_source(epoll: Arc<Self>) -> Option<IoSource> {
        Some(epoll)
    }

    /// Makes an empty buffer.
    pub(super) fn batch() -> Batch {
        [const { MaybeUninit::uninit() }; BATCH]
    }

    /// Returns whether there is an event to collect.
    ///
    /// It takes none. And it overlooks none, as an `epoll_wait` that does not block may: that looks
    /// whether the list of events is empty without a lock, while another thread may be going
    /// through the list, such as a parked worker that asks whether this instance is readable.
    pub(super) fn has_events(&self) -> bool {
        let poll = || {
            let mut this = [PollFd::new(&self.0, PollFlags::IN)];
            event::poll(&mut this, Some(&AT_ONCE))
        };
        // An error does not say that there is none.
        retry_on_intr(poll).map_or(true, |ready| ready > 0)
    }

    /// Returns the keys and flags of the events that there are, as many as fit, without blocking.
    pub(super) fn collect<'a>(
        &self,
        batch: &'a mut Batch,
    ) -> impl ExactSizeIterator<Item = (usize, EventFlags)> + 'a {
        // Fails only if a signal interrupts it. The next poll collects the events.
        let events = match epoll::wait(&self.0, batch, Some(&AT_ONCE)) {
            Ok((events, _)) => events,
            Err(_) => &mut [],
        };
        let key = |data: EventData| usize::try_from(data.u64()).unwrap_or(usize::MAX);
        events
            .iter()
            .map(move |&Event { flags, data, .. }| (key(data), flags))
    }
}

/// For the parkers of the workers, which wait for it.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}

/// Explains an error that the caller of a public function can do something about.
fn explain(error: Errno) -> io::Error {
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
        Errno::INVAL => (
            io::ErrorKind::InvalidInput,
            "this open file is registered too often: the kernel limits how many duplicates of one a \
             runtime may register, to 500 / n or more with n workers: share one AsyncFd by an Arc \
             instead",
        ),
        _ => return error.into(),
    };
    io::Error::new(kind, meaning)
}
