//! Two rate limiters: a bucket that is refilled to the brim, and a token bucket.
//!
//! ```sh
//! cargo run --release --example rate_limiter
//! ```
//!
//! Both keep what is left in a counter, and a timer adds to it. [`Bucket`] allows bursts: right
//! before and right after it is refilled, twice its capacity passes. [`TokenBucket`] spreads the
//! requests: one token comes at a time. Neither needs a task of its own. A service takes the crate
//! `governor`, which computes instead of counting: `examples/systems` has it on these timers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;

use reveille::go::Timer;
use reveille::time::{Duration, Instant};
use reveille::{FuncTimer, Handle};

/// Allows so many requests, and then none until the timer has refilled it.
pub(crate) struct Bucket {
    capacity: u32,
    left: u32,
    period: Duration,
    refill: Timer,
}

impl Bucket {
    /// Returns a full bucket that is refilled when `period` has passed.
    pub(crate) fn new(capacity: u32, period: Duration) -> Self {
        Self {
            capacity,
            left: capacity,
            period,
            refill: Timer::new(period),
        }
    }

    /// Returns whether a request may pass now.
    pub(crate) fn allow(&mut self) -> bool {
        // Go's `select` with `default`: looks at the timer and does not wait for it.
        let mut look = Context::from_waker(Waker::noop());
        if Pin::new(&mut self.refill).poll(&mut look).is_ready() {
            self.left = self.capacity;
            self.refill.reset(self.period);
        }
        let allowed = self.left > 0;
        self.left -= u32::from(allowed);
        allowed
    }
}

/// Allows a request for each token. It gets one every period, up to its capacity.
///
/// Clones share the tokens, on any number of threads.
#[derive(Clone)]
pub(crate) struct TokenBucket {
    tokens: Arc<AtomicU32>,
    // Stopped when the last clone is gone.
    feeder: Arc<Feeder>,
}

struct Feeder(FuncTimer);

impl TokenBucket {
    /// Returns a full bucket, to which the current driver adds a token every `period`.
    pub(crate) fn start(capacity: u32, period: Duration) -> Self {
        let tokens = Arc::new(AtomicU32::new(capacity));
        let fed = tokens.clone();
        let driver = Handle::current();
        let clock = driver.clock().clone();
        let mut fed_until = clock.now();
        let feed = move || {
            // Not one for each call: those that a late loop misses are left out.
            let periods = (clock.now() - fed_until).as_nanos() / period.as_nanos();
            let periods = u32::try_from(periods).unwrap_or(u32::MAX);
            fed_until += period * periods;
            let add = |tokens: u32| Some(tokens.saturating_add(periods).min(capacity));
            let _ = fed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        };
        let feeder = Feeder(driver.call_every(period, feed));
        Self {
            tokens,
            feeder: Arc::new(feeder),
        }
    }

    /// Ends the supply of tokens. Those that are there can still be used.
    pub(crate) fn stop(&self) {
        self.feeder.0.stop();
    }

    /// Returns whether a request may pass now.
    pub(crate) fn allow(&self) -> bool {
        let take = |tokens: u32| tokens.checked_sub(1);
        let taken = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    const PERIOD: Duration = Duration::from_millis(100);
    let start = Instant::now();
    let millis = || start.elapsed().as_millis();

    println!("A bucket for 3 requests, refilled after {PERIOD:?}:");
    let mut bucket = Bucket::new(3, PERIOD);
    for request in 1..=5 {
        println!(
            "  {:>3} ms  request {request}: {}",
            millis(),
            bucket.allow()
        );
    }
    let full = Instant::now() + PERIOD;
    while Instant::now() < full || !bucket.allow() {
        thread::sleep(PERIOD / 50);
    }
    println!("  {:>3} ms  request 6: true", millis());

    println!("A bucket of 3 tokens, one more every {PERIOD:?}, used by two threads:");
    let bucket = TokenBucket::start(3, PERIOD);
    thread::scope(|scope| {
        for thread in 0..2 {
            let bucket = bucket.clone();
            scope.spawn(move || {
                for _ in 0..15 {
                    if bucket.allow() {
                        println!("  {:>3} ms  thread {thread} is allowed", millis());
                    }
                    thread::sleep(PERIOD / 5);
                }
            });
        }
    });
    bucket.stop();
}
