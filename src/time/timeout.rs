//! [`Timeout`], a future with a deadline, and the functions that make one.
//!
//! The future is polled before the timer, and may be ready even after the deadline. The timer is
//! polled only if the future is pending, so a future that is ready at its first poll does not arm a
//! timer at all (but `try_timeout` arms it before). Before both, `poll_start_item` may yield, if
//! the task's budget is used up.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::FusedFuture;
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::error::Elapsed;
use crate::time::sleep::{self, Sleep, sleep_until};

/// Requires `future` to complete before `duration` has passed.
///
/// With a `duration` of zero, `future` is still polled once. If the deadline is beyond the clock's
/// end (292 years), there is no limit. A future that never yields is not interrupted.
///
/// If no driver is [current](Handle::current) at this call, the timer takes the one that is current
/// when it is first polled, which is when `future` is first pending. [`sleep`](super::sleep) tells
/// from when `duration` counts then.
///
/// # Errors
///
/// The returned future ends with [`Elapsed`] if the deadline passes first. `future` is dropped
/// together with it.
///
/// # Panics
///
/// In the same cases as [`sleep`](super::sleep).
///
/// # Cancel safety
///
/// The returned future is as safe to drop as `future` itself.
///
/// # Examples
///
/// ```
/// use reveille::time::{timeout, Duration};
///
/// pollster::block_on(async {
///     let limit = Duration::from_millis(1);
///     assert_eq!(timeout(limit, async { 5 }).await, Ok(5));
///     assert!(timeout(limit, std::future::pending::<()>()).await.is_err());
/// });
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(future, sleep::uncapped(duration))
}

/// Requires `future` to complete before `deadline`.
///
/// Otherwise like [`timeout`]. With a deadline in the past, `future` is still polled once. About
/// instants that were read outside of the runtime, see [`sleep_until`].
///
/// # Errors
///
/// The returned future ends with [`Elapsed`] if the deadline passes first. `future` is dropped
/// together with it.
///
/// # Panics
///
/// In the same cases as [`sleep`](super::sleep).
///
/// # Examples
///
/// ```
/// use reveille::time::{timeout_at, Instant};
///
/// pollster::block_on(async {
///     assert_eq!(timeout_at(Instant::now(), async { 5 }).await, Ok(5));
/// });
/// ```
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(future, sleep_until(deadline))
}

impl Handle {
    /// Requires `future` to complete before `duration` has passed, like [`time::timeout`](timeout),
    /// on this driver.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let timers = reveille::DriverThread::new()?;
    /// let answer = timers.handle().timeout(Duration::from_secs(1), async { 42 });
    /// assert_eq!(pollster::block_on(answer), Ok(42));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn timeout<F: IntoFuture>(&self, duration: Duration, future: F) -> Timeout<F::IntoFuture> {
        Timeout::new(future, Sleep::uncapped(self.driver_ref(), duration))
    }

    /// Requires `future` to complete before `at`, like [`time::timeout_at`](timeout_at), on this
    /// driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// let answer = timers.handle().timeout_at(timers.handle().now(), async { 42 });
    /// assert_eq!(pollster::block_on(answer), Ok(42));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn timeout_at<F: IntoFuture>(&self, at: Instant, future: F) -> Timeout<F::IntoFuture> {
        Timeout::new(future, self.sleep_until(at))
    }
}

pin_project! {
    /// A future with a deadline, returned by [`timeout`] and [`timeout_at`].
    ///
    /// It returns `Ok` when the inner future is ready, even after the deadline, and `Err` if that
    /// is pending and the deadline has passed. If it is polled again after an `Err`, it polls the
    /// inner future again.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{timeout, Duration};
    ///
    /// let limited = timeout(Duration::from_secs(1), std::future::ready(1));
    /// assert_eq!(pollster::block_on(limited.into_inner()), 1);
    /// ```
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct Timeout<T> {
        #[pin]
        future: T,
        sleep: Sleep,
    }
}

impl<T> Timeout<T> {
    pub(in crate::time) fn new<F: IntoFuture<IntoFuture = T>>(future: F, sleep: Sleep) -> Self
    where
        T: Future<Output = F::Output>,
    {
        Self {
            future: future.into_future(),
            sleep,
        }
    }

    /// Returns a reference to the inner future.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{timeout, Duration};
    ///
    /// let limited = timeout(Duration::from_secs(1), std::future::ready(1));
    /// let inner: &std::future::Ready<i32> = limited.get_ref();
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.future
    }

    /// Returns a mutable reference to the inner future.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{timeout, Duration};
    ///
    /// let mut limited = timeout(Duration::from_secs(1), std::future::ready(1));
    /// *limited.get_mut() = std::future::ready(2);
    /// assert_eq!(pollster::block_on(limited), Ok(2));
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.future
    }

    /// Cancels the timer and returns the inner future.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{timeout, Duration};
    ///
    /// let limited = timeout(Duration::from_secs(1), std::future::ready(1));
    /// assert_eq!(pollster::block_on(limited.into_inner()), 1);
    /// ```
    #[must_use]
    pub fn into_inner(self) -> T {
        self.future
    }
}

impl<T: Future> Future for Timeout<T> {
    type Output = Result<T::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let sleep = this.sleep;
        let before = ready!(sleep.poll_start_item(cx));
        if let Poll::Ready(output) = this.future.poll(cx) {
            sleep.set_completed();
            sleep.count_item(before, cx);
            return Poll::Ready(Ok(output));
        }
        coop::poll_limit(before, cx, |cx| Pin::new(&mut *sleep).poll(cx))
            .map(|()| Err(Elapsed::new()))
    }
}

/// It is terminated once a poll was ready: `futures::select!` then leaves it out.
impl<T: Future> FusedFuture for Timeout<T> {
    fn is_terminated(&self) -> bool {
        self.sleep.is_completed() || self.sleep.is_terminated()
    }
}
