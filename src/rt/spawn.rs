//! The free functions, for tasks and threads that have no handle of their runtime.

use std::future::Future;
use std::sync::Arc;

use crate::clock::Hold;
use crate::rt::context;
use crate::rt::handle::NoRuntime;
use crate::rt::inner::Inner;
use crate::rt::join::JoinHandle;
use crate::rt::runtime::Runtime;

/// Runs `future` to completion on this thread, with timers and tasks. Returns its output.
///
/// It makes a [`Runtime`] with one worker for the call. When `future` is ready, tasks that have not
/// ended are dropped. Timers that `future` makes are on that runtime; a timer in the argument
/// itself (`block_on(sleep(…))`) is made before the runtime.
///
/// Inside a task this makes a second runtime, and blocks the worker of the first. If that has one
/// worker, its other tasks wait meanwhile, and so does a timer in the argument, for ever. Write
/// `block_on(async { sleep(limit).await })`, or better, `await`.
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
/// The task may run on any worker, so `future` has to be `Send`; for one that is not, see
/// [`spawn_local`]. Its panic is the error of its [`JoinHandle`]. A panic in the *drop* of its
/// future, or of an output that was not taken, aborts the process.
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
    context::spawn(owned, future)
}

/// Spawns a local task, which stays on this thread and need not be `Send`.
///
/// It ends with the call of [`block_on`](Runtime::block_on) that this thread is in, or with the
/// worker.
///
/// # Panics
///
/// If this thread is in no runtime, or has only entered one and runs no futures of it.
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
        // Panics with a message of its own if the thread is in no runtime at all.
        let _ = current();
        panic!(
            "this thread runs no tasks, it has only entered a runtime: spawn_local inside of reveille::rt::block_on"
        );
    };
    context::spawn_local(local, future)
}

/// Keeps a manual or paused clock from moving by itself until the guard is dropped.
///
/// The runtime moves a [manual](crate::ManualClock) or paused (`time::pause`) clock on to the next
/// deadline when all of its workers are idle. Hold the clock while a task waits for something that
/// the workers do not know of, such as another thread. Does nothing on a clock that runs.
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
    current().pool.clock().hold()
}

/// Runs a function that blocks, on a thread where it keeps no task waiting.
///
/// The handle is that of a task: a panic of `work` is its [`JoinError`](super::JoinError). If the
/// task is aborted before `work` has begun, `work` is not called; otherwise it runs to its end, and
/// its result is dropped. All runtimes of the process share up to 500 threads; while all are busy,
/// `work` waits.
///
/// A manual or paused clock is [held](super::hold) meanwhile.
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
    let hold = inner.pool.clock().hold();
    // Starts now, not when the task first runs. Dropping it with the task cancels it.
    let work = blocking::unblock(work);
    context::spawn(context::owned_of(&inner), async move {
        let result = work.await;
        drop(hold);
        result
    })
}

/// Returns the runtime that this thread is in.
#[track_caller]
pub(super) fn current() -> Arc<Inner> {
    match context::current() {
        Some(inner) => inner,
        None => panic!("{NoRuntime}"),
    }
}
