//! How is a future kept to a deadline?
//!
//! It is polled first and may be ready even after the deadline; only if it is not is the timer
//! asked. So a future that is ready at its first poll costs no timer at all.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::error::Elapsed;
use crate::time::sleep::{self, Sleep, sleep_until};

/// Gives `future` until `duration` from now.
///
/// Zero still polls it once. A `duration` beyond the clock's end (292 years) sets no limit. A
/// future that never yields is not interrupted.
///
/// Made where no driver is entered and no runtime runs, it takes the driver that its timer is first
/// polled on, when `future` first is not ready. What `duration` then counts from is told at
/// [`sleep`](super::sleep).
///
/// # Errors
///
/// The future yields [`Elapsed`] if the deadline passes first; `future` is dropped with it.
///
/// # Panics
///
/// As [`sleep`](super::sleep) does.
///
/// # Cancel safety
///
/// As safe to drop as `future` itself.
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
    Timeout::new(future, sleep::limit(duration))
}

/// Gives `future` until `deadline`.
///
/// Like [`timeout`] in all else; a deadline in the past still polls it once. Of instants that were
/// read outside of the runtime, [`sleep_until`] tells more.
///
/// # Errors
///
/// The future yields [`Elapsed`] if the deadline passes first; `future` is dropped with it.
///
/// # Panics
///
/// As [`sleep`](super::sleep) does.
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
    /// Like [`time::timeout`](timeout), on this driver.
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
        Timeout::new(future, Sleep::limit(self.clone(), duration))
    }

    /// Like [`time::timeout_at`](timeout_at), on this driver.
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
    /// A future with a deadline; made by [`timeout`] and [`timeout_at`].
    ///
    /// Ready with `Ok` if the future inside is, even late; with `Err` if it is not and the deadline
    /// has passed. Polled again after that, it polls the future inside again.
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
    fn new<F: IntoFuture<IntoFuture = T>>(future: F, sleep: Sleep) -> Self
    where
        T: Future<Output = F::Output>,
    {
        Self {
            future: future.into_future(),
            sleep,
        }
    }

    /// Returns the future inside.
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

    /// Returns the future inside.
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

    /// Takes the future out; the timer is cancelled.
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
        let mark = ready!(sleep.begin_item(cx));
        if let Poll::Ready(output) = this.future.poll(cx) {
            sleep.end_item(mark, cx);
            return Poll::Ready(Ok(output));
        }
        coop::poll_limit(mark, cx, |cx| Pin::new(&mut *sleep).poll(cx))
            .map(|()| Err(Elapsed::new()))
    }
}
