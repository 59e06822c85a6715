use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use reveille::time::{Duration, error::Elapsed, sleep, timeout};
use reveille::{Driver, ManualClock};

/// What is tested: asks every 100 ms, for two seconds at most.
async fn until(mut is_ready: impl FnMut() -> bool) -> Result<(), Elapsed> {
    let asks = async {
        while !is_ready() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(2), asks).await
}

#[test]
fn it_gives_up_after_two_seconds() {
    let (result, elapsed) = ManualClock::new().simulate(async { until(|| false).await });
    assert!(result.is_err());
    assert_eq!(elapsed, Duration::from_secs(2));
}

/// For code that is given a driver or a handle: the test moves the time.
#[test]
fn a_ping_is_sent_every_second() {
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let pings = Arc::new(AtomicU32::new(0));
    let sent = pings.clone();
    let timer = driver.handle().call_every(Duration::from_secs(1), move || {
        sent.fetch_add(1, Ordering::Relaxed);
    });
    clock.advance(Duration::from_millis(999));
    assert_eq!(pings.load(Ordering::Relaxed), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(pings.load(Ordering::Relaxed), 1);
    clock.advance(Duration::from_secs(59));
    assert_eq!(pings.load(Ordering::Relaxed), 60);
    assert!(timer.stop());
}
