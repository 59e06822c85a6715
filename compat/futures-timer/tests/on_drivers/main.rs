//! This package in place of the original, and governor on it.

mod delay;
mod governor;
#[path = "../../../../tests/ecosystem/src/lib.rs"]
mod watchdog;

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3600);
