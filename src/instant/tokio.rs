//! Conversions and differences between [`Instant`] and tokio's instants.
//!
//! Both correspond to instants of `std`, so they convert through those.

use std::ops::Sub;
use std::time::Duration;

use crate::instant::Instant;

impl From<tokio::time::Instant> for Instant {
    fn from(instant: tokio::time::Instant) -> Self {
        Self::from_std(instant.into_std())
    }
}

impl From<Instant> for tokio::time::Instant {
    fn from(instant: Instant) -> Self {
        Self::from_std(instant.into_std())
    }
}

/// The time from a tokio instant to this one, zero if that is later.
impl Sub<tokio::time::Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: tokio::time::Instant) -> Duration {
        self - Self::from(earlier)
    }
}

/// The time from an instant of this crate to tokio's, zero if that is later.
impl Sub<Instant> for tokio::time::Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        Instant::from(self) - earlier
    }
}
