//! The ambient context: [`Context::scope`] and [`Context::current`].
//!
//! Nothing in this crate reads it. It is for code that is called through layers which pass no
//! context on.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use crate::context::Context;
use crate::sync::thread_local;

thread_local! {
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

impl Context {
    /// Makes this context the [current](Self::current) one during each poll of `future`.
    ///
    /// The future may be polled on any thread. Scopes nest: the innermost one counts. After a poll,
    /// even one that panics, the context that was current before it is current again. A task that
    /// `future` spawns has no current context, unless it is given one by a scope of its own.
    ///
    /// `future` goes on when the context ends. To stop it, use [`run`](Self::run):
    /// `context.scope(context.run(future))`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// async fn query() -> Option<Duration> {
    ///     Context::current()?.remaining()
    /// }
    ///
    /// let context = Context::background().with_timeout(Duration::from_secs(5));
    /// let remaining = pollster::block_on(context.scope(query()));
    /// assert!(remaining.unwrap() <= Duration::from_secs(5));
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope {
            future,
            context: Some(self.clone()),
        }
    }

    /// Makes this context the current one while `function` runs.
    #[cfg(feature = "tower")]
    pub(crate) fn sync_scope<R>(&self, function: impl FnOnce() -> R) -> R {
        let mut context = Some(self.clone());
        let _swapped = Swapped::new(&mut context);
        function()
    }

    /// Returns the context of the innermost [`scope`](Self::scope) that is being polled on this
    /// thread, `None` if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(reveille::Context::current().is_none());
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        let current = CURRENT.try_with(|current| {
            let context = current.take();
            let clone = context.clone();
            current.set(context);
            clone
        });
        current.ok().flatten()
    }
}

pin_project! {
    /// A future with a current context, returned by [`Context::scope`].
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, context::Scope};
    ///
    /// let scope: Scope<_> = Context::background().scope(async { Context::current().is_some() });
    /// assert!(pollster::block_on(scope));
    /// ```
    #[must_use = "futures do nothing unless polled or awaited"]
    #[derive(Debug)]
    pub struct Scope<F> {
        #[pin]
        future: F,
        // During a poll it is in the thread-local, and here is what was current before.
        context: Option<Context>,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _swapped = Swapped::new(this.context);
        this.future.poll(cx)
    }
}

/// Swaps a context with the current one, and swaps back when dropped.
struct Swapped<'a>(&'a mut Option<Context>);

impl<'a> Swapped<'a> {
    fn new(context: &'a mut Option<Context>) -> Self {
        swap(context);
        Self(context)
    }
}

impl Drop for Swapped<'_> {
    fn drop(&mut self) {
        swap(self.0);
    }
}

/// Does nothing while the thread destroys its thread-locals.
fn swap(context: &mut Option<Context>) {
    // An error is no loss: then nothing is current on this thread, and `context` stays as it is.
    let _ = CURRENT.try_with(|current| *context = current.replace(context.take()));
}
