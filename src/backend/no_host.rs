//! Without the feature `tokio` no runtime is a host.

use std::time::Duration;

use crate::handle::Handle;
use crate::instant::Instant;

#[inline]
pub(super) fn handle() -> Option<Handle> {
    None
}

#[inline]
pub(crate) fn now() -> Option<Instant> {
    None
}

pub(crate) fn pause() -> bool {
    false
}

pub(crate) fn resume() -> bool {
    false
}

pub(crate) async fn advance(_duration: Duration) -> bool {
    false
}
