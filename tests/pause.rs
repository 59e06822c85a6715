//! Pausing, resuming and advancing the clock of the driver that is entered.
//!
//! Feature `test-util`. What tokio's clock does is in `tokio_paused.rs` and
//! `tokio_auto_advance.rs`, what the panics say in `messages.rs`.

#![cfg(all(not(loom), feature = "test-util"))]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use reveille::time::{self, Instant, sleep};
use reveille::{Clock, Driver, ThreadPark};

use support::{Count, Dial, Task, manual, ms, panic_of, secs, watched};

/// How long the race is repeated on each clock: twice as long as it took to lose it.
const LONG_ENOUGH: Duration = Duration::from_millis(310);

/// How far a processor may look ahead.
const ORDER: Duration = Duration::from_micros(10);

#[test]
fn paused_clock_stands_and_runs_on_from_there() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    dial.set(secs(5));
    let start = Instant::now();
    for round in 0..3 {
        let now = start + secs(round);
        time::pause();
        dial.set(secs(100 * (round + 1)));
        assert_eq!((Instant::now(), driver.handle().now()), (now, now));
        time::resume();
        assert_eq!(Instant::now(), now);
        dial.set(secs(100 * (round + 1) + 1));
        assert_eq!(Instant::now(), now + secs(1));
    }
}

#[test]
fn paused_clock_that_was_moved_runs_on_from_where_it_was_moved_to() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let _entered = driver.handle().clone().enter();
    let task = Task::new();
    let start = Instant::now();
    let (mut near, mut far) = (sleep(secs(50)), sleep(secs(110)));
    assert!(task.poll(&mut near).is_pending());
    assert!(task.poll(&mut far).is_pending());
    time::pause();
    assert_eq!(driver.next_timeout(), None, "no wait helps");
    let mut advance = pin!(time::advance(secs(100)));
    assert!(advance.as_mut().poll(&mut task.context()).is_pending());
    assert_eq!(start.elapsed(), secs(100));
    assert_eq!(task.wakes(), 2, "one by the timer, one by the yield");
    assert!(advance.as_mut().poll(&mut task.context()).is_ready());
    time::resume();
    assert_eq!(
        (start.elapsed(), driver.next_timeout()),
        (secs(100), Some(secs(10)))
    );
    dial.set(secs(9));
    assert_eq!(
        (driver.turn().fired(), driver.next_timeout()),
        (0, Some(secs(1)))
    );
    dial.set(secs(10));
    assert_eq!(driver.turn().fired(), 1);
    assert!(task.poll(&mut near).is_ready() && task.poll(&mut far).is_ready());
}

#[test]
fn pause_and_resume_make_a_parked_loop_look_again() {
    let unparks = Count::default();
    let counted = unparks.clone();
    let driver = Driver::with_unpark(move || counted.add());
    let _entered = driver.handle().enter();
    assert_eq!(driver.next_timeout(), None);
    time::pause();
    assert_eq!(unparks.get(), 1);
    time::resume();
    assert_eq!(unparks.get(), 2);
}

#[test]
fn advance_that_is_not_polled_moves_nothing() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    drop(time::advance(secs(1)));
    assert_eq!(clock.now(), start);
}

#[test]
fn misuse_of_the_test_clock_panics_and_says_why() {
    fn entered(call: impl FnOnce() + Send + 'static) -> (String, String) {
        panic_of(move || {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            call();
        })
    }

    // Blocks, because a function that is passed on as a value has no caller to name.
    let twice = || {
        time::pause();
        time::pause();
    };
    let resume = || {
        time::resume();
    };
    let pause = || {
        time::pause();
    };
    let at_caller = [
        (entered(twice), "time is already frozen"),
        (entered(resume), "time is not frozen: call pause first"),
        (panic_of(pause), "Handle::enter"),
        (panic_of(resume), "Handle::enter"),
        (
            panic_of(|| {
                let (_, driver) = manual();
                let _entered = driver.handle().enter();
                time::resume();
            }),
            "a ManualClock does not run",
        ),
        (
            panic_of(|| {
                let (_, driver) = manual();
                let _entered = driver.handle().enter();
                time::pause();
            }),
            "stands still without being paused",
        ),
    ];
    for ((message, file), expected) in at_caller {
        assert!(message.contains(expected), "{message}");
        assert_eq!(file, file!(), "{message}");
    }
    let (message, _) = entered(|| pollster::block_on(time::advance(ms(1))));
    assert!(message.contains("call pause first"), "{message}");
    let (message, _) = panic_of(|| pollster::block_on(time::advance(ms(1))));
    assert!(message.contains("Handle::enter"), "{message}");
}

/// A thread read the source, was held up while another paused and resumed the clock, and added the
/// new shift to the old reading: the sum was negative, and wrapped to the end of time. And one held
/// up before a pause saw milliseconds more than the clock then stood at. (Nanoseconds remain:
/// processors read their counters out of order.)
#[test]
fn clock_paused_and_resumed_while_read_neither_leaps_nor_goes_back() {
    let custom = || {
        let start = std::time::Instant::now();
        Clock::custom(move || start.elapsed())
    };
    for make in [Clock::monotonic, Clock::boottime, custom] {
        let end = std::time::Instant::now() + LONG_ENOUGH;
        while std::time::Instant::now() < end {
            watched(move || read_while_paused_and_resumed(make()));
        }
    }
}

fn read_while_paused_and_resumed(clock: Clock) {
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let (stop, clock) = (stop.clone(), clock.clone());
            thread::spawn(move || {
                let mut most = clock.now();
                let latest = most + Duration::from_secs(86_400);
                while !stop.load(Ordering::Relaxed) {
                    let now = clock.now();
                    assert!(
                        most <= now + ORDER && now < latest,
                        "{most:?}, then {now:?}"
                    );
                    most = now;
                }
                most
            })
        })
        .collect();
    let driver = Driver::builder()
        .clock(clock.clone())
        .build_with_unpark(|| {});
    let _entered = driver.handle().enter();
    for _ in 0..20 {
        time::pause();
        thread::sleep(Duration::from_millis(1));
        time::resume();
    }
    time::pause();
    let stands = clock.now();
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() <= stands + ORDER);
    }
}
