//! How does an instant fit into 64 bits?
//!
//! As nanoseconds from the start of a range that has the queue's creation in its middle: instants
//! before the base are told apart as well as those after it. Both conversions are here alone.

use std::time::{Duration, Instant};

use crate::table::NEVER;

/// Where the base lies in the range of nanoseconds: as much before it as after.
const BIAS: u64 = 1 << 63;
/// The seconds on either side of the base that can be told apart.
const RANGE: u64 = BIAS / 1_000_000_000;

/// A range of instants.
pub(super) struct Span {
    base: Instant,
}

impl Span {
    pub(super) fn around(base: Instant) -> Self {
        Self { base }
    }

    /// Returns the nanoseconds from the start of the range to `instant`; outside of it, its end.
    #[inline]
    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        if instant >= self.base {
            let ahead = instant - self.base;
            if ahead.as_secs() >= RANGE {
                NEVER
            } else {
                BIAS + short_nanos(ahead)
            }
        } else {
            let behind = self.base - instant;
            if behind.as_secs() >= RANGE {
                0
            } else {
                BIAS - short_nanos(behind)
            }
        }
    }

    /// Undoes [`nanos`](Self::nanos) within the range.
    #[inline]
    pub(super) fn instant(&self, nanos: u64) -> Instant {
        if nanos >= BIAS {
            self.base + Duration::from_nanos(nanos - BIAS)
        } else {
            self.base - Duration::from_nanos(BIAS - nanos)
        }
    }
}

/// Returns whether an instant was at the end of the range, or beyond it.
#[inline]
pub(super) fn is_end(nanos: u64) -> bool {
    nanos == 0 || nanos == NEVER
}

/// Returns the nanoseconds of a duration shorter than `RANGE` seconds.
#[inline]
fn short_nanos(duration: Duration) -> u64 {
    duration.as_secs() * 1_000_000_000 + u64::from(duration.subsec_nanos())
}
