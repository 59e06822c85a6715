//! [`Timeout`]: a limit on the time until there is a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::adapters::tower::BoxError;
use crate::time::{self, timeout};

/// Makes a [`Timeout`] of each service.
///
/// # Examples
///
/// ```
/// use reveille::adapters::tower::TimeoutLayer;
/// use std::time::Duration;
/// use tower_layer::Layer;
///
/// let limited = TimeoutLayer::new(Duration::from_secs(1)).layer("a service");
/// assert_eq!(*limited.get_ref(), "a service");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// Limits each response to `limit`.
    ///
    /// # Examples
    ///
    /// See [`TimeoutLayer`].
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, service: S) -> Timeout<S> {
        Timeout::new(service, self.limit)
    }
}

/// A service whose responses have to come within a time, like `tower::timeout::Timeout`, with the
/// timers of this crate.
///
/// The time counts from the call, and ends with the response. If that has a body, the body is not
/// limited: see [`Deadline`](super::Deadline) for that. Time spent until the service is ready does
/// not count.
///
/// # Errors
///
/// [`Elapsed`](super::Elapsed) once the time is over, and those of the inner service. The future of
/// the inner service is dropped together with the one that failed.
///
/// # Panics
///
/// A call panics in the same cases as [`time::timeout`].
///
/// # Examples
///
/// ```
/// use reveille::adapters::tower::{BoxError, Elapsed, Timeout};
/// use std::task::{Context, Poll};
/// use std::{future, time::Duration};
/// use tower_service::Service;
///
/// struct Slow;
///
/// impl Service<&'static str> for Slow {
///     type Response = ();
///     type Error = BoxError;
///     type Future = future::Pending<Result<(), BoxError>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, _: &'static str) -> Self::Future {
///         future::pending()
///     }
/// }
///
/// let mut limited = Timeout::new(Slow, Duration::from_millis(1));
/// let error = pollster::block_on(limited.call("request")).unwrap_err();
/// assert!(error.is::<Elapsed>());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Duration,
}

impl<S> Timeout<S> {
    /// Limits each response of `inner` to `limit`.
    ///
    /// # Examples
    ///
    /// See [`Timeout`].
    pub const fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }

    /// Returns the inner service.
    ///
    /// # Examples
    ///
    /// See [`TimeoutLayer`].
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, R> Service<R> for Timeout<S>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[track_caller]
    fn call(&mut self, request: R) -> Self::Future {
        TimeoutFuture {
            response: timeout(self.limit, self.inner.call(request)),
        }
    }
}

pin_project! {
    /// The response of a [`Timeout`].
    ///
    /// # Examples
    ///
    /// See [`Timeout`].
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct TimeoutFuture<F> {
        #[pin]
        response: time::Timeout<F>,
    }
}

impl<F, T, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().response.poll(cx)) {
            Ok(response) => response.map_err(Into::into),
            Err(elapsed) => Err(elapsed.into()),
        })
    }
}
