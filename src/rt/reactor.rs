//! The reactor: from the kernel's events to the tasks that wait for them.
//!
//! All descriptors of a runtime are registered with one epoll instance, which reports their edges
//! (see `registration`). The parker of the driver owner waits for the events of that instance (see
//! `park/worker/epoll.rs`). While the driver owner is away, no parker does. The worker polls the
//! reactor after every park, and a busy worker polls it now and then. One thread at a time collects
//! a batch of events, takes the wakers of the tasks that wait for them, and wakes these tasks with
//! every lock released.
//!
//! An event carries the key of its registration. It may come late, when the descriptor was removed
//! from the epoll instance and the key belongs to another registration. The tasks of that other one
//! are then woken for nothing, try, and wait again: an event never means more than "try again".
//!
//! Wakers, handles and descriptors may outlive a runtime, and keep its reactor. So the reactor does
//! not own the epoll instance for good: it and each registration hold a reference, under locks that
//! they take anyway, and [`Reactor::close`] drops these references.

#[cfg(not(loom))]
mod kernel;
#[cfg(loom)]
#[path = "../../tests/loom/kernel.rs"]
mod kernel;
#[cfg(all(test, loom))]
#[path = "../../tests/loom/io.rs"]
mod models;
pub(super) mod registration;

use std::error::Error;
use std::fmt;
use std::io;
use std::mem;
use std::process;
use std::sync::{Arc, TryLockError};
use std::task::Waker;

use slab::Slab;

use crate::panic::catch_panic;
use crate::park::worker::IoSource;
use crate::rt::reactor::kernel::{Descriptor, Epoll};
use crate::rt::reactor::registration::{Registration, runtime_gone};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
    lock,
};

/// The I/O of one runtime.
pub(crate) struct Reactor {
    /// The id of the process that it was made in.
    process: u32,
    /// Whether there was an epoll instance to begin with.
    live: bool,
    registrations: Mutex<Registrations>,
    /// How many registrations there are.
    count: AtomicUsize,
    collector: Mutex<Collector>,
}

struct Registrations {
    list: Slab<Arc<Registration>>,
    epoll: EpollState,
}

/// The epoll instance that descriptors are registered with.
enum EpollState {
    Open(Arc<Epoll>),
    /// The system has refused to make one.
    Refused(Arc<io::Error>),
    /// The runtime has ended.
    Closed,
}

/// Locked by the thread that collects events, but not while it wakes tasks.
struct Collector {
    epoll: Option<Arc<Epoll>>,
    /// Empty; it keeps its capacity from one batch to the next.
    wakers: Vec<Waker>,
}

impl Reactor {
    /// Makes a reactor without registrations. Fails if the process may have no more descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::with_epoll(EpollState::Open(Arc::new(Epoll::new()?))))
    }

    /// Makes a reactor that refuses all registrations, because the system has refused an epoll
    /// instance.
    pub(crate) fn without_io(reason: io::Error) -> Self {
        Self::with_epoll(EpollState::Refused(Arc::new(reason)))
    }

    fn with_epoll(epoll: EpollState) -> Self {
        let collected = match &epoll {
            EpollState::Open(epoll) => Some(epoll.clone()),
            EpollState::Refused(_) | EpollState::Closed => None,
        };
        Self {
            process: process::id(),
            live: collected.is_some(),
            registrations: Mutex::new(Registrations {
                list: Slab::new(),
                epoll,
            }),
            count: AtomicUsize::new(0),
            collector: Mutex::new(Collector {
                epoll: collected,
                wakers: Vec::new(),
            }),
        }
    }

    /// Returns whether there may be I/O to wait for, now or later.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Returns whether this is a copy in a process that was forked. Its epoll instance is that of
    /// the parent, and its locks may be held by threads that exist only there.
    pub(in crate::rt) fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    /// Returns what is readable while there are events to [`poll`](Self::poll) for.
    pub(crate) fn io_source(&self) -> Option<IoSource> {
        self.epoll().and_then(Epoll::io_source)
    }

    pub(in crate::rt) fn epoll(&self) -> Option<Arc<Epoll>> {
        lock(&self.collector).epoll.clone()
    }

    /// Returns whether a descriptor is registered.
    pub(crate) fn has_registrations(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Returns whether there are events to [`poll`](Self::poll) for. It misses none that happened
    /// before the call and that no thread has begun to collect.
    pub(crate) fn has_events(&self) -> bool {
        self.epoll().is_some_and(|epoll| epoll.has_events())
    }

    /// Wakes the tasks of a batch of events, without blocking. Returns whether it has woken any. If
    /// another thread is collecting events, returns `false` at once.
    pub(crate) fn poll(&self) -> bool {
        let Some(mut wakers) = self.collect() else {
            return false;
        };
        let has_any = !wakers.is_empty();
        for waker in wakers.drain(..) {
            catch_panic(|| waker.wake());
        }
        if let Some(mut collector) = try_lock(&self.collector) {
            collector.wakers = wakers;
        }
        has_any
    }

    /// Collects a batch of events. Returns the wakers of the tasks that wait for them.
    fn collect(&self) -> Option<Vec<Waker>> {
        let mut collector = try_lock(&self.collector)?;
        let Collector { epoll, wakers } = &mut *collector;
        let mut batch = Epoll::batch();
        let events = epoll.as_ref()?.collect(&mut batch);
        if events.len() == 0 {
            return None;
        }
        let registrations = lock(&self.registrations);
        for (key, event) in events {
            if let Some(registration) = registrations.list.get(key) {
                registration.deliver(event, wakers);
            }
        }
        Some(mem::take(wakers))
    }

    /// Closes the epoll instance and ends all waits: a task that waits, or tries to, gets an error.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        let mut registrations = lock(&self.registrations);
        let epoll = match &registrations.epoll {
            EpollState::Open(_) => mem::replace(&mut registrations.epoll, EpollState::Closed),
            EpollState::Refused(_) | EpollState::Closed => return,
        };
        for (_, registration) in &registrations.list {
            registration.close(&mut wakers);
        }
        drop(registrations);
        let collected = lock(&self.collector).epoll.take();
        // These are usually the last references. The kernel then removes all descriptors, which may
        // take long.
        drop((epoll, collected));
        for waker in wakers {
            catch_panic(|| waker.wake());
        }
    }

    /// Registers a descriptor, for no direction yet. Returns its key and its registration.
    pub(in crate::rt) fn register(
        &self,
        descriptor: Descriptor<'_>,
    ) -> io::Result<(usize, Arc<Registration>)> {
        let (epoll, key, registration) = {
            let mut registrations = lock(&self.registrations);
            let epoll = match &registrations.epoll {
                EpollState::Open(epoll) => epoll.clone(),
                EpollState::Refused(reason) => return Err(NoIo::error(reason)),
                EpollState::Closed => return Err(runtime_gone()),
            };
            let registration = Arc::new(Registration::new(epoll.clone()));
            (
                epoll,
                registrations.list.insert(registration.clone()),
                registration,
            )
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = epoll.add(descriptor, key) {
            self.remove_registration(key);
            return Err(error);
        }
        Ok((key, registration))
    }

    /// Removes a descriptor.
    pub(in crate::rt) fn deregister(
        &self,
        descriptor: Descriptor<'_>,
        key: usize,
        registration: &Registration,
    ) {
        registration.deregister(descriptor);
        self.remove_registration(key);
    }

    fn remove_registration(&self, key: usize) {
        let registration = lock(&self.registrations).list.try_remove(key);
        self.count.fetch_sub(1, Ordering::Relaxed);
        drop(registration);
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

/// The error of a runtime without I/O, because the system has refused an epoll instance.
#[derive(Debug)]
struct NoIo(Arc<io::Error>);

impl NoIo {
    fn error(reason: &Arc<io::Error>) -> io::Error {
        io::Error::new(reason.kind(), Self(reason.clone()))
    }
}

impl fmt::Display for NoIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this runtime has no I/O: the system refused it a file descriptor when it was made \
             ({}); close some or raise the limit (`ulimit -n`), and make another runtime",
            self.0
        )
    }
}

impl Error for NoIo {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
