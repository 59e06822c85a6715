//! What does the spawner of a task hold?

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::rt::task::Started;

/// Waits for a task and returns its output; made by [`spawn`](super::spawn).
///
/// Dropping it detaches the task, which goes on.
///
/// # Errors
///
/// It yields a [`JoinError`] if the task panicked, was [aborted](Self::abort), or was dropped
/// unfinished with its runtime; and if it is polled again after it was ready.
///
/// # Cancel safety
///
/// It may be dropped and polled again at will: `&mut handle` in a `select!` loop loses nothing.
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
    /// Taken only by `drop`.
    task: Option<Started<T>>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(task: Started<T>) -> Self {
        Self { task: Some(task) }
    }

    /// Ends the task: its future is dropped when it would be polled next, which is soon.
    ///
    /// The handle then yields a [`JoinError`] that [is cancelled](JoinError::is_cancelled), unless
    /// the task was faster, or is in its last poll just now: then its output. Does nothing if the
    /// task has ended. A task that blocks its thread cannot be interrupted.
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

    /// Returns whether the task has ended.
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
        self.task
            .as_ref()
            .is_none_or(|task| task.output.is_finished())
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.task.as_mut() else {
            return Poll::Ready(Err(JoinError(Cause::Cancelled)));
        };
        // The task's panic is thrown here by `async_task`, and nowhere else.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut task.output).poll(cx))) {
            Ok(poll) => poll.map(|output| output.ok_or(JoinError(Cause::Cancelled))),
            Err(payload) => Poll::Ready(Err(JoinError(Cause::Panicked(payload)))),
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.output.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// A task ended without an output.
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
    Panicked(Box<dyn Any + Send>),
}

impl JoinError {
    /// Returns whether the task panicked.
    ///
    /// # Examples
    ///
    /// See [`JoinError`].
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panicked(_))
    }

    /// Returns whether the task was dropped before it had ended, by an abort or with its runtime.
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

    /// Returns what the task panicked with, for [`std::panic::resume_unwind`].
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
            Cause::Panicked(payload) => Ok(payload),
            Cause::Cancelled => Err(self),
        }
    }

    fn message(&self) -> Option<&str> {
        let Cause::Panicked(payload) = &self.0 else {
            return None;
        };
        let literal = payload.downcast_ref::<&str>().copied();
        literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.message()) {
            (Cause::Cancelled, _) => f.write_str("task was dropped before it had ended"),
            (Cause::Panicked(_), Some(message)) => write!(f, "task panicked: {message}"),
            (Cause::Panicked(_), None) => f.write_str("task panicked"),
        }
    }
}

impl Error for JoinError {}

/// Lets the other tasks run that are ready.
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

/// Ready when polled for the second time; made by [`yield_now`].
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
