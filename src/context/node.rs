//! [`Node`]: what the handles of one context share, and how nodes are linked.
//!
//! A node points to its parent, and a parent to its children. What points where:
//!
//! - A [`Context`](crate::Context) points to its node and is counted in `handles`. So do the
//!   futures that are made of one. When the last one is dropped, nobody can observe or cancel this
//!   node any more.
//! - A child that has not ended points to its parent, so that a deadline far above reaches it. The
//!   parent points to it. Neither is counted.
//! - A node whose timer is armed is the timer's waker, so the driver points to it, not counted.
//! - A node without a deadline of its own points to the ancestor that has it (`Limit::Inherited`),
//!   and an `AfterFunc` points to its node. Neither is counted.
//!
//! These pointers form cycles; `context/release.rs` takes them apart.
//!
//! Locks: `state` of a parent may be held while that of its child is taken ([`Node::link_to`]), and
//! never the other way round. No foreign code runs under a lock: no waker or function is called,
//! cloned or dropped there, nor is a timer or the last reference to a cause dropped.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
#[cfg(feature = "tokio-util")]
use std::sync::OnceLock;
use std::task::Waker;

use crate::context::error::{Cause, ContextError, Outcome};
use crate::context::list::{Key, List};
use crate::context::trigger::{Deadline, Source, Trigger};
use crate::sync::{
    Mutex,
    atomic::{AtomicU8, AtomicUsize, Ordering},
    lock,
};

const LIVE: u8 = 0;
const CANCELED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 2;

/// Which deadline a node has.
pub(super) enum Limit {
    None,
    /// Its own. The timer is in `State::trigger`.
    Own(Deadline),
    /// That of an ancestor.
    Inherited(Arc<Node>),
}

/// The token of a context, once it was asked for. It is made once, so that a context that lives
/// long keeps one function for it, however often it is asked.
#[cfg(feature = "tokio-util")]
pub(super) type Token = OnceLock<tokio_util::sync::CancellationToken>;
#[cfg(not(feature = "tokio-util"))]
pub(super) type Token = ();

pub(super) struct Node {
    /// How many handles there are. Once zero, it stays zero: a handle is made of a handle.
    pub(super) handles: AtomicUsize,
    /// Written once, under the lock of `state`; read without it.
    status: AtomicU8,
    pub(super) limit: Limit,
    #[cfg_attr(
        not(feature = "tokio-util"),
        expect(dead_code, reason = "there is no token")
    )]
    pub(super) token: Token,
    /// Held by the thread that ends this node and marks its descendants; see `end`.
    pub(super) subtree: Mutex<()>,
    pub(super) state: Mutex<State>,
}

// No foreign code runs under a lock, so a panic of a waker or a function leaves no half of a
// change.
impl UnwindSafe for Node {}
impl RefUnwindSafe for Node {}

pub(super) struct State {
    /// Set before `status`.
    pub(super) cause: Option<Cause>,
    pub(super) trigger: Trigger,
    pub(super) children: List<Arc<Node>>,
    pub(super) waiters: List<Waiter>,
    /// How many of the waiters are functions.
    pub(super) functions: usize,
    pub(super) parent: Option<Link>,
    /// The other parent of a merged context.
    pub(super) second: Option<Box<Link>>,
    /// While the node is being ended: the next one that is woken.
    pub(super) next: Option<Arc<Node>>,
}

/// What is woken or called when a context ends.
pub(super) enum Waiter {
    Task(Waker),
    Function(Box<dyn FnOnce() + Send>),
}

/// A child's place in its parent.
pub(super) struct Link {
    pub(super) node: Arc<Node>,
    pub(super) key: Key,
}

/// A parent has ended.
pub(super) struct Refused {
    /// How.
    pub(super) outcome: Outcome,
    pub(super) polled: Option<Source>,
}

impl Node {
    /// Creates a node with one handle.
    pub(super) fn new(limit: Limit, trigger: Trigger) -> Arc<Self> {
        Arc::new(Self {
            handles: AtomicUsize::new(1),
            status: AtomicU8::new(LIVE),
            limit,
            token: Token::default(),
            subtree: Mutex::new(()),
            state: Mutex::new(State {
                cause: None,
                trigger,
                children: List::default(),
                waiters: List::default(),
                functions: 0,
                parent: None,
                second: None,
                next: None,
            }),
        })
    }

    /// Returns how the node has ended, `None` while it is live. Reads no clock.
    #[inline]
    pub(super) fn status(&self) -> Option<ContextError> {
        // Acquire: pairs with the release in `set_status`. A thread that sees the end also sees
        // what came before.
        match self.status.load(Ordering::Acquire) {
            LIVE => None,
            CANCELED => Some(ContextError::Canceled),
            _ => Some(ContextError::DeadlineExceeded),
        }
    }

    /// Marks the node as ended, under the lock of `state`.
    pub(super) fn set_status(&self, state: &mut State, outcome: &Outcome) {
        state.cause.clone_from(&outcome.cause);
        let status = match outcome.error {
            ContextError::Canceled => CANCELED,
            ContextError::DeadlineExceeded => DEADLINE_EXCEEDED,
        };
        self.status.store(status, Ordering::Release);
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        let error = self.status()?;
        let cause = lock(&self.state).cause.clone();
        Some(Outcome { error, cause })
    }

    /// Returns the outcome by the deadline of this node, if that has passed, when `parent` ends.
    /// Returns `None` if `parent` has the same deadline: then the node ends as the parent does.
    /// Otherwise the deadline is its own or, in a merged context, that of the other parent. Runs no
    /// foreign code.
    pub(super) fn passed_deadline(self: &Arc<Self>, parent: &Arc<Self>) -> Option<Outcome> {
        let (timed, deadline) = self.timed()?;
        if parent
            .timed()
            .is_some_and(|(above, _)| Arc::ptr_eq(above, timed))
        {
            return None;
        }
        let passed = || deadline.has_surely_passed().then(|| deadline.outcome());
        // The node that has the timer may have ended, and this one not have been marked through it.
        timed.outcome().or_else(passed)
    }

    pub(super) fn add_handle(&self) {
        // Relaxed: the caller has a handle, so the count cannot become zero meanwhile.
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes the node a child of `parent`, unless that has ended, and puts back what its trigger
    /// polls: a source that was polled before the node was in the tree. Returns it if it is to be
    /// polled once more. (If this node has ended, it is dropped here, as an argument: after the
    /// locks.)
    pub(super) fn link_to(
        self: &Arc<Self>,
        parent: &Arc<Self>,
        polled: Option<Source>,
    ) -> Result<Option<Source>, Refused> {
        let mut above = lock(&parent.state);
        if let Some(error) = parent.status() {
            let cause = above.cause.clone();
            let outcome = Outcome { error, cause };
            return Err(Refused { outcome, polled });
        }
        let mut state = lock(&self.state);
        // A merged context may have been ended by its first parent meanwhile. Then the thread that
        // ends it may have taken its links, and would leave this one behind.
        if self.status().is_some() {
            return Ok(None);
        }
        let key = above.children.insert(self.clone());
        let link = Link {
            node: parent.clone(),
            key,
        };
        if state.parent.is_none() {
            state.parent = Some(link);
        } else {
            state.second = Some(Box::new(link));
        }
        Ok(polled.and_then(|source| state.trigger.put_back(source)))
    }
}
