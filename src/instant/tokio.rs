//! How do our instants and tokio's turn into each other?
//!
//! Both stand for instants of `std`.

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
