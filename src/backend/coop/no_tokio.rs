//! Without the feature `tokio` there is no budget but ours.

use std::task::{Context, Poll};

/// Permission to poll a timer once.
pub(crate) struct Unit;

impl Unit {
    pub(super) const NONE: Self = Self;

    #[inline]
    pub(crate) fn made_progress(&self) {}
}

#[inline]
pub(super) fn proceed(_cx: &mut Context<'_>) -> Poll<Unit> {
    Poll::Ready(Unit::NONE)
}

#[inline]
pub(super) fn has_budget() -> bool {
    true
}

#[inline]
pub(super) fn is_in_charge() -> bool {
    false
}

#[inline]
pub(super) fn unconstrained<T>(
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    poll(cx)
}
