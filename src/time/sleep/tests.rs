//! Tests of which drops of a timer take the driver's lock.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use crate::time::Sleep;
use crate::{Driver, ManualClock};

fn armed(driver: &Driver<()>, wait: Duration) -> Sleep {
    let mut sleep = driver.handle().sleep(wait);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    sleep
}

/// Drops a timer while another thread holds its driver's lock. Returns whether the drop was done
/// within `patience`.
fn drops_under_the_lock(driver: &Driver<()>, sleep: Sleep, patience: Duration) -> bool {
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let locked = driver.handle().shared.lock();
        scope.spawn(move || {
            drop(sleep);
            done.send(()).unwrap();
        });
        let dropped = is_done.recv_timeout(patience).is_ok();
        drop(locked);
        dropped
    })
}

#[test]
fn dropping_a_fired_timer_takes_no_lock() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let fired = armed(&driver, Duration::from_millis(1));
    let mut polled = armed(&driver, Duration::from_millis(2));
    let waits = armed(&driver, Duration::from_millis(4));
    clock.advance(Duration::from_millis(3));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut polled).poll(&mut cx).is_ready());

    assert!(drops_under_the_lock(&driver, fired, PATIENCE), "fired");
    assert!(
        drops_under_the_lock(&driver, polled, PATIENCE),
        "and polled"
    );
    let idle = driver.handle().sleep(Duration::from_secs(1));
    assert!(
        drops_under_the_lock(&driver, idle, PATIENCE),
        "never polled"
    );
    // Dropping an armed timer does wait for the lock; otherwise the checks above would prove
    // nothing.
    let blink = Duration::from_millis(20);
    assert!(!drops_under_the_lock(&driver, waits, blink), "armed");
}
