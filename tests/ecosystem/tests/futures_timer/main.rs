//! The package in `compat/futures-timer`, in place of the crate, and governor on it.

mod delay;
mod governor;

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3600);
