//! How threads and tasks reach a runtime: by its [`Handle`], or by the free functions if they are
//! in it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::clock::Hold;
use crate::driver;
use crate::rt::block_on::block_on;
use crate::rt::inner::Inner;
use crate::rt::join::JoinHandle;
use crate::rt::scopes::{self, Entered};

/// A reference to a [`Runtime`](super::Runtime), by which any thread spawns tasks on it.
///
/// Clones refer to the same runtime. A handle may outlive the runtime: a task that is spawned then
/// ends at once.
///
/// # Examples
///
/// ```
/// use reveille::rt::{self, Handle};
///
/// rt::block_on(async {
///     let handle = Handle::current();
///     let task = std::thread::spawn(move || handle.spawn(async { 7 })).join().unwrap();
///     assert_eq!(task.await.unwrap(), 7);
/// });
/// ```
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

// No lock is held while a task, a waker or a hook runs, so its panic leaves nothing half done.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}

impl Handle {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Returns a handle of the runtime that this thread is in.
    ///
    /// # Panics
    ///
    /// If this thread is in no runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, Handle};
    ///
    /// rt::block_on(async { Handle::current().spawn(async {}).await }).unwrap();
    /// ```
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns a handle of the runtime that this thread is in.
    ///
    /// # Errors
    ///
    /// If this thread is in no runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = reveille::rt::Handle::try_current().unwrap_err();
    /// assert!(error.to_string().contains("rt::block_on"));
    /// ```
    pub fn try_current() -> Result<Self, NoRuntime> {
        scopes::current().map(Self::new).ok_or(NoRuntime)
    }

    /// Spawns a task on the runtime.
    ///
    /// # Examples
    ///
    /// See [`Handle`].
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        scopes::spawn(scopes::owned_of(&self.inner), future)
    }

    /// Runs `future` to completion on this thread, and tasks meanwhile; see
    /// [`Runtime::block_on`](super::Runtime::block_on).
    ///
    /// Once the runtime is gone, `future` runs all the same, but no tasks, and its timers move to
    /// another driver.
    ///
    /// # Panics
    ///
    /// If called by a future that this runtime polls, or by anything else that a worker calls (a
    /// timer's function, a waker made by hand, a park hook).
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// assert_eq!(runtime.handle().block_on(async { 1 }), 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        block_on(&self.inner, future)
    }

    /// Makes this the current runtime of this thread until the guard is dropped.
    ///
    /// [`spawn`](super::spawn()) and the free functions of [`time`](crate::time) use it. The thread
    /// runs no tasks. Guards nest; see [`Entered`].
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, Runtime};
    ///
    /// let runtime = Runtime::new()?;
    /// let entered = runtime.handle().enter();
    /// let task = rt::spawn(async { 7 });
    /// drop(entered);
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn enter(&self) -> Entered {
        Entered::new(self.inner.clone())
    }

    /// Returns the timers of the worker that this thread runs, or those of all external threads.
    ///
    /// It returns those of external threads, too, in a [`block_on`](Self::block_on) that a
    /// destructor calls on a worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = reveille::rt::Runtime::new()?;
    /// let sleep = runtime.handle().timers().sleep(Duration::from_millis(1));
    /// runtime.block_on(sleep);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn timers(&self) -> driver::Handle {
        scopes::driver_of(&self.inner)
    }

    /// Returns how many timers are armed on the runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// assert_eq!(runtime.handle().armed(), 0);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn armed(&self) -> usize {
        self.inner.pool.armed()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("workers", &self.inner.pool.workers())
            .field("tasks", &self.inner.tasks())
            .field("armed", &self.armed())
            .finish()
    }
}

/// Spawns a task on the runtime that this thread is in.
///
/// The task may run on any worker, so `future` has to be `Send`; for one that is not, see
/// [`spawn_local`]. Its panic is the error of its [`JoinHandle`]. A panic in the *drop* of its
/// future aborts the process, and so does one in the drop of its output, if the handle was dropped
/// before the task had ended. An output that the handle has when it is dropped panics there.
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
    let Some(owned) = scopes::current_owned() else {
        panic!("{NoRuntime}");
    };
    scopes::spawn(owned, future)
}

/// Spawns a local task, which stays on this thread and need not be `Send`.
///
/// It ends with the call of [`block_on`](super::block_on) that this thread is in, or with the
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
    let scope = scopes::running_current();
    let Some(local) = scope.as_ref().and_then(|scope| scope.local_or_init()) else {
        // Panics with a message of its own if the thread is in no runtime at all.
        let _ = Handle::current();
        panic!(
            "this thread runs no tasks, it has only entered a runtime: spawn_local inside of reveille::rt::block_on"
        );
    };
    scopes::spawn_local(local, future)
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
    Handle::current().inner.pool.clock().hold()
}

/// Runs a function that blocks, on a thread where it keeps no task waiting.
///
/// The handle is that of a task: a panic of `work` is its [`JoinError`](super::JoinError). If the
/// task is aborted before `work` has begun, `work` is not called; otherwise it runs to its end, and
/// its result is dropped. All runtimes of the process share up to 500 threads; while all are busy,
/// `work` waits.
///
/// A manual or paused clock is [held](super::hold) until `work` has returned, also if the task is
/// aborted.
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
    let Handle { inner } = Handle::current();
    // One for the call, which goes on if the task is aborted, and one for the task, until it has
    // the result.
    let (call_hold, hold) = (inner.pool.clock().hold(), inner.pool.clock().hold());
    // Starts now, not when the task first runs. Dropping it with the task cancels it.
    let work = blocking::unblock(move || {
        let result = work();
        drop(call_hold);
        result
    });
    scopes::spawn(scopes::owned_of(&inner), async move {
        let result = work.await;
        drop(hold);
        result
    })
}

/// The error of [`Handle::try_current`]: this thread is in no runtime.
///
/// # Examples
///
/// ```
/// use reveille::rt::{Handle, NoRuntime};
///
/// let error: NoRuntime = Handle::try_current().unwrap_err();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRuntime;

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this thread is in no runtime: call it inside of reveille::rt::block_on, or enter a runtime's Handle; on a ManualClock, use a runtime made by Runtime::builder().clock(&clock)")
    }
}

impl Error for NoRuntime {}
