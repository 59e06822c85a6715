//! [`after_func`], a function that runs as a task when it is due.

mod runtime;

use std::time::Duration;

use crate::callback::FuncTimer;
use crate::driver::Handle;
use crate::go::func::runtime::{Runtime, Task};

/// Runs `f` when `duration` has passed from now, as a task of the current runtime; Go's
/// `time.AfterFunc`.
///
/// The runtime is the one that this thread is in at this call: that of the feature `rt`, or tokio's
/// (feature `tokio`); if it is in both, the one that was entered last. When the timer is due, `f`
/// is spawned there, so it runs on one of its workers, and does not keep other timers waiting. As
/// any task, it should not block: for that, `f` can spawn with `spawn_blocking`.
///
/// In no runtime `f` is called in the turn of the [current driver](Handle::current), like that of
/// [`Handle::call_after`], and should be short: for a loop that has entered its driver, that is the
/// loop's own thread, and otherwise the process-wide thread, on which other timers wait for it.
///
/// `f` is never called early, and never inside this call or a [reset](FuncTimer::reset), on any
/// thread. With a `duration` of zero it is spawned at once, or in the driver's
/// next turn. With `Duration::MAX` it is never called. Until it is due it takes a timer, but no
/// task. If `f` panics, no other timer or task is harmed; the panic hook reports it. If the runtime
/// or the driver ends first, `f` is dropped without being called.
///
/// [`FuncTimer::stop`] returns `false` once `f` is spawned, though it may not have begun.
///
/// # Panics
///
/// If no driver is [current](Handle::current) and the feature `fallback` is off, or the system
/// refuses to start the process-wide thread.
///
/// # Examples
///
/// ```
/// use reveille::go;
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let (sender, fired) = mpsc::channel();
/// let timer = go::after_func(Duration::from_millis(1), move || sender.send(7).unwrap());
/// assert_eq!(fired.recv(), Ok(7));
/// assert!(!timer.stop()); // it has run
/// ```
#[track_caller]
pub fn after_func(duration: Duration, f: impl FnOnce() + Send + 'static) -> FuncTimer {
    let driver = Handle::current();
    match Runtime::current() {
        Runtime::None => driver.call_after(duration, f),
        runtime => driver.spawn_after(duration, Task { runtime, f }),
    }
}
