//! The parkers of an executor's workers: the timeout can be moved from any thread while a worker is
//! parked.
//!
//! A [`ThreadPark`] belongs to the thread that parks, and its timeout is fixed when the park
//! begins. The workers of one executor share their timers: a worker that arms a timer moves the
//! timeout of another one that is parked. A worker's parker is therefore shared by all threads that
//! may have to unpark it. Three things end a park: an *unpark*, kept as a token, so that none is
//! lost on a worker that is about to park; the *timeout*, a time that any thread may set; and, for
//! the worker that waits for it, *I/O* that is ready.
//!
//! There are two kinds. [`TimedPark`] is a [`ThreadPark`]: no file descriptor, and the cheapest for
//! a worker that sets its own timeout. The parker in `park/worker/epoll.rs` (Linux) keeps the
//! timeout in the kernel, where another thread moves it without waking the parked one. That is
//! worth three descriptors if there are several workers, and a worker cannot park on I/O in any
//! other way.

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
mod epoll;

use std::io;
use std::time::Duration;

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
use self::epoll::EpollPark;
use super::{Park, ThreadPark, ThreadUnpark, Unpark};
use crate::instant::NEVER;
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
    lock,
};
use crate::system;

/// What a parker waits for besides its token and its timeout: a descriptor that is readable while
/// there is I/O to collect.
#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
pub(crate) type IoSource = std::sync::Arc<dyn std::os::fd::AsFd + Send + Sync>;
/// Only an epoll instance waits for I/O: elsewhere there is no source.
#[cfg(any(not(target_os = "linux"), loom, shuttle))]
pub(crate) type IoSource = std::convert::Infallible;

/// Parks one worker; one thread at a time parks in it.
pub(crate) trait WorkerPark: Send + Sync {
    /// Blocks the calling thread until it is unparked, until the timeout, or, if it waits for I/O,
    /// until there is some; may return early for no reason.
    ///
    /// A timeout that has passed ends every further park, until it is set anew, and so does I/O
    /// that nobody collects. So neither can be missed, but a worker that does not see to them
    /// hardly parks.
    fn park(&self);

    /// Ends the park that runs, or else the next one; calls merge. Any thread may call it.
    ///
    /// What was written before is visible after the park.
    fn unpark(&self);

    /// Sets when the park ends by itself: a time as [`now`](Self::now) counts it, or [`NEVER`].
    ///
    /// Any thread may call it at any moment, but not two at once: callers hold a lock of their own.
    /// To set what is set already costs next to nothing, so callers need not remember.
    ///
    /// Returns whether a worker that is parked has to be unparked for it to take effect. That is
    /// never so for a later timeout; the park may then still end at the earlier one.
    fn set_timeout(&self, at: u64) -> bool;

    /// Returns whether a timeout takes effect on a worker that is parked, so that
    /// [`set_timeout`](Self::set_timeout) never asks for an unpark.
    fn sets_timeout_while_parked(&self) -> bool;

    /// Sets whether I/O ends the park. The rules are those of [`set_timeout`](Self::set_timeout).
    fn set_io(&self, waits: bool) -> bool;

    /// Returns whether [`set_io`](Self::set_io) takes effect on a parked worker, so that it never
    /// asks for an unpark.
    fn sets_io_while_parked(&self) -> bool;

    /// If the worker was seldom made to wait for I/O while it was parked, since the last review:
    /// [`set_io`](Self::set_io) no longer takes effect on it then. As long as it does, each event
    /// of the runtime costs a little more, whichever worker waits for it.
    ///
    /// The rules are those of `set_timeout`. `is_own` says whether the caller is the worker itself.
    fn review_io(&self, is_own: bool);

    /// Returns the time, in nanoseconds of the system's monotonic clock.
    fn now(&self) -> u64;

    /// Closes the descriptors, once no worker parks here any longer. A thread that has decided
    /// before that to unpark one may still do so, without effect.
    fn close(&self);
}

/// The parkers of all workers of a runtime.
pub(crate) type Parkers = Box<[Box<dyn WorkerPark>]>;

/// Makes the parker of one of `workers` workers, which waits for the I/O of `io`.
///
/// Fails if the system refuses the descriptors and `io` is given. Without `io` it falls back to a
/// parker that needs none.
pub(crate) fn worker_park(workers: usize, io: Option<IoSource>) -> io::Result<Box<dyn WorkerPark>> {
    if workers == 1 && io.is_none() {
        return Ok(park_without_io());
    }
    let waits_for_io = io.is_some();
    match with_epoll(workers, io) {
        Err(_) if !waits_for_io => Ok(park_without_io()),
        made => made,
    }
}

/// Makes a parker that no I/O unparks. It cannot fail.
pub(crate) fn park_without_io() -> Box<dyn WorkerPark> {
    Box::new(TimedPark::new())
}

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
fn with_epoll(workers: usize, io: Option<IoSource>) -> io::Result<Box<dyn WorkerPark>> {
    Ok(Box::new(EpollPark::new(workers, io)?))
}

#[cfg(any(not(target_os = "linux"), loom, shuttle))]
fn with_epoll(_workers: usize, _io: Option<IoSource>) -> io::Result<Box<dyn WorkerPark>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A [`ThreadPark`] with a timeout that any thread sets.
///
/// It parks until the timeout as it stood when the park began. A thread that sets an earlier one
/// has to unpark the worker: `set_timeout` says so. The unpark leaves a token, so it makes no
/// difference whether the worker has read the old timeout or is about to read the new one.
struct TimedPark {
    // Locked by the thread that parks, for as long as it parks, and by no other: it turns the rule
    // that one thread parks at a time into `&mut`.
    park: Mutex<ThreadPark>,
    unpark: ThreadUnpark,
    // Relaxed: a thread that sets a timeout which matters to a parked worker unparks it, and the
    // token publishes the timeout.
    timeout: AtomicU64,
}

impl TimedPark {
    fn new() -> Self {
        let park = ThreadPark::new();
        Self {
            unpark: park.unparker(),
            park: Mutex::new(park),
            timeout: AtomicU64::new(NEVER),
        }
    }
}

impl WorkerPark for TimedPark {
    fn park(&self) {
        let timeout = match self.timeout.load(Relaxed) {
            NEVER => None,
            at => Some(Duration::from_nanos(at.saturating_sub(self.now()))),
        };
        lock(&self.park).park(timeout);
    }

    fn unpark(&self) {
        self.unpark.unpark();
    }

    fn set_timeout(&self, at: u64) -> bool {
        at < self.timeout.swap(at, Relaxed)
    }

    fn sets_timeout_while_parked(&self) -> bool {
        false
    }

    fn set_io(&self, _waits: bool) -> bool {
        // No parker of this kind is made where there is I/O to wait for.
        false
    }

    fn sets_io_while_parked(&self) -> bool {
        true
    }

    fn review_io(&self, _is_own: bool) {}

    fn now(&self) -> u64 {
        now()
    }

    fn close(&self) {}
}

/// Returns what the system's monotonic clock shows.
fn now() -> u64 {
    system::monotonic().max(0).cast_unsigned()
}

#[cfg(all(test, not(loom)))]
mod tests;
