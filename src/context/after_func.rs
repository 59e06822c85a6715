//! [`AfterFunc`], a function that is called when a context ends, and [`DropGuard`].

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::context::list::Key;
use crate::context::node::{Node, Waiter};
use crate::context::release::prune;
use crate::panic::catch_panic;
use crate::sync::lock;

impl Context {
    /// Calls `function` once, when this context ends; at once if it has ended.
    ///
    /// It is called on the thread that ends the context: in `cancel`, in the driver's turn, here,
    /// in whichever call or poll is the first to find the deadline passed, such as
    /// [`is_done`](Self::is_done), also that of a descendant, or in the `cancel` of a
    /// `CancellationToken` that the context was made of (feature `tokio-util`). No lock of this
    /// crate is held then, but such a caller may hold one of its own, which `function` must not
    /// take. Every descendant of the context has ended by then, except if it is called here while
    /// another thread is ending the context: then some may end a moment later. It must not block:
    /// to do so, let it spawn a task or a thread. If it panics, the panic is caught, after the
    /// panic hook has reported it.
    ///
    /// Neither the returned [`AfterFunc`] nor any handle of this context need be kept: as long as
    /// something can end the context (its deadline, or one of its ancestors), the function is
    /// called. If nothing can do so any more, it is dropped. (That nobody can cancel a token any
    /// more is not noticed: see `Context::from_token`.)
    ///
    /// `function` should not own a handle of this context or of a descendant. It would keep the
    /// context alive, and with it itself, until the context ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::sync::mpsc::channel;
    ///
    /// let context = Context::background();
    /// let (sender, called) = channel();
    /// context.after_func(move || sender.send("over").unwrap());
    /// let never = context.after_func(|| unreachable!());
    /// assert!(never.stop());
    /// context.cancel();
    /// assert_eq!(called.try_recv(), Ok("over"));
    /// ```
    pub fn after_func(&self, function: impl FnOnce() + Send + 'static) -> AfterFunc {
        let mut function = Some(Box::new(function) as Box<dyn FnOnce() + Send>);
        let registered = self.register_function(&mut function);
        // It was not taken if the context has ended.
        if let Some(function) = function {
            catch_panic(function);
        }
        AfterFunc { registered }
    }

    fn register_function(
        &self,
        function: &mut Option<Box<dyn FnOnce() + Send>>,
    ) -> Option<(Arc<Node>, Key)> {
        if self.is_done() {
            return None;
        }
        let mut state = lock(&self.node.state);
        if self.node.status().is_some() {
            return None;
        }
        let waiter = Waiter::Function(function.take()?);
        let key = state.waiters.insert(waiter);
        state.functions += 1;
        drop(state);
        // Afterwards, as it may panic: what counts on the function (a token) has it already.
        self.node.bind();
        Some((self.node.clone(), key))
    }

    /// Returns a guard that cancels this context when it is dropped.
    ///
    /// It is for a scope whose end, by `return`, `?` or a panic, is to end what it has started.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let context = Context::background();
    /// let child = context.child();
    /// drop(child.clone().drop_guard());
    /// assert!(child.is_done() && !context.is_done());
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard {
            context: Some(self),
        }
    }
}

/// A function that is called when a context ends, returned by [`Context::after_func`].
///
/// Dropping it does not stop the function.
///
/// # Examples
///
/// ```
/// use reveille::{Context, context::AfterFunc};
///
/// let context = Context::background();
/// let function: AfterFunc = context.after_func(|| unreachable!());
/// assert!(function.stop());
/// assert!(!function.stop());
/// context.cancel();
/// ```
pub struct AfterFunc {
    /// `None` if the function was called at once.
    registered: Option<(Arc<Node>, Key)>,
}

impl AfterFunc {
    /// Stops the function from being called, and drops it. Returns whether this call did so.
    ///
    /// `false` means that the function was called or is about to be, that it was stopped before, or
    /// that it was dropped because nothing can end the context any more. It may be running: this
    /// does not wait for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let context = reveille::Context::background();
    /// let function = context.after_func(|| println!("over"));
    /// context.cancel();
    /// assert!(!function.stop());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn stop(&self) -> bool {
        let Some((node, key)) = &self.registered else {
            return false;
        };
        let mut state = lock(&node.state);
        let Some(function) = state.waiters.remove(*key) else {
            return false;
        };
        state.functions -= 1;
        drop(state);
        prune(node);
        drop(function);
        true
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}

/// Cancels a context when it is dropped; see [`Context::drop_guard`].
///
/// # Examples
///
/// ```
/// use reveille::{Context, context::DropGuard};
///
/// let guard: DropGuard = Context::background().drop_guard();
/// let context = guard.disarm();
/// assert!(!context.is_done());
/// ```
#[derive(Debug)]
#[must_use = "the context is cancelled when the guard is dropped: name it, as in `let _guard =`; a plain `let _ =` drops it at once"]
pub struct DropGuard {
    /// `None` once disarmed.
    context: Option<Context>,
}

impl DropGuard {
    /// Returns the context, which is not cancelled by this guard any more.
    ///
    /// # Examples
    ///
    /// ```
    /// let guard = reveille::Context::background().drop_guard();
    /// assert!(!guard.disarm().is_done());
    /// ```
    #[must_use]
    pub fn disarm(mut self) -> Context {
        // There is one: only this method takes it, and it consumes the guard.
        self.context.take().unwrap_or_default()
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.cancel();
        }
    }
}
