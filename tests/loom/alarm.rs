//! One alarm for the drivers of several threads: who sets it, who is woken by it?
//!
//! What goes wrong when one of these fails: a timer inside a tokio runtime never fires, or a test
//! on a paused clock sees time jump to a timer that was dropped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool as StdBool;
use std::sync::atomic::Ordering::SeqCst;

use super::runtime::Runtime;
use loom::sync::atomic::{AtomicU64, Ordering};

use super::support::{Line, Loop, NEVER, Task, Time, check, ns};

/// Both take the alarm for theirs, and the earlier must win whoever sets it last.
#[test]
fn two_threads_that_arm_at_once_are_both_woken_in_time() {
    check(Some(3), || {
        let host = Loop::new(2, false);
        let line = Line::new();
        let threads: Vec<_> = [(0, 50), (1, 20)]
            .map(|(thread, nanos)| {
                let host = host.clone();
                line.spawn(move || {
                    let task = Task::new();
                    let sleep = task.sleep(&host.host.handle(thread), ns(nanos));
                    (task, sleep)
                })
            })
            .into();
        line.cross();
        let armed: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(host.at(), 20);
        assert!(host.turn());
        assert_eq!((armed[0].0.wakes(), armed[1].0.wakes()), (0, 1));
        assert!(host.turn());
        assert_eq!(armed[0].0.wakes(), 1);
        assert!(!host.turn());
    });
}

/// The ring looks at a shard, and a timer is armed there just then.
#[test]
fn a_timer_armed_while_the_bell_rings_is_not_lost() {
    check(Some(3), || {
        let host = Loop::new(2, false);
        let first = Task::new();
        let _first = first.sleep(&host.host.handle(0), ns(10));
        let line = Line::new();
        let arming = {
            let host = host.clone();
            line.spawn(move || {
                let task = Task::new();
                let mut sleep = host.host.handle(0).sleep(ns(30));
                let early = task.poll(&mut sleep);
                (task, sleep, early)
            })
        };
        line.cross();
        assert!(host.turn());
        let (second, _sleep, early) = arming.join().unwrap();
        assert!(!early);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        while host.turn() {}
        assert_eq!(second.wakes(), 1);
    });
}

/// A bell that is past may ring from inside its own setting.
#[test]
fn a_bell_that_rings_while_it_is_set_does_not_lock_up() {
    check(Some(2), || {
        let time = Time::new();
        time.set(5);
        let host: Arc<std::sync::OnceLock<Runtime>> = Arc::default();
        let inner = host.clone();
        let once = StdBool::new(false);
        let rung = Arc::new(AtomicU64::new(NEVER));
        let set = rung.clone();
        let made = Runtime::new(time.clock(), 1, false, move |at| {
            set.store(at, Ordering::Release);
            if at != NEVER && !once.swap(true, SeqCst) {
                inner.get().unwrap().expire();
            }
            true
        });
        assert!(host.set(made.clone()).is_ok());
        made.expire();
        let line = Line::new();
        let other = {
            let made = made.clone();
            line.spawn(move || {
                let task = Task::new();
                let sleep = task.sleep(&made.handle(0), ns(20));
                (task, sleep)
            })
        };
        let task = Task::new();
        line.cross();
        let _sleep = task.sleep(&made.handle(0), ns(10));
        let (second, _second) = other.join().unwrap();
        if rung.load(Ordering::Acquire) == 5 {
            // At once, because a thread had looked often enough.
            made.expire();
        }
        assert_eq!(rung.load(Ordering::Acquire), 15);
        time.set(100);
        made.expire();
        assert_eq!((task.wakes(), second.wakes()), (1, 1));
    });
}

/// On a clock that moves by itself to the alarm, the alarm must not be for a timer that is gone.
#[test]
fn an_exact_alarm_forgets_a_timer_that_is_dropped() {
    check(Some(3), || {
        let host = Loop::new(2, true);
        let gone = Task::new();
        let sleep = gone.sleep(&host.host.handle(0), ns(10));
        let line = Line::new();
        let arming = {
            let host = host.clone();
            line.spawn(move || {
                let task = Task::new();
                let sleep = task.sleep(&host.host.handle(1), ns(30));
                (task, sleep)
            })
        };
        line.cross();
        drop(sleep);
        let (task, _sleep) = arming.join().unwrap();
        assert_eq!(host.at(), 30);
        assert!(host.turn());
        assert_eq!((gone.wakes(), task.wakes()), (0, 1));
    });
}

/// The host goes while a timer is armed: its task must not be left waiting.
#[test]
fn a_timer_armed_while_the_host_goes_is_woken_or_told() {
    check(Some(3), || {
        let time = Time::new();
        let gone = Arc::new(AtomicU64::new(0));
        let asked = gone.clone();
        let host = Runtime::new(time.clock(), 1, false, move |_| {
            asked.load(Ordering::Acquire) == 0
        });
        host.expire();
        let line = Line::new();
        let arming = {
            let host = host.clone();
            line.spawn(move || {
                let task = Task::new();
                let mut sleep = host.handle(0).sleep(ns(30));
                assert!(!task.poll(&mut sleep));
                (task, sleep)
            })
        };
        line.cross();
        gone.store(1, Ordering::Release);
        host.expire();
        let (task, sleep) = arming.join().unwrap();
        host.expire();
        assert!(sleep.is_orphaned());
        // Told by the poll itself, which then found nobody to move to, or woken.
        assert!(task.wakes() <= 1 && task.is_released());
    });
}

/// Tokio panics when it is asked for a timer while it shuts down. Nobody may be left waiting.
#[test]
fn a_bell_that_panics_is_a_host_that_is_gone() {
    check(Some(2), || {
        let time = Time::new();
        let host = Runtime::new(time.clock(), 1, false, move |at| {
            assert!(at == NEVER, "gone");
            true
        });
        host.expire();
        let line = Line::new();
        let ringing = {
            let host = host.clone();
            line.spawn(move || host.expire())
        };
        let task = Task::new();
        let mut sleep = host.handle(0).sleep(ns(30));
        line.cross();
        let early = task.poll(&mut sleep);
        ringing.join().unwrap();
        assert!(!early && sleep.is_orphaned() && task.is_released());
    });
}
