//! The budget that tokio gives to each poll of a task (128 units): the timers of this crate use it
//! up as tokio's do.
//!
//! On a thread that is in no runtime tokio's budget has no end, and that of `coop/budget.rs`
//! applies.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::task::coop;

/// The permission to poll a timer once. Its unit of the budget is given back when it is dropped,
/// unless the timer was ready.
pub(crate) struct RestoreOnPending(Option<coop::RestoreOnPending>);

impl RestoreOnPending {
    pub(super) const NONE: Self = Self(None);

    #[inline]
    pub(crate) fn made_progress(&self) {
        if let Some(unit) = &self.0 {
            unit.made_progress();
        }
    }
}

/// Takes a unit of the budget. If none is left, wakes the task, which has a new budget at its next
/// poll.
#[inline]
pub(super) fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    let unit = ready!(coop::poll_proceed(cx));
    Poll::Ready(RestoreOnPending(Some(unit)))
}

#[inline]
pub(super) fn has_budget_remaining() -> bool {
    coop::has_budget_remaining()
}

/// Returns whether tokio's budget applies on this thread. (In a task that is `unconstrained` it
/// does, too, and has no end.)
pub(super) fn is_in_runtime() -> bool {
    Handle::try_current().is_ok()
}

/// Polls without tokio's budget.
#[inline]
pub(super) fn unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(coop::unconstrained(poll_fn(poll))).poll(cx)
}
