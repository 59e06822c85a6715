//! Tests of wakers that panic, or that call back into the driver.
//!
//! A waker may make, move and drop timers, drivers and other wakers. Every test that could deadlock
//! runs under a watchdog.

#![cfg(all(not(loom), feature = "fallback"))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use reveille::time::{Instant, Interval, Sleep};
use reveille::{Driver, DriverThread, Handle, ManualClock};

use support::{
    Count, Dial, Log, OnDrop, Task, manual, ms, owning, poll_with, secs, waker, watched,
};

fn panicking() -> Waker {
    waker(|| panic!("a waker's own panic"))
}

#[test]
fn waker_that_panics_does_not_keep_others_from_being_woken() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let task = Task::new();
    let mut sleeps: Vec<_> = (0..200).map(|_| driver.handle().sleep(ms(5))).collect();
    for (i, sleep) in sleeps.iter_mut().enumerate() {
        let waker = if i % 2 == 0 {
            panicking()
        } else {
            task.waker().clone()
        };
        assert!(poll_with(sleep, &waker).is_pending());
    }
    dial.set(ms(5));
    let turn = driver.turn();
    assert_eq!((turn.fired(), turn.is_unfinished()), (200, false));
    assert_eq!((task.wakes(), task.held()), (100, 0));
    assert!(sleeps.iter().all(Sleep::is_elapsed));

    // The driver still works: no lock is poisoned, no count is wrong.
    assert_eq!(driver.handle().armed(), 0);
    let mut after = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut after).is_pending());
    dial.set(ms(10));
    assert_eq!((driver.turn().fired(), task.wakes()), (1, 101));
}

#[test]
fn waker_that_panics_stops_neither_advance_nor_the_drivers_drop() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut armed = Vec::new();
    for limit in [1, 2, 60, 61] {
        let mut bad = driver.handle().sleep(ms(limit));
        assert!(poll_with(&mut bad, &panicking()).is_pending());
        let mut good = driver.handle().sleep(ms(limit));
        assert!(task.poll(&mut good).is_pending());
        armed.extend([bad, good]);
    }
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 2);
    drop(driver);
    assert_eq!((task.wakes(), task.held()), (4, 0));
}

#[test]
fn payload_that_panics_when_dropped_ends_with_its_waker() {
    let (clock, driver) = manual();
    let task = Task::new();
    let bad = waker(|| {
        std::panic::panic_any(OnDrop(|| panic!("the payload's own panic")));
    });
    let mut first = driver.handle().sleep(ms(5));
    let mut second = driver.handle().sleep(ms(5));
    assert!(poll_with(&mut first, &bad).is_pending());
    assert!(task.poll(&mut second).is_pending());
    clock.advance(ms(5));
    assert_eq!(task.wakes(), 1);
}

#[test]
fn waker_that_panics_does_not_end_the_driver_thread() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let mut sleep = timers.handle().sleep(secs(3600));
        assert!(poll_with(&mut sleep, &panicking()).is_pending());
        sleep.reset_after(ms(5));
        pollster::block_on(timers.handle().sleep_until(sleep.deadline() + ms(1)));
        assert!(sleep.is_elapsed());
        pollster::block_on(timers.handle().sleep(ms(1)));
    });
}

/// If `reset` wakes a waker that panics, the panic is passed on to the caller. The timer is out of
/// the driver by then, and another timer may have its index, which the drop must not remove.
#[test]
fn waker_that_panics_in_reset_removes_no_other_timer() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let handle = driver.handle().clone();
    let task = Task::new();
    let mut victim = handle.sleep(secs(1));
    assert!(poll_with(&mut victim, &panicking()).is_pending());
    let moved = Arc::new(Mutex::new(Some(victim)));

    // While a turn fires many timers with the same deadline, it has not passed that deadline yet.
    let mut storm: Vec<_> = (0..100).map(|_| handle.sleep(ms(5))).collect();
    let other = Arc::new(Mutex::new(None));
    for (i, sleep) in storm.iter_mut().enumerate() {
        let (handle, moved, other, task) =
            (handle.clone(), moved.clone(), other.clone(), task.clone());
        let waker = waker(move || {
            if i != 0 {
                return;
            }
            let now = handle.now();
            let mut victim = moved.lock().unwrap().take().unwrap();
            let reset = catch_unwind(AssertUnwindSafe(|| victim.reset_at(now)));
            assert!(reset.is_err(), "its waker panics");
            let mut next = handle.sleep(ms(5));
            assert!(task.poll(&mut next).is_pending());
            *other.lock().unwrap() = Some(next);
            drop(victim);
        });
        assert!(poll_with(sleep, &waker).is_pending());
    }
    dial.set(ms(5));
    assert_eq!(driver.turn().fired(), 100);
    assert_eq!((handle.armed(), task.held()), (1, 1));
    dial.set(ms(10));
    assert_eq!((driver.turn().fired(), task.wakes()), (1, 1));
}

/// The poll that found the timer due removed it, and its drop did so again: it took the entry of
/// another timer, which never fired.
#[test]
fn a_waker_that_panics_when_a_poll_drops_it_removes_no_other_timer() {
    let dial = Dial::default();
    let driver = dial.driver();
    let (handle, task) = (driver.handle().clone(), Task::new());
    let mut sleep = handle.sleep(ms(5));
    let waker = owning(OnDrop(|| panic!("a waker's own panic")));
    assert!(poll_with(&mut sleep, &waker).is_pending());
    drop(waker);
    // No turn has fired it.
    dial.set(ms(5));
    let polled = catch_unwind(AssertUnwindSafe(|| task.poll(&mut sleep)));
    assert_eq!(handle.armed(), 0);
    let mut other = handle.sleep(ms(10));
    assert!(task.poll(&mut other).is_pending());
    drop(sleep);
    assert_eq!((handle.armed(), task.held()), (1, 1));
    drop((polled, driver));
}

/// The tick after the reset said that it was scheduled for the time before the reset.
#[test]
fn waker_that_panics_in_the_reset_of_an_interval_leaves_it_reset() {
    type Reset = fn(&mut Interval, Instant);
    let resets: [Reset; 3] = [
        |interval, _| interval.reset_immediately(),
        |interval, _| interval.reset_after(Duration::ZERO),
        Interval::reset_at,
    ];
    for reset in resets {
        let dial = Dial::default();
        let mut driver = dial.driver();
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut interval = handle.interval_at(handle.now() + secs(1), secs(1));
        let waker = panicking();
        let mut cx = Context::from_waker(&waker);
        assert!(interval.poll_tick(&mut cx).is_pending());
        let mut sleep = handle.sleep(ms(5));
        assert!(task.poll(&mut sleep).is_pending());
        dial.set(ms(5));
        assert_eq!(driver.turn().fired(), 1);
        let now = handle.now();
        let result = catch_unwind(AssertUnwindSafe(|| reset(&mut interval, now)));
        assert!(result.is_err(), "its waker panics");
        assert_eq!(interval.poll_tick(&mut task.context()), Poll::Ready(now));
    }
}

#[test]
fn waker_that_arms_moves_and_drops_other_timers_in_its_wake() {
    watched(|| {
        let (clock, driver) = manual();
        let handle = driver.handle().clone();
        let (late, gone, fresh) = (Task::new(), Task::new(), Task::new());
        let mut later = handle.sleep(ms(20));
        let mut doomed: Vec<_> = (0..100).map(|_| handle.sleep(ms(5))).collect();
        let kept = Arc::new(Mutex::new(Vec::new()));

        let mut first = handle.sleep(ms(5));
        let others = Mutex::new(None);
        let others = Arc::new(others);
        let (inside, keep, task) = (others.clone(), kept.clone(), fresh.clone());
        let waker = waker(move || {
            let (mut later, doomed): (Sleep, Vec<Sleep>) = inside.lock().unwrap().take().unwrap();
            drop(doomed);
            later.reset_at(handle.now() + ms(1));
            let mut more = handle.sleep(ms(2));
            assert!(task.poll(&mut more).is_pending());
            keep.lock().unwrap().extend([later, more]);
        });
        assert!(poll_with(&mut first, &waker).is_pending());
        assert!(late.poll(&mut later).is_pending());
        for sleep in &mut doomed {
            assert!(gone.poll(sleep).is_pending());
        }
        *others.lock().unwrap() = Some((later, doomed));

        clock.advance(ms(6));
        assert_eq!((late.wakes(), fresh.wakes()), (1, 0));
        assert_eq!(gone.held(), 0);
        // The timers of the same batch had been taken out of the driver before.
        assert!(gone.wakes() < 64, "{}", gone.wakes());
        clock.advance(ms(1));
        assert_eq!((late.wakes(), fresh.wakes()), (1, 1));
        assert_eq!(driver.handle().armed(), 0);
    });
}

#[test]
fn waker_whose_drop_drops_the_next_timer_and_so_on() {
    watched(|| {
        let (_, driver) = manual();
        let dropped = Count::default();
        // Each timer's waker owns the timer before it.
        let mut chain: Option<Sleep> = None;
        for _ in 0..100 {
            let (previous, dropped) = (Mutex::new(chain.take()), dropped.clone());
            let owner = OnDrop(move || {
                drop(previous.lock().unwrap().take());
                dropped.add();
            });
            let mut sleep = driver.handle().sleep(ms(5));
            let waker = owning(owner);
            assert!(poll_with(&mut sleep, &waker).is_pending());
            chain = Some(sleep);
        }
        assert_eq!(driver.handle().armed(), 100);
        drop(chain);
        assert_eq!((driver.handle().armed(), dropped.get()), (0, 100));
    });
}

#[test]
fn replaced_waker_may_use_the_driver_when_dropped() {
    watched(|| {
        let (clock, driver) = manual();
        let handle = driver.handle().clone();
        let again = handle.clone();
        let owner = OnDrop(move || {
            let mut sleep = again.sleep(ms(1));
            assert!(poll_with(&mut sleep, Waker::noop()).is_pending());
        });
        let mut sleep = handle.sleep(ms(5));
        assert!(poll_with(&mut sleep, &owning(owner)).is_pending());
        let task = Task::new();
        assert!(task.poll(&mut sleep).is_pending());
        assert_eq!(handle.armed(), 1);
        clock.advance(ms(5));
        assert_eq!(task.wakes(), 1);
    });
}

#[test]
fn waker_may_call_every_method_of_the_driver() {
    watched(|| {
        let (clock, driver) = manual();
        let handle = driver.handle().clone();
        let told = Log::new();
        let (log, manual_clock, asked) = (told.clone(), clock.clone(), handle.clone());
        let waker = waker(move || {
            let _entered = asked.enter();
            assert!(!asked.is_closed() && Handle::try_current().is_ok());
            assert_eq!(Instant::now(), manual_clock.now());
            assert!(format!("{asked:?}{manual_clock:?}").contains("armed: 0"));
            let hold = manual_clock.hold();
            // Time may also move within a wake. The timers that come due by that fire first.
            manual_clock.advance(ms(1));
            drop(hold);
            log.push((asked.armed(), asked.now()));
        });
        let mut sleep = handle.sleep(ms(5));
        assert!(poll_with(&mut sleep, &waker).is_pending());
        let start = clock.now();
        clock.advance(ms(10));
        assert_eq!(told.take(), [(0, start + ms(6))]);
        assert_eq!(clock.now(), start + ms(10));
    });
}

#[test]
fn waker_that_drops_the_last_handles_of_a_driver_that_is_gone() {
    watched(|| {
        let (_, driver) = manual();
        let handle = Mutex::new(Some(driver.handle().clone()));
        let mut sleep = driver.handle().sleep(ms(5));
        let woken = Count::default();
        let count = woken.clone();
        let waker = waker(move || {
            assert!(handle.lock().unwrap().take().unwrap().is_closed());
            count.add();
        });
        assert!(poll_with(&mut sleep, &waker).is_pending());
        drop(driver);
        assert_eq!(woken.get(), 1);
    });
}

#[test]
fn waker_that_owns_the_driver_thread_may_drop_it() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let handle = timers.handle().clone();
        let mut sleep = handle.sleep(secs(3600));
        let owner = Mutex::new(Some(timers));
        let caller = thread::current();
        let waker = waker(move || {
            drop::<Option<DriverThread>>(owner.lock().unwrap().take());
            caller.unpark();
        });
        assert!(poll_with(&mut sleep, &waker).is_pending());
        sleep.reset_after(ms(5));
        while !handle.is_closed() {
            thread::park_timeout(ms(1));
        }
        assert!(sleep.is_orphaned());
        pollster::block_on(sleep);
    });
}

#[test]
fn unpark_may_use_the_driver_too() {
    watched(|| {
        let handle = Arc::new(Mutex::new(None::<Handle>));
        let inside = handle.clone();
        let unparks = Count::default();
        let count = unparks.clone();
        let driver = Driver::with_unpark(move || {
            count.add();
            let handle = inside.lock().unwrap().clone().unwrap();
            let mut sleep = handle.sleep(Duration::from_secs(1));
            assert!(poll_with(&mut sleep, Waker::noop()).is_pending());
        });
        *handle.lock().unwrap() = Some(driver.handle().clone());
        assert_eq!(driver.next_timeout(), None);
        let mut sleep = driver.handle().sleep(secs(5));
        assert!(poll_with(&mut sleep, Waker::noop()).is_pending());
        assert_eq!((unparks.get(), driver.handle().armed()), (1, 1));
    });
}

/// The end of a hold unparks all drivers on its clock. The second was not told of it, and nothing
/// moved time for its timers.
#[test]
fn an_unpark_that_panics_at_the_end_of_a_hold_keeps_no_other_driver_from_being_told() {
    let clock = ManualClock::new();
    let build = |unpark: Box<dyn Fn() + Send + Sync>| {
        Driver::builder().clock(&clock).build_with_unpark(unpark)
    };
    let unparks = Count::default();
    let counted = unparks.clone();
    let _bad = build(Box::new(|| panic!("the first")));
    let _good = build(Box::new(move || counted.add()));
    let _worse = build(Box::new(|| {
        std::panic::panic_any(OnDrop(|| panic!("the payload's own panic")));
    }));
    let hold = clock.hold();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(hold))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the first"));
    assert_eq!(unparks.get(), 1);
    // While a panic unwinds, a second one would end the process.
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _hold = clock.hold();
        panic!("of the holder");
    }));
    let panic = panic.unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"of the holder"));
    assert_eq!(unparks.get(), 2);
}

/// Its loop may have ended together with it, and the channel to it may be closed.
#[test]
fn the_end_of_a_hold_does_not_unpark_a_driver_that_is_gone() {
    let clock = ManualClock::new();
    let unparks = Count::default();
    let counted = unparks.clone();
    let gone = Driver::builder()
        .clock(&clock)
        .build_with_unpark(move || counted.add());
    let _handle = gone.handle().clone();
    drop(clock.hold());
    assert_eq!(unparks.get(), 1);
    drop(gone);
    drop(clock.hold());
    assert_eq!(unparks.get(), 1);
}
