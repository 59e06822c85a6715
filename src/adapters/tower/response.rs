//! The response of a [`Deadline`](super::Deadline), and its body.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::adapters::tower::{BoxError, Elapsed};
use crate::context::{Context, ContextError, Done, DropGuard};

/// Returns the error of a request whose context has ended.
pub(super) fn box_error(error: ContextError) -> BoxError {
    match error {
        ContextError::DeadlineExceeded => Elapsed::new().into(),
        ContextError::Canceled => error.into(),
    }
}

/// The context of a request that is being answered. Dropping it cancels the context.
#[derive(Debug)]
pub(super) struct Running {
    context: Context,
    done: Done,
    _guard: DropGuard,
}

impl Running {
    pub(super) fn new(context: Context) -> Self {
        Self {
            done: context.done(),
            _guard: context.clone().drop_guard(),
            context,
        }
    }

    /// Calls `call` with this context as the current one.
    pub(super) fn scope<R>(&self, call: impl FnOnce() -> R) -> R {
        self.context.sync_scope(call)
    }

    /// Returns the error once the context has ended, and until then registers the task.
    fn poll_end(&mut self, cx: &mut task::Context<'_>) -> Poll<BoxError> {
        ready!(Pin::new(&mut self.done).poll(cx));
        let error = self.context.err().unwrap_or(ContextError::Canceled);
        Poll::Ready(box_error(error))
    }
}

pin_project! {
    /// The response of a [`Deadline`](super::Deadline). Dropping it cancels the context of the
    /// request.
    ///
    /// A response that is ready when the deadline passes is not thrown away; but its body fails.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`](super::DeadlineLayer).
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Failed {
            error: Option<BoxError>,
        },
        Running {
            #[pin]
            response: F,
            // `None` once there is a response.
            running: Option<Running>,
        },
    }
}

impl<F> DeadlineFuture<F> {
    pub(super) fn new(response: F, running: Running) -> Self {
        let running = Some(running);
        Self {
            state: State::Running { response, running },
        }
    }

    pub(super) fn failed(error: BoxError) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }
}

impl<F, B, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<DeadlineBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        const POLLED_AGAIN: &str = "polled again after it was ready";
        match self.project().state.project() {
            StateProjection::Failed { error } => {
                Poll::Ready(Err(error.take().expect(POLLED_AGAIN)))
            }
            StateProjection::Running { response, running } => {
                let current = running.as_mut().expect(POLLED_AGAIN);
                match current.scope(|| response.poll(cx)) {
                    Poll::Pending => current.poll_end(cx).map(Err),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                    Poll::Ready(Ok(response)) => {
                        let running = running.take();
                        Poll::Ready(Ok(response.map(|body| DeadlineBody { body, running })))
                    }
                }
            }
        }
    }
}

pin_project! {
    /// The body of a response of a [`Deadline`](super::Deadline). Dropping it cancels the context
    /// of the request.
    ///
    /// It fails when the context ends, even if the inner body has more data ready. It has to be
    /// polled for that: with HTTP/1, hyper does not poll it while the client does not read and the
    /// write buffer is full. See [`adapters::tower`](crate::adapters::tower) for what limits that.
    ///
    /// # Examples
    ///
    /// See [`DeadlineLayer`](super::DeadlineLayer).
    #[derive(Debug)]
    pub struct DeadlineBody<B> {
        #[pin]
        body: B,
        // `None` once it has ended.
        running: Option<Running>,
    }
}

impl<B> Body for DeadlineBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        let Some(running) = this.running else {
            return Poll::Ready(None);
        };
        let frame = match running.context.err() {
            // A body that always has data would never be asked below.
            Some(error) => Some(Err(box_error(error))),
            None => match running.scope(|| this.body.poll_frame(cx)) {
                Poll::Pending => Some(Err(ready!(running.poll_end(cx)))),
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(Into::into)),
            },
        };
        if !matches!(frame, Some(Ok(_))) {
            *this.running = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.running.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
