//! How fast things may come: `rate_limiter.rs`, `debounce_throttle.rs`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::channel::mpsc;
use futures::future::join;
use futures::{StreamExt, stream};
use reveille::time::{Instant, sleep, sleep_until};
use reveille::{Clock, Driver, Handle, ManualClock, ThreadPark};

use crate::debounce_throttle::{Gate, search, send_slowly, type_in};
use crate::ms;
use crate::rate_limiter::{Bucket, TokenBucket};

#[test]
fn a_bucket_allows_three_of_five_and_is_refilled_after_two_seconds() {
    ManualClock::new().simulate(async {
        let mut bucket = Bucket::new(3, ms(2000));
        let burst = [(); 5].map(|()| bucket.allow());
        assert_eq!(burst, [true, true, true, false, false]);
        sleep(ms(1999)).await;
        assert!(!bucket.allow());
        sleep(ms(1)).await;
        assert_eq!([(); 4].map(|()| bucket.allow()), [true, true, true, false]);
    });
}

#[test]
fn a_bucket_that_was_not_used_is_only_full() {
    ManualClock::new().simulate(async {
        let mut bucket = Bucket::new(3, ms(2000));
        sleep(ms(60_000)).await;
        assert_eq!([(); 4].map(|()| bucket.allow()), [true, true, true, false]);
    });
}

#[test]
fn a_token_bucket_gets_one_token_each_period_up_to_its_capacity() {
    ManualClock::new().simulate(async {
        let bucket = TokenBucket::start(3, ms(500));
        let burst = [(); 4].map(|()| bucket.allow());
        assert_eq!(burst, [true, true, true, false]);
        for _ in 0..5 {
            sleep(ms(499)).await;
            assert!(!bucket.allow());
            sleep(ms(1)).await;
            assert!(bucket.allow());
            assert!(!bucket.allow());
        }
        sleep(ms(60_000)).await;
        let full = [(); 4].map(|()| bucket.allow());
        assert_eq!(full, [true, true, true, false]);
    });
}

/// As after a task that has blocked the loop.
#[test]
fn a_token_bucket_gets_the_tokens_of_the_periods_that_its_loop_has_missed() {
    let millis = Arc::new(AtomicU64::new(0));
    let its_millis = millis.clone();
    let clock = Clock::custom(move || ms(its_millis.load(Relaxed)));
    let mut driver = Driver::builder().clock(clock).build(ThreadPark::new());
    let _entered = driver.handle().enter();
    let bucket = TokenBucket::start(3, ms(500));
    let mut taken_at = |at| {
        millis.store(at, Relaxed);
        driver.turn();
        (0..10).filter(|_| bucket.allow()).count()
    };
    assert_eq!(taken_at(0), 3);
    assert_eq!(taken_at(1250), 2);
    assert_eq!(taken_at(1500), 1); // the half of a period was not lost
    assert_eq!(taken_at(60_000), 3);
}

#[test]
fn a_token_bucket_that_is_stopped_or_dropped_leaves_no_timer() {
    ManualClock::new().simulate(async {
        let bucket = TokenBucket::start(1, ms(500));
        let clone = bucket.clone();
        assert!(bucket.allow());
        drop(bucket);
        assert_eq!(Handle::current().armed(), 1);
        clone.stop();
        assert_eq!(Handle::current().armed(), 0);
        sleep(ms(5000)).await;
        assert!(!clone.allow());
        let other = TokenBucket::start(1, ms(500));
        assert_eq!(Handle::current().armed(), 1);
        drop(other);
        assert_eq!(Handle::current().armed(), 0);
    });
}

/// Real threads: no token is used twice.
#[test]
fn threads_share_the_tokens_of_a_bucket() {
    let bucket = TokenBucket::start(100, ms(3_600_000));
    let allowed = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            let bucket = bucket.clone();
            scope.spawn(move || (0..100).filter(|_| bucket.allow()).count())
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(allowed.iter().sum::<usize>(), 100);
}

#[test]
fn a_search_waits_for_silence_and_takes_the_last() {
    let found = RefCell::new(Vec::new());
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let (keyboard, typed) = mpsc::unbounded();
        let typing = async {
            type_in("timer", ms(100), &keyboard).await; // until 500 ms, the last key at 400
            sleep(ms(500)).await;
            type_in("go", ms(299), &keyboard).await; // at 1000 and 1299 ms
            sleep(ms(500)).await;
            drop(keyboard);
        };
        let searching = search(typed, ms(300), |word| {
            found.borrow_mut().push((word, start.elapsed().as_millis()));
        });
        join(typing, searching).await;
    });
    let promised = [("timer".to_owned(), 700), ("go".to_owned(), 1599)];
    assert_eq!(found.into_inner(), promised);
}

#[test]
fn a_letter_of_two_bytes_is_one_key() {
    let (typed, _) = ManualClock::new().simulate(async {
        let (keyboard, typed) = mpsc::unbounded();
        type_in("für", ms(1), &keyboard).await;
        drop(keyboard);
        typed.collect::<Vec<_>>().await
    });
    assert_eq!(typed, ["f", "fü", "für"]);
}

#[test]
fn a_throttle_loses_nothing_and_sends_no_two_within_the_period() {
    let sent = RefCell::new(Vec::new());
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let quick = stream::iter(1..=3);
        let slow = stream::once(async {
            sleep_until(start + ms(450)).await;
            4
        });
        send_slowly(quick.chain(slow), ms(100), |value| {
            sent.borrow_mut().push((value, start.elapsed().as_millis()));
        })
        .await;
    });
    assert_eq!(sent.into_inner(), [(1, 0), (2, 100), (3, 200), (4, 450)]);
}

#[test]
fn a_gate_passes_one_in_each_period_and_refuses_the_others() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let mut gate = Gate::new(ms(100));
        let mut passed = Vec::new();
        for _ in 0..40 {
            if gate.pass() {
                passed.push(start.elapsed().as_millis());
            }
            sleep(ms(8)).await;
        }
        assert_eq!(passed, [0, 104, 208, 312]);
        assert_eq!(Handle::current().armed(), 0);
    });
}
