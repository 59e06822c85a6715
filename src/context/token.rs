//! A context and tokio-util's `CancellationToken`, each made of the other (feature `tokio-util`).
//!
//! Neither spawns a task: a context cancels its token by a function like that of `after_func`, and
//! a context that is made of a token polls the token's future with itself as the waker.

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::context::node::{Limit, Node};
use crate::context::trigger::{Source, Trigger};

impl Context {
    /// Returns a token that is cancelled when this context ends.
    ///
    /// Each call returns a token of its own: cancelling it changes neither this context nor the
    /// other tokens. A token does not tell why: ask the context for its [`err`](Self::err).
    ///
    /// As with a function of [`after_func`](Self::after_func), the context stays in its parent
    /// until it ends, even if all its handles are dropped: the token may still be in use. So end a
    /// context whose work is over with [`cancel`](Self::cancel) or a
    /// [`drop_guard`](Self::drop_guard).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let context = Context::background();
    /// let token = context.token();
    /// context.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        let cache = &self.node.token;
        // The function is registered outside of the cell: it may be called at once, and what it
        // wakes may ask for a token, too. And before the token is in the cell: if the clock panics,
        // no token must be there that nothing cancels.
        if cache.get().is_none() {
            let token = CancellationToken::new();
            let cancelled = token.clone();
            let function = self.after_func(move || cancelled.cancel());
            if cache.set(token).is_err() {
                function.stop();
            }
        }
        match cache.get() {
            Some(token) => token.child_token(),
            // Cannot happen: it was set above, by this thread or another one.
            None => CancellationToken::new(),
        }
    }

    /// Makes a context that is cancelled when `token` is.
    ///
    /// A function of [`after_func`](Self::after_func), or a [`token`](Self::token), keeps such a
    /// context and itself in memory until the token is cancelled: so cancel one that is no longer
    /// needed, as by its `drop_guard`.
    ///
    /// It has no deadline and no parent. To add them, [merge](Self::merge) it with another context.
    /// The context cannot cancel the token: for that, call
    /// `context.after_func(move || token.cancel())` on it.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let context = Context::from_token(token.clone());
    /// token.cancel();
    /// assert_eq!(context.err(), Some(ContextError::Canceled));
    /// ```
    #[must_use]
    pub fn from_token(token: CancellationToken) -> Self {
        let source = Source::Other(Box::pin(token.cancelled_owned()));
        let node = Node::new(Limit::None, Trigger::Idle(source));
        node.poll_trigger();
        Self { node }
    }
}
