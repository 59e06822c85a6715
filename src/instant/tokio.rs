//! Conversions between [`Instant`] and tokio's instants.
//!
//! Both correspond to instants of `std`, so they convert through those.

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
