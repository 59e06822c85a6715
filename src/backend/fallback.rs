//! The process-wide driver thread, for executors that enter no driver.
//!
//! # After a fork
//!
//! In a child process the driver thread is missing, and so may be a thread that held the lock of its
//! timers. So each process has a driver thread of its own (see [`process`](crate::process)), and
//! starts it when a timer first needs it.
//!
//! A process finds out that it is another one by reading its id. That is a system call, which takes
//! one and a half to three times what making, arming and cancelling a timer takes, so a thread
//! caches the id for [`TRUSTED`] nanoseconds. A child begins with the id that the thread which
//! forked had cached, and when that thread returns from the fork, its cache is older than
//! [`TRUSTED`]: a fork copies the page tables and is never that fast (40 µs at least, on the
//! machine that was measured). The id is cached in each thread and not for all, since another
//! thread may have read it in the middle of the fork.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use crate::backend::thread::DriverThread;
use crate::driver::shared::Shared;
use crate::driver::{Driver, Handle};
use crate::process::{self, PerProcess};
use crate::sync::lock_std;
use crate::system;

/// Whether the feature is on. If it is off, no thread is ever started, and the compiler removes the
/// code for it.
const ENABLED: bool = cfg!(feature = "fallback");

/// For how many nanoseconds a thread trusts the id of the process that it has cached.
const TRUSTED: i64 = 10_000;

static STARTS: PerProcess<Start> = PerProcess::new();

/// The thread of a process.
#[derive(Default)]
struct Start {
    /// Never dropped, because its timers may be in use until the process ends.
    thread: OnceLock<DriverThread>,
    /// Held while the thread is started. If that fails, the next caller tries again.
    starting: Mutex<()>,
}

/// The id of the process, zero before a thread has read it, and when the thread did so.
#[derive(Clone, Copy)]
struct CachedId {
    at: i64,
    id: u32,
}

thread_local! {
    static CACHED_ID: Cell<CachedId> = const { Cell::new(CachedId { at: 0, id: 0 }) };
}

/// The placeholder: the driver of timers that were made where there is no driver, and have not been
/// polled yet. Only its clock is used, the system's. It has no thread, so that none is started for
/// a timer that gets another driver or is never polled.
static PLACEHOLDER: LazyLock<Handle> = LazyLock::new(|| {
    let driver = Driver::with_unpark(|| {});
    let handle = driver.handle().clone();
    // Dropping the driver would close it.
    std::mem::forget(driver);
    handle
});

/// Returns the placeholder for a timer that is made where there is no driver, `None` if the feature
/// is off.
pub(super) fn placeholder() -> Option<Handle> {
    ENABLED.then(|| PLACEHOLDER.clone())
}

/// Returns the handle of the driver thread of this process, `None` if the feature is off. The first
/// call starts the thread. `now` is what the system's clock shows.
pub(super) fn handle(now: i64) -> io::Result<Option<Handle>> {
    if !ENABLED {
        return Ok(None);
    }
    let own = own(now)?;
    if let Some(thread) = own.thread.get() {
        return Ok(Some(thread.handle().clone()));
    }
    let _starting = lock_std(&own.starting);
    if own.thread.get().is_none() {
        // No other thread sets it: this one holds the lock.
        let _ = own.thread.set(DriverThread::start("process-wide thread")?);
    }
    Ok(own.thread.get().map(|thread| thread.handle().clone()))
}

/// Notices that this process was forked, if `shared` belongs to the thread of a process that it may
/// have been forked from: its timers then move to the thread of this process. To be called before
/// the lock of the driver is taken, which another thread may have held at the fork.
#[inline]
pub(crate) fn notice_fork(shared: &Arc<Shared>) {
    if ENABLED && STARTS.is_used() {
        notice_fork_slow(shared);
    }
}

#[cold]
fn notice_fork_slow(shared: &Arc<Shared>) {
    let mut threads = STARTS.values().filter_map(|start| start.thread.get());
    if threads.any(|thread| Arc::ptr_eq(&thread.handle().shared, shared)) {
        // It fails only if there are too many processes: then the timers stay where they are.
        let _ = own(system::monotonic());
    }
}

/// Returns the entry of this process. The timers of those that it was forked from move here when
/// they are polled, and are dropped without a lock.
fn own(now: i64) -> io::Result<&'static Start> {
    let abandon = |start: &Start| {
        if let Some(thread) = start.thread.get() {
            thread.handle().shared.abandon();
        }
    };
    STARTS.own(own_id(now), abandon).map_err(|_| {
        let depth = process::DEPTH;
        io::Error::other(format!(
            "it has run in {depth} processes already, each forked from the one before"
        ))
    })
}

/// Returns the id of this process, from the cache if it is not too old.
fn own_id(now: i64) -> u32 {
    let cached = CACHED_ID.get();
    if cached.id != 0 && (0..TRUSTED).contains(&(now - cached.at)) {
        return cached.id;
    }
    let id = std::process::id();
    CACHED_ID.set(CachedId { at: now, id });
    id
}
