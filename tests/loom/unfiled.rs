//! Timers that are armed without the driver's lock and need a slot of their own. The slot is
//! unfiled, in a list of their chunk, until a thread that holds the lock files it.

use super::support::{LONG, Race, Recorder, Task, Time, check, ns, poll};
use crate::Handle;

/// Lets the driver's loop wake at 10, for a slot that no timer needs, and leaves two free entries.
/// The slot of the next timer is filed at LONG, so one that is due between the two needs another.
fn leave_a_wake_up(handle: &Handle) {
    let task = Task::new();
    let late = task.sleep(handle, LONG);
    drop(task.sleep(handle, ns(10)));
    drop(late);
}

/// The loop finds that it need not wake at 10, and parks, while a timer for 20 is armed.
///
/// Either the loop files its slot before it parks, or the timer is told that the loop parks for
/// longer. If the loop took the list out, and raised `unfiled_from` only after that, a slot
/// could be left behind: nothing would wake the loop, and loom would report a deadlock.
#[test]
fn a_slot_that_is_left_unfiled_against_park() {
    check(None, || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        leave_a_wake_up(driver.handle());
        let task = Task::new();
        let (handle, waker) = (driver.handle().clone(), task.waker());
        let armer = race.spawn(move || {
            let mut sleep = handle.sleep(ns(20));
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        while task.wakes() == 0 {
            driver.park();
        }
        let mut sleep = armer.join().unwrap();
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A turn gets rid of the slot at 10 while a timer for 20 is armed, and perhaps dropped.
///
/// After that a turn finds it due. If a turn published a later time before which nothing is due
/// while a slot was left unfiled, the next one would return at once; and the drop would take the
/// timer for fired, and leave its waker behind.
#[test]
fn a_slot_that_is_left_unfiled_against_turn() {
    for drops in [false, true] {
        check(None, move || {
            let race = Race::new();
            let time = Time::new();
            let mut driver = time.turner();
            leave_a_wake_up(driver.handle());
            let task = Task::new();
            let (mut sleep, waker) = (driver.handle().sleep(ns(20)), task.waker());
            time.set(12);
            let armer = race.spawn(move || {
                assert!(!poll(&mut sleep, &waker), "early");
                (!drops).then_some(sleep)
            });
            race.enter();
            assert_eq!(driver.turn().fired(), 0);
            let sleep = armer.join().unwrap();

            time.set(20);
            let fires = usize::from(!drops);
            assert_eq!((driver.turn().fired(), task.wakes()), (fires, fires));
            drop(sleep);
            assert!(task.is_released());
            assert_eq!(driver.handle().armed(), 0);
        });
    }
}

/// Two timers for one deadline are armed while a turn files what is unfiled.
///
/// They fire in the order in which they were armed, wherever their slots were meanwhile.
#[test]
fn equal_deadlines_keep_their_order_when_slots_are_unfiled() {
    check(Some(3), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        leave_a_wake_up(driver.handle());
        let log = Recorder::log();
        let sleeps = [1, 2].map(|name| {
            let sleep = driver.handle().sleep(ns(20));
            (sleep, Recorder::waker(name, &log))
        });
        time.set(12);
        let armer = race.spawn(move || {
            sleeps.map(|(mut sleep, waker)| {
                assert!(!poll(&mut sleep, &waker), "early");
                sleep
            })
        });
        race.enter();
        driver.turn();
        let _sleeps = armer.join().unwrap();

        time.set(20);
        assert_eq!(driver.turn().fired(), 2);
        let names: Vec<_> = log.lock().unwrap().iter().map(|&(_, name)| name).collect();
        assert_eq!(names, [1, 2]);
    });
}
