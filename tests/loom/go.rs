//! A timer of `go` is stopped and reset by a remote while its owner awaits it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::support::{LONG, Race, Task, Time, check, ns};
use crate::go::Timer;

/// Polls a timer. Returns whether its value was received.
fn receives(timer: &mut Timer, waker: &Waker) -> bool {
    let mut cx = Context::from_waker(waker);
    matches!(Pin::new(timer).poll(&mut cx), Poll::Ready(_))
}

/// A remote stops a timer that is due, while its owner receives the value: exactly one of them.
#[test]
fn remote_stop_against_the_value() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let entered = driver.handle().enter();
        let task = Task::new();
        let mut timer = Timer::new(ns(1));
        drop(entered);
        let remote = timer.remote();
        assert!(!receives(&mut timer, &task.waker()));
        time.set(5);
        let stopper = race.spawn(move || remote.stop());
        race.enter();
        driver.turn();
        let received = receives(&mut timer, &task.waker());
        let stopped = stopper.join().unwrap();
        assert!(received != stopped);
        assert!(!receives(&mut timer, &task.waker()) && !timer.stop());
        drop(timer);
        assert!(task.is_released() && driver.handle().armed() == 0);
    });
}

/// A remote resets a timer that is due, while its owner receives the value: either that is the old
/// one, or the reset was in time. The new value comes in both cases.
#[test]
fn remote_reset_against_the_value() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let entered = driver.handle().enter();
        let task = Task::new();
        let mut timer = Timer::new(ns(1));
        drop(entered);
        let remote = timer.remote();
        time.set(5);
        let resetter = race.spawn(move || remote.reset(ns(10)));
        race.enter();
        let received = receives(&mut timer, &task.waker());
        let moved = resetter.join().unwrap();
        assert!(received != moved);
        assert!(!receives(&mut timer, &task.waker()));
        time.set(15);
        driver.turn();
        assert!(receives(&mut timer, &task.waker()) && !timer.stop());
    });
}

/// A remote resets a timer while its owner is about to wait. If the owner's task were not woken, it
/// would wait for the old time, for ever.
#[test]
fn remote_reset_against_the_wait() {
    for stops in [false, true] {
        check(Some(3), move || {
            let race = Race::new();
            let time = Time::new();
            let mut driver = time.driver();
            let task = Task::behind(crate::Park::unparker(driver.get_ref()));
            let entered = driver.handle().enter();
            let mut timer = Timer::new(LONG);
            drop(entered);
            let remote = timer.remote();
            let resetter = race.spawn(move || {
                let stopped = stops && remote.stop();
                assert!(remote.reset(ns(3)) != stopped);
            });
            race.enter();
            while !receives(&mut timer, &task.waker()) {
                driver.park();
            }
            resetter.join().unwrap();
            assert!(time.get() >= 3);
        });
    }
}

/// A poll moves the timer to another driver, with another clock, while a remote resets it: the wait
/// counts on the clock of the new driver, from the reset or the poll on.
#[test]
fn remote_reset_against_the_move_to_another_driver() {
    check(Some(3), || {
        let race = Race::new();
        let (first_time, time) = (Time::new(), Time::new());
        let first = first_time.turner();
        let mut second = time.turner();
        let task = Task::new();
        let entered = first.handle().enter();
        let mut timer = Timer::new(LONG);
        drop(entered);
        let remote = timer.remote();
        first_time.set(100);
        time.set(5);
        drop(first);
        let _entered = second.handle().enter();
        let resetter = race.spawn(move || assert!(remote.reset(ns(10))));
        race.enter();
        assert!(!receives(&mut timer, &task.waker()));
        resetter.join().unwrap();
        assert!(!receives(&mut timer, &task.waker()));
        time.set(14);
        second.turn();
        assert!(!receives(&mut timer, &task.waker()), "early");
        time.set(15);
        second.turn();
        assert!(receives(&mut timer, &task.waker()) && !timer.stop());
    });
}

/// The last remote of a stopped timer is dropped while its owner polls the timer: the task's waker
/// is not kept, because nothing would use it.
#[test]
fn drop_of_the_last_remote_against_the_poll() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let driver = time.turner();
        let task = Task::new();
        let entered = driver.handle().enter();
        let mut timer = Timer::new(ns(1));
        drop(entered);
        let remote = timer.remote();
        assert!(timer.stop());
        let dropper = race.spawn(move || drop(remote));
        race.enter();
        assert!(!receives(&mut timer, &task.waker()));
        dropper.join().unwrap();
        assert!(task.is_released());
    });
}
