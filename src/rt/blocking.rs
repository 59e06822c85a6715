//! Where does work run that blocks its thread?
//!
//! On the threads of the crate `blocking`, which the whole process shares, and which end when they
//! are not needed for a while. A task of the runtime waits for it, and is what the caller holds.

use crate::rt::context::list_of;
use crate::rt::join::JoinHandle;
use crate::rt::schedule;
use crate::rt::spawn::{current, hold};

/// Runs a function that blocks, on a thread where that keeps no task waiting.
///
/// The handle is that of any task: a panic of `work` is its [`JoinError`](super::JoinError). Aborted
/// before it has begun, `work` is not called; once begun, it runs to its end, and its result is
/// dropped. The threads are the process's, up to 500; with all of them busy, work waits.
///
/// While it lasts, time that is moved by hand is [held](super::hold).
///
/// Needs the feature `blocking`.
///
/// # Panics
///
/// If this thread is in no runtime.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// let text = rt::block_on(async {
///     rt::spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await.unwrap()
/// });
/// assert!(text.unwrap().contains("reveille"));
/// ```
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let list = list_of(&current());
    let hold = hold();
    // Begun now, not when the task first runs; dropped with the task, it is cancelled.
    let work = blocking::unblock(work);
    schedule::spawn(list, async move {
        let result = work.await;
        drop(hold);
        result
    })
}
