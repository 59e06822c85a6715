//! On a clock that may be paused, the wake source is never set for a cancelled timer.
//!
//! What goes wrong when one of these fails: time in a test jumps to a timer that was reset, or
//! stands still for good, because a later timer interrupts no loop that waits for a cancelled one.

use super::parker::Timeouts;
use super::pool::Pool;
use crate::time::{Instant, Sleep};

use super::idle::{Flag, armed, main_of, wait};
use super::support::{Loop, NEVER, Race, Task, check, ns};

/// A timer leaves by `leave` while another thread arms a later one, on its own driver and on the
/// same.
fn leaves(leave: fn(&mut Sleep, Instant), wakes: usize) {
    for thread in [0, 1] {
        check(Some(3), move || {
            let event_loop = Loop::new(2, true);
            let start = event_loop.runtime.handle(0).now();
            let gone = Task::new();
            let mut sleep = gone.sleep(&event_loop.runtime.handle(0), ns(10));
            let race = Race::new();
            let arming = {
                let event_loop = event_loop.clone();
                race.spawn(move || {
                    let task = Task::new();
                    let sleep = task.sleep(&event_loop.runtime.handle(thread), ns(30));
                    (task, sleep)
                })
            };
            race.enter();
            leave(&mut sleep, start);
            let (task, _later) = arming.join().unwrap();
            assert_eq!(gone.wakes(), wakes);
            assert_eq!(event_loop.at(), 30);
            assert!(event_loop.turn());
            assert_eq!((gone.wakes(), task.wakes()), (wakes, 1));
        });
    }
}

#[test]
fn the_source_is_not_left_set_for_a_timer_that_is_reset_to_the_past() {
    leaves(|sleep, start| sleep.reset_at(start), 1);
}

#[test]
fn the_source_is_not_left_set_for_a_timer_that_is_put_off() {
    leaves(|sleep, start| sleep.reset_at(start + ns(50)), 0);
}

#[test]
fn the_source_is_not_left_set_for_a_timer_that_is_put_off_for_ever() {
    leaves(|sleep, start| sleep.reset_at(start + ns(NEVER)), 0);
}

/// The reset is the last step: no other thread sets the source.
#[test]
fn a_source_that_is_being_set_for_a_timer_is_set_anew_when_that_is_reset() {
    check(Some(3), || {
        let event_loop = Loop::new(2, true);
        let start = event_loop.runtime.handle(0).now();
        let task = Task::new();
        let mut sleep = task.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let expiring = {
            let event_loop = event_loop.clone();
            race.spawn(move || event_loop.runtime.expire())
        };
        race.enter();
        sleep.reset_at(start);
        expiring.join().unwrap();
        assert_eq!((task.wakes(), event_loop.at()), (1, NEVER));
    });
}

/// The clock begins to be one that may be paused while a timer is dropped, and a thread scans that
/// knows of neither.
///
/// The change and each announcement are made under the driver's lock: a drop after the announcement
/// sees the change, and one before it is seen by the scan. Were the change not made under the lock,
/// the drop could see an announcement that was made after the change, and not the change.
#[test]
fn a_timer_dropped_while_cancellations_begin_to_count_is_not_waited_for() {
    check(Some(3), || {
        let event_loop = Loop::new(1, false);
        let gone = Task::new();
        let sleep = gone.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let expiring = {
            let event_loop = event_loop.clone();
            race.spawn(move || event_loop.runtime.expire())
        };
        let changing = {
            let event_loop = event_loop.clone();
            race.spawn(move || event_loop.runtime.set_notify_on_cancel(true))
        };
        race.enter();
        drop(sleep);
        changing.join().unwrap();
        expiring.join().unwrap();
        let task = Task::new();
        let _sleep = task.sleep(&event_loop.runtime.handle(0), ns(30));
        if event_loop.at() == 1 {
            // Soon, because a thread had scanned often enough.
            event_loop.runtime.expire();
        }
        assert_eq!(event_loop.at(), 30);
    });
}

/// The clock begins to be one that may be paused while a timer is put off, which takes no lock.
///
/// Either the thread that puts it off sees the change, and tells the loop, or the scan that the
/// change brings sees the new deadline. If it could miss the change although it comes later, time
/// would jump to a deadline that no timer has.
#[test]
fn a_timer_put_off_while_cancellations_begin_to_count_is_not_waited_for() {
    check(Some(3), || {
        let event_loop = Loop::new(1, false);
        let start = event_loop.runtime.handle(0).now();
        let gone = Task::new();
        let mut sleep = gone.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let changing = {
            let event_loop = event_loop.clone();
            race.spawn(move || {
                event_loop.runtime.set_notify_on_cancel(true);
                event_loop.runtime.expire();
            })
        };
        race.enter();
        sleep.reset_at(start + ns(50));
        changing.join().unwrap();
        assert_eq!((gone.wakes(), event_loop.at()), (0, 50));
        let task = Task::new();
        let _sleep = task.sleep(&event_loop.runtime.handle(0), ns(30));
        assert_eq!(event_loop.at(), 30);
    });
}

/// The clock is stopped while the timer is dropped that the loop would wake for, and a later one is
/// armed.
///
/// A drop before that does not tell the loop, one after it does. If the drop did not see the
/// change, and the scan that the change brings came before the drop, the later timer would
/// interrupt nothing, and time would never move on to it.
#[test]
fn a_timer_dropped_while_the_clock_is_stopped_is_not_waited_for() {
    check(Some(2), || {
        let pool = Pool::new(1, Timeouts::Moved, None);
        let gone = armed(&pool, 0, 1 << 41, &Task::new().waker());
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let race = Race::new();
        let external = pool.clone();
        let arming = race.spawn(move || {
            drop(gone);
            armed(&external, 0, 1 << 42, &waker)
        });
        let stopper = pool.clone();
        let stopping = race.spawn(move || stopper.pause());
        race.enter();
        wait(&pool, 0, &flag);
        drop(arming.join().unwrap());
        stopping.join().unwrap();
    });
}
