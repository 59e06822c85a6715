//! Tests of timers with extreme durations, leaked timers, and drivers that are dropped.
//!
//! Wakers that panic or call back into the driver are in `bad_wakers.rs`.

#![cfg(all(not(loom), feature = "fallback", feature = "rt"))]

mod support;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use reveille::time::{self, Instant, Sleep};
use reveille::{Driver, DriverThread, Handle, ManualClock, ThreadPark, rt};

use support::{Dial, Log, Task, manual, ms, poll_with, secs, watched};

#[test]
fn extreme_durations_are_ready_at_once_or_never() {
    let (clock, driver) = manual();
    clock.advance(secs(1));
    let epoch = clock.now() - secs(1);
    let task = Task::new();
    let handle = driver.handle();
    let at_once = [
        Some(clock.now()),
        Some(epoch),
        epoch.checked_sub(Duration::from_nanos(1)),
        epoch.checked_sub(secs(3600)),
        epoch.checked_sub(secs(100 * 365 * 86_400)),
    ];
    for at in at_once.into_iter().flatten() {
        let mut sleep = handle.sleep_until(at);
        assert!(task.poll(&mut sleep).is_ready());
        assert!(
            sleep.deadline() >= epoch,
            "a deadline before the epoch reads as the epoch"
        );
        sleep.reset_at(at);
        assert!(task.poll(&mut sleep).is_ready());
    }
    for never in [
        Duration::MAX,
        secs(u64::MAX),
        Duration::from_nanos(u64::MAX),
    ] {
        let mut sleep = handle.sleep(never);
        assert!(task.poll(&mut sleep).is_pending());
        assert_eq!((handle.armed(), driver.next_deadline()), (1, None));
        assert_eq!(driver.next_timeout(), None);
        clock.advance(Duration::MAX);
        assert!(task.poll(&mut sleep).is_pending(), "{never:?} is over");
    }
    assert_eq!((task.wakes(), task.held()), (0, 0));
}

#[test]
fn clock_at_its_end_still_fires_timers() {
    let (clock, mut driver) = manual();
    let task = Task::new();
    clock.advance(Duration::MAX);
    let end = clock.now();
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), end);
    assert!(
        task.poll(&mut driver.handle().sleep(Duration::ZERO))
            .is_ready()
    );
    let mut sleep = driver.handle().sleep(ms(1));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.turn().fired(), 0);
    assert!(!clock.advance_to_next());
    let mut interval = driver.handle().interval(ms(1));
    assert_eq!(interval.poll_tick(&mut task.context()), Poll::Ready(end));
    assert!(interval.poll_tick(&mut task.context()).is_pending());
}

#[test]
fn clock_that_starts_at_the_farthest_instant_shows_the_one_before_it_for_good() {
    let farthest = Instant::now() + Duration::MAX;
    let clock = ManualClock::starting_at(farthest);
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let start = clock.now();
    assert_eq!(farthest - start, Duration::from_nanos(1));
    let task = Task::new();
    assert!(
        task.poll(&mut driver.handle().sleep(Duration::ZERO))
            .is_ready()
    );
    let mut never = driver.handle().sleep(Duration::from_nanos(1));
    assert!(task.poll(&mut never).is_pending());
    clock.advance(secs(1));
    assert!(!clock.advance_to_next());
    assert!(task.poll(&mut never).is_pending());
    assert_eq!(clock.now(), start);
}

#[test]
fn driver_dropped_with_timers_armed_wakes_each_once_in_order() {
    let (clock, driver) = manual();
    let handle = driver.handle().clone();
    let log = Log::new();
    let mut sleeps: Vec<_> = [30, 10, 20, 10]
        .map(|limit| handle.sleep(ms(limit)))
        .into_iter()
        .collect();
    for (i, sleep) in sleeps.iter_mut().enumerate() {
        assert!(poll_with(sleep, &log.waker(i)).is_pending());
    }
    drop(driver);
    assert_eq!(log.take(), [1, 3, 2, 0]);
    assert!(handle.is_closed());
    assert_eq!(handle.armed(), 0);
    clock.advance(secs(1));
    drop(sleeps);
    assert_eq!(log.take(), []);
}

#[test]
fn driver_dropped_wakes_timers_that_never_fire_too() {
    let (_, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(Duration::MAX);
    assert!(task.poll(&mut sleep).is_pending());
    drop(driver);
    assert_eq!((task.wakes(), task.held()), (1, 0));
}

#[test]
fn orphan_of_a_manual_clock_stays_pending_until_its_time() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut polled = driver.handle().sleep(ms(5));
    let mut fresh = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut polled).is_pending());
    drop(driver);
    for sleep in [&mut polled, &mut fresh] {
        assert!(sleep.is_orphaned() && !sleep.is_elapsed());
        assert!(task.poll(sleep).is_pending());
        assert!(sleep.is_orphaned());
    }
    clock.advance(ms(5));
    for sleep in [&mut polled, &mut fresh] {
        assert!(sleep.is_elapsed(), "its next poll is ready");
        assert!(task.poll(sleep).is_ready());
        assert!(sleep.is_elapsed());
        sleep.reset_at(clock.now() + ms(1));
        assert!(task.poll(sleep).is_pending());
    }
    assert_eq!((task.wakes(), task.held()), (1, 0));
}

#[test]
fn orphan_moves_to_the_entered_driver_and_keeps_its_remaining_time() {
    let dial = Dial::default();
    let first = dial.driver();
    let task = Task::new();
    dial.set(secs(100));
    let mut sleep = first.handle().sleep(secs(10));
    assert!(task.poll(&mut sleep).is_pending());
    dial.set(secs(104));
    drop(first);
    assert_eq!(task.wakes(), 1);

    let (clock, second) = manual();
    clock.advance(secs(7));
    let _entered = second.handle().enter();
    assert!(task.poll(&mut sleep).is_pending());
    assert!(!sleep.is_orphaned());
    assert_eq!(sleep.deadline(), clock.now() + secs(6));
    assert_eq!(second.handle().armed(), 1);
    clock.advance(secs(6) - Duration::from_nanos(1));
    assert_eq!(task.wakes(), 1);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(task.wakes(), 2);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn orphan_does_not_move_to_a_driver_that_is_gone_too() {
    watched(|| {
        let first = Driver::new(ThreadPark::new());
        let second = Driver::new(ThreadPark::new());
        let start = first.handle().now();
        let sleep = first.handle().sleep(ms(5));
        let deadline = sleep.deadline();
        let _entered = second.handle().enter();
        drop(first);
        drop(second);
        // Only the process-wide thread is left.
        pollster::block_on(sleep);
        let _clock = DriverThread::new().unwrap().handle().enter();
        assert!(Instant::now() >= deadline && deadline >= start + ms(5));
    });
}

#[test]
fn orphan_on_the_system_clock_ends_on_the_fallback_thread_and_not_early() {
    watched(|| {
        let driver = Driver::new(ThreadPark::new());
        let handle = driver.handle().clone();
        let mut sleep = handle.sleep(secs(3600));
        let deadline = sleep.deadline();
        assert!(Task::new().poll(&mut sleep).is_pending());
        let ends = thread::spawn(move || {
            // The end of its driver wakes this task, and the poll moves the sleep.
            pollster::block_on(poll_fn(|cx| {
                let must_move = handle.is_closed();
                assert!(Pin::new(&mut sleep).poll(cx).is_pending());
                if must_move {
                    return Poll::Ready(());
                }
                Poll::Pending
            }));
            assert!(!sleep.is_orphaned());
            assert!(sleep.deadline() >= deadline);
            let soon = Instant::now() + ms(5);
            sleep.reset_at(soon);
            pollster::block_on(&mut sleep);
            assert!(Instant::now() >= soon);
        });
        drop(driver);
        ends.join().unwrap();
    });
}

/// The interval counts the remaining time from when it moved, not on the scale of the old clock.
#[test]
fn orphaned_interval_keeps_its_period_on_a_clock_that_shows_another_time() {
    let dial = Dial::default();
    let first = dial.driver();
    let task = Task::new();
    dial.set(secs(100_000));
    let mut interval = first.handle().interval(secs(10));
    assert!(interval.poll_tick(&mut task.context()).is_ready());
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    drop(first);

    let (clock, second) = manual();
    let _entered = second.handle().enter();
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    clock.advance(secs(10));
    assert!(interval.poll_tick(&mut task.context()).is_ready());
    clock.advance(secs(10));
    assert!(interval.poll_tick(&mut task.context()).is_ready());
    assert!(interval.poll_tick(&mut task.context()).is_pending());
}

#[test]
fn handle_that_outlives_its_driver_makes_timers_that_move() {
    watched(|| {
        let driver = Driver::new(ThreadPark::new());
        let handle = driver.handle().clone();
        drop(driver);
        assert!(handle.is_closed() && format!("{handle:?}").contains("closed: true"));
        let start = handle.now();
        let sleep = handle.sleep(ms(5));
        assert!(sleep.is_orphaned());
        pollster::block_on(sleep);
        assert!(handle.now() >= start + ms(5));
        let limited = handle.timeout(ms(1), std::future::pending::<()>());
        assert!(pollster::block_on(limited).is_err());
        pollster::block_on(handle.interval(ms(1)).tick());
        // A closed driver that is entered is not preferred to a driver that exists.
        let _entered = handle.enter();
        pollster::block_on(time::sleep(ms(1)));
    });
}

#[test]
fn timer_whose_driver_fires_it_and_is_dropped_before_the_poll_is_ready() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(5));
    drop(driver);
    assert!(task.poll(&mut sleep).is_ready());
    assert_eq!((task.wakes(), task.held()), (1, 0));
}

/// A custom clock is clamped at each reading, so it may return times that go back and forth.
#[test]
fn clock_that_goes_back_and_forth_fires_each_timer_once_and_none_early() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let tasks: Vec<_> = (0..100).map(|_| Task::new()).collect();
    let mut sleeps: Vec<_> = (1..=100).map(|i| driver.handle().sleep(ms(i))).collect();
    for (task, sleep) in tasks.iter().zip(&mut sleeps) {
        assert!(task.poll(sleep).is_pending());
    }
    let mut fired = 0;
    let mut latest = 0;
    for step in [3, 1, 2, 10, 0, 9, 50, 49, 51, 20, 99, 5, 100, 0] {
        dial.set(ms(step));
        latest = latest.max(step);
        fired += driver.turn().fired() as u64;
        assert_eq!(fired, latest);
    }
    assert!(tasks.iter().all(|task| task.wakes() == 1));
}

#[test]
fn timer_moves_between_threads_and_executors() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let handle = timers.handle();
        let mut sleep = handle.sleep(secs(3600));
        assert!(Task::new().poll(&mut sleep).is_pending());
        let sleep = thread::spawn(move || {
            rt::block_on(async {
                assert!(futures::poll!(&mut sleep).is_pending());
            });
            sleep
        });
        let sleep = sleep.join().unwrap();
        let task = rt::Runtime::new().unwrap().spawn(sleep);
        drop(task); // drops its runtime, and the timer with it
        assert_eq!(handle.armed(), 0);

        let mut again = handle.sleep(secs(3600));
        assert!(futures::executor::block_on(async { futures::poll!(&mut again) }).is_pending());
        let deadline = handle.now() + ms(5);
        again.reset_at(deadline);
        smol::block_on(again);
        assert!(handle.now() >= deadline);
    });
}

#[test]
fn leaked_timer_wakes_its_task_once_more() {
    let (clock, driver) = manual();
    let (forgotten, task) = (Task::new(), Task::new());
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(forgotten.poll(&mut sleep).is_pending());
    std::mem::forget(sleep);
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(5));
    assert_eq!((forgotten.wakes(), forgotten.held()), (1, 0));
    assert_eq!(driver.handle().armed(), 0);

    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(5));
    assert_eq!((forgotten.wakes(), task.wakes()), (1, 1));
}

#[test]
fn clock_and_driver_may_be_dropped_in_any_order() {
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let task = Task::new();
    let mut sleep: Sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    let handle: Handle = driver.handle().clone();
    let hold = clock.hold();
    drop(clock);
    drop(driver);
    drop(hold);
    drop(handle);
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_pending());
}
