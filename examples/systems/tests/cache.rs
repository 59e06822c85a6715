//! `moka` and its sweeps. Its clock is the system's, so its part is on real time; that of the
//! interval is on a manual clock.

use std::sync::Arc;

use moka::sync::Cache;
use reveille::ManualClock;
use reveille::time::{Duration, Instant, sleep, timeout};
use reveille_systems::cache::sweep;
use tokio::sync::mpsc;

const LIFE: Duration = Duration::from_millis(50);
/// Far more than the machine can be late.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_entry_of_moka_that_has_expired_is_dropped_by_the_sweep_alone() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let cache = Cache::builder()
        .time_to_live(LIFE)
        .eviction_listener(move |key: Arc<&str>, value, _| {
            dropped.send((*key, value, Instant::now())).unwrap();
        })
        .build();
    let inserted = Instant::now();
    cache.insert("session", 7);
    let swept = timeout(PATIENCE, async {
        tokio::select! {
            dropped = drops.recv() => dropped.unwrap(),
            never = sweep(cache.clone(), Duration::from_millis(5)) => match never {},
        }
    });
    let (key, value, at) = swept.await.expect("nothing was dropped");
    assert_eq!((key, value), ("session", 7));
    assert!(at - inserted >= LIFE);
    assert_eq!(cache.entry_count(), 0);
}

/// The sweeps are on the driver's clock, the expiry is not: a manual clock moves one of them.
#[test]
fn a_manual_clock_does_not_move_the_clock_of_moka() {
    let cache = Cache::builder()
        .time_to_live(Duration::from_secs(3600))
        .build();
    cache.insert("session", 7);
    ManualClock::new().simulate(async {
        let sweeps = sweep(cache.clone(), Duration::from_secs(60));
        assert!(timeout(Duration::from_secs(7200), sweeps).await.is_err());
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(cache.get("session"), Some(7));
}
