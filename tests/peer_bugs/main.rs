//! Tests for bugs that other timer drivers had.
//!
//! There is at least one test for each of fifteen bugs, numbered as in the list that they were
//! taken from. Each doc says which project had the bug and what went wrong. Tests that take many
//! timers or threads are in `load.rs`.

#![cfg(all(not(loom), feature = "rt"))]

mod load;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use reveille::rt::Runtime;
use reveille::time::{self, Sleep};
use reveille::{Clock, Driver, ManualClock, ThreadPark};

use support::{
    Count, Dial, Log, OnDrop, Task, manual, manual_counting_unparks, ms, poll_with, secs, waker,
    watched,
};

/// 1: fastimer-driver's heap fired in the order of arming; compio #246 slept until the first.
#[test]
fn short_timer_armed_behind_a_long_one_fires_first() {
    let (clock, driver) = manual();
    let log = Log::new();
    let mut long = driver.handle().sleep(secs(60));
    let mut short = driver.handle().sleep(ms(1));
    assert!(poll_with(&mut long, &log.waker("long")).is_pending());
    assert_eq!(driver.next_deadline(), Some(long.deadline()));
    assert!(poll_with(&mut short, &log.waker("short")).is_pending());
    assert_eq!(driver.next_deadline(), Some(short.deadline()));
    clock.advance(secs(60));
    assert_eq!(log.take(), ["short", "long"]);
}

/// 2: monoio kept the first waker of a timer, so a timer that moved to another task did not wake
/// that.
#[test]
fn task_that_polled_last_is_the_one_woken() {
    let (clock, driver) = manual();
    let (a, b) = (Task::new(), Task::new());
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(a.poll(&mut sleep).is_pending());
    assert!(b.poll(&mut sleep).is_pending());
    clock.advance(ms(5));
    assert_eq!((a.wakes(), b.wakes()), (0, 1));
}

/// 3: async-io #73 and glommio split their maps before `now`, so a timer due exactly then had to
/// wait for another turn, which nothing caused.
#[test]
fn deadline_of_exactly_now_is_due() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    dial.set(ms(5) - Duration::from_nanos(1));
    assert_eq!(driver.turn().fired(), 0);
    assert_eq!(driver.next_timeout(), Some(Duration::from_nanos(1)));
    dial.set(ms(5));
    assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
    assert_eq!((driver.turn().fired(), task.wakes()), (1, 1));
}

/// 4: libuv #4245: a timer of zero that its own callback started again kept the loop in its timers
/// forever. Here each reading of the clock takes a nanosecond, so a timer that a waker arms is
/// always due by the time that the turn could read it again.
#[test]
fn timer_rearmed_by_its_own_wake_waits_for_the_next_turn() {
    let ticks = AtomicU64::new(0);
    let clock = Clock::custom(move || Duration::from_nanos(ticks.fetch_add(1, Ordering::SeqCst)));
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let sleep = Arc::new(Mutex::new(driver.handle().sleep(Duration::from_nanos(3))));
    fn rearm(sleep: &Arc<Mutex<Sleep>>, wakes: Count) {
        let again = sleep.clone();
        let waker = waker(move || {
            wakes.add();
            let handle = reveille::Handle::current();
            let mut zero = handle.sleep(Duration::ZERO);
            // No task runs in between, so one poll in 128 yields.
            let noop = std::task::Waker::noop();
            let ready = poll_with(&mut zero, noop).is_ready();
            assert!(ready || poll_with(&mut zero, noop).is_ready());
            *again.lock().unwrap() = handle.sleep(Duration::from_nanos(3));
            rearm(&again, wakes.clone());
        });
        assert!(poll_with(&mut *sleep.lock().unwrap(), &waker).is_pending());
    }
    let wakes = Count::default();
    let _entered = driver.handle().clone().enter();
    rearm(&sleep, wakes.clone());
    for turn in 1..=1000 {
        while driver.turn().fired() == 0 {}
        assert_eq!(wakes.get(), turn);
    }
    // The waker and its timer own each other.
    *sleep.lock().unwrap() = driver.handle().sleep(Duration::ZERO);
}

/// 6: futures-timer #79 panicked on `Duration::MAX`, gloo #121 passed milliseconds as an `i32`, and
/// compio's sum overflowed.
#[test]
fn far_deadlines_neither_overflow_nor_come_early() {
    let longest = [
        Duration::MAX,
        secs(u64::MAX),
        Duration::from_millis(u64::MAX),
        Duration::from_micros(u64::MAX),
        Duration::from_nanos(u64::MAX),
    ];
    let mut driver = Driver::new(ThreadPark::new());
    let (clock, manual_driver) = manual();
    let task = Task::new();
    let mut armed = Vec::new();
    for limit in longest {
        for handle in [driver.handle(), manual_driver.handle()] {
            let mut sleep = handle.sleep(limit);
            assert!(task.poll(&mut sleep).is_pending());
            assert!(sleep.deadline() > handle.now());
            sleep.reset_at(handle.now() + secs(1 << 33));
            assert!(task.poll(&mut sleep).is_pending());
            armed.push(sleep);
        }
    }
    assert_eq!(driver.park_timeout(Duration::ZERO).fired(), 0);

    for (limit, fired) in [1 << 31, (1 << 31) + 1, 1 << 32, 1 << 36]
        .map(ms)
        .into_iter()
        .zip(1..)
    {
        let mut sleep = manual_driver.handle().sleep(limit);
        assert!(task.poll(&mut sleep).is_pending());
        clock.advance(limit - Duration::from_nanos(1));
        assert!(task.poll(&mut sleep).is_pending());
        clock.advance(Duration::from_nanos(1));
        assert_eq!(task.wakes(), fired);
        assert!(task.poll(&mut sleep).is_ready());
    }
}

/// 7: tokio #5429 dropped a waker under its lock, and the drop of the task behind it dropped
/// another timer; ngx-rust #294 had wakers that polled at once. Both deadlocked.
#[test]
fn a_waker_that_uses_the_driver_in_its_wake_and_its_drop_finds_no_lock_held() {
    watched(|| {
        let (clock, driver) = manual();
        let handle = driver.handle().clone();
        let task = Task::new();
        let mut other = handle.sleep(ms(9));
        assert!(task.poll(&mut other).is_pending());
        let other = Mutex::new(Some(other));
        let back = {
            let handle = handle.clone();
            move || {
                let mut more = handle.sleep(ms(1));
                assert!(poll_with(&mut more, std::task::Waker::noop()).is_pending());
                more.reset_at(handle.now() + ms(2));
                drop(more);
                drop(other.lock().unwrap().take());
            }
        };
        let back = Arc::new(back);
        let in_wake = back.clone();
        let in_drop = Arc::new(OnDrop(move || back()));

        let mut dropped = handle.sleep(ms(5));
        let held = in_drop.clone();
        assert!(poll_with(&mut dropped, &waker(move || drop(held.clone()))).is_pending());
        drop(in_drop);
        drop(dropped);
        assert_eq!((handle.armed(), task.held()), (0, 0));

        let mut woken = handle.sleep(ms(5));
        assert!(poll_with(&mut woken, &waker(move || in_wake())).is_pending());
        clock.advance(ms(5));
        assert_eq!(handle.armed(), 0);
    });
}

/// 8: tokio #8169: a timer that was reset inside another runtime moved there, and hung when that
/// runtime ended.
#[test]
fn timer_reset_inside_another_driver_stays_on_its_own() {
    let (clock, driver) = manual();
    let (other_clock, other) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    let _entered = other.handle().enter();
    assert!(task.poll(&mut sleep).is_pending());
    sleep.reset_at(clock.now() + ms(8));
    other_clock.advance(secs(1));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!((driver.handle().armed(), other.handle().armed()), (1, 0));
    clock.advance(ms(8));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_ready());
}

/// 9: tokio #3619 panicked when a virtual machine's clock stepped back.
#[test]
fn clock_that_steps_back_stands_still() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let task = Task::new();
    dial.set(secs(10));
    let before = driver.handle().now();
    let mut sleep = driver.handle().sleep(secs(1));
    assert!(task.poll(&mut sleep).is_pending());
    dial.set(secs(3));
    assert_eq!((driver.turn().fired(), driver.handle().now()), (0, before));
    assert_eq!(driver.next_timeout(), Some(secs(1)));
    let mut second = driver.handle().sleep(secs(1));
    assert_eq!(second.deadline(), sleep.deadline());
    assert!(task.poll(&mut second).is_pending());
    dial.set(secs(11));
    assert_eq!((driver.turn().fired(), task.wakes()), (2, 2));
}

/// 11: futures-timer #74 panics if polled after it was ready; hyper #2974 found that a reset after
/// firing had no effect on some platforms. quinn and hyper poll and reset in any order.
#[test]
fn timer_is_reset_and_polled_in_any_order() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    for round in 1..=3 {
        let at = start + ms(10 * round);
        sleep.reset_at(at + ms(1));
        sleep.reset_at(at);
        assert!(task.poll(&mut sleep).is_pending());
        clock.advance(at - clock.now());
        for _ in 0..3 {
            assert!(task.poll(&mut sleep).is_ready());
        }
        assert!(sleep.is_elapsed());
    }
    assert_eq!((task.wakes(), task.held()), (3, 0));
}

/// 14: async-io writes to its event descriptor for each timer, whether it is the earliest or not,
/// and tokio does even if its loop is running (#8383).
#[test]
fn loop_is_interrupted_only_for_an_earlier_deadline_and_once() {
    let (_, driver, unparks) = manual_counting_unparks();
    let task = Task::new();
    let mut armed = Vec::new();
    let mut arm = |limit| {
        let mut sleep = driver.handle().sleep(limit);
        assert!(task.poll(&mut sleep).is_pending());
        armed.push(sleep);
    };
    arm(ms(50));
    arm(ms(40));
    assert_eq!(unparks.get(), 0, "the loop is running");
    assert_eq!(driver.next_timeout(), None, "the clock does not run");
    arm(ms(60));
    arm(ms(40));
    assert_eq!(unparks.get(), 0, "the loop wakes early enough anyway");
    arm(ms(30));
    assert_eq!(unparks.get(), 1);
    arm(ms(20));
    assert_eq!(unparks.get(), 1, "the loop was interrupted already");
}

/// 15: tokio #4614: a paused clock ran on to the timeout while a helper thread was at work.
#[test]
fn clock_does_not_run_ahead_of_a_helper_thread_that_holds_it() {
    watched(|| {
        let clock = ManualClock::new();
        let (parks, parked) = mpsc::channel();
        let builder = Runtime::builder().worker_threads(1).clock(&clock);
        let builder = builder.on_thread_park(move || {
            let _ = parks.send(());
        });
        let runtime = builder.build().unwrap();
        let start = clock.now();
        let (work, jobs) = mpsc::channel::<futures::channel::oneshot::Sender<u32>>();
        let hold = clock.hold();
        let helper = thread::spawn(move || {
            let answer = jobs.recv().unwrap();
            // The loop has nothing left to do, or has moved on to the timeout.
            let _ = parked.recv();
            let _ = answer.send(42);
            drop(hold);
        });
        let answer = runtime.block_on(async move {
            let (sender, receiver) = futures::channel::oneshot::channel();
            work.send(sender).unwrap();
            time::timeout(secs(3600), receiver).await
        });
        assert_eq!(answer, Ok(Ok(42)));
        assert_eq!(clock.now(), start);
        drop(runtime);
        helper.join().unwrap();
    });
}
