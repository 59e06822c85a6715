//! Tests of `Sleep`: when it is ready, which task it wakes, and what it keeps alive.

#![cfg(not(loom))]

mod support;

use std::future::Future;
use std::time::Duration;

use reveille::time::{Sleep, sleep, sleep_until};
use reveille::{Clock, Driver, Handle};

use support::{Count, Dial, Log, Task, manual, ms, secs};

#[test]
fn is_small_unpin_send_and_sync() {
    fn is_unpin_send_and_sync<T: Future<Output = ()> + Unpin + Send + Sync + 'static>() {}
    is_unpin_send_and_sync::<Sleep>();
    assert!(size_of::<Sleep>() <= 48, "{} bytes", size_of::<Sleep>());
}

#[test]
fn free_functions_use_the_driver_that_is_entered() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (first, second) = (Task::new(), Task::new());
    let mut after = sleep(ms(5));
    let mut until = sleep_until(clock.now() + ms(5));
    assert!(first.poll(&mut after).is_pending());
    assert!(second.poll(&mut until).is_pending());
    assert_eq!(driver.handle().armed(), 2);

    clock.advance(ms(5));
    assert_eq!((first.wakes(), second.wakes()), (1, 1));
    assert!(first.poll(&mut after).is_ready());
    assert!(second.poll(&mut until).is_ready());
}

#[test]
fn timer_wakes_once_and_not_a_nanosecond_early() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(3) + Duration::from_nanos(1));
    assert_eq!(
        sleep.deadline(),
        clock.now() + ms(3) + Duration::from_nanos(1)
    );
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(3));
    assert_eq!(task.wakes(), 0);
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(task.wakes(), 1);
    clock.advance(secs(1));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn nothing_is_armed_before_the_first_pending_poll() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    sleep.reset_at(clock.now() + ms(10));
    assert_eq!(driver.handle().armed(), 0);
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!((driver.handle().armed(), task.held()), (1, 1));

    let mut due = driver.handle().sleep(Duration::ZERO);
    assert!(task.poll(&mut due).is_ready());
    assert_eq!((driver.handle().armed(), task.held()), (1, 1));
}

#[test]
fn zero_and_now_and_the_past_are_ready_at_the_first_poll() {
    let (clock, driver) = manual();
    clock.advance(ms(50));
    let now = clock.now();
    let task = Task::new();
    for mut sleep in [
        driver.handle().sleep(Duration::ZERO),
        driver.handle().sleep_until(now),
        driver.handle().sleep_until(now - ms(1)),
        driver.handle().sleep_until(now - ms(51)),
    ] {
        assert!(!sleep.is_elapsed());
        assert!(task.poll(&mut sleep).is_ready());
        assert!(sleep.is_elapsed());
    }
    assert_eq!((task.wakes(), task.held()), (0, 0));
}

#[test]
fn poll_after_the_deadline_is_ready_without_a_turn_in_between() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    dial.set(ms(5));
    assert!(!sleep.is_elapsed(), "no turn has fired it");
    assert!(task.poll(&mut sleep).is_ready());
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
    assert_eq!(driver.turn().fired(), 0);
    assert_eq!(task.wakes(), 0);
}

/// Like tokio's `sleep_no_poll`: the clock is moved past a timer that was not polled yet.
#[test]
fn first_poll_after_the_deadline_is_ready_at_once() {
    let (clock, driver) = manual();
    let task = Task::new();
    for limit in [ms(1), ms(100), secs(3600)] {
        let mut sleep = driver.handle().sleep(limit);
        clock.advance(limit);
        assert!(task.poll(&mut sleep).is_ready(), "sleep({limit:?})");
    }
}

#[test]
fn poll_after_ready_is_ready_again() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(5));
    for _ in 0..3 {
        assert!(task.poll(&mut sleep).is_ready());
    }
    assert_eq!((task.wakes(), task.held()), (1, 0));
}

#[test]
fn is_elapsed_says_whether_the_driver_has_fired_the_timer() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(!sleep.is_elapsed());
    assert!(task.poll(&mut sleep).is_pending());
    assert!(!sleep.is_elapsed());
    clock.advance(ms(5));
    assert!(sleep.is_elapsed(), "it has fired");
    assert!(task.poll(&mut sleep).is_ready());
    assert!(sleep.is_elapsed());
    sleep.reset_at(clock.now() + ms(1));
    assert!(!sleep.is_elapsed());
}

#[test]
fn reset_of_an_armed_timer_keeps_its_task() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(100));
    assert!(task.poll(&mut sleep).is_pending());

    sleep.reset_at(start + ms(200));
    assert_eq!(sleep.deadline(), start + ms(200));
    clock.advance(ms(199));
    assert_eq!(task.wakes(), 0, "not woken at the old deadline");

    sleep.reset_at(start + ms(400));
    sleep.reset_at(start + ms(250));
    clock.advance(ms(50));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_ready());
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn reset_to_the_past_wakes_without_another_poll() {
    let (clock, mut driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(100));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(50));
    sleep.reset_at(start + ms(40));
    driver.turn();
    assert_eq!(task.wakes(), 1);
    assert!(sleep.is_elapsed() && task.poll(&mut sleep).is_ready());
    clock.advance(secs(1));
    assert_eq!((task.wakes(), task.held()), (1, 0));
}

#[test]
fn reset_to_a_time_that_the_driver_has_passed_wakes_at_once() {
    let (clock, driver) = manual();
    let start = clock.now();
    let (task, other) = (Task::new(), Task::new());
    let mut sleep = driver.handle().sleep(ms(100));
    let mut earlier = driver.handle().sleep(ms(50));
    assert!(task.poll(&mut sleep).is_pending());
    assert!(other.poll(&mut earlier).is_pending());
    clock.advance(ms(50));
    assert_eq!((task.wakes(), other.wakes()), (0, 1));
    sleep.reset_at(start + ms(40));
    assert_eq!((task.wakes(), task.held()), (1, 0));
    assert_eq!(driver.handle().armed(), 0);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn reset_after_firing_starts_over() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(100));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(100));
    assert!(task.poll(&mut sleep).is_ready());

    sleep.reset_at(clock.now() + ms(10));
    clock.advance(ms(9));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 2);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn reset_between_firing_and_its_poll_starts_over() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(100));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(100));
    sleep.reset_at(clock.now() + ms(10));
    assert!(!sleep.is_elapsed());
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 2);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn reset_before_the_first_poll_moves_the_deadline_both_ways() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(100));
    sleep.reset_at(start + ms(20));
    assert!(task.poll(&mut sleep).is_pending());
    clock.advance(ms(20));
    assert!(task.poll(&mut sleep).is_ready());

    let mut sleep = driver.handle().sleep(ms(100));
    sleep.reset_at(start);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn reset_past_the_deadlines_of_others_changes_the_order() {
    let (clock, driver) = manual();
    let start = clock.now();
    let log = Log::new();
    let mut sleeps: Vec<_> = (0..5)
        .map(|i| {
            let mut sleep = driver.handle().sleep(ms(10 * (i + 1)));
            assert!(support::poll_with(&mut sleep, &log.waker(i)).is_pending());
            sleep
        })
        .collect();
    sleeps[0].reset_at(start + ms(45));
    sleeps[4].reset_at(start + ms(15));
    sleeps[2].reset_at(start + ms(30));
    clock.advance(ms(60));
    assert_eq!(log.take(), [4, 1, 2, 3, 0]);
}

#[test]
fn many_resets_fire_once_at_the_last_deadline() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    for round in 0..1000u64 {
        sleep.reset_at(clock.now() + ms(5 + round * 7 % 11));
        clock.advance(ms(1));
    }
    assert_eq!((task.wakes(), driver.handle().armed()), (0, 1));
    sleep.reset_at(clock.now() + ms(5));
    clock.advance(ms(4));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn another_waker_replaces_the_first_and_drops_it() {
    let (clock, driver) = manual();
    let (a, b) = (Task::new(), Task::new());
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(a.poll(&mut sleep).is_pending());
    assert!(b.poll(&mut sleep).is_pending());
    assert_eq!((a.held(), b.held()), (0, 1));
    assert!(a.poll(&mut sleep).is_pending());
    assert!(b.poll(&mut sleep).is_pending());
    assert_eq!((a.held(), b.held()), (0, 1));
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(5));
    assert_eq!((a.wakes(), b.wakes()), (0, 1));
    assert!(a.poll(&mut sleep).is_ready());
}

#[test]
fn drop_drops_the_waker_before_it_returns() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!((driver.handle().armed(), task.held()), (1, 1));
    drop(sleep);
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
    clock.advance(secs(1));
    assert_eq!(task.wakes(), 0);
}

#[test]
fn drop_after_firing_removes_no_other_timer() {
    let (clock, driver) = manual();
    let (task, other) = (Task::new(), Task::new());
    let mut fired = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut fired).is_pending());
    clock.advance(ms(5));
    // It may well have the index of the first one.
    let mut next = driver.handle().sleep(ms(5));
    assert!(other.poll(&mut next).is_pending());
    fired.reset_at(clock.now() + ms(1));
    drop(fired);
    assert_eq!((driver.handle().armed(), other.held()), (1, 1));
    clock.advance(ms(5));
    assert_eq!((task.wakes(), other.wakes()), (1, 1));
}

#[test]
fn a_timer_uses_the_driver_of_its_handle() {
    assert!(Handle::try_current().is_err());
    let (clock, outer) = manual();
    let (_, inner) = manual();
    let entered = outer.handle().enter();
    {
        let _entered = inner.handle().enter();
        let mut sleep = sleep(ms(5));
        assert!(Task::new().poll(&mut sleep).is_pending());
        assert_eq!((outer.handle().armed(), inner.handle().armed()), (0, 1));
    }
    let mut sleep = sleep(ms(5));
    assert!(Task::new().poll(&mut sleep).is_pending());
    assert_eq!((outer.handle().armed(), inner.handle().armed()), (1, 0));
    drop(entered);
    assert!(Handle::try_current().is_err());
    // Entered or not, the timer stays with the driver that it was made on.
    clock.advance(ms(5));
    assert!(Task::new().poll(&mut sleep).is_ready());
}

#[test]
#[cfg(not(feature = "fallback"))]
fn a_timer_without_a_driver_panics() {
    let (message, file) = support::panic_of(|| sleep(ms(1)));
    assert!(message.contains("Handle::enter"), "{message}");
    assert_eq!(file, file!());
}

#[test]
fn debug_shows_deadline_and_state() {
    let (_, driver) = manual();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(format!("{sleep:?}").contains("Unarmed"));
    assert!(Task::new().poll(&mut sleep).is_pending());
    let shown = format!("{sleep:?}");
    assert!(
        shown.contains("Armed") && shown.contains("orphaned: false"),
        "{shown}"
    );
}

/// A poll reads the clock, so a timer whose deadline has passed is ready without a turn. Only the
/// first poll after a move by a millisecond or more does not read it.
#[test]
fn timer_that_was_moved_is_ready_when_its_deadline_has_passed_and_not_later() {
    for wait in [ms(1) / 2, ms(1) - Duration::from_nanos(1)] {
        let dial = Dial::default();
        let driver = dial.driver();
        let task = Task::new();
        let mut sleep = driver.handle().sleep(secs(10));
        assert!(task.poll(&mut sleep).is_pending());
        sleep.reset_after(wait);
        dial.set(wait);
        assert!(task.poll(&mut sleep).is_ready(), "{wait:?}");
    }
}

#[test]
fn pinned_reset_moves_the_deadline_both_ways() {
    let (clock, driver) = manual();
    let (start, task) = (clock.now(), Task::new());
    let mut sleep = std::pin::pin!(driver.handle().sleep(ms(5)));
    for deadline in [ms(9), ms(3)].map(|at| start + at) {
        sleep.as_mut().reset(deadline);
        assert_eq!(sleep.deadline(), deadline);
        assert!(sleep.as_mut().poll(&mut task.context()).is_pending());
    }
    clock.advance(ms(3));
    assert_eq!(task.wakes(), 1);
    assert!(sleep.poll(&mut task.context()).is_ready());
}

/// A connection postpones its limit with each message; that must not cost a reading of the clock.
#[test]
fn a_postponed_timer_is_polled_without_reading_the_clock() {
    let looks = Count::default();
    let counted = looks.clone();
    let clock = Clock::custom(move || {
        counted.add();
        Duration::ZERO
    });
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let (start, task) = (driver.handle().now(), Task::new());
    let mut sleep = driver.handle().sleep(secs(10));
    assert!(task.poll(&mut sleep).is_pending());
    for round in 11..20 {
        sleep.reset_at(start + secs(round));
        let before = looks.get();
        assert!(task.poll(&mut sleep).is_pending());
        assert_eq!(looks.get(), before);
    }
}

/// The driver has made no turn since the clock passed the deadline.
#[test]
fn reset_to_the_deadline_that_it_has_does_not_hide_that_it_has_passed() {
    let dial = Dial::default();
    let driver = dial.driver();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    dial.set(ms(5));
    sleep.reset_at(sleep.deadline());
    assert!(task.poll(&mut sleep).is_ready());
    assert_eq!(driver.handle().armed(), 0);
}
