//! The process-wide driver thread, for executors that know nothing of us.

use std::sync::LazyLock;

use crate::backend::thread::DriverThread;
use crate::handle::Handle;

/// Never dropped: its timers may be anywhere, until the process ends.
static THREAD: LazyLock<DriverThread> = LazyLock::new(|| {
    DriverThread::new().unwrap_or_else(|error| {
        panic!("cannot start the timer thread: {error}; enter a driver of your own instead")
    })
});

/// The handle of the thread, which starts with the first call.
pub(super) fn handle() -> Option<Handle> {
    Some(THREAD.handle().clone())
}
