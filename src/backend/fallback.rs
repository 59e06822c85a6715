//! The process-wide driver thread, for executors that know nothing of us.
//!
//! # After a fork
//!
//! The child has a copy of all memory and only the thread that forked: the driver thread is missing,
//! and the lock of its timers may have been held at that moment by a thread that is missing, too. So
//! each process has a thread of its own: a child claims the next of [`PROCESSES`], touches no lock of
//! its parent's, and starts its thread with the first timer that needs it.
//!
//! A process finds out that it is another one by asking for its id. That is a system call, two to four
//! times the price of making a timer, so a thread asks only every [`TRUSTED`]. A child starts
//! with what the thread that forked knew, and when that returns from its fork this is older: a fork
//! copies the page tables and is never that fast (40 µs at the very least, on the machine
//! measured). What other threads know does not count, for they may have asked in the middle of it.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use crate::backend::thread::DriverThread;
use crate::driver::Driver;
use crate::driver::Handle;

/// Whether the feature is on. Where it is off, nothing below is ever asked for a thread, and the
/// compiler removes it.
const ENABLED: bool = cfg!(feature = "fallback");

/// For how many nanoseconds a thread trusts in the process still being the same.
const TRUSTED: i64 = 10_000;

/// This process and those that it was forked from, the oldest first: each that has needed a thread.
static PROCESSES: [Process; 64] = [const { Process::new() }; 64];

struct Process {
    /// Its id, zero while nobody has claimed the place. (If the ids have wrapped, that of an ancestor
    /// which ended long ago may come again: this is not noticed.)
    id: AtomicU32,
    /// Never dropped: its timers may be anywhere, until the process ends.
    thread: OnceLock<DriverThread>,
    /// Held while the thread is started. A start that fails is tried again by the next caller.
    start: Mutex<()>,
}

/// When this thread last asked for the id of the process, and what that was; zero if never.
#[derive(Clone, Copy)]
struct Asked {
    at: i64,
    id: u32,
}

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked { at: 0, id: 0 }) };
}

/// What a timer refers to that was made outside of any driver and not polled yet: only its clock is
/// ever asked. No thread is started for a timer that gets another driver, or none.
static STAND_IN: LazyLock<Handle> = LazyLock::new(|| {
    let driver = Driver::with_unpark(|| {});
    let handle = driver.handle().clone();
    // Dropped, it would be closed.
    std::mem::forget(driver);
    handle
});

/// Returns what a timer refers to that is made outside of any driver; `None` if the feature is off.
pub(super) fn stand_in() -> Option<Handle> {
    ENABLED.then(|| STAND_IN.clone())
}

/// Returns the handle of this process's thread, which starts with the first call; `None` if the feature
/// is off. `now` is what the system's clock shows.
pub(super) fn handle(now: i64) -> io::Result<Option<Handle>> {
    if !ENABLED {
        return Ok(None);
    }
    let process = Process::own(now)?;
    if let Some(thread) = process.thread.get() {
        return Ok(Some(thread.handle().clone()));
    }
    let _start = process.start.lock().unwrap_or_else(PoisonError::into_inner);
    if process.thread.get().is_none() {
        // Set by nobody else: we hold the lock.
        let _ = process.thread.set(DriverThread::new()?);
    }
    Ok(process.thread.get().map(|thread| thread.handle().clone()))
}

impl Process {
    const fn new() -> Self {
        Self {
            id: AtomicU32::new(0),
            thread: OnceLock::new(),
            start: Mutex::new(()),
        }
    }

    /// The place of the process that this thread is in.
    fn own(now: i64) -> io::Result<&'static Self> {
        let id = own_id(now);
        for (at, process) in PROCESSES.iter().enumerate() {
            // Relaxed: what else is in the place is published by its own means.
            match process.id.load(Ordering::Relaxed) {
                0 => {}
                known if known == id => return Ok(process),
                _ => continue,
            }
            // Lost to another thread, the place is ours, too: all threads here are of one process.
            let order = Ordering::Relaxed;
            if process.id.compare_exchange(0, id, order, order).is_ok() {
                // Their timers move here when they are polled, and are dropped without a lock.
                let forked = PROCESSES[..at].iter().filter_map(|it| it.thread.get());
                forked.for_each(|thread| thread.handle().shared.abandon());
            }
            return Ok(process);
        }
        let depth = PROCESSES.len();
        Err(io::Error::other(format!(
            "it has run in {depth} processes already, each forked from the one before"
        )))
    }
}

/// The id of the process that this thread is in.
fn own_id(now: i64) -> u32 {
    let asked = ASKED.get();
    if asked.id != 0 && (0..TRUSTED).contains(&(now - asked.at)) {
        return asked.id;
    }
    let id = std::process::id();
    ASKED.set(Asked { at: now, id });
    id
}
