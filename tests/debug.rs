//! Tests of what `Debug` shows of drivers and timers, and that it changes nothing of them.

#![cfg(not(loom))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reveille::time::{Duration, sleep};
use reveille::{Driver, DriverThread, Handle, ManualClock, ThreadPark};

use support::{Task, manual, ms, secs};

#[track_caller]
fn shows(what: &impl std::fmt::Debug, parts: &[&str]) {
    let text = format!("{what:?}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_handle_shows_when_the_next_timer_is_due() {
    let (clock, mut driver) = manual();
    let handle = driver.handle().clone();
    shows(&handle, &["kind: own driver,", "armed: 0,", "next: none,"]);
    let task = Task::new();
    let mut timers = [handle.sleep(secs(60)), handle.sleep(Duration::MAX)];
    // A timer that never fires is none to wait for.
    assert!(task.poll(&mut timers[1]).is_pending());
    shows(&handle, &["armed: 1,", "next: none,"]);
    assert!(task.poll(&mut timers[0]).is_pending());
    shows(&handle, &["armed: 2,", "next: in 60.0s,"]);
    clock.advance(secs(58));
    shows(&handle, &["next: in 2.0s,", "last_turn: never,"]);
    driver.turn();
    shows(&handle, &["armed: 2,", "last_turn: 0.0ns ago,"]);
    drop(driver);
    shows(&handle, &["armed: 0,", "next: none,", "closed: true"]);
}

/// The loop does not turn: this is what its owner has to see.
#[test]
fn a_handle_shows_how_long_a_timer_is_overdue() {
    let frames = Arc::new(AtomicUsize::new(0));
    let counter = frames.clone();
    let clock = reveille::Clock::custom(move || secs(counter.load(Ordering::Relaxed) as u64));
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let task = Task::new();
    let mut sleep = driver.handle().sleep(secs(2));
    assert!(task.poll(&mut sleep).is_pending());
    frames.store(9, Ordering::Relaxed);
    shows(
        driver.handle(),
        &["next: overdue by 7.0s,", "last_turn: never,"],
    );
    shows(&sleep, &["due: since 7.0s,", "phase: Armed,"]);
    assert_eq!(driver.turn().fired(), 1);
    shows(driver.handle(), &["next: none,", "last_turn: 0.0ns ago,"]);
    shows(&sleep, &["phase: Fired,"]);
}

/// A loop that blocks has announced until when, and a loop that runs has not.
#[test]
fn showing_a_handle_neither_announces_a_wait_nor_takes_one_back() {
    let unparks = Arc::new(AtomicUsize::new(0));
    let counter = unparks.clone();
    let driver = Driver::builder()
        .clock(ManualClock::new())
        .build_with_unpark(move || _ = counter.fetch_add(1, Ordering::Relaxed));
    let handle = driver.handle();
    let (task, show) = (Task::new(), || drop(format!("{handle:?} {driver:?}")));
    show();
    let mut late = handle.sleep(secs(9));
    assert!(task.poll(&mut late).is_pending());
    drop(format!("{late:?}"));
    assert_eq!(unparks.load(Ordering::Relaxed), 0, "a loop that runs");
    assert_eq!(driver.next_timeout(), None);
    show();
    let mut early = handle.sleep(secs(1));
    assert_eq!(handle.armed(), 1);
    drop(format!("{early:?}"));
    assert_eq!(handle.armed(), 1, "showing a timer arms it");
    assert!(task.poll(&mut early).is_pending());
    assert_eq!(unparks.load(Ordering::Relaxed), 1, "a loop that blocks");
    assert_eq!(task.wakes(), 0);
}

#[test]
fn a_timer_shows_its_phase() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut timer = driver.handle().sleep(secs(5));
    shows(&timer, &["due: in 5.0s,", "phase: Unarmed,"]);
    assert!(task.poll(&mut timer).is_pending());
    shows(&timer, &["phase: Armed,"]);
    clock.advance(secs(5));
    shows(&timer, &["due: since 0.0ns,", "phase: Fired,"]);
    assert!(task.poll(&mut timer).is_ready());
    shows(&timer, &["phase: Ended,"]);
    // The trap: a reset arms no timer that has fired.
    timer.reset_at(clock.now() + secs(1));
    shows(&timer, &["due: in 1.0s,", "phase: Unarmed,"]);
    assert!(task.poll(&mut timer).is_pending());
    timer.reset_at(clock.now() + secs(3));
    shows(&timer, &["due: in 3.0s,", "phase: Armed,"]);
    timer.reset_at(clock.now());
    shows(&timer, &["phase: Fired,"]);
    assert_eq!(task.wakes(), 2);
    timer.reset_after(Duration::MAX);
    assert!(task.poll(&mut timer).is_pending());
    shows(&timer, &["due: never,", "phase: Armed,"]);
    drop(driver);
    shows(&timer, &["phase: Orphaned,", "orphaned: true"]);
}

#[cfg(feature = "fallback")]
#[test]
fn threads_that_only_fire_timers_are_told_apart() {
    let mut timer = sleep(secs(60));
    shows(&timer, &["phase: Unbound,"]);
    shows(&Handle::current(), &["kind: process-wide thread,"]);
    assert!(Task::new().poll(&mut timer).is_pending());
    shows(&timer, &["phase: Armed,"]);
    let thread = DriverThread::new().unwrap();
    shows(thread.handle(), &["kind: driver thread,", "armed: 0,"]);
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    shows(&Handle::current(), &["kind: own driver,"]);
}

/// A task may be on another worker when it asks than when it armed its timer.
#[cfg(feature = "rt")]
#[test]
fn a_runtime_shows_the_timers_of_all_its_workers() {
    use std::sync::Barrier;

    use futures::future::join_all;
    use reveille::rt::{self, Runtime};

    support::watched(|| {
        let clock = ManualClock::new();
        let builder = Runtime::builder().worker_threads(2).clock(&clock);
        let runtime = builder.build().unwrap();
        // Both workers are busy until each has a task, so each has one timer.
        let meet = Arc::new(Barrier::new(2));
        let texts = runtime.block_on(async {
            let tasks = [3, 5].map(|limit| {
                let meet = meet.clone();
                rt::spawn(async move {
                    meet.wait();
                    let mut timer = sleep(secs(limit));
                    let armed = Task::new().poll(&mut timer).is_pending();
                    meet.wait();
                    let text = format!("{:?}", Handle::current());
                    meet.wait();
                    assert!(armed);
                    text
                })
            });
            join_all(tasks).await
        });
        let texts: Vec<String> = texts.into_iter().map(Result::unwrap).collect();
        for text in &texts {
            let parts = [
                "armed: 2 (1 on this shard),",
                "next: in 3.0s,",
                "kind: rt, shard ",
            ];
            for part in parts {
                assert!(text.contains(part), "no {part:?} in {text}");
            }
        }
        for worker in ["shard 0 of 3: worker 0,", "shard 1 of 3: worker 1,"] {
            let of_it = texts.iter().filter(|text| text.contains(worker));
            assert_eq!(of_it.count(), 1, "{worker} {texts:?}");
        }
        let external = {
            let _entered = runtime.enter();
            Handle::current()
        };
        shows(&external, &["kind: rt, shard 2 of 3: external threads,"]);
        drop(runtime);
        shows(&external, &["kind: rt,", "closed: true"]);
        rt::block_on(async { shows(&Handle::current(), &["kind: rt, shard 0 of 2: worker 0,"]) });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_tokio_runtime_shows_which_worker_it_is() {
    use tokio::runtime::Builder;

    let many = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    many.unwrap().block_on(async {
        let outside = ["kind: tokio, shard 2 of 3: external threads,"];
        shows(&Handle::current(), &outside);
        let inside = tokio::spawn(async { format!("{:?}", Handle::current()) });
        let inside = inside.await.unwrap();
        assert!(
            inside.contains("kind: tokio, shard ") && inside.contains(": worker "),
            "{inside}"
        );
    });
    let one = Builder::new_current_thread().enable_all().build();
    one.unwrap().block_on(async {
        let mut timer = sleep(ms(60_000));
        assert!(Task::new().poll(&mut timer).is_pending());
        shows(&Handle::current(), &["kind: tokio,", "armed: 1,"]);
    });
}
