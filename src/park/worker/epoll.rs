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
//! # The I/O source is nested in few instances
//!
//! It stays registered while the worker does not wait for I/O: removing it and adding it again
//! takes 63 µs with a thousand descriptors, because the kernel searches all of them for loops. But
//! each event then passes through every instance that has it, 43 ns each (`cargo bench --bench
//! wait`), and with sixteen workers that was a tenth of the cost of a short message. So only
//! [`NESTED`] parkers of a runtime have it from the beginning. Another one waits for its own
//! instance and for the source by one `poll`, which is no dearer, but if it is to wait for I/O while
//! it is parked, it has to be unparked. If that happens often ([`HAND_OVERS`] in a
//! [`HAND_OVER_PERIOD`]), the source is nested in it, too, before its next park. If the kernel
//! refuses that, because some open file would be reachable on too many ways, it goes on without.
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
//! for I/O, is checked again by `epoll_wait` and dropped, and the park goes on. A worker whose
//! instance does not have the source reads whether it waits for I/O when it begins to park; if that
//! is set later, the thread that sets it is told to unpark the worker.
//!
//! *What was written before an unpark* is visible after the park: setting the token releases it,
//! `end_park` acquires it, and the edge comes after the former.

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

/// How many parkers of a runtime have the I/O source nested from the beginning. With as many workers
/// all have, and none needs an unpark.
const NESTED: usize = 2;

/// So many unparks in [`HAND_OVER_PERIOD`] cost as much as an instance through which some 23 000
/// events pass meanwhile.
const HAND_OVERS: u32 = 100;

/// In nanoseconds.
const HAND_OVER_PERIOD: u64 = 1_000_000_000;

pub(super) struct EpollPark {
    token: Token,
    descriptors: Weak<Descriptors>,
    /// The only lasting strong reference, which `close` drops: unparkers may outlive the runtime.
    keep_alive: Mutex<Option<Arc<Descriptors>>>,
    // What the kernel was told last, so that it is told only what is new. Relaxed: the callers'
    // lock orders these, too.
    timeout: AtomicU64,
    waits_for_io: AtomicBool,
    nesting: Nesting,
}

/// Whether the I/O source is nested in a parker's instance.
///
/// The parking worker nests it, and all else is written under the callers' lock. So a thread that
/// sets whether the worker waits for I/O meanwhile does not know of it. Nothing is lost by that: the
/// worker nests the source enabled, and a thread that wants it enabled just then has the worker
/// unparked. If one wants it disabled just then, I/O may end that park for nothing; the next call of
/// `set_io` compares with `is_enabled`, and the worker calls it before each park.
#[derive(Default)]
struct Nesting {
    is_nested: AtomicBool,
    /// What the kernel was told last. Published by `is_nested`.
    is_enabled: AtomicBool,
    /// How many unparks there were for I/O since a time.
    hand_overs: AtomicU32,
    since: AtomicU64,
    /// There were so many that the source is nested before the next park.
    is_wanted: AtomicBool,
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
    /// Makes that of one of `workers` workers, which waits for the I/O of `io`.
    pub(super) fn new(index: usize, workers: usize, io: Option<IoSource>) -> io::Result<Self> {
        let descriptors = Arc::new(Descriptors::new(io)?);
        let nesting = Nesting::default();
        // Preferably not that of the first worker, which has no thread while none is in `block_on`.
        let first = usize::from(workers > NESTED);
        if descriptors.io.is_none() || (first..first + NESTED).contains(&index) {
            nesting.add(&descriptors, false)?;
        }
        Ok(Self {
            token: Token::new(),
            descriptors: Arc::downgrade(&descriptors),
            keep_alive: Mutex::new(Some(descriptors)),
            timeout: AtomicU64::new(NEVER),
            waits_for_io: AtomicBool::new(false),
            nesting,
        })
    }
}

impl Nesting {
    /// Nests the I/O source, if there is one.
    fn add(&self, descriptors: &Descriptors, enabled: bool) -> io::Result<()> {
        descriptors.nest_io(enabled)?;
        self.is_enabled.store(enabled, Relaxed);
        // Pairs with the load in `is_nested`.
        self.is_nested.store(true, Release);
        Ok(())
    }

    fn is_nested(&self) -> bool {
        self.is_nested.load(Acquire)
    }

    /// Notes that the worker has to be unparked to wait for I/O.
    fn note_hand_over(&self) {
        let (count, now) = (self.hand_overs.load(Relaxed), now());
        if count == 0 || now.saturating_sub(self.since.load(Relaxed)) > HAND_OVER_PERIOD {
            self.since.store(now, Relaxed);
            self.hand_overs.store(1, Relaxed);
        } else {
            self.hand_overs.store(count.saturating_add(1), Relaxed);
            self.is_wanted.store(count >= HAND_OVERS, Relaxed);
        }
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

impl EpollPark {
    /// Nests the I/O source for a worker that is about to wait for it, if that is worth it.
    fn nest_if_wanted(&self, descriptors: &Descriptors) {
        if self.nesting.is_wanted.load(Relaxed) && self.waits_for_io.load(Relaxed) {
            self.nesting.is_wanted.store(false, Relaxed);
            if self.nesting.add(descriptors, true).is_err() {
                // It may be accepted after as many hand-overs.
                self.nesting.hand_overs.store(0, Relaxed);
            }
        }
    }
}

impl WorkerPark for EpollPark {
    fn park(&self) {
        if !self.token.begin_park() {
            return;
        }
        if let Some(descriptors) = self.descriptors.upgrade() {
            self.nest_if_wanted(&descriptors);
            match &descriptors.io {
                Some(io) if self.waits_for_io.load(Relaxed) && !self.nesting.is_nested() => {
                    descriptors.wait_for_io(io);
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

    fn moves_timeout(&self) -> bool {
        true
    }

    fn set_io(&self, waits: bool) -> bool {
        let is_new = self.waits_for_io.swap(waits, Relaxed) != waits;
        if self.nesting.is_nested() {
            if self.nesting.is_enabled.swap(waits, Relaxed) != waits
                && let Some(descriptors) = self.descriptors.upgrade()
            {
                descriptors.enable_io(waits);
            }
            return false;
        }
        let must_unpark = is_new && waits;
        if must_unpark && self.token.is_parked() {
            self.nesting.note_hand_over();
        }
        must_unpark
    }

    fn moves_io(&self) -> bool {
        self.nesting.is_nested()
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
    use std::fs::File;

    use super::*;

    /// The source of this one is a file that no instance accepts, and that is always ready.
    #[test]
    fn worker_waits_for_io_although_its_instance_refuses_the_source() {
        let file = File::open("Cargo.toml").unwrap();
        let park = EpollPark::new(0, 1 + NESTED, Some(Arc::new(file))).unwrap();
        assert!(park.set_io(true));
        for _ in 0..2 {
            park.nesting.is_wanted.store(true, Relaxed);
            park.park();
            assert!(!park.nesting.is_wanted.load(Relaxed) && !park.moves_io());
        }
    }

    #[test]
    fn as_many_parkers_as_are_useful_have_the_source_in_their_instance() {
        let event: IoSource = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        for workers in 1..5 {
            let of = |index| EpollPark::new(index, workers, Some(event.clone())).unwrap();
            let nested = (0..workers).filter(|&index| of(index).moves_io()).count();
            assert_eq!(nested, workers.min(NESTED));
        }
        assert!(EpollPark::new(0, 16, None).unwrap().moves_io());
    }
}
