//! How does a worker sleep so that others can move its alarm without waking it?
//!
//! In an epoll instance of its own that watches three descriptors, each of which keeps its state in
//! the kernel:
//!
//! | descriptor          | is                          | registered for                         |
//! |---------------------|-----------------------------|----------------------------------------|
//! | an eventfd          | the wake                    | edges: each write counts once          |
//! | a timerfd           | the alarm, an absolute time | its level: readable once that is up    |
//! | the reactor's epoll | I/O, shared by all workers  | its level, while this worker watches   |
//!
//! None of them is ever read. A word in front of the eventfd keeps a wake of a worker that is awake
//! out of the kernel:
//!
//! | state    | meaning                              | set by        | left by    |
//! |----------|--------------------------------------|---------------|------------|
//! | EMPTY    | no token, the worker is awake        | the worker    | either     |
//! | PARKED   | the worker is asleep, or about to be | the worker    | either     |
//! | NOTIFIED | a token waits to be taken            | whoever wakes | the worker |
//!
//! # Why nothing is lost
//!
//! *A wake.* It swaps the word to NOTIFIED. If that was EMPTY, the worker's next step towards sleep
//! finds the token and returns. If it was NOTIFIED, the token that is there already will do. If it
//! was PARKED, the worker is between the step to PARKED and the one that takes it back, and the
//! write makes an edge. An edge lies in the epoll's list of what is ready until one
//! `epoll_wait` returns it, and that is the running one or a later one, never an earlier: so the
//! running sleep ends, or, if it was about to end for another reason, the next one does for none.
//!
//! *An alarm, a watch.* `timerfd_settime` and `epoll_ctl` act under the kernel's own locks on what
//! the worker waits in, and it makes no difference whether it sleeps, is about to, or is awake. Both
//! are levels: an `epoll_wait` that begins after the time is up, or with I/O that nobody has
//! collected, returns at once, however often it was told before. What is in the list of the ready
//! and is so no longer, because the alarm was moved on or the watch ended, is looked at again by
//! `epoll_wait` and dropped, and the sleep goes on.
//!
//! *What was written before a wake* is visible after the sleep: the swap to NOTIFIED releases it and
//! the swap to EMPTY acquires it, and the edge comes after the former.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::TimerfdClockId;

use crate::instant::NEVER;
use crate::park::timerfd;
use crate::rt::{Epoll, Reactor};

// Neighbours, as in `park/token.rs`: one subtraction takes the token or goes to sleep.
const PARKED: u32 = u32::MAX;
const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;

pub(super) struct EpollBed {
    state: AtomicU32,
    descriptors: Weak<Descriptors>,
    /// Keeps the descriptors open until the runtime has ended.
    owner: Mutex<Option<Arc<Descriptors>>>,
    // What the kernel was told last, to tell it only what is new. Relaxed: the callers' lock, which
    // lets one at a time tell it, orders these, too.
    alarm: AtomicU64,
    watch: AtomicBool,
}

struct Descriptors {
    epoll: OwnedFd,
    event: OwnedFd,
    timer: OwnedFd,
    /// The reactor's epoll instance, which is nested in this one.
    io: Option<Arc<Epoll>>,
}

impl Descriptors {
    fn new(io: Option<Arc<Epoll>>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer = timerfd::create(TimerfdClockId::Monotonic)?;
        // Nobody asks which of the three it was: the worker looks at everything anyway.
        let data = EventData::new_u64(0);
        epoll::add(&epoll, &event, data, EventFlags::IN | EventFlags::ET)?;
        epoll::add(&epoll, &timer, data, EventFlags::IN)?;
        // It stays there while nobody watches, which costs each event 43 ns. To take it out and put it
        // in again costs 63 µs with a thousand descriptors: the kernel looks for loops among all that
        // are in it (`cargo bench --bench wait`).
        if let Some(io) = &io {
            epoll::add(&epoll, io, data, EventFlags::empty())?;
        }
        Ok(Self {
            epoll,
            event,
            timer,
            io,
        })
    }
}

impl EpollBed {
    pub(super) fn new(reactor: &Reactor) -> io::Result<Self> {
        let descriptors = Arc::new(Descriptors::new(reactor.epoll())?);
        Ok(Self {
            state: AtomicU32::new(EMPTY),
            descriptors: Arc::downgrade(&descriptors),
            owner: Mutex::new(Some(descriptors)),
            alarm: AtomicU64::new(NEVER),
            watch: AtomicBool::new(false),
        })
    }

    pub(super) fn sleep(&self) {
        match self.state.fetch_sub(1, Acquire) {
            NOTIFIED => return,
            state => debug_assert_eq!(state, EMPTY, "two sleep in one bed"),
        }
        // Room for all three, so that a wake that comes together with an alarm ends one sleep and
        // not two. A signal ends the sleep, too, which is allowed.
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        if let Some(descriptors) = self.descriptors.upgrade() {
            let _ = epoll::wait(&descriptors.epoll, &mut [nothing; 3], None);
        }
        // One step takes the token, or takes back PARKED.
        self.state.swap(EMPTY, Acquire);
    }

    pub(super) fn wake(&self) {
        // A swap even when the token is there already: only a write of its own releases what this
        // thread published. If the worker has slept, got up for another reason and left for good
        // meanwhile, there may be nothing left to write to.
        if self.state.swap(NOTIFIED, Release) == PARKED
            && let Some(descriptors) = self.descriptors.upgrade()
        {
            // It fails only if the counter is full, after 2⁶⁴ writes.
            let _ = rustix::io::write(&descriptors.event, &1u64.to_ne_bytes());
        }
    }

    pub(super) fn set_alarm(&self, at: u64) -> bool {
        if self.alarm.swap(at, Relaxed) != at
            && let Some(descriptors) = self.descriptors.upgrade()
        {
            timerfd::set(&descriptors.timer, at);
        }
        false
    }

    pub(super) fn set_watch(&self, watch: bool) -> bool {
        if self.watch.swap(watch, Relaxed) != watch
            && let Some(descriptors) = self.descriptors.upgrade()
            && let Some(io) = &descriptors.io
        {
            let flags = match watch {
                true => EventFlags::IN,
                false => EventFlags::empty(),
            };
            // It fails for a descriptor that is not registered only.
            let set = epoll::modify(&descriptors.epoll, io, EventData::new_u64(0), flags);
            debug_assert!(set.is_ok(), "{set:?} for {watch}");
        }
        false
    }

    pub(super) fn close(&self) {
        let owned = self
            .owner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(owned);
    }
}
