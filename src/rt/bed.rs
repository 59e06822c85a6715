//! Where does a worker sleep, and what ends its sleep?
//!
//! In its bed: one for each worker, shared with whoever may have to wake it. Three things end a
//! sleep: a *wake*, kept as a token, so that it is not lost on a worker that is about to lie down;
//! the *alarm*, a time that anybody may move while the worker sleeps; and, in the bed of the worker
//! that *watches*, I/O that is ready.
//!
//! There are two kinds. The thread bed (`bed/thread.rs`) is a [`ThreadPark`](crate::ThreadPark): no
//! file descriptor, cheapest for a worker that sets its own alarm. The epoll bed (`bed/epoll.rs`,
//! Linux) keeps the alarm in the kernel, where another thread moves it and the sleeper is not even
//! scheduled. That is worth three descriptors where there are several workers, and there is no
//! other way to sleep on I/O. They are closed when the runtime has ended, though wakers and handles
//! that outlive it keep the bed.

#[cfg(all(target_os = "linux", not(shuttle)))]
mod epoll;
#[cfg(any(not(target_os = "linux"), shuttle))]
#[path = "bed/no_epoll.rs"]
mod epoll;
#[cfg(test)]
mod tests;
mod thread;

use std::io;

use self::epoll::EpollBed;
use self::thread::ThreadBed;
use crate::rt::Reactor;

/// Where one worker sleeps.
pub(crate) struct Bed(Kind);

enum Kind {
    Thread(ThreadBed),
    Epoll(EpollBed),
}

impl Bed {
    /// A bed for a runtime with so many workers, which waits for the I/O of `reactor`.
    ///
    /// It fails if the system has no file descriptors left, but only where I/O would never wake the
    /// worker for it; all else can be had without.
    pub(crate) fn new(workers: usize, reactor: &Reactor) -> io::Result<Self> {
        if workers == 1 && !reactor.is_live() {
            return Ok(Self::without_io());
        }
        match EpollBed::new(reactor) {
            Ok(bed) => Ok(Self(Kind::Epoll(bed))),
            Err(error) if reactor.is_live() => Err(error),
            Err(_) => Ok(Self::without_io()),
        }
    }

    /// A bed that no I/O ends the sleep in, and that there always is.
    pub(crate) fn without_io() -> Self {
        Self(Kind::Thread(ThreadBed::new()))
    }

    /// Blocks the calling thread until woken, until its alarm rings, or, if it watches, until I/O is
    /// ready; may return for no reason. One thread at a time.
    ///
    /// The alarm goes on ringing, for every further sleep, until it is set anew; and so does I/O that
    /// nobody collects. So neither can be missed, but who does not see to it hardly sleeps.
    pub(crate) fn sleep(&self) {
        match &self.0 {
            Kind::Thread(bed) => bed.sleep(),
            Kind::Epoll(bed) => bed.sleep(),
        }
    }

    /// Makes the running sleep return, or else the next; calls merge. From any thread.
    ///
    /// What was written before is visible to who wakes up.
    pub(crate) fn wake(&self) {
        match &self.0 {
            Kind::Thread(bed) => bed.wake(),
            Kind::Epoll(bed) => bed.wake(),
        }
    }

    /// Sets when the sleep ends by itself: nanoseconds on the axis of `system::monotonic`, or
    /// `NEVER`.
    ///
    /// From any thread at any moment, but not by two at once: callers hold a lock of their own. To
    /// set what is set already costs next to nothing, so they need not remember.
    ///
    /// Returns whether a worker that is asleep has to be woken for it to take effect. An alarm moved
    /// to later never asks for that, and the sleep may then still end at the old one.
    pub(crate) fn set_alarm(&self, at: u64) -> bool {
        match &self.0 {
            Kind::Thread(bed) => bed.set_alarm(at),
            Kind::Epoll(bed) => bed.set_alarm(at),
        }
    }

    /// Sets whether I/O wakes who sleeps here. The rules are those of `set_alarm`.
    pub(crate) fn set_watch(&self, watch: bool) -> bool {
        match &self.0 {
            // It has no I/O to wake for: `new` would have failed.
            Kind::Thread(_) => false,
            Kind::Epoll(bed) => bed.set_watch(watch),
        }
    }

    /// Closes the descriptors, once the runtime has ended: no worker sleeps here, and none will. A
    /// thread that has decided before that to wake one may still do so, to no effect.
    pub(crate) fn close(&self) {
        match &self.0 {
            Kind::Thread(_) => {}
            Kind::Epoll(bed) => bed.close(),
        }
    }
}
