//! What becomes of a timer that is reset while its driver ends, or while a turn of it is cut?
//!
//! What goes wrong when one of these fails: a task sleeps for ever, or is woken twice.

use super::support::{Race, Task, Time, check, ns};

/// The timer is reset to an earlier time, under the lock, while its driver is dropped.
///
/// The drop wakes the task, for the old deadline or the new one, and the next poll moves the timer
/// to the driver that is current there. If the reset armed the timer in a driver that has been
/// emptied, its task would never be woken.
#[test]
fn driver_drop_against_reset_to_earlier() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let (ending, mut successor) = (time.turner(), time.turner());
        // Loom's threads share what is local to a thread, so it is current on all of them.
        let _entered = successor.handle().enter();
        let task = Task::new();
        let mut sleep = task.sleep(ending.handle(), ns(9));
        let earlier = ending.handle().now() + ns(5);
        let resetter = race.spawn(move || {
            sleep.reset_at(earlier);
            sleep
        });
        race.enter();
        drop(ending);
        let mut sleep = resetter.join().unwrap();

        assert_eq!(task.wakes(), 1);
        assert!(!sleep.is_elapsed() && !task.poll(&mut sleep), "early");
        assert_eq!(successor.handle().armed(), 1);
        time.set(5);
        assert_eq!((successor.turn().fired(), task.wakes()), (1, 2));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// The timer is reset to a time that has passed, while its driver is dropped: either the reset
/// takes its waker out and wakes, or the drop does.
#[test]
fn driver_drop_against_reset_to_the_past() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut ending = time.turner();
        let (task, other) = (Task::new(), Task::new());
        let start = ending.handle().now();
        let mut sleep = task.sleep(ending.handle(), ns(9));
        let _other = other.sleep(ending.handle(), ns(2));
        time.set(3);
        assert_eq!(ending.turn().fired(), 1);
        let resetter = race.spawn(move || {
            sleep.reset_at(start);
            sleep
        });
        race.enter();
        drop(ending);
        let mut sleep = resetter.join().unwrap();

        assert_eq!(task.wakes(), 1);
        assert!(task.poll(&mut sleep), "the deadline has passed");
        drop(sleep);
        assert!(task.is_released());
    });
}

/// Two timers are put off, without the lock, to a time that has passed as well, while a turn that
/// passed both times is cut.
///
/// Either a timer has fired for the old deadline, or its slot is filed anew, is due, and the turn
/// reports that more may be. If it did not, the loop would park with a timer that is due.
#[test]
fn put_off_to_a_deadline_that_has_elapsed_against_a_turn_that_is_cut() {
    for deadlines in [[1, 1, 1, 1, 1], [1, 1, 2, 2, 3], [2, 2, 1, 1, 1]] {
        check(Some(3), move || {
            let race = Race::new();
            let time = Time::new();
            let mut driver = time.driver();
            let (task, others) = (Task::new(), Task::new());
            let until = driver.handle().now() + ns(4);
            let [first, second, rest @ ..] = deadlines;
            let mut sleeps = [first, second].map(|at| task.sleep(driver.handle(), ns(at)));
            let _others = rest.map(|at| others.sleep(driver.handle(), ns(at)));
            time.set(5);
            let resetter = race.spawn(move || {
                sleeps.iter_mut().for_each(|sleep| sleep.reset_at(until));
                sleeps
            });
            race.enter();
            let turn = driver.turn();
            assert!(turn.is_unfinished() || task.wakes() + others.wakes() == 5);
            while task.wakes() + others.wakes() < 5 {
                driver.park();
            }
            let mut sleeps = resetter.join().unwrap();

            assert_eq!((task.wakes(), others.wakes()), (2, 3));
            assert!(!driver.turn().is_unfinished());
            assert_eq!(driver.handle().armed(), 0);
            let passed = sleeps.iter_mut().all(|sleep| task.poll(sleep));
            assert!(passed, "the deadlines");
            drop(sleeps);
            assert!(task.is_released());
        });
    }
}
