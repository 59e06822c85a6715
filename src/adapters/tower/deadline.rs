//! [`Deadline`]: each request has a context.

use std::task::{self, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::adapters::tower::response::Running;
use crate::adapters::tower::{BoxError, DeadlineBody, DeadlineFuture, DeadlineHeader};
use crate::context::Context;

/// Makes a [`Deadline`] of each service.
///
/// # Examples
///
/// On a server: a request has the time that it states, and a minute at most.
///
/// ```
/// use reveille::adapters::tower::{DeadlineHeader, DeadlineLayer};
/// use std::time::Duration;
///
/// let server = DeadlineLayer::new()
///     .read(DeadlineHeader::grpc_timeout())
///     .limit(Duration::from_secs(60));
/// ```
///
/// On the client in its handlers: what is left of that time limits the call, and is passed on.
///
/// ```
/// use reveille::adapters::tower::{DeadlineHeader, DeadlineLayer};
///
/// let client = DeadlineLayer::new().send(DeadlineHeader::grpc_timeout());
/// ```
///
/// Whole programs, with axum, are in [`docs::adapters`].
///
/// [`docs::adapters`]: https://docs.rs/reveille/latest/reveille/docs/adapters/index.html
#[derive(Clone, Debug, Default)]
pub struct DeadlineLayer {
    read: Option<DeadlineHeader>,
    send: Option<DeadlineHeader>,
    limit: Option<Duration>,
}

impl DeadlineLayer {
    /// Makes a layer that takes the deadline from the context of the request, or from the current
    /// one, and from nothing else.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            read: None,
            send: None,
            limit: None,
        }
    }

    /// Takes a deadline from a header of the request, too, if it has that header.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`].
    #[must_use]
    pub fn read(mut self, header: DeadlineHeader) -> Self {
        self.read = Some(header);
        self
    }

    /// States in a header of the request how much time is left, if there is a deadline, so that it
    /// is passed on to what is called. A request that has this header already is not given more
    /// time than it states.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`].
    #[must_use]
    pub fn send(mut self, header: DeadlineHeader) -> Self {
        self.send = Some(header);
        self
    }

    /// Gives each request `limit` at most, from the call on.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`].
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Makes the context of a request, and states its time.
    fn context<B>(&self, request: &mut Request<B>) -> Result<Context, BoxError> {
        let mut timeout = self.limit;
        for header in [&self.read, &self.send].into_iter().flatten() {
            let stated = header.time(request.headers())?;
            timeout = [timeout, stated].into_iter().flatten().min();
        }
        let given = request.extensions().get::<Context>().cloned();
        let parent = given.or_else(Context::current).unwrap_or_default();
        let context = match timeout {
            Some(timeout) => parent.with_timeout(timeout),
            None => parent.child(),
        };
        if let Some(header) = &self.send {
            header.set(request.headers_mut(), &context);
        }
        request.extensions_mut().insert(context.clone());
        Ok(context)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service of HTTP in which each request has a [`Context`], made by [`DeadlineLayer`].
///
/// The context is a child of the one among the request's extensions, else of the
/// [current](Context::current) one, else a root. Its deadline is the earliest of: the parent's,
/// what the [header](DeadlineLayer::read) states, and the [limit](DeadlineLayer::limit). It is
///
/// - among the request's extensions, where a handler of axum finds it as `Extension<Context>`,
/// - the current one during the call, and during each poll of the response and of its body, so that
///   [`Context::current`] finds it, and a `Deadline` on a client does,
/// - stated in a [header](DeadlineLayer::send) of the request, if that is asked for.
///
/// # The end
///
/// When the context ends, the response fails; if there is a response already, its body does. A
/// request without time left is not passed to the inner service at all.
///
/// The context is cancelled when the response and its body are dropped. So what works for the
/// request elsewhere, such as a task that it has spawned with the context, stops when the client is
/// gone, and at the latest when it has everything. Give [`Context::without_cancel`] to what should
/// go on.
///
/// # Errors
///
/// - Those of the inner service.
/// - [`Elapsed`](super::Elapsed) once the deadline has passed.
/// - [`ContextError::Canceled`](crate::ContextError::Canceled) if a parent was cancelled.
/// - [`TimeoutHeaderError`](super::TimeoutHeaderError) if a header states no valid time.
///
/// # Panics
///
/// A call panics in the same cases as [`time::sleep`](crate::time::sleep()).
///
/// # Examples
///
/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Deadline<S> {
    /// Returns the inner service.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::adapters::tower::DeadlineLayer;
    /// use tower_layer::Layer;
    ///
    /// let service = DeadlineLayer::new().layer("a service");
    /// assert_eq!(*service.get_ref(), "a service");
    /// ```
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<DeadlineBody<R>>;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[track_caller]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = match self.layer.context(&mut request) {
            Ok(context) => context,
            Err(error) => return DeadlineFuture::failed(error),
        };
        if let Some(error) = context.err() {
            return DeadlineFuture::failed(super::response::box_error(error));
        }
        // Before the call, which may panic: that cancels the context, too.
        let running = Running::new(context);
        let response = running.scope(|| self.inner.call(request));
        DeadlineFuture::new(response, running)
    }
}
