//! How do events of the kernel get to the tasks that wait for them?
//!
//! All descriptors of a runtime are registered with one epoll instance, each for one event at a
//! time. A worker that sleeps, and watches, has that instance nested in its bed (see `rt/bed.rs`);
//! it comes here when it wakes up, and a busy worker now and then: one of them at a time collects a
//! batch of events, takes the wakers of those who wait for them, and, with every lock released,
//! wakes them.
//!
//! An event carries the key of its source in the list. It may come late: the descriptor was taken
//! out of the epoll meanwhile, and the key is another source's. That source's tasks are then woken
//! for nothing, look, and wait anew; an event never means more than "try again".

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::Waker;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;

use crate::fire::shield;
use crate::rt::io::source::{Source, gone};
use crate::sync::lock;

/// How many events are collected at once.
const BATCH: usize = 256;

/// The I/O of one runtime.
pub(crate) struct Reactor {
    /// `None` if the process had no descriptor left for it.
    epoll: Option<OwnedFd>,
    sources: Mutex<Sources>,
    /// How many sources there are.
    count: AtomicUsize,
    /// Held by the one that collects, but not while it wakes. Empty; it keeps its room from one
    /// batch to the next.
    wakers: Mutex<Vec<Waker>>,
}

#[derive(Default)]
struct Sources {
    list: Slab<Arc<Source>>,
    closed: bool,
}

impl Reactor {
    /// A reactor without sources; fails if the process may have no more descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self::with(Some(epoll)))
    }

    /// A reactor that refuses all sources.
    pub(crate) fn without_io() -> Self {
        Self::with(None)
    }

    fn with(epoll: Option<OwnedFd>) -> Self {
        Self {
            epoll,
            sources: Mutex::default(),
            count: AtomicUsize::new(0),
            wakers: Mutex::default(),
        }
    }

    /// Whether there is anything to wait for, now or later.
    pub(crate) fn is_live(&self) -> bool {
        self.epoll.is_some()
    }

    /// What is readable when there is something to [`poll`](Self::poll) for.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.epoll.as_ref().map(AsFd::as_fd)
    }

    /// Whether any descriptor is registered.
    pub(crate) fn has_sources(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Wakes the tasks whose descriptors are ready, as far as a batch goes, without blocking.
    ///
    /// Returns at once if another thread is at it.
    pub(crate) fn poll(&self) {
        let Some(mut wakers) = self.collect() else {
            return;
        };
        for waker in wakers.drain(..) {
            shield(|| waker.wake());
        }
        if let Some(mut room) = try_lock(&self.wakers) {
            *room = wakers;
        }
    }

    /// Takes the wakers of those whose descriptors are ready.
    fn collect(&self) -> Option<Vec<Waker>> {
        let epoll = self.epoll.as_ref()?;
        let mut wakers = try_lock(&self.wakers)?;
        let mut room = [const { MaybeUninit::uninit() }; BATCH];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // It fails only if a signal interrupts it, and is called again soon.
        let (events, _) = epoll::wait(epoll, &mut room, Some(&at_once)).ok()?;
        if events.is_empty() {
            return None;
        }
        let sources = lock(&self.sources);
        for &mut Event { flags, data, .. } in events {
            let key = usize::try_from(data.u64()).unwrap_or(usize::MAX);
            if let Some(source) = sources.list.get(key) {
                source.deliver(flags, &mut wakers);
            }
        }
        Some(mem::take(&mut *wakers))
    }

    /// Ends all waits: whoever waits, or tries to, gets an error.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        let mut sources = lock(&self.sources);
        sources.closed = true;
        for (_, source) in &sources.list {
            source.close(&mut wakers);
        }
        drop(sources);
        for waker in wakers {
            shield(|| waker.wake());
        }
    }

    /// Enters a descriptor, for no event yet.
    pub(super) fn register(&self, descriptor: BorrowedFd<'_>) -> io::Result<(usize, Arc<Source>)> {
        let Some(epoll) = &self.epoll else {
            return Err(io::Error::other(
                "this runtime has no I/O: there was no file descriptor left when it started",
            ));
        };
        let source = Arc::new(Source::default());
        let key = {
            let mut sources = lock(&self.sources);
            if sources.closed {
                return Err(gone());
            }
            sources.list.insert(source.clone())
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = epoll::add(epoll, descriptor, data(key), EventFlags::ONESHOT) {
            self.strike(key);
            return Err(refused(error));
        }
        Ok((key, source))
    }

    /// Asks for one event of a kind.
    pub(super) fn arm(
        &self,
        descriptor: BorrowedFd<'_>,
        key: usize,
        interest: EventFlags,
    ) -> io::Result<()> {
        let Some(epoll) = &self.epoll else {
            return Err(gone());
        };
        epoll::modify(epoll, descriptor, data(key), interest | EventFlags::ONESHOT).map_err(refused)
    }

    /// Takes a descriptor out again.
    pub(super) fn deregister(&self, descriptor: BorrowedFd<'_>, key: usize) {
        if let Some(epoll) = &self.epoll {
            // It fails if the owner has put another descriptor in the place of this one, which then
            // is closed, and so out already.
            let _ = epoll::delete(epoll, descriptor);
        }
        self.strike(key);
    }

    fn strike(&self, key: usize) {
        let source = lock(&self.sources).list.try_remove(key);
        self.count.fetch_sub(1, Ordering::Relaxed);
        drop(source);
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        // As sound as before, see `sync::lock`.
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}

/// What the kernel means by an error, for those that are the caller's to understand.
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
