//! The handles of a task, its error, and `yield_now`.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::FusedFuture;

use crate::panic::catch_panic;
use crate::rt::task::{Spawned, TaskRef};

/// Waits for a task and returns its output; made by [`spawn`](super::spawn).
///
/// Dropping the handle detaches the task, which goes on.
///
/// # Errors
///
/// The output is a [`JoinError`] if the task panicked, was [aborted](Self::abort), or was dropped
/// with its runtime before it had ended.
///
/// # Panics
///
/// If it is polled again after it was ready, as tokio's does.
///
/// If the waker with which it is polled panics, in its wake, clone or drop, the process is aborted.
/// The wakers of executors do not panic.
///
/// # Cancel safety
///
/// `&mut handle` may be dropped before it is ready and awaited again, as in a `select!` loop: no
/// output is lost.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// let six = rt::block_on(async { rt::spawn(async { 2 * 3 }).await });
/// assert_eq!(six.unwrap(), 6);
/// ```
pub struct JoinHandle<T> {
    /// `None` after it was ready.
    task: Option<Spawned<T>>,
    /// A poll was pending, so the task has a waker of it.
    has_waker: bool,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(task: Spawned<T>) -> Self {
        Self {
            task: Some(task),
            has_waker: false,
        }
    }

    /// Aborts the task: its future is dropped soon, instead of being polled the next time.
    ///
    /// The output of the handle is then a [`JoinError`] that [is
    /// cancelled](JoinError::is_cancelled). If the task ends before that, also if it is in its last
    /// poll at the moment, it is the task's output. Does nothing if the task has ended. A task that
    /// blocks its thread is not interrupted.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt;
    ///
    /// rt::block_on(async {
    ///     let task = rt::spawn(std::future::pending::<()>());
    ///     task.abort();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Returns a handle that can abort the task, and does not wait for it.
    ///
    /// # Examples
    ///
    /// See [`AbortHandle`].
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle(self.task.as_ref().map(Spawned::task_ref))
    }

    /// Returns whether the task has ended: its future is dropped.
    ///
    /// If so, the handle is ready, or is about to be.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt;
    ///
    /// rt::block_on(async {
    ///     let task = rt::spawn(async {});
    ///     assert!(!task.is_finished());
    ///     rt::yield_now().await;
    ///     assert!(task.is_finished());
    /// });
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(Spawned::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.task.as_mut() else {
            panic!(
                "JoinHandle polled after completion: its output was taken, so keep it in an Option, or leave it out of the select! once it is_terminated"
            );
        };
        // Only here does `async_task` resume the task's panic.
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut task.output).poll(cx)));
        let result = match poll {
            Ok(Poll::Pending) => {
                self.has_waker = true;
                return Poll::Pending;
            }
            Ok(Poll::Ready(Some(output))) => Ok(output),
            Ok(Poll::Ready(None)) => Err(JoinError(Cause::Cancelled)),
            Err(payload) => Err(JoinError::panicked(payload)),
        };
        self.task = None;
        Poll::Ready(result)
    }
}

/// Terminated once its output was taken: `futures::select!` leaves it out then.
impl<T> FusedFuture for JoinHandle<T> {
    fn is_terminated(&self) -> bool {
        self.task.is_none()
    }
}

impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let Some(mut task) = self.task.take() else {
            return;
        };
        // `detach` leaves the waker of the last poll in the task until that ends, and with it what
        // the waker refers to. So one more poll exchanges it for one that refers to nothing. If the
        // task has panicked, the panic ends here. An output is dropped last: it may panic.
        let polled = self.has_waker.then(|| {
            let mut cx = Context::from_waker(Waker::noop());
            catch_panic(|| Pin::new(&mut task.output).poll(&mut cx))
        });
        task.output.detach();
        drop(polled);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Aborts a task; made by [`JoinHandle::abort_handle`].
///
/// It keeps nothing of the task or its runtime alive, and may outlive both. Dropping it does
/// nothing.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// rt::block_on(async {
///     let task = rt::spawn(std::future::pending::<()>());
///     let abort = task.abort_handle();
///     std::thread::spawn(move || abort.abort());
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
#[derive(Clone)]
pub struct AbortHandle(Option<TaskRef>);

impl AbortHandle {
    /// Aborts the task, as [`JoinHandle::abort`] does.
    ///
    /// # Examples
    ///
    /// See [`AbortHandle`].
    pub fn abort(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }

    /// Returns whether the task has ended: its future is dropped.
    ///
    /// If so, the task's [`JoinHandle`] is ready, or is about to be.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt;
    ///
    /// rt::block_on(async {
    ///     let task = rt::spawn(async {});
    ///     let abort = task.abort_handle();
    ///     assert!(!abort.is_finished());
    ///     task.await.unwrap();
    ///     assert!(abort.is_finished());
    /// });
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(TaskRef::is_finished)
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// The error of a task that ended without an output.
///
/// It converts to [`io::Error`], as tokio's does, and is the inner error of that.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// let error = rt::block_on(async { rt::spawn(async { panic!("lost") }).await }).unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(error.to_string(), "task panicked: lost");
/// ```
pub struct JoinError(Cause);

enum Cause {
    Cancelled,
    Panicked {
        message: Option<Cow<'static, str>>,
        /// The mutex is never locked. It makes the error `Sync`, which the payload need not be.
        payload: Mutex<Box<dyn Any + Send>>,
    },
}

impl JoinError {
    fn panicked(payload: Box<dyn Any + Send>) -> Self {
        let literal = payload.downcast_ref::<&'static str>();
        let formatted = || payload.downcast_ref::<String>();
        let message = literal
            .map(|&text| text.into())
            .or_else(|| formatted().map(|text| text.clone().into()));
        let payload = Mutex::new(payload);
        Self(Cause::Panicked { message, payload })
    }

    /// Returns whether the task panicked.
    ///
    /// # Examples
    ///
    /// See [`JoinError`].
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panicked { .. })
    }

    /// Returns whether the task was dropped before it had ended: it was
    /// [aborted](JoinHandle::abort), its runtime has ended, or had ended before the task was
    /// spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt;
    ///
    /// let runtime = rt::Runtime::new()?;
    /// let task = runtime.spawn(std::future::pending::<()>());
    /// drop(runtime);
    /// assert!(rt::block_on(task).unwrap_err().is_cancelled());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Cause::Cancelled)
    }

    /// Returns the payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not panic.
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// use reveille::rt;
    ///
    /// let error = rt::block_on(async { rt::spawn(async { panic!("lost") }).await }).unwrap_err();
    /// if error.is_panic() {
    ///     std::panic::resume_unwind(error.into_panic());
    /// }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("the task did not panic: {error}"),
        }
    }

    /// Returns the payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    ///
    /// The error itself, if the task did not panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt;
    ///
    /// let error = rt::block_on(async { rt::spawn(async { panic!("lost") }).await }).unwrap_err();
    /// assert_eq!(*error.try_into_panic().unwrap().downcast::<&str>().unwrap(), "lost");
    /// ```
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.0 {
            Cause::Panicked { payload, .. } => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            Cause::Cancelled => Err(self),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Cancelled => f.write_str(
                "task was dropped before it had ended: it was aborted, or its runtime is gone",
            ),
            Cause::Panicked {
                message: Some(message),
                ..
            } => write!(f, "task panicked: {message}"),
            Cause::Panicked { message: None, .. } => f.write_str("task panicked"),
        }
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

/// Yields to the other tasks that are ready.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// rt::block_on(async {
///     let task = rt::spawn(async {});
///     rt::yield_now().await;
///     assert!(task.is_finished());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow(false)
}

/// Is ready when it is polled for the second time; made by [`yield_now`].
///
/// # Examples
///
/// ```
/// use reveille::rt::{self, YieldNow};
///
/// let pause: YieldNow = rt::yield_now();
/// rt::block_on(pause);
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct YieldNow(bool);

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
