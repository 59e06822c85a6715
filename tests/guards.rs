//! Tests of which driver is current if guards are dropped out of order, late, or never.

#![cfg(all(not(loom), feature = "fallback", feature = "rt"))]

mod support;

use std::any::Any;
use std::cell::RefCell;
use std::mem::forget;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;

use reveille::rt::{self, Runtime};
use reveille::time::sleep;
use reveille::{Driver, DriverThread, Entered, Handle, ThreadPark};

use support::{OnDrop, Task, manual, ms, secs, watched};

/// Returns every order in which `count` guards can be dropped.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let last = count - 1;
    let shorter = orders(last).into_iter();
    shorter
        .flat_map(|order| (0..count).map(move |at| [&order[..at], &[last], &order[at..]].concat()))
        .collect()
}

/// Returns the index of the driver that is current, found by arming a timer.
fn current(drivers: &[Driver<()>]) -> Option<usize> {
    let Ok(handle) = Handle::try_current() else {
        return None;
    };
    let mut timer = handle.sleep(ms(3_600_000));
    assert!(Task::new().poll(&mut timer).is_pending());
    drivers
        .iter()
        .position(|driver| driver.handle().armed() > 0)
}

/// A guard used to restore whatever had been current before it. So dropping guards out of order (a
/// `Vec` of guards, fields of a struct, a swap) made a driver current that was gone.
#[test]
fn after_guards_are_dropped_in_any_order_the_innermost_remaining_driver_is_current() {
    for order in orders(4) {
        let drivers = [(); 4].map(|()| manual().1);
        let enter = |driver: &Driver<()>| Some(driver.handle().enter());
        let mut guards: Vec<Option<Entered>> = drivers.iter().map(enter).collect();
        for &out in &order {
            guards[out] = None;
            let innermost = guards.iter().rposition(Option::is_some);
            assert_eq!(current(&drivers), innermost, "{order:?}");
        }
    }
}

#[test]
fn after_guards_of_runtimes_are_dropped_in_any_order_the_innermost_remaining_is_current() {
    let runtimes = [(); 3].map(|()| Runtime::builder().worker_threads(1).build().unwrap());
    // With a driver in between, because the two kinds of guards are independent.
    let (_, driver) = manual();
    for order in orders(4) {
        let mut guards: Vec<Option<Box<dyn Any>>> = Vec::new();
        for (at, runtime) in runtimes.iter().enumerate() {
            guards.push(Some(Box::new(runtime.enter())));
            if at == 1 {
                guards.push(Some(Box::new(driver.handle().enter())));
            }
        }
        for &out in &order {
            guards[out] = None;
            let alive = |at: &usize| guards[*at].is_some();
            let runtime = [3, 1, 0].into_iter().find(alive).map(|at| at.min(2));
            let timers = [3, 2, 1, 0].into_iter().find(alive);
            assert_eq!(spawned_on(&runtimes), runtime, "{order:?}");
            let drives = timers == Some(2);
            assert_eq!(current(std::slice::from_ref(&driver)).is_some(), drives);
            assert_eq!(Handle::try_current().is_ok(), timers.is_some(), "{order:?}");
        }
    }
}

/// Returns the index of the runtime that a task is spawned on.
fn spawned_on(runtimes: &[Runtime]) -> Option<usize> {
    rt::Handle::try_current().ok()?;
    let task = rt::spawn(async {});
    let tasks = |runtime: &Runtime| !format!("{runtime:?}").contains("tasks: 0");
    let at = runtimes.iter().position(tasks);
    at.inspect(|at| runtimes[*at].block_on(task).unwrap())
}

/// The guard of a driver that is gone has no effect: neither on new timers nor on those that move
/// because their own driver is gone.
#[test]
fn a_driver_that_is_gone_is_skipped_for_the_next_outer_one() {
    let task = Task::new();
    let (outer, inner, home) = (manual().1, manual().1, support::Dial::default().driver());
    let _outer = outer.handle().enter();
    let mut orphan = home.handle().sleep(ms(5));
    assert!(task.poll(&mut orphan).is_pending());
    let _inner = inner.handle().enter();
    drop((inner, home));
    assert!(task.poll(&mut orphan).is_pending());
    let mut made = sleep(ms(5));
    // Its driver had a manual clock, so it does not move, and is orphaned.
    assert!(task.poll(&mut made).is_pending() && made.is_orphaned());
    assert!(!orphan.is_orphaned());
    assert_eq!(outer.handle().armed(), 1);
}

/// The loop of a driver that was entered outside of the runtime waits for the runtime.
#[cfg(feature = "tokio")]
#[test]
fn a_driver_outside_of_the_runtime_does_not_replace_one_that_is_gone() {
    watched(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let [outside, inside] = [(); 2].map(|()| Driver::new(ThreadPark::new()));
        let _outside = outside.handle().enter();
        runtime.block_on(async {
            let _inside = inside.handle().enter();
            let mut timer = sleep(secs(3600));
            drop(inside);
            assert!(Task::new().poll(&mut timer).is_pending());
            assert_eq!(outside.handle().armed(), 0);
            timer.reset_after(ms(5));
            timer.await;
        });
    });
}

#[test]
fn a_leaked_guard_stays_in_effect_until_its_driver_is_gone() {
    watched(|| {
        thread::spawn(|| {
            let drivers = [(); 3].map(|()| manual().1);
            let first = drivers[0].handle().enter();
            forget(drivers[1].handle().enter());
            let last = drivers[2].handle().enter();
            drop(first);
            assert_eq!(current(&drivers), Some(2));
            drop(last);
            assert_eq!(current(&drivers), Some(1));
            // Once the driver is gone, it is as if its guard did not exist.
            drop(drivers);
            let mut timer = sleep(ms(1));
            assert!(timer.is_orphaned());
            let _ = Task::new().poll(&mut timer);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn guards_in_a_thread_local_are_dropped_with_the_thread() {
    thread_local! {
        static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }
    watched(|| {
        // A thread destroys first the thread-local that it has used first.
        for touched_first in [false, true] {
            let owned = Arc::new(());
            let kept_by_driver = owned.clone();
            let driver = Driver::with_unpark(move || drop(kept_by_driver.clone()));
            let handle = driver.handle().clone();
            let ends = thread::spawn(move || {
                if touched_first {
                    KEPT.with_borrow(|kept| assert!(kept.is_empty()));
                }
                let timers = DriverThread::new().unwrap();
                let runtime = Runtime::builder().worker_threads(1).build().unwrap();
                let kept: [Box<dyn Any>; 4] = [
                    Box::new(timers.handle().enter()),
                    Box::new(OnDrop(|| drop(Handle::try_current().map(|it| it.enter())))),
                    Box::new(runtime.enter()),
                    Box::new(handle.enter()),
                ];
                KEPT.with_borrow_mut(|guards| guards.extend(kept));
            });
            ends.join().unwrap();
            drop(driver);
            assert_eq!(Arc::strong_count(&owned), 1, "a handle was leaked");
        }
    });
}

/// After `block_on`, nothing is entered, even if its future panics while it holds guards.
#[test]
fn a_future_that_panics_leaves_nothing_entered() {
    let ends = catch_unwind(|| {
        rt::block_on(async {
            let (_, driver) = manual();
            let _entered = driver.handle().enter();
            assert!(Handle::try_current().is_err(), "inside block_on");
        });
    });
    assert!(ends.is_err());
    assert!(Handle::try_current().is_err());
    assert!(rt::Handle::try_current().is_err());
}
