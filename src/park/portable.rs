//! How does a thread block where there is no futex of our own? As `parking` does it.
//!
//! `parking` waits on a condition variable, so the precision is that of std's timed wait: on
//! macOS and the BSDs nanoseconds, coalesced by the system with other wake-ups; on Windows whole
//! milliseconds, rounded up, on a tick of up to 15.6 ms unless the process has asked for a finer
//! one. The token is `parking`'s own, with the meaning that `park.rs` asks for.

use std::time::{Duration, Instant};

pub(super) use parking::Unparker;

pub(super) struct Parker(parking::Parker);

impl Parker {
    pub(super) fn new() -> Self {
        Parker(parking::Parker::new())
    }

    pub(super) fn unparker(&self) -> Unparker {
        self.0.unparker()
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        let Some(deadline) = timeout.and_then(|timeout| Instant::now().checked_add(timeout)) else {
            return self.0.park();
        };
        // `parking` may report a timeout early: the condition variable wakes without cause, and
        // the ticks it waits in are not those of `Instant`.
        while !self.0.park_deadline(deadline) && Instant::now() < deadline {}
    }
}
