//! Is the permit of a limited timer given back exactly once, however the timer ends?
//!
//! Were it given back twice, the count would wrap, and the tenant could arm nothing for ever. Were it
//! not given back, the tenant would lose a timer for ever.

use crate::time::Sleep;
use crate::{Handle, Limits};

use super::support::{Race, Task, Time, check, ns, poll};

/// Returns a tenant of a tenant that may have two timers each.
fn tenant(driver: &Handle) -> (Handle, Handle) {
    let parent = driver.limited(Limits::new().timers(2));
    let child = parent.limited(Limits::new().timers(2));
    (parent, child)
}

fn taken(parent: &Handle, child: &Handle) -> (usize, usize) {
    (parent.permits_taken(), child.permits_taken())
}

#[test]
fn fire_against_drop() {
    check(None, || {
        let (race, time) = (Race::new(), Time::new());
        let mut driver = time.turner();
        let (parent, child) = tenant(driver.handle());
        let sleep = child.try_sleep(ns(1)).unwrap();
        time.set(1);
        let dropper = race.spawn(move || drop(sleep));
        race.enter();
        driver.turn();
        dropper.join().unwrap();
        assert_eq!(taken(&parent, &child), (0, 0));
    });
}

/// The poll finds the timer due while the driver fires it.
#[test]
fn fire_against_the_first_poll() {
    check(None, || {
        let (race, time) = (Race::new(), Time::new());
        let mut driver = time.turner();
        let (parent, child) = tenant(driver.handle());
        let (mut sleep, task) = (child.try_sleep(ns(1)).unwrap(), Task::new());
        time.set(1);
        let waker = task.waker();
        let poller = race.spawn(move || {
            assert!(poll(&mut sleep, &waker), "it is due");
            sleep
        });
        race.enter();
        driver.turn();
        let sleep: Sleep = poller.join().unwrap();
        assert_eq!(taken(&parent, &child), (0, 0));
        drop(sleep);
        assert_eq!(taken(&parent, &child), (0, 0));
    });
}

#[test]
fn driver_drop_against_drop() {
    check(None, || {
        let (race, time) = (Race::new(), Time::new());
        let driver = time.turner();
        let (parent, child) = tenant(driver.handle());
        let sleep = child.try_sleep(ns(5)).unwrap();
        let dropper = race.spawn(move || drop(sleep));
        race.enter();
        drop(driver);
        dropper.join().unwrap();
        assert_eq!(taken(&parent, &child), (0, 0));
    });
}

/// A timer is made while the driver ends: it is armed before the end, or not at all.
#[test]
fn driver_drop_against_try_sleep() {
    check(None, || {
        let (race, time) = (Race::new(), Time::new());
        let driver = time.turner();
        let (parent, child) = tenant(driver.handle());
        let maker = {
            let child = child.clone();
            race.spawn(move || child.try_sleep(ns(5)).unwrap())
        };
        race.enter();
        drop(driver);
        let sleep = maker.join().unwrap();
        assert_eq!(taken(&parent, &child), (0, 0));
        drop(sleep);
        assert_eq!(taken(&parent, &child), (0, 0));
    });
}

/// Fire, drop, and a reset before the drop that moves the timer.
#[test]
fn fire_against_reset_and_drop() {
    check(Some(3), || {
        let (race, time) = (Race::new(), Time::new());
        let mut driver = time.turner();
        let (parent, child) = tenant(driver.handle());
        let mut sleep = child.try_sleep(ns(1)).unwrap();
        time.set(1);
        let dropper = race.spawn(move || {
            sleep.reset_after(ns(9));
            drop(sleep);
        });
        race.enter();
        driver.turn();
        dropper.join().unwrap();
        assert_eq!(taken(&parent, &child), (0, 0));
    });
}

/// Two children of a tenant take its last permit: one gets it, and the other one leaves no trace.
#[test]
fn two_children_take_the_last_permit() {
    check(None, || {
        let (race, time) = (Race::new(), Time::new());
        let driver = time.turner();
        let parent = driver.handle().limited(Limits::new().timers(1));
        let (one, two) = (parent.limited(Limits::new()), parent.limited(Limits::new()));
        let other = {
            let two = two.clone();
            race.spawn(move || two.try_sleep(ns(5)).ok())
        };
        race.enter();
        let mine = one.try_sleep(ns(5)).ok();
        let others = other.join().unwrap();
        assert!(mine.is_some() ^ others.is_some(), "one of them");
        drop((mine, others));
        let all = [
            parent.permits_taken(),
            one.permits_taken(),
            two.permits_taken(),
        ];
        assert_eq!(all, [0; 3]);
    });
}
