//! When does a task give way to others?
//!
//! As often as tokio's own futures make it: a poll that is ready spends one unit of the budget that
//! tokio gives a task for each run (128), and one that finds no budget left gives way.

use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// Polls if there is budget for it, and spends one unit if that is ready.
#[inline]
pub(crate) fn spend<T>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let unit = ready!(coop::poll_proceed(cx));
    let result = poll(cx);
    if result.is_ready() {
        unit.made_progress();
    }
    result
}

/// Whether the task may go on.
#[inline]
pub(crate) fn has_budget() -> bool {
    coop::has_budget_remaining()
}
