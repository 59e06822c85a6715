//! The process-wide driver thread, for executors that know nothing of us.

use std::io;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use crate::backend::thread::DriverThread;
use crate::driver::Driver;
use crate::handle::Handle;

/// Never dropped: its timers may be anywhere, until the process ends.
static THREAD: OnceLock<DriverThread> = OnceLock::new();

/// Held by whoever starts the thread. A start that fails is tried again by the next who needs it.
static START: Mutex<()> = Mutex::new(());

/// What a timer refers to that was made outside of any driver and not polled yet: only its clock is
/// ever asked. No thread is started for a timer that gets another driver, or none.
static STAND_IN: LazyLock<Handle> = LazyLock::new(|| {
    let driver = Driver::with_unpark(|| {});
    let handle = driver.handle().clone();
    // Dropped, it would be closed.
    std::mem::forget(driver);
    handle
});

pub(super) fn stand_in() -> Option<Handle> {
    Some(STAND_IN.clone())
}

/// The handle of the thread, which starts with the first call.
pub(super) fn handle() -> io::Result<Option<Handle>> {
    if let Some(thread) = THREAD.get() {
        return Ok(Some(thread.handle().clone()));
    }
    let _start = START.lock().unwrap_or_else(PoisonError::into_inner);
    if THREAD.get().is_none() {
        // Set by nobody else: we hold the lock.
        let _ = THREAD.set(DriverThread::new()?);
    }
    Ok(THREAD.get().map(|thread| thread.handle().clone()))
}
