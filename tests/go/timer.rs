//! `Timer`, `after` and `after_at`.

use std::task::Poll;
use std::time::Duration;

use futures::future::FusedFuture;
use futures::{FutureExt, select};
use reveille::ManualClock;
use reveille::go::{self, Timer};
use reveille::time::{Instant, sleep};

use crate::on::{On, everywhere};
use crate::support::{Task, manual, ms, secs};

/// Go's `TestAfter`: not early, and neither is the time that it yields.
#[test]
fn after_yields_when_it_was_due() {
    everywhere(|on| async move {
        let start = Instant::now();
        let due = go::after(ms(5)).await;
        on.has_passed(start, ms(5));
        assert!(due >= start + ms(5) && due <= Instant::now());
        let at = Instant::now() + ms(5);
        assert_eq!(go::after_at(at).await, at);
        let past = start - secs(3600 * 24 * 365 * 100);
        assert_eq!(go::after_at(past).await, past);
    });
}

/// Go's `TestAfterTick`.
#[test]
fn ten_in_a_row_take_ten_times_as_long() {
    everywhere(|on| async move {
        let start = Instant::now();
        for _ in 0..10 {
            go::after(ms(2)).await;
        }
        on.has_passed(start, ms(20));
    });
}

/// Go's `TestAfterTimes`: what is received late is the time at which it was due.
#[test]
fn a_value_that_is_received_late_is_the_time_at_which_it_was_due() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    let (mut after, mut timer) = (go::after(ms(10)), Timer::new(ms(10)));
    clock.advance(ms(500));
    let task = Task::new();
    assert_eq!(task.poll(&mut after), Poll::Ready(start + ms(10)));
    assert_eq!(task.poll(&mut timer), Poll::Ready(start + ms(10)));
}

/// As a channel that was drained, where a `Sleep` stays ready.
#[test]
fn a_value_is_received_once() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let (mut after, mut timer) = (go::after(ms(1)), Timer::new(ms(1)));
    clock.advance(ms(1));
    assert!(!after.is_terminated() && !timer.is_terminated());
    assert!(task.poll(&mut after).is_ready() && task.poll(&mut timer).is_ready());
    assert!(after.is_terminated() && timer.is_terminated());
    clock.advance(secs(9));
    assert!(task.poll(&mut after).is_pending() && task.poll(&mut timer).is_pending());
    assert!(!timer.reset(ms(1)) && !timer.is_terminated());
    clock.advance(ms(1));
    assert!(task.poll(&mut timer).is_ready());
}

/// Go's `TestReset`, with the same steps.
#[test]
fn reset_moves_a_timer_and_tells_whether_it_was_active() {
    let clock = ManualClock::new();
    clock.simulate(async {
        let mut timer = Timer::new(ms(20));
        sleep(ms(10)).await;
        assert!(timer.reset(ms(30)));
        sleep(ms(20)).await;
        assert_eq!((&mut timer).now_or_never(), None, "fired early");
        sleep(ms(20)).await;
        assert!((&mut timer).now_or_never().is_some(), "did not fire");
        assert!(!timer.reset(ms(50)));
        assert!(timer.stop());
    });
}

/// Go 1.23's rule: what was due is not received after a stop or a reset, and counts as not fired.
#[test]
fn nothing_stale_is_received_after_stop_or_reset() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    for polled in [false, true] {
        let mut timer = Timer::new(ms(1));
        if polled {
            assert!(task.poll(&mut timer).is_pending());
        }
        clock.advance(ms(1));
        assert!(timer.stop() && !timer.stop());
        assert!(task.poll(&mut timer).is_pending() && timer.is_terminated());

        assert!(!timer.reset(ms(1)));
        clock.advance(ms(1));
        assert!(timer.reset(ms(1)), "due, but not received");
        assert!(task.poll(&mut timer).is_pending());
        clock.advance(ms(1));
        assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
        assert!(!timer.stop());
    }
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn stop_releases_the_waker_at_once() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut timer = Timer::new(secs(1));
    assert!(task.poll(&mut timer).is_pending());
    assert_eq!((task.held(), driver.handle().armed()), (1, 1));
    assert!(timer.stop());
    assert_eq!((task.held(), driver.handle().armed()), (0, 0));
}

/// A task that waits is woken at the new time, without another poll.
#[test]
fn a_reset_moves_the_wake_of_the_task_that_waits() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    for earlier in [true, false] {
        let task = Task::new();
        let mut timer = Timer::new(if earlier { secs(9) } else { ms(1) });
        assert!(task.poll(&mut timer).is_pending());
        assert!(timer.reset(ms(5)));
        clock.advance(ms(4));
        assert_eq!(task.wakes(), 0);
        clock.advance(ms(1));
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
    }
}

/// Of zero: at the first poll, so a `select!` that does not wait receives it.
#[test]
fn a_timer_of_zero_is_due_at_once() {
    everywhere(|_| async {
        assert!(Timer::new(Duration::ZERO).now_or_never().is_some());
        assert!(go::after(Duration::ZERO).now_or_never().is_some());
        let mut timer = Timer::new(secs(9));
        assert_eq!((&mut timer).now_or_never(), None);
        assert!(timer.reset(Duration::ZERO));
        assert!((&mut timer).now_or_never().is_some());
    });
}

/// Go's `TestOverflowSleep`.
#[test]
fn the_longest_durations_never_fire() {
    everywhere(|_| async {
        for never in [Duration::MAX, secs(u64::MAX), secs(10_000_000_000)] {
            let mut timer = Timer::new(never);
            let mut reset = Timer::new(ms(1));
            assert!(reset.reset(never));
            select! {
                at = sleep(never).fuse() => panic!("slept until {at:?}"),
                at = go::after(never) => panic!("after fired at {at:?}"),
                at = timer => panic!("the timer fired at {at:?}"),
                at = reset => panic!("the reset timer fired at {at:?}"),
                _ = go::after(ms(2)) => {}
            }
            assert!(timer.stop() && reset.stop());
        }
    });
}

/// A timer that loses a `select!` runs on; one that has fired is left out until it is reset.
#[test]
fn timers_work_in_loops_of_both_selects() {
    everywhere(|on| async move {
        let start = Instant::now();
        let (mut short, mut long) = (Timer::new(ms(1)), Timer::new(ms(10)));
        let mut fired = 0;
        loop {
            select! {
                _ = short => {
                    fired += 1;
                    if fired < 3 {
                        short.reset(ms(1));
                    }
                }
                _ = long => break,
            }
        }
        on.has_passed(start, ms(10));
        // Those that were ready at the same time are chosen at random.
        assert!(on != On::Manual || fired == 3);
        assert!(short.is_terminated() || fired < 3);

        long.reset(ms(1));
        tokio::select! {
            _ = &mut long => {}
            () = sleep(secs(60)) => panic!("the timer did not fire"),
        }
        assert!(!long.stop());
    });
}

/// It is made first, and has its driver from the executor that polls it.
#[test]
fn a_timer_may_be_made_before_its_executor() {
    for on in [On::Rt, On::Manual, On::Tokio, On::TokioThread] {
        let mut timer = Timer::new(ms(1));
        let after = go::after(ms(2));
        on.run(async {
            (&mut timer).await;
            after.await;
            assert!(!timer.reset(ms(1)));
            (&mut timer).await;
        });
    }
}

/// On the process-wide thread.
#[test]
fn timers_work_where_no_driver_is_entered() {
    pollster::block_on(async {
        let start = Instant::now();
        let mut timer = Timer::new(ms(1));
        (&mut timer).await;
        timer.reset(ms(1));
        (&mut timer).await;
        assert!(start.elapsed() >= ms(2));
    });
}

/// If its driver goes, a timer moves to another and still waits for its deadline.
#[test]
fn a_timer_whose_driver_is_gone_moves_to_another() {
    let driver = reveille::Driver::new(reveille::ThreadPark::new());
    let entered = driver.handle().enter();
    let start = Instant::now();
    let mut timer = Timer::new(ms(5));
    assert_eq!((&mut timer).now_or_never(), None);
    drop(entered);
    drop(driver);
    assert!(pollster::block_on(&mut timer) >= start + ms(5));
    assert!(start.elapsed() >= ms(5));
}
