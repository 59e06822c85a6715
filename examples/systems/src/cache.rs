//! A cache by the crate `moka` that drops what has expired when it has.
//!
//! `moka` chooses what to keep, and returns nothing that has expired. But it has neither a timer nor
//! a thread: an entry that has expired stays in memory, with the file or the connection that it
//! holds, until something uses the cache often enough. Here an interval does the work that is
//! pending, so an entry outlives its time by a period at most.
//!
//! `moka` has a clock of its own, which cannot be exchanged. So its time does not follow a manual
//! clock, and what tests expiry waits for it. A cache on [`DelayQueue`](reveille::time::DelayQueue),
//! as in `examples/session_store.rs`, needs no sweeps and follows the clock, but it does not choose
//! what to keep.

use std::convert::Infallible;
use std::hash::Hash;

use moka::sync::Cache;
use reveille::time::{Duration, MissedTickBehavior, interval};

/// Drops what has expired, each `period`, until the future is dropped.
///
/// # Panics
///
/// If the period is zero.
pub async fn sweep<K, V>(cache: Cache<K, V>, period: Duration) -> Infallible
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut ticks = interval(period);
    // Where the process has stood still, one sweep makes up for all that were missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        cache.run_pending_tasks();
    }
}
