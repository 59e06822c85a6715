//! [`Node`]: what the handles of one context share, and how nodes are linked and released.
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
//! These pointers form cycles, and [`prune`] takes them apart. A node that has no handle, no child
//! and no function to call is *released*: it leaves its parent, and its timer is disarmed. That
//! parent may then be released, too. A node that has no handle and that nothing can end any more
//! (no parent, no timer) lets its children go: each of them is a root from then on.
//!
//! Releasing is a loop, not a recursion, so that a chain of any length is released on any stack.
//!
//! Locks: `state` of a parent may be held while that of its child is taken ([`Node::attach`]), and
//! never the other way round. No foreign code runs under a lock: no waker or function is called,
//! cloned or dropped there, nor is a timer or the last reference to a cause dropped.

use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::Waker;

use crate::context::ContextError;
use crate::context::end::end;
use crate::context::list::{Key, List};
use crate::context::token::Cache;
use crate::context::trigger::{Limit, Source, Trigger};
use crate::driver::shared::fire::catch_panic;
use crate::sync::{
    Mutex,
    atomic::{AtomicU8, AtomicUsize, Ordering},
    lock,
};

/// Why a context was ended, in the words of the program.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

const LIVE: u8 = 0;
const CANCELED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 2;

/// How a context has ended.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) error: ContextError,
    pub(super) cause: Option<Cause>,
}

pub(super) struct Node {
    /// How many handles there are. Once zero, it stays zero: a handle is made of a handle.
    handles: AtomicUsize,
    /// Written once, under the lock of `state`; read without it.
    status: AtomicU8,
    pub(super) limit: Limit,
    #[cfg_attr(
        not(feature = "tokio-util"),
        expect(dead_code, reason = "there is no token")
    )]
    pub(super) token: Cache,
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
    parent: Option<Link>,
    /// The other parent of a merged context.
    second: Option<Box<Link>>,
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
    node: Arc<Node>,
    key: Key,
}

/// What a node lets go when it is released. Dropped with no lock held.
struct Released {
    trigger: Trigger,
    parent: Option<Link>,
    second: Option<Box<Link>>,
    /// The children and waiters of a node that nothing can end any more. It is rare, hence the box.
    still_needed: Option<Box<StillNeeded>>,
}

/// What still needs a node that has no handle.
struct StillNeeded {
    children: List<Arc<Node>>,
    /// The functions among them are dropped.
    waiters: List<Waiter>,
}

/// What a node lets go when it ends. Dropped with no lock held.
pub(super) struct Parts {
    pub(super) trigger: Trigger,
    parent: Option<Link>,
    /// `None` if the node has none of these, as is usual. To move them costs more than to look.
    pub(super) more: Option<MoreParts>,
}

#[derive(Default)]
pub(super) struct MoreParts {
    pub(super) waiters: List<Waiter>,
    pub(super) next: Option<Arc<Node>>,
    second: Option<Box<Link>>,
    /// Dropped with the other parts.
    _children: List<Arc<Node>>,
}

impl Node {
    /// Creates a node with one handle.
    pub(super) fn new(limit: Limit, trigger: Trigger) -> Arc<Self> {
        Arc::new(Self {
            handles: AtomicUsize::new(1),
            status: AtomicU8::new(LIVE),
            limit,
            token: Cache::default(),
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

    pub(super) fn add_handle(&self) {
        // Relaxed: the caller has a handle, so the count cannot become zero meanwhile.
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Releases the node if nothing needs it any more.
    pub(super) fn release(self: &Arc<Self>) {
        prune(self);
    }

    pub(super) fn remove_handle(self: &Arc<Self>) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            prune(self);
        }
    }

    /// Makes the node a child of `parent`, or ends it in the same way as the parent has ended.
    pub(super) fn attach(self: &Arc<Self>, parent: &Arc<Self>) {
        self.attach_with(parent, None);
    }

    /// Does the same, and puts back what its trigger polls: a source that was polled before the
    /// node was in the tree. Returns it if it is to be polled once more. (If the node ends, it is
    /// dropped here, as an argument: after the locks.)
    pub(super) fn attach_with(
        self: &Arc<Self>,
        parent: &Arc<Self>,
        polled: Option<Source>,
    ) -> Option<Source> {
        let mut above = lock(&parent.state);
        if let Some(error) = parent.status() {
            let cause = above.cause.clone();
            drop(above);
            end(self, Outcome { error, cause });
            return None;
        }
        let mut state = lock(&self.state);
        // A merged context may have been ended by its first parent meanwhile. Then the thread that
        // ends it may have taken its links, and would leave this one behind.
        if self.status().is_some() {
            return None;
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
        polled.and_then(|source| state.trigger.put_back(source))
    }

    /// Takes everything out of the node if nothing needs it, or if nothing can end it any more; see
    /// the head of this file.
    fn give_up(&self) -> Option<Released> {
        // The last handle is counted down before the lock is taken below, and the last child is
        // taken out under the lock, before `handles` is read. So of two threads that do these at
        // once, the one that takes the lock last sees both. An ended node has been, or is being,
        // emptied by the thread that ends it.
        if self.handles.load(Ordering::Acquire) > 0 || self.status().is_some() {
            return None;
        }
        let mut state = lock(&self.state);
        if self.status().is_some() {
            return None;
        }
        let is_needed = !state.children.is_empty() || state.functions > 0;
        let can_end = state.parent.is_some()
            || state.second.is_some()
            || !matches!(state.trigger, Trigger::Absent);
        if is_needed && can_end {
            return None;
        }
        let state = &mut *state;
        state.functions = 0;
        let still_needed = is_needed.then(|| {
            Box::new(StillNeeded {
                children: std::mem::take(&mut state.children),
                waiters: std::mem::take(&mut state.waiters),
            })
        });
        Some(Released {
            trigger: std::mem::replace(&mut state.trigger, Trigger::Absent),
            parent: state.parent.take(),
            second: state.second.take(),
            still_needed,
        })
    }

    /// Removes the links of a child to `parent`, which will not end.
    fn detach(&self, parent: &Arc<Self>) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        // Only pointers to a node whose memory `parent` keeps, so that nothing is freed here.
        if state
            .second
            .as_ref()
            .is_some_and(|link| Arc::ptr_eq(&link.node, parent))
        {
            state.second = None;
        }
        if state
            .parent
            .as_ref()
            .is_some_and(|link| Arc::ptr_eq(&link.node, parent))
        {
            state.parent = state.second.take().map(|link| *link);
        }
    }
}

impl State {
    pub(super) fn take_parts(&mut self) -> Parts {
        let has_more = self.second.is_some()
            || self.next.is_some()
            || !self.waiters.has_no_memory()
            || !self.children.has_no_memory();
        Parts {
            trigger: std::mem::replace(&mut self.trigger, Trigger::Absent),
            parent: self.parent.take(),
            more: has_more.then(|| self.take_more()),
        }
    }

    #[inline(never)]
    fn take_more(&mut self) -> MoreParts {
        self.functions = 0;
        MoreParts {
            waiters: std::mem::take(&mut self.waiters),
            next: self.next.take(),
            second: self.second.take(),
            _children: std::mem::take(&mut self.children),
        }
    }
}

impl Parts {
    /// Removes the node from its parents, and releases those that nothing needs any more. Catches
    /// the panic of a cause that is dropped with one of them.
    pub(super) fn unlink(&mut self) {
        if let Some(link) = self.parent.take() {
            catch_panic(|| prune(&link.sever()));
        }
        if let Some(link) = self.more.as_mut().and_then(|more| more.second.take()) {
            catch_panic(|| prune(&link.sever()));
        }
    }
}

impl Link {
    /// Removes the child from its parent, and returns the parent.
    fn sever(self) -> Arc<Node> {
        // The thread that ends a node takes all its children out.
        if self.node.status().is_none() {
            let child = lock(&self.node.state).children.remove(self.key);
            drop(child);
        }
        self.node
    }
}

/// Releases `node` and all others that are not needed because of that; see the head of this file.
#[inline]
pub(super) fn prune(node: &Arc<Node>) {
    if let Some(released) = node.give_up() {
        prune_from(node, released);
    }
}

fn prune_from(node: &Arc<Node>, released: Released) {
    // Usually there is one candidate at a time, and nothing is allocated.
    let mut more = Vec::new();
    let mut next = let_go(node, released, &mut more);
    while let Some(node) = next.take().or_else(|| more.pop()) {
        if let Some(released) = node.give_up() {
            next = let_go(&node, released, &mut more);
        }
        // It may be the last reference, and drop a cause.
        catch_panic(|| drop(node));
    }
}

/// Drops what `node` has let go. Returns its parent, which may not be needed any more, and puts
/// other such nodes into `more`.
fn let_go(node: &Arc<Node>, released: Released, more: &mut Vec<Arc<Node>>) -> Option<Arc<Node>> {
    let parent = released.parent.map(Link::sever);
    more.extend(released.second.map(|link| link.sever()));
    // A panic of a timer's driver, or of what a function owns, must not keep the others from being
    // released.
    if !matches!(released.trigger, Trigger::Absent) {
        catch_panic(|| drop(released.trigger));
    }
    if let Some(still_needed) = released.still_needed {
        for child in still_needed.children.iter() {
            child.detach(node);
            more.push(child.clone());
        }
        // Each by itself: a second panic while the first one unwinds would abort the process.
        for waiter in still_needed.waiters.into_sorted() {
            catch_panic(|| drop(waiter));
        }
    }
    parent
}
