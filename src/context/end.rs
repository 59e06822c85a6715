//! Ending a context: it and all its descendants, and then what waits for one of them.
//!
//! 1. *Mark.* The context is marked as ended, then its descendants, parents before children. No
//!    foreign code runs meanwhile.
//! 2. *Wake.* In the same order, each marked node lets go of its timer and its links, its tasks are
//!    woken and its functions are called, with no lock held. A panic of one is caught: it harms no
//!    other.
//!
//! So code that runs because a context has ended finds all descendants ended, too. The marked nodes
//! form a list by their field `next`: nothing is allocated, and nothing recurses, however deep the
//! tree is.
//!
//! # Two threads
//!
//! The first thread that marks a node takes care of its descendants. Another thread that ends an
//! ancestor, or the node itself, finds it marked, and waits until that first thread has marked all
//! descendants: the first one holds the lock `subtree` of the node with which it began. So all
//! descendants of a context have ended when a call of `cancel` returns. Such a wait is short, since
//! no foreign code runs under that lock; and it is always for a node further down, so two threads
//! never wait for each other.
//!
//! A thread that only asks takes no lock: it may find a context ended and a descendant not yet.
//!
//! There are two exceptions, in which a descendant may end a moment after a call returns. A thread
//! that finds a node marked by the end of one of its ancestors does not wait: the lock that is held
//! then is the ancestor's. And a merged context has two parents. If two threads end both at once,
//! the second one does not wait for the descendants of the merged one.

use std::sync::Arc;

use crate::context::error::Outcome;
use crate::context::node::{Node, Waiter};
use crate::context::release::Parts;
use crate::context::trigger::Trigger;
use crate::panic::catch_panic;
use crate::sync::{MutexGuard, lock};

/// Ends `root` and its descendants. Returns whether this call did it.
pub(super) fn end(root: &Arc<Node>, outcome: Outcome) -> bool {
    let parts = match root.mark_root(&outcome) {
        Marked::Before => {
            // Another thread may be marking the descendants.
            drop(lock(&root.subtree));
            return false;
        }
        Marked::Childless(parts) => parts,
        Marked::Parent(subtree) => {
            mark_descendants(root);
            drop(subtree);
            lock(&root.state).take_parts()
        }
    };
    wake_all(parts);
    true
}

/// What marking the node with which an end begins has found.
enum Marked<'a> {
    /// It was marked before.
    Before,
    /// It has no children.
    Childless(Parts),
    /// It has children. The lock is the one that other threads wait for.
    Parent(MutexGuard<'a, ()>),
}

impl Node {
    /// Marks the node with which an end begins.
    fn mark_root(&self, outcome: &Outcome) -> Marked<'_> {
        let mut state = lock(&self.state);
        if self.status().is_some() {
            return Marked::Before;
        }
        if state.children.is_empty() {
            self.set_status(&mut state, outcome);
            return Marked::Childless(state.take_parts());
        }
        // Other threads take this lock only once they see that the node has ended, so it is free
        // here.
        let subtree = lock(&self.subtree);
        self.set_status(&mut state, outcome);
        Marked::Parent(subtree)
    }

    /// Marks a child of a node that has ended with this outcome. Returns whether this call did it.
    fn mark(self: &Arc<Self>, parent: &Arc<Self>, outcome: &Outcome) -> bool {
        // Its deadline may have passed, and the driver not have turned yet.
        let own = self.passed_deadline(parent);
        let mut state = lock(&self.state);
        let live = self.status().is_none();
        if live {
            self.set_status(&mut state, own.as_ref().unwrap_or(outcome));
        }
        live
    }
}

/// Marks the descendants of a marked node, and makes a list of them that begins with it.
fn mark_descendants(root: &Arc<Node>) {
    let mut last = root.clone();
    let mut next = Some(root.clone());
    while let Some(node) = next {
        let mut state = lock(&node.state);
        let mut children = std::mem::take(&mut state.children);
        let cause = state.cause.clone();
        drop(state);
        let Some(error) = node.status() else { break };
        let outcome = Outcome { error, cause };
        children.sort();
        for child in children.iter() {
            if child.mark(&node, &outcome) {
                lock(&last.state).next = Some(child.clone());
                last = child.clone();
            } else {
                // Another thread has marked it, and may be marking its descendants.
                drop(lock(&child.subtree));
            }
        }
        // Put back and dropped later, because a dropped node may drop a cause, and that is foreign
        // code.
        let mut state = lock(&node.state);
        state.children = children;
        next = state.next.clone();
    }
}

/// Lets go of everything that the nodes of a list have, and wakes what waits for them. `parts` are
/// those of the first node.
fn wake_all(mut parts: Parts) {
    loop {
        parts.unlink();
        if !matches!(parts.trigger, Trigger::Absent) {
            catch_panic(|| drop(parts.trigger));
        }
        let Some(mut more) = parts.more else { return };
        let next = more.next.take();
        let waiters = std::mem::take(&mut more.waiters);
        catch_panic(|| drop(more));
        for waiter in waiters.into_sorted() {
            catch_panic(|| waiter.wake());
        }
        let Some(node) = next else { return };
        parts = lock(&node.state).take_parts();
        // It may be the last reference, and drop a cause.
        catch_panic(|| drop(node));
    }
}

impl Waiter {
    fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Function(function) => function(),
        }
    }
}
