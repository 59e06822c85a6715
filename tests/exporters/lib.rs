//! The exporters, with the crates that they export to.

#![cfg(test)]

mod metrics;
mod tracing;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Clock, Driver, Handle};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A driver on a clock that is set without firing anything.
fn set_by_hand() -> (Arc<AtomicU64>, Driver<()>) {
    let millis = Arc::new(AtomicU64::new(0));
    let shown = millis.clone();
    let clock = Clock::custom(move || ms(shown.load(Ordering::SeqCst)));
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    (millis, driver)
}

fn armed(handle: &Handle, wait: Duration) -> Sleep {
    let mut sleep = handle.sleep(wait);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    sleep
}
