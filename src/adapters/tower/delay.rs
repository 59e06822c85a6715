//! [`Delay`]: a wait before each call.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::time::{Sleep, sleep};

/// Makes a [`Delay`] of each service.
///
/// # Examples
///
/// ```
/// use reveille::adapters::tower::DelayLayer;
/// use std::time::Duration;
/// use tower_layer::Layer;
///
/// let late = DelayLayer::new(Duration::from_millis(200)).layer("a service");
/// assert_eq!(*late.get_ref(), "a service");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DelayLayer {
    delay: Duration,
}

impl DelayLayer {
    /// Waits for `delay` before each call.
    ///
    /// # Examples
    ///
    /// See [`DelayLayer`].
    #[must_use]
    pub const fn new(delay: Duration) -> Self {
        Self { delay }
    }
}

impl<S> Layer<S> for DelayLayer {
    type Service = Delay<S>;

    fn layer(&self, service: S) -> Delay<S> {
        Delay::new(service, self.delay)
    }
}

/// A service that is called some time after each request, for instance to see how a client behaves
/// while its server is slow.
///
/// The inner service is cloned for each request: the one that was ready waits with the request. So
/// a limit on concurrent requests that is inside of this layer counts those that wait.
///
/// # Errors
///
/// Those of the inner service.
///
/// # Panics
///
/// A call panics in the same cases as [`time::sleep`](crate::time::sleep()).
///
/// # Examples
///
/// ```
/// use reveille::adapters::tower::Delay;
/// use std::convert::Infallible;
/// use std::future::{Ready, ready};
/// use std::task::{Context, Poll};
/// use std::time::{Duration, Instant};
/// use tower_service::Service;
///
/// #[derive(Clone)]
/// struct Clock;
///
/// impl Service<()> for Clock {
///     type Response = Instant;
///     type Error = Infallible;
///     type Future = Ready<Result<Instant, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, _: ()) -> Self::Future {
///         ready(Ok(Instant::now()))
///     }
/// }
///
/// let start = Instant::now();
/// let called = pollster::block_on(Delay::new(Clock, Duration::from_millis(1)).call(()));
/// assert!(called.unwrap() - start >= Duration::from_millis(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Delay<S> {
    inner: S,
    delay: Duration,
}

impl<S> Delay<S> {
    /// Waits for `delay` before each call of `inner`.
    ///
    /// # Examples
    ///
    /// See [`Delay`].
    pub const fn new(inner: S, delay: Duration) -> Self {
        Self { inner, delay }
    }

    /// Returns the inner service.
    ///
    /// # Examples
    ///
    /// See [`DelayLayer`].
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, R> Service<R> for Delay<S>
where
    S: Service<R> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DelayFuture<S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[track_caller]
    fn call(&mut self, request: R) -> Self::Future {
        // The clone is not ready. The one that is must be the one that is called.
        let clone = self.inner.clone();
        DelayFuture {
            state: State::Waiting {
                sleep: sleep(self.delay),
                waiting: Some((mem::replace(&mut self.inner, clone), request)),
            },
        }
    }
}

pin_project! {
    /// The response of a [`Delay`].
    ///
    /// # Examples
    ///
    /// See [`Delay`].
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct DelayFuture<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        state: State<S, R, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<S, R, F> {
        Waiting {
            sleep: Sleep,
            // `None` only while it is called.
            waiting: Option<(S, R)>,
        },
        Called {
            #[pin]
            response: F,
        },
    }
}

impl<S, R> Future for DelayFuture<S, R>
where
    S: Service<R>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const CALLED: &str = "polled again after the call has panicked";
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Waiting { sleep, waiting } => {
                    ready!(Pin::new(sleep).poll(cx));
                    let (mut service, request) = waiting.take().expect(CALLED);
                    let response = service.call(request);
                    state.set(State::Called { response });
                }
                StateProjection::Called { response } => return response.poll(cx),
            }
        }
    }
}
