//! Without the feature `tokio` no runtime is a host.

use crate::driver::Handle;
use crate::instant::Instant;

/// What to do inside a tokio runtime, where a driver is missed.
pub(super) const WITHOUT: &str = "; inside a tokio runtime, enable the feature `tokio` of reveille";

/// Nothing to know.
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

#[inline]
pub(super) fn handle() -> Option<Handle> {
    None
}

#[inline]
pub(crate) fn now() -> Option<Instant> {
    None
}

#[cfg(feature = "test-util")]
pub(crate) use self::test_clock::{advance, check_advance, pause, resume};

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
