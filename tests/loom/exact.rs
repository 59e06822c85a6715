//! On a clock that moves to the alarm by itself, the alarm is never for a timer that is gone.
//!
//! What goes wrong when one of these fails: time in a test jumps to a timer that was reset, or stands
//! still for good because a later timer is no news to those who wait for one that is gone.

use super::pool::Pool;
use crate::time::{Instant, Sleep};

use super::idle::{Flag, armed, main_of, wait};
use super::support::{Line, Loop, NEVER, Task, check, ns};

/// A timer leaves by `leave` while another thread arms a later one, on its own driver and on the same.
fn leaves(leave: fn(&mut Sleep, Instant), wakes: usize) {
    for thread in [0, 1] {
        check(Some(3), move || {
            let host = Loop::new(2, true);
            let start = host.host.handle(0).now();
            let gone = Task::new();
            let mut sleep = gone.sleep(&host.host.handle(0), ns(10));
            let line = Line::new();
            let arming = {
                let host = host.clone();
                line.spawn(move || {
                    let task = Task::new();
                    let sleep = task.sleep(&host.host.handle(thread), ns(30));
                    (task, sleep)
                })
            };
            line.cross();
            leave(&mut sleep, start);
            let (task, _later) = arming.join().unwrap();
            assert_eq!(gone.wakes(), wakes);
            assert_eq!(host.at(), 30);
            assert!(host.turn());
            assert_eq!((gone.wakes(), task.wakes()), (wakes, 1));
        });
    }
}

#[test]
fn an_exact_alarm_forgets_a_timer_that_is_reset_to_the_past() {
    leaves(|sleep, start| sleep.reset_at(start), 1);
}

#[test]
fn an_exact_alarm_forgets_a_timer_that_is_put_off() {
    leaves(|sleep, start| sleep.reset_at(start + ns(50)), 0);
}

#[test]
fn an_exact_alarm_forgets_a_timer_that_is_put_off_for_ever() {
    leaves(|sleep, start| sleep.reset_at(start + ns(NEVER)), 0);
}

/// The reset is the last that happens: nobody else sets the alarm.
#[test]
fn an_exact_alarm_that_is_being_set_for_a_timer_forgets_it_when_it_is_reset() {
    check(Some(3), || {
        let host = Loop::new(2, true);
        let start = host.host.handle(0).now();
        let task = Task::new();
        let mut sleep = task.sleep(&host.host.handle(0), ns(10));
        let line = Line::new();
        let ringing = {
            let host = host.clone();
            line.spawn(move || host.host.expire())
        };
        line.cross();
        sleep.reset_at(start);
        ringing.join().unwrap();
        assert_eq!((task.wakes(), host.at()), (1, NEVER));
    });
}

/// An alarm becomes exact while a timer is dropped, and a thread looks that has not heard of either.
///
/// The change and each announcement are made under the driver's lock: a drop after the announcement
/// hears of the change, and one before it is seen by the look. Were the change not made under the lock,
/// the drop could take an announcement that was made after it for one of an alarm that need not be told.
#[test]
fn an_alarm_that_becomes_exact_while_a_timer_is_dropped_forgets_it() {
    check(Some(3), || {
        let host = Loop::new(1, false);
        let gone = Task::new();
        let sleep = gone.sleep(&host.host.handle(0), ns(10));
        let line = Line::new();
        let ringing = {
            let host = host.clone();
            line.spawn(move || host.host.expire())
        };
        let changing = {
            let host = host.clone();
            line.spawn(move || host.host.set_notify_on_cancel(true))
        };
        line.cross();
        drop(sleep);
        changing.join().unwrap();
        ringing.join().unwrap();
        let task = Task::new();
        let _sleep = task.sleep(&host.host.handle(0), ns(30));
        if host.at() == 1 {
            // Soon, because a thread had looked often enough.
            host.host.expire();
        }
        assert_eq!(host.at(), 30);
    });
}

/// The clock is stopped while a timer is dropped for which the loop was to wake, and a later one armed.
///
/// Before that the drop is no news, after it it is. If the drop did not hear of the change, and the look
/// that the change brings came before the drop, the later timer would be taken for no news, and time
/// would never move on to it.
#[test]
fn a_timer_dropped_while_the_clock_is_stopped_is_not_waited_for() {
    check(Some(2), || {
        let pool = Pool::new(1, true, None);
        let gone = armed(&pool, 0, 1 << 41, &Task::new().waker());
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let line = Line::new();
        let stranger = pool.clone();
        let arming = line.spawn(move || {
            drop(gone);
            armed(&stranger, 0, 1 << 42, &waker)
        });
        let stopper = pool.clone();
        let stopping = line.spawn(move || stopper.pause());
        line.cross();
        wait(&pool, 0, &flag);
        drop(arming.join().unwrap());
        stopping.join().unwrap();
    });
}
