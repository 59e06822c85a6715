//! The free functions: what a task calls that has no runtime at hand.

use std::future::Future;
use std::sync::Arc;

use crate::clock::Hold;
use crate::rt::context;
use crate::rt::handle::NoRuntime;
use crate::rt::inner::Inner;
use crate::rt::join::JoinHandle;
use crate::rt::runtime::Runtime;
use crate::rt::schedule;

/// Runs `future` to its end on this thread, with timers and tasks.
///
/// A [`Runtime`] of one worker for one call: when `future` is ready, tasks that are not are dropped.
/// Timers made inside run on it; one made in the argument itself (`block_on(sleep(…))`) is made
/// before.
///
/// # Examples
///
/// ```
/// use reveille::time::{sleep, Duration};
///
/// reveille::rt::block_on(async { sleep(Duration::from_millis(1)).await });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    Runtime::single().block_on(future)
}

/// Spawns a task on the runtime that this thread is in.
///
/// It may run on any of its workers. A panic of the task is its [`JoinHandle`]'s. A panic in the
/// *drop* of its future, or of an output that nobody took, aborts the process.
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
/// assert_eq!(rt::block_on(async { rt::spawn(async { 7 }).await }).unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let Some(owned) = context::current_owned() else {
        panic!("{NoRuntime}");
    };
    schedule::spawn(owned, future)
}

/// Spawns a task that stays on this thread, and need not be `Send`.
///
/// It ends with the [`block_on`](Runtime::block_on) that this thread is in, or with the worker.
///
/// # Panics
///
/// If this thread runs no futures of a runtime, but has at most entered one.
///
/// # Examples
///
/// ```
/// use reveille::rt;
/// use std::rc::Rc;
///
/// let shared = Rc::new(7);
/// assert_eq!(rt::block_on(async { rt::spawn_local(async move { *shared }).await }).unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let scope = context::running_current();
    let Some(local) = scope.as_ref().and_then(|scope| scope.local_or_init()) else {
        // In no runtime at all there is another remedy.
        let _ = current();
        panic!(
            "this thread runs no tasks, it has only entered a runtime: spawn_local inside of reveille::rt::block_on"
        );
    };
    schedule::spawn_local(local, future)
}

/// Keeps time from moving by itself, where it is moved by hand, until the guard is dropped.
///
/// On a [manual](crate::ManualClock) or paused (`time::pause`) clock the runtime moves time on
/// to the next deadline when all of its workers are idle. Hold it while something works that they
/// cannot see, on another thread or machine. Does nothing where the clock runs.
///
/// # Panics
///
/// If this thread is in no runtime.
///
/// # Examples
///
/// ```
/// use reveille::{rt, time::{sleep, timeout, Duration}};
///
/// let clock = reveille::ManualClock::new();
/// let runtime = rt::Runtime::builder().clock(&clock).build()?;
/// let answer = runtime.block_on(async {
///     let (sender, answer) = futures::channel::oneshot::channel();
///     let hold = rt::hold();
///     std::thread::spawn(move || {
///         sender.send(7).unwrap();
///         drop(hold);
///     });
///     timeout(Duration::from_secs(1), answer).await
/// });
/// assert_eq!(answer.unwrap(), Ok(7));
/// # Ok::<_, std::io::Error>(())
/// ```
#[track_caller]
pub fn hold() -> Hold {
    current().pool().clock().hold()
}

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
#[cfg(feature = "blocking")]
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let inner = current();
    let hold = inner.pool().clock().hold();
    // Begun now, not when the task first runs; dropped with the task, it is cancelled.
    let work = blocking::unblock(work);
    schedule::spawn(context::owned_of(&inner), async move {
        let result = work.await;
        drop(hold);
        result
    })
}

/// The runtime that this thread is in.
#[track_caller]
pub(super) fn current() -> Arc<Inner> {
    match context::current() {
        Some(inner) => inner,
        None => panic!("{NoRuntime}"),
    }
}
