//! What the tests of executors share: a program that must work on any executor, and a watchdog.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use futures::StreamExt;
use futures::future::{Either, select};
use reveille::time::{Duration, Instant, interval, sleep, sleep_until, timeout};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Uses timers in all forms, which must work on any executor. The free functions find their driver.
pub async fn scenario() {
    let start = Instant::now();
    sleep(ms(2)).await;
    assert!(start.elapsed() >= ms(2));

    let deadline = Instant::now() + Duration::from_micros(100);
    sleep_until(deadline).await;
    assert!(Instant::now() >= deadline);

    assert!(timeout(ms(1), pending::<()>()).await.is_err());
    assert_eq!(timeout(ms(3_600_000), async { 7 }).await, Ok(7));

    let start = Instant::now();
    let ticks: Vec<_> = interval(ms(1)).take(3).collect().await;
    assert!(start.elapsed() >= ms(2));
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == ms(1)));

    // A timer that is armed earlier than those that are awaited already, and one that is postponed.
    let first = select(sleep(ms(3_600_000)), sleep(ms(1))).await;
    assert!(matches!(first, Either::Right(_)));
    let mut late = Box::pin(sleep(ms(1)));
    assert!(futures::poll!(&mut late).is_pending());
    let deadline = Instant::now() + ms(5);
    late.as_mut().reset(deadline);
    late.await;
    assert!(Instant::now() >= deadline);
}

/// Runs `test` on a thread of its own and panics if it hangs.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    assert!(
        ends(Duration::from_secs(60), test),
        "still running after a minute"
    );
}

/// Runs `test` on a thread of its own. Returns whether it ended within `limit`, and passes on its
/// panic.
pub fn ends(limit: Duration, test: impl FnOnce() + Send + 'static) -> bool {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        // The receiver is gone if the limit was exceeded.
        let _ = done.send(());
    });
    match finished.recv_timeout(limit) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout) => false,
        Err(RecvTimeoutError::Disconnected) => {
            resume_unwind(thread.join().expect_err("the test has panicked"))
        }
    }
}
