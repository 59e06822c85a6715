//! Without the feature `tokio` no task has a budget.

use std::task::{Context, Poll};

#[inline]
pub(crate) fn spend<T>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    poll(cx)
}

#[inline]
pub(crate) fn has_budget() -> bool {
    true
}
