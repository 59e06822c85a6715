//! The budget that tokio gives each poll of a task (128 units), which its own timers keep.
//!
//! Outside of a tokio runtime it has no end, and ours applies.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::task::coop::{self, RestoreOnPending};

/// Permission to poll a timer once; given back when dropped, unless the timer was ready.
pub(crate) struct Unit(Option<RestoreOnPending>);

impl Unit {
    pub(super) const NONE: Self = Self(None);

    #[inline]
    pub(crate) fn made_progress(&self) {
        if let Some(unit) = &self.0 {
            unit.made_progress();
        }
    }
}

/// Takes a unit of the budget, or wakes the task to have it polled with a new one.
#[inline]
pub(super) fn proceed(cx: &mut Context<'_>) -> Poll<Unit> {
    let unit = ready!(coop::poll_proceed(cx));
    Poll::Ready(Unit(Some(unit)))
}

#[inline]
pub(super) fn has_budget() -> bool {
    coop::has_budget_remaining()
}

/// Returns whether tokio's budget applies on this thread, which may be none on purpose.
pub(super) fn is_in_charge() -> bool {
    Handle::try_current().is_ok()
}

/// Polls without a budget.
#[inline]
pub(super) fn unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(coop::unconstrained(poll_fn(poll))).poll(cx)
}
