//! The module `tokio_driver` if the feature `tokio` is off: there is no runtime, no clock of one
//! and no budget.
//!
//! The rest of the crate calls the same functions whether or not there can be a tokio runtime. Here
//! each of them reports that there is none, and is compiled away.

use crate::driver::Handle;
use crate::instant::Instant;

/// What an error message adds about tokio where a driver is missing.
pub(super) const HINT: &str = "; inside a tokio runtime, enable the feature `tokio` of reveille";

/// The tokio runtime that a thread was in when it entered a driver: without the feature it is
/// unknown.
#[derive(Clone, Copy)]
pub(super) struct RuntimeAtEntry;

impl RuntimeAtEntry {
    pub(super) fn current() -> Self {
        Self
    }

    #[inline]
    pub(super) fn is_still_current(self) -> bool {
        true
    }
}

/// Returns the driver of the runtime that this thread is in: none.
#[inline]
pub(super) fn handle() -> Option<Handle> {
    None
}

/// Returns the same, without making one: none.
#[inline]
pub(crate) fn known_handle() -> Option<Handle> {
    None
}

/// Returns the time on the clock of the runtime that this thread is in: none.
#[inline]
pub(crate) fn now() -> Option<Instant> {
    None
}

#[cfg(feature = "test-util")]
pub(crate) use self::test_clock::{advance, can_advance, owns, pause, resume};

/// As `tokio_driver/test_clock.rs`, on a thread that is in no runtime.
#[cfg(feature = "test-util")]
mod test_clock {
    use std::time::Duration;

    use crate::clock::Clock;

    pub(crate) fn pause() -> bool {
        false
    }

    pub(crate) fn resume() -> bool {
        false
    }

    pub(crate) fn can_advance() -> bool {
        true
    }

    pub(crate) fn owns(_clock: &Clock) -> bool {
        false
    }

    pub(crate) async fn advance(_duration: Duration) -> bool {
        false
    }
}

/// As `coop/tokio_budget.rs`, on a thread that is in no runtime: tokio's budget does not end.
pub(super) mod tokio_budget {
    use std::task::{Context, Poll};

    /// The permission to poll a timer once.
    pub(crate) struct RestoreOnPending;

    impl RestoreOnPending {
        pub(in crate::backend) const NONE: Self = Self;

        #[inline]
        pub(crate) fn made_progress(&self) {}
    }

    #[inline]
    pub(in crate::backend) fn poll_proceed(_cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
        Poll::Ready(RestoreOnPending::NONE)
    }

    #[inline]
    pub(in crate::backend) fn has_budget_remaining() -> bool {
        true
    }

    #[inline]
    pub(in crate::backend) fn is_in_runtime() -> bool {
        false
    }

    #[inline]
    pub(in crate::backend) fn unconstrained<T>(
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        poll(cx)
    }
}
