//! [`ContextSleep`], a pause between two attempts that respects a context.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use crate::context::{Context, ContextError, Done};
use crate::panic::catch_panic;
use crate::time::{self, Sleep};

impl Context {
    /// Waits for `duration`, for instance before a call is tried again.
    ///
    /// It does not begin a wait after which nothing could be done: if the deadline of the context
    /// is `duration` away or less, the first poll returns the error. So a program that tries again
    /// until this fails spends none of its time waiting for its own deadline.
    ///
    /// # Errors
    ///
    /// The returned future ends with the [`ContextError`] if the context ends first, and
    /// [`DeadlineExceeded`](ContextError::DeadlineExceeded) at once if the wait would not end
    /// before the deadline. (The context has not ended in this case.) If both the wait and the
    /// context have ended when the task is polled, the wait counts.
    ///
    /// # Panics
    ///
    /// In the same cases as [`time::sleep`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels its timer at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// async fn call() -> Result<u32, &'static str> {
    ///     Err("unavailable")
    /// }
    ///
    /// let context = Context::background().with_timeout(Duration::from_millis(20));
    /// let result = pollster::block_on(async {
    ///     let mut pause = Duration::from_millis(1);
    ///     loop {
    ///         match call().await {
    ///             Ok(answer) => return Ok(answer),
    ///             Err(_) => context.sleep(pause).await?,
    ///         }
    ///         pause *= 2;
    ///     }
    /// });
    /// assert_eq!(result, Err(ContextError::DeadlineExceeded));
    /// ```
    #[track_caller]
    pub fn sleep(&self, duration: Duration) -> ContextSleep {
        let refused = self
            .remaining()
            .is_some_and(|remaining| remaining <= duration);
        ContextSleep {
            sleep: time::sleep(duration),
            done: self.done(),
            refused,
            started: false,
        }
    }
}

/// A wait that the end of a context cuts short, returned by [`Context::sleep`].
///
/// # Examples
///
/// ```
/// use reveille::{Context, context::ContextSleep};
/// use std::time::Duration;
///
/// let sleep: ContextSleep = Context::background().sleep(Duration::from_millis(1));
/// assert_eq!(pollster::block_on(sleep), Ok(()));
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
#[derive(Debug)]
pub struct ContextSleep {
    sleep: Sleep,
    done: Done,
    refused: bool,
    /// Whether it was polled and not refused.
    started: bool,
}

impl Future for ContextSleep {
    type Output = Result<(), ContextError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        if !self.started {
            if let Some(error) = self.done.err() {
                return Poll::Ready(Err(error));
            }
            if self.refused {
                return Poll::Ready(Err(ContextError::DeadlineExceeded));
            }
            self.started = true;
        }
        // First, so that a pause that is over is so however late the task is.
        if Pin::new(&mut self.sleep).poll(cx).is_ready() {
            // It drops a waker, which may panic, and the pause is over all the same.
            catch_panic(|| self.done.release());
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.done).poll(cx));
        // It drops a waker, too.
        catch_panic(|| self.sleep.disarm());
        // From now on as if it had not been started: the error stays.
        self.started = false;
        Poll::Ready(Err(self.done.err().unwrap_or(ContextError::Canceled)))
    }
}
