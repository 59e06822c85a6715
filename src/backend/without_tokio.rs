//! What stands in for tokio where the feature `tokio` is off: no runtime, no clock and no budget.
//!
//! The rest of the crate asks for the tokio runtime that a thread is in, and calls the same functions
//! whether or not there can be one. Each of them answers that there is none, and is compiled away.

use crate::driver::Handle;
use crate::instant::Instant;

/// What to do inside a tokio runtime, where a driver is missed.
pub(super) const WITHOUT: &str = "; inside a tokio runtime, enable the feature `tokio` of reveille";

/// The tokio runtime that a thread was in when it entered a driver: none that can be known.
#[derive(Clone, Copy)]
pub(super) struct Inside;

impl Inside {
    pub(super) fn now() -> Self {
        Self
    }

    #[inline]
    pub(super) fn is_innermost(self) -> bool {
        true
    }
}

/// Returns the driver of the runtime that this thread is in.
#[inline]
pub(super) fn handle() -> Option<Handle> {
    None
}

/// Returns the time on the clock of the runtime that this thread is in.
#[inline]
pub(crate) fn now() -> Option<Instant> {
    None
}

#[cfg(feature = "test-util")]
pub(crate) use self::test_clock::{advance, check_advance, pause, resume};

/// As in `host/test_clock.rs`: the functions return `false`, for a thread that is in no runtime.
#[cfg(feature = "test-util")]
mod test_clock {
    use std::time::Duration;

    pub(crate) fn pause() -> bool {
        false
    }

    pub(crate) fn resume() -> bool {
        false
    }

    pub(crate) fn check_advance() {}

    pub(crate) async fn advance(_duration: Duration) -> bool {
        false
    }
}

/// As in `coop/tokio.rs`: the budget of tokio has no end.
pub(super) mod budget {
    use std::task::{Context, Poll};

    /// Permission to poll a timer once.
    pub(crate) struct Unit;

    impl Unit {
        pub(in crate::backend) const NONE: Self = Self;

        #[inline]
        pub(crate) fn made_progress(&self) {}
    }

    #[inline]
    pub(in crate::backend) fn proceed(_cx: &mut Context<'_>) -> Poll<Unit> {
        Poll::Ready(Unit::NONE)
    }

    #[inline]
    pub(in crate::backend) fn has_budget() -> bool {
        true
    }

    #[inline]
    pub(in crate::backend) fn is_in_charge() -> bool {
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
