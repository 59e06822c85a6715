//! What becomes of timers when a turn ends before all that is due has fired?
//!
//! Under loom a turn fires four timers at most, in two batches. The indices of
//! timers that have fired are given out at once, while their owners may not have heard of it.

use super::parker::Timeouts;
use super::pool::Pool;

use super::idle::{Flag, armed, main_of, wait};
use super::support::{Race, Task, Time, check, ns, poll};

/// Timers that have fired in a turn that was cut are dropped, while others take their places.
///
/// If an index were given out while its owner could not tell that it had fired, the drop would
/// disarm the next timer that has it, and that one's task would sleep for ever.
#[test]
fn drop_of_fired_timers_after_a_turn_that_was_cut() {
    for deadlines in [
        [1, 2, 3, 4, 5],
        [1, 1, 1, 1, 1],
        [1, 2, 2, 2, 2],
        [1, 1, 1, 2, 2],
    ] {
        check(Some(3), move || {
            let race = Race::new();
            let time = Time::new();
            let mut driver = time.turner();
            let (task, next) = (Task::new(), Task::new());
            let sleeps = deadlines.map(|nanos| task.sleep(driver.handle(), ns(nanos)));
            let until = driver.handle().now() + ns(10);
            time.set(5);
            let dropper = race.spawn(move || drop(sleeps));
            race.enter();
            let turn = driver.turn();
            let mut new = [(); 4].map(|()| driver.handle().sleep_until(until));
            for sleep in &mut new {
                assert!(!next.poll(sleep));
            }
            let rest = driver.turn();
            dropper.join().unwrap();

            assert_eq!(task.wakes(), turn.fired() + rest.fired());
            assert!(task.is_released());
            assert_eq!((next.wakes(), driver.handle().armed()), (0, 4));
            time.set(10);
            assert_eq!((driver.turn().fired(), next.wakes()), (4, 4));
        });
    }
}

/// A loop is cut, and a timer is armed just then: neither that nor what was left is overslept.
#[test]
fn arm_against_a_turn_that_is_cut() {
    check(Some(3), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.driver();
        let (task, other) = (Task::new(), Task::new());
        let _sleeps = [1, 1, 2, 2, 3].map(|nanos| task.sleep(driver.handle(), ns(nanos)));
        let (handle, waker) = (driver.handle().clone(), other.waker());
        time.set(5);
        let armer = race.spawn(move || {
            let mut sleep = handle.sleep(ns(10));
            assert!(!poll(&mut sleep, &waker));
            sleep
        });
        race.enter();
        let turn = driver.turn();
        assert!(turn.fired() == 4 && turn.is_unfinished());
        while task.wakes() < 5 || other.wakes() == 0 {
            driver.park();
        }
        drop(armer.join().unwrap());
        assert!(task.wakes() == 5 && other.wakes() == 1);
    });
}

/// A busy worker fires some of what is due and goes on with its task; a worker that sleeps fires
/// the rest.
#[test]
fn what_a_worker_leaves_when_it_is_cut_is_fired_by_one_that_sleeps() {
    for timeouts in [Timeouts::Fixed, Timeouts::Moved] {
        check(Some(2), move || {
            let pool = Pool::new(2, timeouts, None);
            let flag = Flag::new();
            let waker = main_of(&pool, 1, &flag);
            let others = Task::new();
            let _others = [(); 2].map(|()| others.sleep(&pool.timers(0), ns(5)));
            let _last = armed(&pool, 0, 6, &waker);
            pool.set_time(10);
            let race = Race::new();
            let sleeper = pool.clone();
            let sleeping = race.spawn(move || wait(&sleeper, 1, &flag));
            race.enter();
            pool.poll_timers(2);
            sleeping.join().unwrap();
            assert_eq!(others.wakes(), 2);
        });
    }
}
