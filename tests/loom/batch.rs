//! What may a timer's owner do when its timer has fired, and it has not heard of it?
//!
//! Under loom a batch holds two timers, so that with three of them the driver lets go of its lock
//! in the middle of a turn. Those that are out have given their indices to the next timers by then.

use std::task::Waker;

use crate::time::{Instant, Sleep};

use super::support::{Race, Task, Time, check, ns, poll};

/// A timer is dropped between two batches, of which the first ended in its own deadline.
///
/// It may be in the store still although its equals are out, and its deadline has elapsed. If the
/// drop took that for fired, it would leave its waker behind, to be woken after it has returned.
#[test]
fn drop_between_batches() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let task = Task::new();
        let mut sleeps: Vec<_> = (0..3).map(|_| task.sleep(driver.handle(), ns(1))).collect();
        time.set(1);
        let (last, handle) = (sleeps.pop(), driver.handle().clone());
        let dropper = race.spawn(move || {
            drop(last);
            assert_ne!(handle.armed(), 1, "dropped, and still armed");
        });
        race.enter();
        let fired = driver.turn().fired();
        dropper.join().unwrap();

        assert!(fired == 2 || fired == 3);
        assert_eq!(task.wakes(), fired);
        drop(sleeps);
        assert!(task.is_released());
    });
}

/// Timers that have fired are dropped after their thread has armed another one, between batches.
///
/// The other one has the index of one that has fired. Its owner must find out: if it disarmed the
/// timer that has the index now, that one's task would sleep for ever.
#[test]
fn index_is_reused_between_batches() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let (task, next) = (Task::new(), Task::new());
        let mut sleeps = [(); 3]
            .map(|()| task.sleep(driver.handle(), ns(1)))
            .into_iter();
        let first_batch = [sleeps.next(), sleeps.next()];
        let until = driver.handle().now() + ns(5);
        time.set(1);
        let (handle, waker) = (driver.handle().clone(), next.waker());
        let updater = race.spawn(move || {
            let mut sleep = handle.sleep_until(until);
            assert!(!poll(&mut sleep, &waker));
            drop(first_batch);
            sleep
        });
        race.enter();
        driver.turn();
        let sleep = updater.join().unwrap();

        assert_eq!((next.wakes(), driver.handle().armed()), (0, 1));
        time.set(5);
        assert_eq!((driver.turn().fired(), next.wakes()), (1, 1));
        drop((sleeps, sleep));
        assert!(task.is_released() && next.is_released());
    });
}

/// A timer is reset between two batches, of which the first ended in its own deadline.
///
/// If a reset said that it had moved a timer that has fired, that would never fire again.
#[test]
fn reset_later_between_batches() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let (task, others) = (Task::new(), Task::new());
        let mut sleep = task.sleep(driver.handle(), ns(1));
        let _others = [(); 2].map(|()| others.sleep(driver.handle(), ns(1)));
        let later = driver.handle().now() + ns(5);
        time.set(1);
        let waker = task.waker();
        let resetter = race.spawn(move || {
            sleep.reset_at(later);
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        let fired = driver.turn().fired();
        let mut sleep = resetter.join().unwrap();

        assert_eq!((others.wakes(), task.wakes()), (2, fired - 2));
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, fired - 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// Another task takes a timer over between two batches, of which the first ended in its deadline.
///
/// If it is out, there is no waker to exchange, and the new task must be told that time is up.
#[test]
fn poll_with_other_waker_between_batches() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let (old, new) = (Task::new(), Task::new());
        let mut sleeps = [(); 3].map(|()| old.sleep(driver.handle(), ns(1)));
        let waker = new.waker();
        let poller = race.spawn(move || {
            let ready = poll(&mut sleeps[0], &waker);
            (sleeps, ready)
        });
        race.enter();
        time.set(1);
        driver.turn();
        let (sleeps, ready) = poller.join().unwrap();

        assert!(ready || new.wakes() == 1, "neither woken nor ready");
        drop(sleeps);
        assert!(old.is_released() && new.is_released());
    });
}

/// A timer ends, is moved on and armed again, while the turn that fires it is in the middle.
///
/// Its owner may know by the clock that time is up before, while and after the driver fires it.
/// Each arming wakes once at most, and the second one exactly once. If the second went to an entry
/// that the first has not left, or the turn took the new one for due, that would not hold.
#[test]
fn reset_against_turn() {
    check(Some(5), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let (task, others) = (Task::new(), Task::new());
        let mut sleep = task.sleep(driver.handle(), ns(1));
        let later = driver.handle().now() + ns(5);
        let _others = [(); 2].map(|()| others.sleep(driver.handle(), ns(1)));
        time.set(1);
        let waker = task.waker();
        let updater = race.spawn(move || {
            assert!(poll(&mut sleep, &waker));
            sleep.reset_at(later);
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        let fired = driver.turn().fired();
        let mut sleep = updater.join().unwrap();

        assert_eq!(others.wakes(), 2);
        assert_eq!(task.wakes(), fired - 2);
        assert_eq!(driver.handle().armed(), 1);
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, fired - 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A timer fires and its index goes to another, while its owner, who has not heard of it yet, acts
/// on it: `act` must find out before it touches another timer's entry.
fn reuse_against(act: fn(Sleep, Instant, &Waker) -> Option<Sleep>) {
    check(None, move || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let (task, next) = (Task::new(), Task::new());
        let sleep = task.sleep(driver.handle(), ns(1));
        let later = driver.handle().now() + ns(5);
        let other = Task::new();
        let waker = other.waker();
        let actor = race.spawn(move || act(sleep, later, &waker));
        race.enter();
        time.set(1);
        driver.turn();
        let mut next_sleep = next.sleep(driver.handle(), ns(5));
        let sleep = actor.join().unwrap();

        time.set(5);
        driver.turn();
        assert_eq!(next.wakes(), 0, "early");
        time.set(6);
        driver.turn();
        assert_eq!(next.wakes(), 1, "lost");
        assert!(next.poll(&mut next_sleep));
        drop((sleep, next_sleep));
        assert!(task.is_released() && next.is_released() && other.is_released());
    });
}

/// If a drop did not find out, it would disarm the other timer.
#[test]
fn drop_against_reuse() {
    reuse_against(|sleep, _, _| {
        drop(sleep);
        None
    });
}

/// If a reset did not find out, it would move the other timer.
#[test]
fn reset_against_reuse() {
    reuse_against(|mut sleep, later, _| {
        sleep.reset_at(later);
        Some(sleep)
    });
}

/// If a poll did not find out, it would exchange the other timer's waker.
#[test]
fn poll_with_other_waker_against_reuse() {
    reuse_against(|mut sleep, _, waker| {
        poll(&mut sleep, waker);
        Some(sleep)
    });
}
