//! Parks a worker in an epoll instance, where other threads move its timeout without waking it.
//!
//! The instance watches two or three descriptors, each of which keeps its state in the kernel:
//!
//! | descriptor    | is                                | registered for                             |
//! |---------------|-----------------------------------|--------------------------------------------|
//! | an eventfd    | the unpark                        | edges: each write counts once              |
//! | a timerfd     | the timeout, an absolute time     | its level: readable once that has passed   |
//! | the I/O source | the reactor's epoll, which all workers share | its level, while this worker waits for I/O |
//!
//! None of them is ever read. With the [`Token`] in front of the eventfd, unparking a worker that
//! runs takes no system call.
//!
//! # The I/O source is nested where that is worth it
//!
//! The source is *nested* in the instance of a parker if it is added to that. While it is, another
//! thread can make the parked worker wait for I/O: it enables the source, in 0.26 µs. But each
//! event then passes through that instance too, also if the worker does not wait for it: 43 ns for
//! each instance (`cargo bench --bench wait`), and with sixteen workers a tenth of the cost of a
//! short message. Where the source is not nested, the worker waits for its own instance and the
//! source by one `poll`, which is no dearer, and has to be unparked if it is to wait for I/O while
//! it is parked.
//!
//! At first it is nested if there are two workers: each hands the I/O over to the other. With more,
//! few of them wait for I/O by turns, and an event would pass through the instances of all. From
//! time to time the caller makes each parker *review* whether to keep the source nested. To make a
//! parked worker wait for I/O is a *hand-over*. A review removes the source if two things hold:
//! there were no more than [`FEW`] hand-overs since the last review, and the worker cannot be
//! blocked in a wait for I/O, which would then miss the I/O. (It does not wait for I/O, or it makes
//! the review itself.) A worker that is about to park and to wait for I/O nests the source if there
//! have been [`MANY`] hand-overs since the last review. No other thread does that: the kernel
//! searches all descriptors of the source for loops, 63 µs for a thousand, which is too long under
//! the callers' lock. If the kernel refuses it, because some open file would be reachable by too
//! many paths, the worker goes on without.
//!
//! # Why nothing is lost
//!
//! *An unpark.* It sets the token. If the worker was not about to park, its next park finds the
//! token and returns. If the token was set already, that one will do. If the token was PARKED, the
//! worker is between `begin_park` and `end_park`, and the write makes an edge. The edge stays in
//! epoll's list of what is ready until an `epoll_wait` takes it. As a rule that is the one of this
//! park, which ends. If that one was already returning for another reason, the next park takes the
//! edge, and ends early, without a reason.
//!
//! *A timeout, I/O.* `timerfd_settime` and `epoll_ctl` act under the kernel's own locks on what the
//! worker waits in, and it makes no difference whether the worker is parked, is about to park, or
//! runs. Both are levels: an `epoll_wait` that begins after the timeout, or with I/O that nobody
//! has collected, returns at once, however often it has returned before. The kernel's list of what
//! is ready may hold a descriptor that is ready no longer, because the timeout was moved or the
//! worker no longer waits for I/O. `epoll_wait` checks it again and drops it, and the park goes on.
//! A worker in whose instance the source is not nested reads whether it waits for I/O when it
//! begins to park; if that is set later, the thread that sets it is told to unpark the worker.
//!
//! *What was written before an unpark* is visible after the park: setting the token releases it,
//! `end_park` acquires it, and the token is set before the edge is made.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::time::TimerfdClockId;

use super::{IoSource, WorkerPark, now};
use crate::instant::NEVER;
use crate::park::timerfd;
use crate::park::token::Token;

/// With this many `hand_overs` or more between two reviews, nesting is cheaper: without it each is
/// an unpark. Between two reviews there are up to 1000 waits for I/O, for some 2000 events, which
/// take 86 µs to pass through an instance.
const MANY: u32 = 8;

/// With no more `hand_overs` than this between two reviews, nesting is dearer.
const FEW: u32 = 2;

pub(super) struct EpollPark {
    token: Token,
    descriptors: Weak<Descriptors>,
    /// The only lasting strong reference, which `close` drops: unparkers may outlive the runtime.
    keep_alive: Mutex<Option<Arc<Descriptors>>>,
    // Relaxed: `timeout` and `waits_for_io` are written under the callers' lock, that of the parked
    // workers.
    /// What the kernel was told last, so that it is told only what is new.
    timeout: AtomicU64,
    /// Whether I/O is to end the park. Where the source is nested, the kernel has to be told:
    /// `IoNesting::is_enabled` is what it was told last.
    waits_for_io: AtomicBool,
    nesting: IoNesting,
}

/// Whether the I/O source is nested in a parker's instance.
///
/// The worker nests it, enabled, when it parks, without the callers' lock. All else that matters to
/// another thread is written under that lock. One race is left: another thread may call `set_io`
/// while the worker nests the source.
///
/// - `set_io(true)` finds a source that is not nested, and so has the worker unparked. Nothing is
///   lost.
/// - After `set_io(false)`, I/O may end that one park for nothing. Before the next park the worker
///   calls `set_io` itself, which finds that `is_enabled` is another value, and disables the
///   source.
struct IoNesting {
    is_nested: AtomicBool,
    /// What the kernel was told last. Published by `is_nested`.
    is_enabled: AtomicBool,
    /// How often the worker was made to wait for I/O while it was parked, since the last review.
    hand_overs: AtomicU32,
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
        Ok(Self {
            epoll,
            event,
            timer,
            io,
        })
    }
}

impl EpollPark {
    /// Makes the parker of one worker of `workers`.
    pub(super) fn new(workers: usize, io: Option<IoSource>) -> io::Result<Self> {
        // Without a source it counts as nested: there is nothing left to nest.
        let is_nested = workers == 2 || io.is_none();
        let descriptors = Arc::new(Descriptors::new(io)?);
        if is_nested {
            descriptors.nest_io(false)?;
        }
        Ok(Self {
            token: Token::new(),
            descriptors: Arc::downgrade(&descriptors),
            keep_alive: Mutex::new(Some(descriptors)),
            timeout: AtomicU64::new(NEVER),
            waits_for_io: AtomicBool::new(false),
            nesting: IoNesting {
                is_nested: AtomicBool::new(is_nested),
                is_enabled: AtomicBool::new(false),
                hand_overs: AtomicU32::new(0),
            },
        })
    }
}

impl IoNesting {
    /// Nests the I/O source in the instance of a worker that is about to wait for it, if that is
    /// worth it.
    fn nest_if_wanted(&self, descriptors: &Descriptors) {
        if self.hand_overs.load(Relaxed) < MANY || self.is_nested() {
            return;
        }
        if descriptors.nest_io(true).is_err() {
            // It may be accepted later.
            self.hand_overs.store(0, Relaxed);
            return;
        }
        self.is_enabled.store(true, Relaxed);
        // Pairs with the load in `is_nested`.
        self.is_nested.store(true, Release);
    }

    fn is_nested(&self) -> bool {
        self.is_nested.load(Acquire)
    }
}

impl Descriptors {
    fn nest_io(&self, enabled: bool) -> io::Result<()> {
        let data = EventData::new_u64(0);
        match &self.io {
            Some(io) => Ok(epoll::add(&self.epoll, &**io, data, when(enabled))?),
            None => Ok(()),
        }
    }

    fn remove_io(&self) {
        if let Some(io) = &self.io {
            let removed = epoll::delete(&self.epoll, &**io);
            debug_assert!(removed.is_ok(), "{removed:?}");
        }
    }

    fn enable_io(&self, enabled: bool) {
        if let Some(io) = &self.io {
            let data = EventData::new_u64(0);
            // It fails only for a descriptor that is not registered.
            let set = epoll::modify(&self.epoll, &**io, data, when(enabled));
            debug_assert!(set.is_ok(), "{set:?} for {enabled}");
        }
    }

    /// Blocks until a descriptor of the instance is ready.
    fn wait(&self) {
        self.collect(None);
    }

    /// Blocks until a descriptor of the instance is ready, or the I/O source.
    fn wait_for_io(&self, io: &IoSource) {
        let source = PollFd::from_borrowed_fd((**io).as_fd(), PollFlags::IN);
        let mut both = [PollFd::new(&self.epoll, PollFlags::IN), source];
        let _ = poll(&mut both, None);
        if !both[0].revents().is_empty() {
            // Or else the edge of an unpark would end the next park.
            self.collect(Some(&AT_ONCE));
        }
    }

    fn collect(&self, timeout: Option<&Timespec>) {
        // Room for all three, so that an unpark that comes together with a timeout ends one park
        // and not two. A signal ends the park, too, which is allowed.
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let _ = epoll::wait(&self.epoll, &mut [nothing; 3], timeout);
    }
}

fn when(enabled: bool) -> EventFlags {
    match enabled {
        true => EventFlags::IN,
        false => EventFlags::empty(),
    }
}

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

impl WorkerPark for EpollPark {
    fn park(&self) {
        if !self.token.begin_park() {
            return;
        }
        if let Some(descriptors) = self.descriptors.upgrade() {
            match &descriptors.io {
                Some(io) if self.waits_for_io.load(Relaxed) => {
                    self.nesting.nest_if_wanted(&descriptors);
                    match self.nesting.is_nested() {
                        true => descriptors.wait(),
                        false => descriptors.wait_for_io(io),
                    }
                }
                _ => descriptors.wait(),
            }
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

    fn sets_timeout_while_parked(&self) -> bool {
        true
    }

    fn set_io(&self, waits: bool) -> bool {
        let begins = waits && !self.waits_for_io.load(Relaxed);
        self.waits_for_io.store(waits, Relaxed);
        let nesting = &self.nesting;
        if begins && self.token.is_parked() {
            nesting.hand_overs.fetch_add(1, Relaxed);
        }
        if !nesting.is_nested() {
            return begins;
        }
        if nesting.is_enabled.swap(waits, Relaxed) != waits
            && let Some(descriptors) = self.descriptors.upgrade()
        {
            descriptors.enable_io(waits);
        }
        false
    }

    fn sets_io_while_parked(&self) -> bool {
        self.nesting.is_nested()
    }

    fn review_io(&self, is_own: bool) {
        let hand_overs = self.nesting.hand_overs.swap(0, Relaxed);
        // A worker that waits for I/O may be blocked in its instance.
        let is_free = is_own || !self.waits_for_io.load(Relaxed);
        if hand_overs <= FEW
            && is_free
            && self.nesting.is_nested()
            && let Some(descriptors) = self.descriptors.upgrade()
            && descriptors.io.is_some()
        {
            self.nesting.is_nested.store(false, Release);
            descriptors.remove_io();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The source is a file that is always ready, and that the parker's instance accepts no longer.
    #[test]
    fn worker_waits_for_io_although_its_instance_refuses_the_source() {
        let event: Arc<OwnedFd> = Arc::new(eventfd(1, EventfdFlags::CLOEXEC).unwrap());
        let park = EpollPark::new(2, Some(event.clone())).unwrap();
        park.review_io(true);
        assert!(!park.sets_io_while_parked() && park.set_io(true));
        let descriptors = park.descriptors.upgrade().unwrap();
        for _ in 0..2 {
            // The kernel refuses it because it is there already.
            let data = EventData::new_u64(0);
            epoll::add(&descriptors.epoll, &*event, data, EventFlags::empty()).unwrap();
            park.nesting.hand_overs.store(MANY, Relaxed);
            park.park();
            assert_eq!(park.nesting.hand_overs.load(Relaxed), 0);
            assert!(!park.sets_io_while_parked());
            epoll::delete(&descriptors.epoll, &*event).unwrap();
        }
    }
}
