//! Pauses, resumes and advances the clock of a tokio runtime: feature `test-util`.
//!
//! Tokio does it, because its own timers run on the same clock. After an advance, the timers of
//! this crate that are due are fired at once, to the nanosecond: tokio itself would wake them at
//! the next whole millisecond.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use tokio::runtime;

use crate::backend::tokio_driver::{TokioDriver, drivers, time};
use crate::clock::Clock;
use crate::instant::Instant;

/// Pauses the clock of the runtime that this thread is in. Returns `false` if it is in none.
#[track_caller]
pub(crate) fn pause() -> bool {
    let inside = runtime::Handle::try_current().is_ok();
    if inside {
        tokio::time::pause();
    }
    inside
}

/// Resumes the clock of the runtime that this thread is in. Returns `false` if it is in none.
#[track_caller]
pub(crate) fn resume() -> bool {
    let inside = runtime::Handle::try_current().is_ok();
    if inside {
        tokio::time::resume();
    }
    inside
}

/// Returns whether the clock of the runtime that this thread is in is paused. Also returns `true`
/// if it is in none. Tokio panics if the clock runs, but only when it is polled, and at a line of
/// its own.
pub(crate) fn can_advance() -> bool {
    runtime::Handle::try_current().is_err() || !time::is_running()
}

/// Returns whether a clock is that of a tokio runtime. Any driver may be on it.
pub(crate) fn owns(clock: &Clock) -> bool {
    drivers().iter().any(|driver| {
        let mut shards = driver.sharded_driver.shards().iter();
        shards.any(|shard| shard.clock.is_same_as(clock))
    })
}

/// Advances the clock of the runtime that this thread is in. Returns `false` if it is in none.
pub(crate) async fn advance(duration: Duration) -> bool {
    let Ok(runtime) = runtime::Handle::try_current() else {
        return false;
    };
    // At most to just short of where this crate's instants end. (Tokio panics only where `std`'s
    // end, which may be much later.)
    let end = Instant::at(i64::MAX - 1);
    let duration = duration.min(end - time::tokio_now());
    let mut advance = pin!(tokio::time::advance(duration));
    poll_fn(|cx| {
        // The first poll moves the clock and yields.
        let poll = advance.as_mut().poll(cx);
        if let Some(driver) = TokioDriver::find(runtime.id()) {
            driver.expire();
        }
        poll
    })
    .await;
    true
}
