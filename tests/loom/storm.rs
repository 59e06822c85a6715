//! In a storm the slack says when the loop wakes, and timers that are armed interrupt nothing.
//!
//! What goes wrong when one of these fails: a timer that is armed in a storm is later than the
//! slack allows, or a slack that is set waits for the end of the old one.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::{Driver, Handle};
use loom::sync::atomic::Ordering;

use super::support::{Loop, Race, Task, Time, check, ns};

/// How far apart wake-ups are kept.
const SLACK: u64 = 100;

/// When the last timer of a storm has fired.
const LAST: u64 = 20;

/// Timers that are due every few nanoseconds, up to LAST.
fn storm(handle: &Handle, time: &Time, mut turn: impl FnMut()) {
    let task = Task::new();
    for _ in 0..4 {
        let sleep = task.sleep(handle, ns(LAST / 4));
        time.set(time.get() + LAST / 4);
        turn();
        drop(sleep);
    }
    assert_eq!((task.wakes(), time.get()), (4, LAST));
}

fn event_loop(slack: u64) -> Loop {
    let event_loop = Loop::calling(2, false, ns(slack), || {});
    storm(&event_loop.runtime.handle(0), &event_loop.time, || {
        event_loop.runtime.expire()
    });
    event_loop
}

/// Two threads arm, one of them later than the slack: then its deadline is when to wake, and the
/// other one has to tell.
#[test]
fn a_timer_armed_in_a_storm_is_late_by_the_slack_at_most() {
    for other in [40, SLACK * 2] {
        check(Some(3), move || {
            let event_loop = event_loop(SLACK);
            let (late, early) = (Task::new(), Task::new());
            let race = Race::new();
            let arming = {
                let event_loop = event_loop.clone();
                let waker = late.waker();
                race.spawn(move || {
                    let mut sleep = event_loop.runtime.handle(1).sleep(ns(other));
                    assert!(!crate::models::support::poll(&mut sleep, &waker));
                    sleep
                })
            };
            race.enter();
            let _early = early.sleep(&event_loop.runtime.handle(0), ns(10));
            let _late = arming.join().unwrap();
            assert_eq!(event_loop.at(), LAST + SLACK);
            while event_loop.turn() {}
            assert_eq!((early.wakes(), late.wakes()), (1, 1));
        });
    }
}

/// The source expires in a storm, and a timer is armed while the loop scans for what comes next.
#[test]
fn a_timer_armed_while_the_bell_rings_in_a_storm_is_not_lost() {
    check(Some(3), || {
        let event_loop = event_loop(SLACK);
        let (first, second) = (Task::new(), Task::new());
        let _first = first.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let arming = {
            let event_loop = event_loop.clone();
            let waker = second.waker();
            race.spawn(move || {
                let mut sleep = event_loop.runtime.handle(1).sleep(ns(30));
                if crate::models::support::poll(&mut sleep, &waker) {
                    waker.wake();
                }
                sleep
            })
        };
        race.enter();
        assert!(event_loop.turn());
        let _second = arming.join().unwrap();
        assert_eq!(first.wakes(), 1);
        while event_loop.turn() {}
        assert_eq!(second.wakes(), 1);
    });
}

/// A loop waits by the old slack, or is about to, and a timer is armed that interrupts nothing.
#[test]
fn a_slack_set_in_a_storm_while_a_timer_is_armed_counts_at_once() {
    check(Some(3), || {
        let event_loop = event_loop(SLACK);
        let task = Task::new();
        let _late = task.sleep(&event_loop.runtime.handle(0), ns(40));
        let race = Race::new();
        let setting = {
            let event_loop = event_loop.clone();
            race.spawn(move || event_loop.runtime.handle(0).set_slack(Duration::ZERO))
        };
        race.enter();
        let _early = task.sleep(&event_loop.runtime.handle(1), ns(10));
        setting.join().unwrap();
        assert_eq!(event_loop.at(), LAST + 10);
    });
}

/// The same with a loop of its own: it is told to wait for no longer, or interrupted.
#[test]
fn a_slack_set_while_a_loop_in_a_storm_makes_up_its_mind_interrupts_it() {
    check(None, || {
        let time = Time::new();
        let unparks = Arc::new(AtomicUsize::new(0));
        let count = unparks.clone();
        let mut driver = Driver::builder()
            .clock(time.clock())
            .slack(ns(SLACK))
            .build_with_unpark(move || {
                count.fetch_add(1, Ordering::Relaxed);
            });
        let handle = driver.handle().clone();
        storm(&handle, &time, || assert_eq!(driver.turn().fired(), 1));
        let task = Task::new();
        let _sleep = task.sleep(&handle, ns(10));
        let before = unparks.load(Ordering::Relaxed);
        let race = Race::new();
        let setter = race.spawn(move || handle.set_slack(Duration::ZERO));
        race.enter();
        let timeout = driver.next_timeout();
        setter.join().unwrap();
        assert!(timeout == Some(ns(SLACK)) || timeout == Some(ns(10)));
        assert_eq!(unparks.load(Ordering::Relaxed), before + 1);
        assert_eq!(driver.next_timeout(), Some(ns(10)));
    });
}
