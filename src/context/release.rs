//! Releasing nodes: what a node lets go when it ends, and when nothing needs it any more.
//!
//! The pointers between nodes form cycles (`context/node.rs`), and [`prune`] takes them apart. A
//! node that has no handle, no child and no function to call is *released*: it leaves its parent,
//! and its timer is disarmed. That parent may then be released, too. A node that has no handle and
//! that nothing can end any more (no parent, no timer) lets its children go: each of them is a root
//! from then on.
//!
//! Releasing is a loop, not a recursion, so that a chain of any length is released on any stack.

use std::sync::Arc;

use crate::context::list::List;
use crate::context::node::{Link, Node, State, Waiter};
use crate::context::trigger::Trigger;
use crate::panic::catch_panic;
use crate::sync::{atomic::Ordering, lock};

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
    pub(super) fn remove_handle(self: &Arc<Self>) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            prune(self);
        }
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
