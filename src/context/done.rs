//! [`Done`] and [`Run`]: waiting for the end of a context.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, Waker, ready};

use futures_core::future::FusedFuture;
use pin_project_lite::pin_project;

use crate::context::list::Key;
use crate::context::node::Waiter;
use crate::context::{Context, ContextError};
use crate::panic::catch_panic;
use crate::sync::lock;
use crate::time::sleep::Identity;

impl Context {
    /// Waits until this context ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting. It releases its waker at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// let context = Context::background().with_timeout(Duration::from_millis(1));
    /// pollster::block_on(context.done());
    /// assert!(context.is_done());
    /// ```
    pub fn done(&self) -> Done {
        Done {
            context: self.clone(),
            registered: None,
            terminated: false,
        }
    }

    /// Runs `future` until it completes or this context ends, whichever comes first.
    ///
    /// If the context has ended before the first poll, `future` is not polled at all: nothing is
    /// begun that nobody waits for. After that, `future` is polled first, so that a result that is
    /// ready when the context ends is not thrown away.
    ///
    /// `future` does not see the context. To make it the [current](Self::current) one, use
    /// [`scope`](Self::scope): `context.scope(context.run(future))`.
    ///
    /// # Errors
    ///
    /// The returned future ends with the [`ContextError`] if the context ends first. `future` is
    /// dropped not then, but together with the returned future.
    ///
    /// # Cancel safety
    ///
    /// The returned future is as safe to drop as `future` itself. Note that once it has yielded the
    /// error, `future` is not polled again, whichever `await` it has reached.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let context = Context::background().with_timeout(Duration::from_millis(1));
    /// pollster::block_on(async {
    ///     assert_eq!(context.run(async { 5 }).await, Ok(5));
    ///     let never = context.run(std::future::pending::<()>());
    ///     assert_eq!(never.await, Err(ContextError::DeadlineExceeded));
    /// });
    /// ```
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        Run {
            future,
            done: self.done(),
            started: false,
        }
    }
}

/// A future that is ready once a context has ended, returned by [`Context::done`].
///
/// It is `Unpin`. While it exists, it keeps the context alive, as a clone of it does.
///
/// # Examples
///
/// ```
/// use reveille::{Context, context::Done};
///
/// let context = Context::background();
/// let done: Done = context.done();
/// context.cancel();
/// pollster::block_on(done);
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Done {
    context: Context,
    registered: Option<Registered>,
    terminated: bool,
}

/// The waker that the context holds.
#[derive(Clone, Copy)]
struct Registered {
    key: Key,
    /// Polling again with the same waker takes no lock.
    identity: Identity,
}

impl Done {
    /// Registers the task. Returns `false` if the context has ended.
    fn register(&mut self, waker: &Waker) -> bool {
        let node = &self.context.node;
        node.bind();
        let mut waker = waker.clone();
        let identity = Identity::of(&waker);
        let mut state = lock(&node.state);
        // Under the lock: a thread that ends the context later finds the waker.
        if node.status().is_some() {
            drop(state);
            return false;
        }
        let registered = self.registered.map(|registered| registered.key);
        let old = registered.and_then(|key| Some((key, state.waiters.get_mut(key)?)));
        let (key, old) = match old {
            Some((key, Waiter::Task(old))) => {
                std::mem::swap(old, &mut waker);
                (key, Some(waker))
            }
            _ => (state.waiters.insert(Waiter::Task(waker)), None),
        };
        drop(state);
        // Before the old waker is dropped, which may panic: its identity may soon be another's.
        self.registered = Some(Registered { key, identity });
        drop(old);
        true
    }

    pub(super) fn err(&self) -> Option<ContextError> {
        self.context.err()
    }

    /// Gives the waker back that an earlier poll has registered.
    pub(super) fn release(&mut self) {
        if let Some(Registered { key, .. }) = self.registered.take() {
            let waiter = lock(&self.context.node.state).waiters.remove(key);
            drop(waiter);
        }
    }
}

impl Future for Done {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let is_registered =
            |registered: Registered| registered.identity == Identity::of(cx.waker());
        if !self.context.is_done()
            && (self.registered.is_some_and(is_registered) || self.register(cx.waker()))
        {
            return Poll::Pending;
        }
        self.release();
        self.terminated = true;
        Poll::Ready(())
    }
}

impl FusedFuture for Done {
    fn is_terminated(&self) -> bool {
        self.terminated
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("context", &self.context)
            .field("waiting", &self.registered.is_some())
            .finish()
    }
}

pin_project! {
    /// A future with a context, returned by [`Context::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, context::Run};
    ///
    /// let run: Run<_> = Context::background().run(std::future::ready(5));
    /// assert_eq!(pollster::block_on(run), Ok(5));
    /// ```
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct Run<F> {
        #[pin]
        future: F,
        done: Done,
        started: bool,
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, ContextError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if *this.started || !this.done.context.is_done() {
            *this.started = true;
            if let Poll::Ready(output) = this.future.poll(cx) {
                // It drops the waker, which may panic, and the output must not be lost.
                catch_panic(|| this.done.release());
                this.done.terminated = true;
                return Poll::Ready(Ok(output));
            }
        }
        ready!(Pin::new(&mut *this.done).poll(cx));
        // From now on as if it had not been started: it is not polled again.
        *this.started = false;
        let error = this.done.context.err();
        Poll::Ready(Err(error.unwrap_or(ContextError::Canceled)))
    }
}

/// It is terminated once a poll was ready: `futures::select!` then leaves it out.
impl<F: Future> FusedFuture for Run<F> {
    fn is_terminated(&self) -> bool {
        self.done.terminated
    }
}
