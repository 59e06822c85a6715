//! Tests of the patterns in `examples`, on a manual clock: what the examples run is what is tested
//! here, the same files.

#![cfg(all(feature = "rt", not(loom)))]

#[path = "../../examples/connect_timeout/attempt.rs"]
mod attempt;
#[path = "../../examples/circuit_breaker.rs"]
mod circuit_breaker;
#[path = "../../examples/debounce_throttle.rs"]
mod debounce_throttle;
#[path = "../../examples/delayed_work.rs"]
mod delayed_work;
#[path = "../../examples/graceful_shutdown/drain.rs"]
mod drain;
#[path = "../../examples/fan_in.rs"]
mod fan_in;
#[path = "../../examples/rate_limiter.rs"]
mod rate_limiter;
#[path = "../../examples/retry.rs"]
mod retry;
#[path = "../../examples/session_store.rs"]
mod session_store;
#[path = "../../examples/timer_reuse.rs"]
mod timer_reuse;

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod ends;
mod pace;
mod stores;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use reveille::ManualClock;
use reveille::rt::Runtime;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A key that calls a function when it is dropped.
#[derive(Clone)]
struct Key {
    name: &'static str,
    on_drop: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Key {
    fn plain(name: &'static str) -> Self {
        let on_drop = None;
        Self { name, on_drop }
    }

    fn new(name: &'static str, on_drop: impl Fn() + Send + Sync + 'static) -> Self {
        let on_drop = Some(Arc::new(on_drop) as _);
        Self { name, on_drop }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.on_drop.iter().for_each(|call| call());
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.name.hash(hasher);
    }
}

/// Runs tasks on a clock that moves by itself when they all wait.
fn simulated<F: Future>(future: F) -> F::Output {
    let runtime = Runtime::builder()
        .worker_threads(1)
        .clock(ManualClock::new())
        .build();
    runtime.unwrap().block_on(future)
}
