//! Is a driver that parks told of every timer that it must not sleep through?

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::time::Sleep;
use crate::{Driver, Park, Unpark};
use loom::sync::atomic::{AtomicBool, Ordering};

use super::support::{LONG, Race, Task, Time, check, ns, poll};

/// A timer is armed while the driver makes up its mind to sleep for good.
///
/// Armed before the driver looks at the store, it shortens the sleep; armed after, it must find the
/// announcement. If the driver announced outside the lock, or armed threads looked before they
/// inserted, a timer could fall between the two: the task sleeps until something else happens. Here
/// nothing else does, and loom reports a deadlock.
#[test]
fn arm_against_park() {
    check(None, || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        let task = Task::new();
        let (handle, waker) = (driver.handle().clone(), task.waker());
        let armer = race.spawn(move || {
            let mut sleep = handle.sleep(ns(10));
            assert!(!poll(&mut sleep, &waker));
            sleep
        });
        race.enter();
        while task.wakes() == 0 {
            driver.park();
        }
        let mut sleep = armer.join().unwrap();
        assert!(task.poll(&mut sleep));
        assert_eq!(driver.turn().fired(), 0);
        assert_eq!(task.wakes(), 1);
        drop(sleep);
        assert!(task.is_released());
    });
}

/// The same with a driver that already sleeps for a later timer, so that the announcement is a
/// time and not "for good".
#[test]
fn arm_against_park_for_another() {
    check(None, || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        let (late, early) = (Task::new(), Task::new());
        let late_sleep = late.sleep(driver.handle(), LONG);
        let (handle, waker) = (driver.handle().clone(), early.waker());
        let armer = race.spawn(move || {
            let mut sleep = handle.sleep(ns(10));
            assert!(!poll(&mut sleep, &waker));
            sleep
        });
        race.enter();
        while early.wakes() == 0 {
            driver.park();
        }
        drop((armer.join().unwrap(), late_sleep));
        assert_eq!((early.wakes(), late.wakes()), (1, 0));
        assert!(early.is_released() && late.is_released());
    });
}

/// A timer that is armed already comes to be the earliest while the driver parks for it.
///
/// If a reset did not look at the announcement, the driver would sleep until the old deadline.
#[test]
fn reset_earlier_against_park() {
    check(None, || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        let task = Task::new();
        let mut sleep = task.sleep(driver.handle(), LONG);
        let deadline = driver.handle().now() + ns(10);
        let resetter = race.spawn(move || {
            sleep.reset_at(deadline);
            sleep
        });
        race.enter();
        while task.wakes() == 0 {
            driver.park();
        }
        let mut sleep = resetter.join().unwrap();
        assert!(task.poll(&mut sleep));
        assert_eq!(task.wakes(), 1);
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A timer is put off, without the lock, while the driver parks for it.
///
/// It wakes for the old deadline or for the new one, and in the first case parks again. If the look
/// that the announcement takes at the timers lost the slot, it would park for good.
#[test]
fn put_off_against_park() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.driver();
        let task = Task::behind(driver.get_ref().unparker());
        let mut sleep = task.sleep(driver.handle(), ns(2));
        let later = driver.handle().now() + ns(5);
        let resetter = race.spawn(move || {
            sleep.reset_at(later);
            sleep
        });
        race.enter();
        while task.wakes() == 0 {
            driver.park();
        }
        let mut sleep = resetter.join().unwrap();
        if time.get() < 5 {
            // It had fired before it was put off.
            assert!(!task.poll(&mut sleep), "early");
            while task.wakes() == 1 {
                driver.park();
            }
        }
        assert_eq!(time.get(), 5);
        assert!(task.poll(&mut sleep));
    });
}

/// A thread queues a message, unparks, and arms a timer, while the driver parks.
///
/// The driver shares its park with the loop's other sources. If it took a token anywhere but in
/// `park`, or announced anew what an arming thread had cleared without looking at the store again,
/// the message or the timer would wait for the other's next wake-up.
#[test]
fn message_and_arm_against_park() {
    check(Some(3), || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        let door = driver.unparker();
        let task = Task::new();
        let message = Arc::new(AtomicBool::new(false));
        let (handle, waker, sent) = (driver.handle().clone(), task.waker(), message.clone());
        let sender = race.spawn(move || {
            sent.store(true, Ordering::Relaxed);
            door.unpark();
            let mut sleep = handle.sleep(ns(10));
            assert!(!poll(&mut sleep, &waker));
            sleep
        });
        race.enter();
        while !message.load(Ordering::Relaxed) {
            driver.park();
        }
        while task.wakes() == 0 {
            driver.park();
        }
        drop(sender.join().unwrap());
        assert_eq!(task.wakes(), 1);
    });
}

/// Two threads arm, the second perhaps earlier than the first, while the driver announces.
///
/// One interrupt gets the driver to look at everything, so the first to interrupt clears the
/// announcement. If it did not, or cleared it outside the lock, each arming thread would pay a
/// system call for a driver that is on its way up already; if it cleared it without interrupting,
/// none would.
#[test]
fn arm_earlier_interrupts_once() {
    check(Some(3), || {
        let race = Race::new();
        let unparks = Arc::new(AtomicUsize::new(0));
        let count = unparks.clone();
        let mut driver = Driver::builder()
            .clock(Time::new().clock())
            .build_with_unpark(move || {
                count.fetch_add(1, Ordering::Relaxed);
            });
        let task = Task::new();
        let arm = |nanos| {
            let (handle, waker) = (driver.handle().clone(), task.waker());
            race.spawn(move || -> Sleep {
                let mut sleep = handle.sleep(ns(nanos));
                assert!(!poll(&mut sleep, &waker));
                sleep
            })
        };
        let armers = [arm(20), arm(10)];
        race.enter();
        let timeout = driver.next_timeout();
        let mut sleeps: Vec<_> = armers.map(|armer| armer.join().unwrap()).into();

        // The driver sleeps no longer than it should, or has been interrupted: once.
        let too_long = timeout.is_none_or(|timeout| timeout > ns(10));
        assert_eq!(unparks.load(Ordering::Relaxed), usize::from(too_long));

        // It parks until 10, and a timer later than that leaves it alone.
        assert_eq!(driver.next_timeout(), Some(ns(10)));
        sleeps.push(task.sleep(driver.handle(), ns(30)));
        // Nor does any timer once it runs.
        driver.turn();
        sleeps.push(task.sleep(driver.handle(), ns(5)));
        assert_eq!(unparks.load(Ordering::Relaxed), usize::from(too_long));
    });
}

/// Two threads arm while the driver parks, wakes, turns and parks again.
///
/// The announcement ends without the lock when the driver wakes. Were it to end one that the driver
/// has made since, or were the look at `next` that lets a turn do without the lock to miss the
/// second timer for good, the driver would sleep through it.
#[test]
fn two_arm_against_parks() {
    check(Some(3), || {
        let race = Race::new();
        let mut driver = Time::new().driver();
        let tasks = [(); 2].map(|()| Task::behind(driver.unparker()));
        let arm = |nanos, task: &Task| {
            let (handle, waker) = (driver.handle().clone(), task.waker());
            race.spawn(move || {
                let mut sleep = handle.sleep(ns(nanos));
                if poll(&mut sleep, &waker) {
                    waker.wake();
                }
                sleep
            })
        };
        let armers = [arm(10, &tasks[0]), arm(20, &tasks[1])];
        race.enter();
        while tasks.iter().any(|task| task.wakes() == 0) {
            driver.park();
        }
        drop(armers.map(|armer| armer.join().unwrap()));
        for task in tasks {
            assert_eq!(task.wakes(), 1);
            assert!(task.is_released());
        }
    });
}
