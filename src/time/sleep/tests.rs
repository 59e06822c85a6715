//! What does the end of a timer not have to wait for?

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

/// Drops a timer while somebody else has its driver's lock; whether it gets there.
fn drops_under_the_lock(driver: &Driver<()>, sleep: Sleep, patience: Duration) -> bool {
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let locked = driver.handle().shared.lock();
        scope.spawn(move || {
            drop(sleep);
            done.send(()).unwrap();
        });
        let got_there = is_done.recv_timeout(patience).is_ok();
        drop(locked);
        got_there
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
    // That the lock is what one waits for that is armed: or the above shows nothing.
    let blink = Duration::from_millis(20);
    assert!(!drops_under_the_lock(&driver, waits, blink), "armed");
}
