//! One wake source for the drivers of several threads: which thread sets it, and which tasks it
//! wakes.
//!
//! What goes wrong when one of these fails: a timer inside a tokio runtime never fires, or a test
//! on a paused clock sees time jump to a timer that was dropped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool as StdBool;
use std::sync::atomic::Ordering::SeqCst;

use super::runtime::Runtime;
use loom::sync::atomic::{AtomicU64, Ordering};

use super::support::{Loop, NEVER, Race, Recorder, Task, Time, check, ns, poll};

/// Each thread sets the source for its own timer, and the earlier one must win, whichever thread is
/// last.
#[test]
fn two_threads_that_arm_at_once_are_both_woken_in_time() {
    check(Some(3), || {
        let event_loop = Loop::new(2, false);
        let race = Race::new();
        let threads: Vec<_> = [(0, 50), (1, 20)]
            .map(|(thread, nanos)| {
                let event_loop = event_loop.clone();
                race.spawn(move || {
                    let task = Task::new();
                    let sleep = task.sleep(&event_loop.runtime.handle(thread), ns(nanos));
                    (task, sleep)
                })
            })
            .into();
        race.enter();
        let armed: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(event_loop.at(), 20);
        assert!(event_loop.turn());
        assert_eq!((armed[0].0.wakes(), armed[1].0.wakes()), (0, 1));
        assert!(event_loop.turn());
        assert_eq!(armed[0].0.wakes(), 1);
        assert!(!event_loop.turn());
    });
}

/// A shard is scanned after an expiration, and a timer is armed there at that moment.
#[test]
fn a_timer_armed_while_the_source_expires_is_not_lost() {
    check(Some(3), || {
        let event_loop = Loop::new(2, false);
        let first = Task::new();
        let _first = first.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let arming = {
            let event_loop = event_loop.clone();
            race.spawn(move || {
                let task = Task::new();
                let mut sleep = event_loop.runtime.handle(0).sleep(ns(30));
                let early = task.poll(&mut sleep);
                (task, sleep, early)
            })
        };
        race.enter();
        assert!(event_loop.turn());
        let (second, _sleep, early) = arming.join().unwrap();
        assert!(!early);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        while event_loop.turn() {}
        assert_eq!(second.wakes(), 1);
    });
}

/// A source that is set to a time that has passed may expire while it is being set.
#[test]
fn a_source_that_expires_while_it_is_set_does_not_lock_up() {
    check(Some(2), || {
        let time = Time::new();
        time.set(5);
        let runtime: Arc<std::sync::OnceLock<Runtime>> = Arc::default();
        let inner = runtime.clone();
        let once = StdBool::new(false);
        let set_to = Arc::new(AtomicU64::new(NEVER));
        let set = set_to.clone();
        let made = Runtime::new(time.clock(), 1, false, move |at| {
            set.store(at, Ordering::Release);
            if at != NEVER && !once.swap(true, SeqCst) {
                inner.get().unwrap().expire();
            }
            true
        });
        assert!(runtime.set(made.clone()).is_ok());
        made.expire();
        let race = Race::new();
        let other = {
            let made = made.clone();
            race.spawn(move || {
                let task = Task::new();
                let sleep = task.sleep(&made.handle(0), ns(20));
                (task, sleep)
            })
        };
        let task = Task::new();
        race.enter();
        let _sleep = task.sleep(&made.handle(0), ns(10));
        let (second, _second) = other.join().unwrap();
        if set_to.load(Ordering::Acquire) == 5 {
            // At once, because a thread had scanned often enough.
            made.expire();
        }
        assert_eq!(set_to.load(Ordering::Acquire), 15);
        time.set(100);
        made.expire();
        assert_eq!((task.wakes(), second.wakes()), (1, 1));
    });
}

/// On a clock that moves on to that time by itself, the source must not be set for a cancelled
/// timer.
#[test]
fn a_source_on_a_paused_clock_is_not_left_set_for_a_timer_that_is_dropped() {
    check(Some(3), || {
        let event_loop = Loop::new(2, true);
        let gone = Task::new();
        let sleep = gone.sleep(&event_loop.runtime.handle(0), ns(10));
        let race = Race::new();
        let arming = {
            let event_loop = event_loop.clone();
            race.spawn(move || {
                let task = Task::new();
                let sleep = task.sleep(&event_loop.runtime.handle(1), ns(30));
                (task, sleep)
            })
        };
        race.enter();
        drop(sleep);
        let (task, _sleep) = arming.join().unwrap();
        assert_eq!(event_loop.at(), 30);
        assert!(event_loop.turn());
        assert_eq!((gone.wakes(), task.wakes()), (0, 1));
    });
}

/// The runtime ends while a timer is armed: its task must not be left waiting.
#[test]
fn a_timer_armed_while_the_runtime_ends_is_woken_or_told() {
    check(Some(3), || {
        let time = Time::new();
        let gone = Arc::new(AtomicU64::new(0));
        let asked = gone.clone();
        let runtime = Runtime::new(time.clock(), 1, false, move |_| {
            asked.load(Ordering::Acquire) == 0
        });
        runtime.expire();
        let race = Race::new();
        let arming = {
            let runtime = runtime.clone();
            race.spawn(move || {
                let task = Task::new();
                let mut sleep = runtime.handle(0).sleep(ns(30));
                assert!(!task.poll(&mut sleep));
                (task, sleep)
            })
        };
        race.enter();
        gone.store(1, Ordering::Release);
        runtime.expire();
        let (task, sleep) = arming.join().unwrap();
        runtime.expire();
        runtime.end_if_found_gone();
        assert!(sleep.is_orphaned());
        // Told by the poll itself, which then found no driver to move to, or woken.
        assert!(task.wakes() <= 1 && task.is_released());
    });
}

/// The thread that arms may hold a lock that wakers take. If it is the one that finds the runtime
/// gone, it leaves the rest to another thread.
#[test]
fn a_thread_that_arms_while_the_runtime_ends_wakes_no_task() {
    check(Some(3), || {
        let time = Time::new();
        let gone = Arc::new(AtomicU64::new(0));
        let asked = gone.clone();
        let runtime = Runtime::new(time.clock(), 2, false, move |_| {
            asked.load(Ordering::Acquire) == 0
        });
        runtime.expire();
        let log = Recorder::log();
        let mut first = runtime.handle(1).sleep(ns(30));
        assert!(!poll(&mut first, &Recorder::waker(1, &log)));
        let race = Race::new();
        let arming = {
            let (runtime, waker) = (runtime.clone(), Recorder::waker(2, &log));
            race.spawn(move || {
                let mut sleep = runtime.handle(0).sleep(ns(20));
                assert!(!poll(&mut sleep, &waker));
                sleep
            })
        };
        race.enter();
        gone.store(1, Ordering::Release);
        runtime.expire();
        let sleep = arming.join().unwrap();
        runtime.end_if_found_gone();
        assert!(first.is_orphaned() && sleep.is_orphaned());
        let here = loom::thread::current().id();
        let log = log.lock().unwrap();
        assert!(log.iter().all(|(thread, _)| *thread == here));
        assert_eq!(log.iter().filter(|(_, name)| *name == 1).count(), 1);
    });
}

/// Tokio panics when it is asked for a timer while it shuts down. No task may be left waiting.
#[test]
fn a_source_that_panics_counts_as_gone() {
    check(Some(2), || {
        let time = Time::new();
        let runtime = Runtime::new(time.clock(), 1, false, move |at| {
            assert!(at == NEVER, "gone");
            true
        });
        runtime.expire();
        let race = Race::new();
        let expiring = {
            let runtime = runtime.clone();
            race.spawn(move || runtime.expire())
        };
        let task = Task::new();
        let mut sleep = runtime.handle(0).sleep(ns(30));
        race.enter();
        let early = task.poll(&mut sleep);
        expiring.join().unwrap();
        runtime.end_if_found_gone();
        assert!(!early && sleep.is_orphaned() && task.is_released());
    });
}
