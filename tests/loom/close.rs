//! What becomes of a timer whose driver is dropped under it?
//!
//! Its task is woken, or sees that the driver is gone; either way its next poll takes it to the
//! driver that is current there, its successor.

use crate::time::Sleep;
use crate::{Driver, Entered};

use super::support::{Race, Task, Time, check, ns, poll};

/// A driver that is about to end, and one that is entered, on the same time.
///
/// Loom's threads share what is local to a thread, so it is current on all of them.
pub(super) fn ending_and_successor(time: &Time) -> (Driver<()>, Driver<()>, Entered) {
    let (ending, successor) = (time.turner(), time.turner());
    let entered = successor.handle().enter();
    (ending, successor, entered)
}

/// Checks that `successor` fires `sleep` for `task`, once, when its deadline of 5 comes.
pub(super) fn inherits(successor: &mut Driver<()>, time: &Time, task: &Task, mut sleep: Sleep) {
    assert!(!sleep.is_elapsed());
    assert!(!task.poll(&mut sleep), "early");
    assert_eq!(successor.handle().armed(), 1);
    let before = task.wakes();
    time.set(5);
    assert_eq!((successor.turn().fired(), task.wakes()), (1, before + 1));
    assert!(task.poll(&mut sleep));
    drop(sleep);
    assert!(task.is_released());
}

/// The timer is polled for the first time while its driver is dropped.
///
/// Armed first, it is among those that the drop wakes; armed later, the poll is told and moves on.
/// If the store could be armed after it was emptied, the timer would never be heard of again.
#[test]
fn driver_drop_against_arm() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let (ending, mut successor, _entered) = ending_and_successor(&time);
        let task = Task::new();
        let (mut sleep, waker) = (ending.handle().sleep(ns(5)), task.waker());
        let poller = race.spawn(move || {
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        drop(ending);
        let sleep = poller.join().unwrap();

        assert_eq!(
            task.wakes() + successor.handle().armed(),
            1,
            "lost, or both"
        );
        inherits(&mut successor, &time, &task, sleep);
    });
}

/// Another task takes the timer over while its driver is dropped.
///
/// The new task is woken, or its poll moves the timer; if the exchange of wakers came too late for
/// the one and too early for the other, the new task would sleep for ever.
#[test]
fn driver_drop_against_poll_with_other_waker() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let (ending, mut successor, _entered) = ending_and_successor(&time);
        let (old, new) = (Task::new(), Task::new());
        let (mut sleep, waker) = (old.sleep(ending.handle(), ns(5)), new.waker());
        let poller = race.spawn(move || {
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        drop(ending);
        let sleep = poller.join().unwrap();

        assert_eq!(new.wakes() + successor.handle().armed(), 1, "lost, or both");
        assert_eq!(old.wakes() + new.wakes(), 1);
        assert!(old.is_released());
        inherits(&mut successor, &time, &new, sleep);
    });
}

/// The timer is reset while its driver is dropped: it moves, and keeps the new deadline.
#[test]
fn driver_drop_against_reset() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let (ending, mut successor, _entered) = ending_and_successor(&time);
        let task = Task::new();
        let mut sleep = task.sleep(ending.handle(), ns(2));
        let later = ending.handle().now() + ns(5);
        let resetter = race.spawn(move || {
            sleep.reset_at(later);
            sleep
        });
        race.enter();
        drop(ending);
        let sleep = resetter.join().unwrap();

        assert_eq!(task.wakes(), 1);
        time.set(3);
        inherits(&mut successor, &time, &task, sleep);
    });
}

/// The timer is dropped while its driver is: one of them has the waker, and neither keeps it.
#[test]
fn driver_drop_against_drop() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let ending = time.turner();
        let task = Task::new();
        let sleep = task.sleep(ending.handle(), ns(5));
        let dropper = race.spawn(move || drop(sleep));
        race.enter();
        drop(ending);
        dropper.join().unwrap();

        assert!(task.wakes() <= 1);
        assert!(task.is_released());
    });
}
