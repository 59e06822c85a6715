//! Polling what ends a context by itself: the timer of its deadline, or the end of a token.
//!
//! A node that has a [`Trigger`] is the waker with which that is polled, so no task is spawned for
//! it. A driver that fires the timer wakes the node in its turn, with no lock held, and the node
//! polls the timer, finds it elapsed, and ends.
//!
//! The trigger is taken out of the node while it is polled, because a poll may run foreign code (a
//! clock, an unpark). If it is woken meanwhile, the thread that polls it polls once more.
//!
//! # Deadlines
//!
//! A node has a timer only if its deadline is earlier than that of its parent. Otherwise it refers
//! to the ancestor that has the timer: when that ends, all its descendants do. The deadline has
//! passed as soon as the clock of the timer's driver shows it; a driver that has not turned since
//! makes no difference to `err`.
//!
//! A deadline that was made where no driver is current has no timer yet: as a `Sleep`, it takes the
//! driver that is current when something first waits for it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::context::end::end;
use crate::context::error::{ContextError, Outcome};
use crate::context::node::{Limit, Node};
use crate::context::trigger::{Deadline, Source, Trigger};
use crate::panic::catch_first;
use crate::sync::lock;
use crate::time::Sleep;

impl Node {
    /// Returns the node that has the timer of this one's deadline, which may be itself.
    pub(super) fn timed(self: &Arc<Self>) -> Option<(&Arc<Self>, &Deadline)> {
        let node = match &self.limit {
            Limit::None => return None,
            Limit::Own(_) => self,
            Limit::Inherited(ancestor) => ancestor,
        };
        match &node.limit {
            Limit::Own(deadline) => Some((node, deadline)),
            Limit::None | Limit::Inherited(_) => None,
        }
    }

    /// Returns what a child without a deadline of its own has.
    pub(super) fn limit_of_child(self: &Arc<Self>) -> Limit {
        match self.timed() {
            Some((timed, _)) => Limit::Inherited(timed.clone()),
            None => Limit::None,
        }
    }

    /// Returns how the node has ended. Ends it, if its deadline has passed.
    pub(super) fn err(self: &Arc<Self>) -> Option<ContextError> {
        if let Some(error) = self.status() {
            return Some(error);
        }
        let (timed, deadline) = self.timed()?;
        if !deadline.has_passed() {
            return None;
        }
        end(timed, deadline.outcome());
        if self.status().is_none()
            && let Some(outcome) = timed.outcome()
        {
            // Another thread ended that node and has not marked this one yet.
            end(self, outcome);
        }
        self.status()
    }

    /// Arms the timer of the deadline, if that was made where no driver was current.
    pub(super) fn bind(self: &Arc<Self>) {
        if let Some((timed, deadline)) = self.timed()
            && deadline.bound().is_none()
        {
            timed.poll_trigger();
        }
    }

    /// Makes the node a child of `parent`, or ends it in the same way as the parent has ended.
    pub(super) fn attach(self: &Arc<Self>, parent: &Arc<Self>) {
        self.attach_with(parent, None);
    }

    /// Does the same, and puts back what its trigger polls: a source that was polled before the
    /// node was in the tree. Returns it if it is to be polled once more.
    fn attach_with(self: &Arc<Self>, parent: &Arc<Self>, polled: Option<Source>) -> Option<Source> {
        self.link_to(parent, polled).unwrap_or_else(|refused| {
            end(self, refused.outcome);
            drop(refused.polled);
            None
        })
    }

    /// Makes a new node, whose trigger is `Polled`, a child of `parent`, and arms its timer.
    ///
    /// The timer is armed before the node is in the tree, so that the lock of `state` is taken once
    /// for both. If it fires in between, it is polled once more.
    pub(super) fn attach_armed(self: &Arc<Self>, parent: &Arc<Self>, mut timer: Sleep) {
        let not_armed = timer.arm_with_waker(Waker::from(self.clone()));
        let mut source = Source::Timer(timer);
        let is_ready =
            not_armed.is_some_and(|waker| source.poll(&mut Context::from_waker(&waker)).is_ready());
        if is_ready {
            // If the parent has ended, so does this node, and it keeps the parent's outcome.
            self.attach(parent);
            drop(source);
            end(self, self.own_outcome());
        } else if let Some(again) = self.attach_with(parent, Some(source)) {
            self.poll_source(again);
        }
    }

    /// Polls the trigger with this node as its waker. Ends the node, if it is ready.
    pub(super) fn poll_trigger(self: &Arc<Self>) {
        if let Some(source) = self.take_source() {
            self.poll_source(source);
        }
    }

    /// Polls a source that was taken out, and puts it back, also if foreign code panics in the poll
    /// (an unpark, a clock, the start of the fallback): others may wait for this timer, too.
    ///
    /// A timer that such a panic has left on a driver, but not armed, is polled once more: it may
    /// be that of a driver that is gone, and nothing else would poll it any more.
    fn poll_source(self: &Arc<Self>, mut source: Source) {
        let waker = Waker::from(self.clone());
        let mut panic = None;
        loop {
            let is_first_panic = panic.is_none();
            let poll = || source.poll(&mut Context::from_waker(&waker));
            match catch_first(&mut panic, poll) {
                Some(Poll::Ready(())) => {
                    drop(source);
                    end(self, self.own_outcome());
                    break;
                }
                None if is_first_panic && source.is_bound_and_unarmed() => continue,
                Some(Poll::Pending) | None => {}
            }
            self.note_driver(&source);
            match self.put_back(source) {
                Some(again) => source = again,
                None => break,
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Returns how the node ends by its trigger.
    fn own_outcome(&self) -> Outcome {
        match &self.limit {
            Limit::Own(deadline) => deadline.outcome(),
            Limit::None | Limit::Inherited(_) => Outcome {
                error: ContextError::Canceled,
                cause: None,
            },
        }
    }

    fn take_source(&self) -> Option<Source> {
        let mut state = lock(&self.state);
        if self.status().is_some() {
            return None;
        }
        match std::mem::replace(&mut state.trigger, Trigger::Polled { again: false }) {
            Trigger::Idle(source) => Some(source),
            Trigger::Polled { .. } => {
                state.trigger = Trigger::Polled { again: true };
                None
            }
            Trigger::Absent => {
                state.trigger = Trigger::Absent;
                None
            }
        }
    }

    /// Puts a source back that was polled. Returns it if it is to be polled once more.
    fn put_back(&self, source: Source) -> Option<Source> {
        let mut state = lock(&self.state);
        if self.status().is_none() {
            match state.trigger {
                Trigger::Polled { .. } => return state.trigger.put_back(source),
                // The node was released meanwhile.
                Trigger::Absent | Trigger::Idle(_) => {}
            }
        }
        drop(state);
        drop(source);
        None
    }

    /// Notes the driver of the timer, once it is armed there. Before that, what waits for the
    /// context has to poll the timer: [`bind`](Self::bind).
    fn note_driver(&self, source: &Source) {
        if let (Limit::Own(deadline), Source::Timer(timer)) = (&self.limit, source)
            && deadline.bound().is_none()
            && timer.is_registered()
        {
            // Only the thread that polls the timer comes here.
            let bound = Box::new((timer.driver().clone(), timer.deadline()));
            drop(deadline.bound.set(bound));
        }
    }
}

impl Wake for Node {
    fn wake(self: Arc<Self>) {
        self.poll_trigger();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.poll_trigger();
    }
}
