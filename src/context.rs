//! [`Context`]: deadlines and cancellation that travel through a program, and from one to another.
//!
//! A server gets a request and may spend two seconds on it. It calls two other services and a
//! database for that. When the two seconds are over, or the client is gone, all of this should
//! stop, and none of it should be begun that cannot end in time. A [`Context`] is what the server
//! hands on: it knows the deadline, it can be cancelled, and contexts that are made of it can only
//! have less time. It carries nothing else. The page [`docs::context`] has such a server.
//!
//! ```
//! use reveille::{Context, ContextError};
//! use std::time::Duration;
//!
//! pollster::block_on(async {
//!     let request = Context::background().with_timeout(Duration::from_secs(2));
//!     let query = request.with_timeout(Duration::from_millis(1));
//!     let rows = query.run(std::future::pending::<()>()).await;
//!     assert_eq!(rows, Err(ContextError::DeadlineExceeded));
//!     assert!(!request.is_done()); // there is time left to answer without them
//! });
//! ```
//!
//! [`docs::context`]: https://docs.rs/reveille/latest/reveille/docs/context/index.html
//!
//! # The tree
//!
//! [`Context::background`] makes a root, which nothing ends but its own
//! [`cancel`](Context::cancel). [`child`](Context::child), [`with_timeout`](Context::with_timeout)
//! and their like make contexts that end with their parent at the latest. When a context ends, all
//! its descendants have ended before any task is woken or any function is called; these then run in
//! order, those of a parent before those of its children. (A thread that asks, or polls, while
//! another one is ending the context may for a moment find it ended, and a descendant not.) A child
//! that ends changes nothing for its parent.
//!
//! A clone refers to the same context. Dropping a handle, even the last one, ends nothing, neither
//! the context nor its children, and takes nothing from them: the deadline of a parent whose
//! handles are gone still ends its children. What nobody can observe any more is released at once:
//! a timer is disarmed, and a child leaves its parent. So a context that is dropped need not be
//! cancelled, unlike in Go, unless a function or a token still waits for its end. Cancel it to stop
//! what still works for it.
//!
//! # Time
//!
//! A deadline counts on the clock of the driver that is [current](crate::Handle::current) where the
//! context is made, and its timer is armed there, without a task. If none is current, it takes one
//! when something first waits for the context, as a [`Sleep`] does at its first
//! poll. A context whose deadline is not earlier than its parent's arms no timer. A context never
//! ends by its deadline before the clock shows that, and is [done](Context::is_done) as soon as the
//! clock does, whether or not the driver has turned since ([`err`](Context::err) names one
//! exception).
//!
//! If a parent ends before anything has noticed that the deadline of a descendant came first, the
//! descendant still ends by its own deadline. With a clock of your own or a tokio runtime's, which
//! cannot be asked at that point, it may get the parent's error and cause instead.
//!
//! Instants of drivers with different clocks have nothing in common. So a context that was made on
//! a manual clock is of use on that clock only. The same holds for a parent that was made where no
//! driver is current and for which nothing has waited yet: its deadline is on the system's clock,
//! and a child that is made on a driver with another clock cannot tell which deadline is earlier.
//!
//! If the driver is dropped, the timer moves at once: to the driver that is current on the thread
//! that drops it, or to the process-wide thread. If there is neither (the feature `fallback` is
//! off), the timer stays orphaned, and unlike a [`Sleep`] it is not moved by a later poll. It stays
//! orphaned, too, if its clock is manual or paused, as a `Sleep` does. The context is then done
//! once its deadline has passed, but nothing wakes a task that waits for it.

// Where the rest of the story is: `context/node.rs` (what points to what), `context/release.rs`
// (when a node is released), `context/end.rs` (how a context ends, and what two threads do that end
// two of them at once), and `context/poll.rs` (the timer).

mod after_func;
mod done;
mod end;
mod error;
mod list;
mod node;
mod poll;
mod release;
mod scope;
mod sleep;
#[cfg(feature = "tokio-util")]
mod token;
mod trigger;
mod wire;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::context::end::end;
use crate::context::error::{Cause, Outcome};
use crate::context::node::{Limit, Node};
use crate::context::trigger::{Deadline, Source, Trigger};
use crate::instant::Instant;
use crate::panic::catch_panic;
use crate::sync::lock;
use crate::time::{self, Sleep};

pub use self::after_func::{AfterFunc, DropGuard};
pub use self::done::{Done, Run};
pub use self::error::ContextError;
pub use self::scope::Scope;
pub use self::sleep::ContextSleep;
pub use self::wire::{
    TimeoutHeaderError, format_grpc_timeout, format_seconds, parse_grpc_timeout, parse_seconds,
};

/// A deadline and a cancellation that travel from a caller to what it calls.
///
/// Clones refer to the same context: a clone is one pointer. See the [module](crate::context) for
/// how contexts form a tree, and when they end.
///
/// # Examples
///
/// ```
/// use reveille::{Context, ContextError};
/// use std::time::Duration;
///
/// let server = Context::background();
/// let request = server.with_timeout(Duration::from_secs(5));
/// let query = request.with_timeout(Duration::from_secs(60));
/// assert_eq!(query.deadline(), request.deadline()); // the earlier one counts
///
/// assert!(server.cancel_with("the server shuts down"));
/// assert_eq!(query.err(), Some(ContextError::Canceled));
/// assert_eq!(query.cause().unwrap().to_string(), "the server shuts down");
/// ```
pub struct Context {
    node: Arc<Node>,
}

impl Context {
    /// Creates a root: a context without a deadline, that nothing else ends.
    ///
    /// Each call makes a root of its own. It can be cancelled, unlike Go's, and that ends its
    /// descendants and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let context = Context::background();
    /// assert!(!context.is_done() && context.deadline().is_none());
    /// ```
    #[must_use]
    pub fn background() -> Self {
        Self {
            node: Node::new(Limit::None, Trigger::Absent),
        }
    }

    /// Creates a child, which can be cancelled by itself and ends with this context at the latest.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let parent = Context::background();
    /// let (first, second) = (parent.child(), parent.child());
    /// first.cancel();
    /// assert!(first.is_done() && !parent.is_done() && !second.is_done());
    /// parent.cancel();
    /// assert!(second.is_done());
    /// ```
    #[must_use]
    pub fn child(&self) -> Self {
        let node = Node::new(self.node.limit_of_child(), Trigger::Absent);
        node.attach(&self.node);
        Self { node }
    }

    /// Creates a child that ends at the latest when `duration` has passed.
    ///
    /// With a `duration` of zero, it has ended when this returns. If this context has an earlier
    /// deadline, or the new one is beyond the clock's end (292 years), the child has the deadline
    /// of this context, if any.
    ///
    /// If no driver is [current](crate::Handle::current) here, the child takes the one that is
    /// current when something first waits for it. [`sleep`](crate::time::sleep) describes from when
    /// `duration` counts in that case.
    ///
    /// # Panics
    ///
    /// In the same cases as [`sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let context = Context::background().with_timeout(Duration::ZERO);
    /// assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_timeout(&self, duration: Duration) -> Self {
        self.with_wait(duration, None)
    }

    /// Creates a child that ends at `at` at the latest.
    ///
    /// With an instant in the past, it has ended when this returns. If this context has an earlier
    /// deadline, or `at` is the farthest instant, the child has the deadline of this context, if
    /// any.
    ///
    /// # Panics
    ///
    /// In the same cases as [`sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, time::{Duration, Instant}};
    ///
    /// let at = Instant::now() + Duration::from_secs(5);
    /// let context = Context::background().with_deadline(at);
    /// assert_eq!(context.deadline(), Some(at));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_deadline(&self, at: Instant) -> Self {
        self.with_instant(at, None)
    }

    /// Creates a child like [`with_timeout`](Self::with_timeout), and says what its
    /// [`cause`](Self::cause) is if that timeout ends it.
    ///
    /// If something else ends it first, an earlier deadline included, `cause` is not used.
    ///
    /// # Panics
    ///
    /// In the same cases as [`sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// let query = Context::background().with_timeout_cause(Duration::ZERO, "too slow");
    /// assert_eq!(query.cause().unwrap().to_string(), "too slow");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_timeout_cause(
        &self,
        duration: Duration,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        self.with_wait(duration, Some(cause.into().into()))
    }

    /// Creates a child like [`with_deadline`](Self::with_deadline), and says what its
    /// [`cause`](Self::cause) is if that deadline ends it.
    ///
    /// If something else ends it first, an earlier deadline included, `cause` is not used.
    ///
    /// # Panics
    ///
    /// In the same cases as [`sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, time::Instant};
    ///
    /// let context = Context::background().with_deadline_cause(Instant::now(), "too late");
    /// assert_eq!(context.cause().unwrap().to_string(), "too late");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_deadline_cause(
        &self,
        at: Instant,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        self.with_instant(at, Some(cause.into().into()))
    }

    /// Creates a root, which the end of this context does not end: for work that is to go on, such
    /// as to undo something.
    ///
    /// It has neither the deadline nor the cause of this context, even if that has ended. It can
    /// have a deadline of its own: `context.without_cancel().with_timeout(limit)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let request = Context::background();
    /// let rollback = request.without_cancel();
    /// request.cancel();
    /// assert!(!rollback.is_done());
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Self {
        Self::background()
    }

    /// Creates a context that ends when this one or `other` does, whichever is first.
    ///
    /// It is a child of both: it has the earlier deadline, and the error and the cause of the one
    /// that ends it. If both have ended already, they are those of this one; if both have the same
    /// deadline, and that ends them, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let (request, shutdown) = (Context::background(), Context::background());
    /// let both = request.merge(&shutdown);
    /// shutdown.cancel_with("the server shuts down");
    /// assert_eq!(both.cause().unwrap().to_string(), "the server shuts down");
    /// assert!(!request.is_done());
    /// ```
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let earlier = match (self.deadline(), other.deadline()) {
            (Some(own), Some(others)) if others < own => other,
            (None, Some(_)) => other,
            _ => self,
        };
        let node = Node::new(earlier.node.limit_of_child(), Trigger::Absent);
        // A deadline that has passed counts, although no driver has turned: both end here.
        let _ = (self.err(), other.err());
        node.attach(&self.node);
        node.attach(&other.node);
        Self { node }
    }

    /// Ends this context and its descendants, with [`ContextError::Canceled`].
    ///
    /// Returns whether this call did it: `false` if the context had ended before, also if its
    /// deadline has passed and nobody has noticed.
    ///
    /// When a call that did it returns, all that waited for this context, or for a descendant that
    /// ended with it, has been woken or called. When any call returns, all descendants have ended.
    /// (There are two exceptions, in which some end a moment later: another thread is ending an
    /// ancestor, and this context with it; or a descendant is [merged](Self::merge), and another
    /// thread is ending its other parent.)
    ///
    /// It may be called anywhere, also in a waker or in a function of
    /// [`after_func`](Self::after_func).
    ///
    /// # Examples
    ///
    /// ```
    /// let context = reveille::Context::background();
    /// assert!(context.cancel());
    /// assert!(!context.cancel());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn cancel(&self) -> bool {
        self.end_canceled(None)
    }

    /// Ends this context like [`cancel`](Self::cancel), and says why: that is the
    /// [`cause`](Self::cause) of it and of its descendants.
    ///
    /// Of several calls, the first one counts.
    ///
    /// `cause` should not own a handle of this context or of a descendant: the context keeps the
    /// cause, and the cause would keep the context, so that neither is ever freed.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    ///
    /// let context = Context::background();
    /// assert!(context.cancel_with("the client is gone"));
    /// assert_eq!(context.err(), Some(ContextError::Canceled));
    /// assert_eq!(context.cause().unwrap().to_string(), "the client is gone");
    /// ```
    pub fn cancel_with(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> bool {
        self.end_canceled(Some(cause.into().into()))
    }

    /// Returns whether this context has ended. Its deadline counts as soon as the clock shows it.
    ///
    /// # Examples
    ///
    /// ```
    /// let context = reveille::Context::background();
    /// assert!(!context.is_done());
    /// context.cancel();
    /// assert!(context.is_done());
    /// ```
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.err().is_some()
    }

    /// Returns why this context has ended, `None` while it has not.
    ///
    /// Once there is an error, it stays the same. If the deadline has passed and the driver has not
    /// turned since, this call ends the context.
    ///
    /// While the deadline is more than 100 ms away, the system's coarse clock is asked, which shows
    /// the time of the last timer tick. So after ticks were held up for more than 100 ms, this may
    /// return `None` although the deadline has passed, until the next tick.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError, ManualClock, time::Duration};
    ///
    /// let clock = ManualClock::new();
    /// clock.simulate(async {
    ///     let context = Context::background().with_timeout(Duration::from_secs(5));
    ///     reveille::time::sleep(Duration::from_secs(4)).await;
    ///     assert_eq!(context.err(), None);
    ///     reveille::time::sleep(Duration::from_secs(1)).await;
    ///     assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    /// });
    /// ```
    #[must_use]
    pub fn err(&self) -> Option<ContextError> {
        self.node.err()
    }

    /// Returns what was said to be the cause of the end, `None` while the context has not ended.
    ///
    /// That is what was given to the call which ended it, or to the one that made its deadline: of
    /// this context, or of the ancestor that ended first. If nothing was given, it is the
    /// [`ContextError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, ContextError};
    ///
    /// let context = Context::background();
    /// assert!(context.cause().is_none());
    /// context.cancel();
    /// let cause = context.cause().unwrap();
    /// assert_eq!(cause.downcast_ref(), Some(&ContextError::Canceled));
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        let error = self.err()?;
        let cause = lock(&self.node.state).cause.clone();
        Some(cause.unwrap_or_else(|| Arc::new(error)))
    }

    /// Returns the deadline: the earliest one of this context and its ancestors, `None` if there is
    /// none.
    ///
    /// It stays the same when the context ends. If the deadline was made where no driver was
    /// current and nothing has waited for it yet, it is on the system's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Context, time::{Duration, Instant}};
    ///
    /// let context = Context::background().with_timeout(Duration::from_secs(5));
    /// assert!(context.deadline().unwrap() <= Instant::now() + Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.node.timed().map(|(_, deadline)| deadline.at())
    }

    /// Returns the time until the [`deadline`](Self::deadline), zero if that has passed, `None` if
    /// there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// let context = Context::background().with_timeout(Duration::from_secs(5));
    /// assert!(context.remaining().unwrap() <= Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let (_, deadline) = self.node.timed()?;
        Some(deadline.remaining())
    }

    fn end_canceled(&self, cause: Option<Cause>) -> bool {
        let error = ContextError::Canceled;
        // A deadline that has passed came first: this ends the context then. The call below is made
        // in any case, since it waits for a thread that is ending the context. So it is if the
        // clock panics: what is cancelled must stop, and a guard may do this in an unwinding
        // thread.
        catch_panic(|| _ = self.err());
        end(&self.node, Outcome { error, cause })
    }

    #[track_caller]
    fn with_wait(&self, duration: Duration, cause: Option<Cause>) -> Self {
        self.with_timer(time::sleep::uncapped(duration), cause)
    }

    #[track_caller]
    fn with_instant(&self, at: Instant, cause: Option<Cause>) -> Self {
        self.with_timer(time::sleep_until(at), cause)
    }

    /// Creates a child with a timer, or without it if this context ends earlier.
    fn with_timer(&self, timer: Sleep, cause: Option<Cause>) -> Self {
        const NEVER: Instant = Instant::at(i64::MAX);
        let at = timer.deadline();
        if at == NEVER || self.deadline().is_some_and(|deadline| deadline <= at) {
            return self.child();
        }
        let limit = Limit::Own(Deadline::new(&timer, cause));
        if timer.is_unbound() {
            let node = Node::new(limit, Trigger::Idle(Source::Timer(timer)));
            node.attach(&self.node);
            return Self { node };
        }
        let node = Node::new(limit, Trigger::Polled { again: false });
        // Made first, so that a panic of the driver releases the node.
        let child = Self { node };
        child.node.attach_armed(&self.node, timer);
        child
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        self.node.add_handle();
        Self {
            node: self.node.clone(),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.node.remove_handle();
    }
}

/// A [root](Context::background).
impl Default for Context {
    fn default() -> Self {
        Self::background()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not in the expression below, at whose end the lock would be released: to write is foreign
        // code.
        let children = lock(&self.node.state).children.len();
        f.debug_struct("Context")
            // `Context::err` might end the context, and so call functions.
            .field("err", &self.node.status())
            .field("remaining", &self.remaining())
            .field("children", &children)
            .finish()
    }
}
