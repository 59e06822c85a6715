//! A rate limiter by the crate `governor`, on the clock and the timers of this crate.
//!
//! `governor` needs no timer to decide: it computes when the next request may pass. A timer only
//! waits until then. On the clock of the current driver it can be tested on a manual one.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use reveille::adapters::governor::GovernorClock;

pub use reveille::adapters::governor::until_ready;

/// A limiter for all requests together.
pub type Limiter = RateLimiter<
    NotKeyed,
    InMemoryState,
    GovernorClock,
    NoOpMiddleware<<GovernorClock as Clock>::Instant>,
>;

/// Returns a limiter that lets so many requests pass each second, and as many as `burst` at once. It
/// is on the clock of the current driver.
///
/// # Panics
///
/// If one of them is zero.
#[must_use]
pub fn limiter(each_second: u32, burst: u32) -> Limiter {
    let some = |count| NonZeroU32::new(count).expect("at least one request may pass");
    let quota = Quota::per_second(some(each_second)).allow_burst(some(burst));
    RateLimiter::direct_with_clock(quota, GovernorClock::new())
}
