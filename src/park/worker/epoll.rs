//! Parks a worker in an epoll instance, where other threads move its timeout without waking it.
//!
//! The instance watches three descriptors, each of which keeps its state in the kernel:
//!
//! | descriptor    | is                                | registered for                             |
//! |---------------|-----------------------------------|--------------------------------------------|
//! | an eventfd    | the unpark                        | edges: each write counts once              |
//! | a timerfd     | the timeout, an absolute time     | its level: readable once that has passed   |
//! | the I/O source | the reactor's epoll, which all workers share | its level, while this worker waits for I/O |
//!
//! None of them is ever read. The [`Token`] in front of the eventfd keeps an unpark of a worker
//! that runs out of the kernel.
//!
//! # Why nothing is lost
//!
//! *An unpark.* It sets the token. If the worker was not about to park, its next park finds the
//! token and returns. If the token was set already, that one will do. If the token was PARKED, the
//! worker is between `begin_park` and `end_park`, and the write makes an edge. An edge lies in
//! epoll's list of what is ready until one `epoll_wait` returns it, and that is the running one or
//! a later one, never an earlier: so the running park ends, or, if it was about to end for another
//! reason, the next park ends early, without a reason.
//!
//! *A timeout, I/O.* `timerfd_settime` and `epoll_ctl` act under the kernel's own locks on what the
//! worker waits in, and it makes no difference whether the worker is parked, is about to park, or
//! runs. Both are levels: an `epoll_wait` that begins after the timeout, or with I/O that nobody
//! has collected, returns at once, however often it has returned before. An entry in the list of
//! what is ready that is so no longer, because the timeout was moved or the worker no longer waits
//! for I/O, is checked again by `epoll_wait` and dropped, and the park goes on.
//!
//! *What was written before an unpark* is visible after the park: setting the token releases it,
//! `end_park` acquires it, and the edge comes after the former.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::TimerfdClockId;

use super::{IoSource, WorkerPark, now};
use crate::instant::NEVER;
use crate::park::timerfd;
use crate::park::token::Token;

pub(super) struct EpollPark {
    token: Token,
    descriptors: Weak<Descriptors>,
    /// The only lasting strong reference, which `close` drops: unparkers may outlive the runtime.
    keep_alive: Mutex<Option<Arc<Descriptors>>>,
    // What the kernel was told last, so that it is told only what is new. Relaxed: the callers'
    // lock orders these, too.
    timeout: AtomicU64,
    waits_for_io: AtomicBool,
}

struct Descriptors {
    epoll: OwnedFd,
    event: OwnedFd,
    timer: OwnedFd,
    io: Option<IoSource>,
}

impl Descriptors {
    fn new(io: Option<IoSource>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer = timerfd::create(TimerfdClockId::Monotonic)?;
        // Nothing checks which of the three it was: the worker checks everything in any case.
        let data = EventData::new_u64(0);
        epoll::add(&epoll, &event, data, EventFlags::IN | EventFlags::ET)?;
        epoll::add(&epoll, &timer, data, EventFlags::IN)?;
        // The source stays registered while this worker does not wait for I/O, which costs 43 ns an
        // event. Removing it and adding it again would cost 63 µs with a thousand descriptors: the
        // kernel searches all descriptors in it for loops (`cargo bench --bench wait`).
        if let Some(io) = &io {
            epoll::add(&epoll, &**io, data, EventFlags::empty())?;
        }
        Ok(Self {
            epoll,
            event,
            timer,
            io,
        })
    }
}

impl EpollPark {
    pub(super) fn new(io: Option<IoSource>) -> io::Result<Self> {
        let descriptors = Arc::new(Descriptors::new(io)?);
        Ok(Self {
            token: Token::new(),
            descriptors: Arc::downgrade(&descriptors),
            keep_alive: Mutex::new(Some(descriptors)),
            timeout: AtomicU64::new(NEVER),
            waits_for_io: AtomicBool::new(false),
        })
    }
}

impl WorkerPark for EpollPark {
    fn park(&self) {
        if !self.token.begin_park() {
            return;
        }
        // Room for all three, so that an unpark that comes together with a timeout ends one park
        // and not two. A signal ends the park, too, which is allowed.
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        if let Some(descriptors) = self.descriptors.upgrade() {
            let _ = epoll::wait(&descriptors.epoll, &mut [nothing; 3], None);
        }
        self.token.end_park();
    }

    fn unpark(&self) {
        // If the worker has been unparked for another reason and has left for good meanwhile, there
        // may be nothing left to write to.
        if self.token.set()
            && let Some(descriptors) = self.descriptors.upgrade()
        {
            // It fails only if the counter is full, after 2⁶⁴ writes.
            let _ = rustix::io::write(&descriptors.event, &1u64.to_ne_bytes());
        }
    }

    fn set_timeout(&self, at: u64) -> bool {
        if self.timeout.swap(at, Relaxed) != at
            && let Some(descriptors) = self.descriptors.upgrade()
        {
            timerfd::set(&descriptors.timer, at);
        }
        false
    }

    fn moves_timeout(&self) -> bool {
        true
    }

    fn set_io(&self, waits: bool) -> bool {
        if self.waits_for_io.swap(waits, Relaxed) != waits
            && let Some(descriptors) = self.descriptors.upgrade()
            && let Some(io) = &descriptors.io
        {
            let flags = match waits {
                true => EventFlags::IN,
                false => EventFlags::empty(),
            };
            // It fails only for a descriptor that is not registered.
            let set = epoll::modify(&descriptors.epoll, &**io, EventData::new_u64(0), flags);
            debug_assert!(set.is_ok(), "{set:?} for {waits}");
        }
        false
    }

    fn now(&self) -> u64 {
        now()
    }

    fn close(&self) {
        let owned = self
            .keep_alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(owned);
    }
}
