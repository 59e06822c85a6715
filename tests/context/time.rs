//! Deadlines on drivers and clocks: never early, right before a turn, made outside, orphaned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use reveille::time::Instant;
use reveille::{Context, ContextError, Driver, DriverThread, ManualClock, ThreadPark};

use crate::support::{Dial, Log, Task, manual, manual_counting_unparks, ms, secs, watched};

const NANOSECOND: Duration = Duration::from_nanos(1);

#[test]
fn a_deadline_counts_as_soon_as_the_clock_shows_it_and_never_before() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let context = root.with_timeout_cause(ms(5), "late");
    let child = context.child();
    let log = Log::new();
    let called = log.clone();
    child.after_func(move || called.push(()));
    dial.set(ms(5) - NANOSECOND);
    assert_eq!((child.err(), context.err()), (None, None));
    assert_eq!(context.remaining(), Some(NANOSECOND));
    dial.set(ms(5));
    // No turn was made. The child is asked first.
    assert_eq!(child.err(), Some(ContextError::DeadlineExceeded));
    assert_eq!(crate::cause(&context).as_deref(), Some("late"));
    assert_eq!(context.remaining(), Some(Duration::ZERO));
    assert!(!context.cancel() && !root.is_done());
    assert_eq!((log.take().len(), driver.handle().armed()), (1, 0));
}

#[test]
fn a_cancellation_after_the_deadline_comes_too_late() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout_cause(ms(5), "late");
    let child = context.child();
    dial.set(ms(5));
    assert!(!child.cancel_with("cancelled"));
    assert_eq!(crate::cause(&child).as_deref(), Some("late"));
}

#[test]
fn a_child_whose_deadline_has_passed_keeps_it_when_its_parent_is_cancelled() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let child = root.with_deadline(clock.now() + ms(5));
    clock.advance(ms(5));
    root.cancel();
    assert_eq!(child.err(), Some(ContextError::DeadlineExceeded));
}

#[test]
fn a_child_whose_deadline_has_passed_unnoticed_keeps_it_when_its_parent_is_cancelled() {
    // A driver on the system's clock, which never turns.
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let root = Context::background();
    let child = root.with_timeout_cause(ms(1), "late");
    let start = Instant::now();
    while start.elapsed() <= ms(1) {}
    root.cancel();
    assert_eq!(crate::cause(&child).as_deref(), Some("late"));
}

/// A merged context is reached through the parent that does not have its deadline.
#[test]
fn a_merged_context_whose_deadline_has_passed_unnoticed_keeps_it_when_the_other_parent_ends() {
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let request = Context::background().with_timeout_cause(ms(1), "late");
    let shutdown = Context::background();
    let (both, swapped) = (request.merge(&shutdown), shutdown.merge(&request));
    let below = both.child().merge(&shutdown.child());
    let start = Instant::now();
    while start.elapsed() <= ms(1) {}
    shutdown.cancel();
    for context in [both, swapped, below, request] {
        assert_eq!(crate::cause(&context).as_deref(), Some("late"));
    }
}

/// The same in one tree: the parent without the deadline is marked first, and so are its children.
#[test]
fn a_merged_context_of_two_siblings_keeps_the_deadline_of_one_that_has_passed_unnoticed() {
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let root = Context::background();
    let plain = root.child();
    let timed = root.with_timeout_cause(ms(1), "late");
    let both = plain.merge(&timed);
    let start = Instant::now();
    while start.elapsed() <= ms(1) {}
    root.cancel();
    assert_eq!(plain.err(), Some(ContextError::Canceled));
    assert_eq!(crate::cause(&both).as_deref(), Some("late"));
}

/// Whichever timer fires first.
#[test]
fn a_merged_context_of_two_with_one_deadline_has_that_of_the_first_parent() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let early = root.with_timeout_cause(ms(5), "armed first");
    clock.advance(ms(1));
    let late = root.with_timeout_cause(ms(4), "armed second");
    let (both, swapped) = (early.merge(&late), late.merge(&early));
    clock.advance(ms(4));
    assert_eq!(crate::cause(&both).as_deref(), Some("armed first"));
    assert_eq!(crate::cause(&swapped).as_deref(), Some("armed second"));
}

/// It would call functions, wherever a program logs a context.
#[test]
fn the_debug_output_of_a_context_whose_deadline_has_passed_ends_nothing() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(ms(5));
    let log = Log::new();
    let called = log.clone();
    context.after_func(move || called.push(()));
    let done = context.done();
    dial.set(ms(5));
    let text = format!("{context:?} {done:?}");
    assert!(text.contains("err: None, remaining: Some(0ns)"), "{text}");
    assert_eq!(log.take().len(), 0);
    assert!(context.is_done());
    assert_eq!(log.take().len(), 1);
}

#[test]
fn only_a_deadline_that_is_earlier_arms_a_timer() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let armed = || driver.handle().armed();
    let parent = Context::background().with_timeout(ms(5));
    assert_eq!(armed(), 1);
    let at = parent.deadline().unwrap();
    let children = [
        parent.child(),
        parent.with_timeout(ms(5)),
        parent.with_timeout(secs(60)),
        parent.with_deadline(at),
        parent.with_timeout(Duration::MAX),
    ];
    assert_eq!(armed(), 1);
    assert!(children.iter().all(|child| child.deadline() == Some(at)));
    let earlier = parent.with_timeout(ms(4));
    assert_eq!(
        (armed(), earlier.deadline()),
        (2, Some(clock.now() + ms(4)))
    );
    drop(earlier);
    assert_eq!(armed(), 1);
    drop(parent);
    assert_eq!(armed(), 1);
    drop(children);
    assert_eq!(armed(), 0);
}

#[test]
fn a_deadline_beyond_the_end_is_none() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    for context in [
        root.with_timeout(Duration::MAX),
        root.with_deadline(Instant::now() + Duration::MAX),
        root.with_timeout_cause(Duration::MAX, "never"),
    ] {
        assert_eq!((context.deadline(), context.remaining()), (None, None));
        assert!(context.cancel());
        assert_eq!(crate::cause(&context).as_deref(), Some("context canceled"));
    }
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn a_deadline_in_the_past_has_ended_the_context_when_it_is_made() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let log = Log::new();
    for at in [clock.now(), clock.now() - secs(1000)] {
        let called = log.clone();
        root.with_deadline(at).after_func(move || called.push(()));
    }
    assert_eq!((log.take().len(), driver.handle().armed()), (2, 0));
    assert_eq!(crate::children(&root), 0);
}

#[test]
fn deadlines_fire_in_order_each_while_the_clock_shows_it() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    let root = Context::background();
    let log = Log::new();
    let contexts = [5, 1, 3, 1].map(|limit| {
        let context = root.with_timeout(ms(limit));
        let (log, clock) = (log.clone(), clock.clone());
        context.after_func(move || log.push((clock.now() - start).as_millis()));
        context
    });
    clock.advance(ms(10));
    assert_eq!(log.take(), [1, 1, 3, 5]);
    drop(contexts);
}

#[test]
fn creating_and_cancelling_interrupts_the_loop_no_more_than_a_sleep_does() {
    let (_clock, driver, unparks) = manual_counting_unparks();
    let handle = driver.handle().clone();
    let _entered = handle.enter();
    assert_eq!(driver.next_timeout(), None);
    let root = Context::background().with_timeout(secs(1));
    assert_eq!(unparks.get(), 1);
    for _ in 0..10 {
        root.with_timeout(ms(999)).cancel();
    }
    assert_eq!(unparks.get(), 1);
}

#[test]
fn a_context_made_outside_takes_the_driver_where_something_first_waits() {
    let context = Context::background().with_timeout_cause(secs(60), "late");
    let child = context.child();
    let real = std::time::Instant::now();
    let (_, passed) = ManualClock::new().simulate(async {
        child.done().await;
        assert_eq!(crate::cause(&child).as_deref(), Some("late"));
    });
    assert_eq!(passed, secs(60));
    assert!(real.elapsed() < secs(60));
}

#[test]
fn a_context_made_outside_is_right_before_anything_waits() {
    let root = Context::background();
    let context = root.with_timeout(secs(60));
    assert!(!context.is_done() && context.remaining().unwrap() > secs(50));
    let past = root.with_timeout(Duration::ZERO);
    assert_eq!(past.err(), Some(ContextError::DeadlineExceeded));
    let past = root.with_deadline(Instant::now());
    assert!(!past.cancel() && past.is_done());
}

#[test]
fn an_unpark_that_panics_costs_the_context_no_timer() {
    let clock = ManualClock::new();
    let panics = Arc::new(AtomicBool::new(true));
    let first = panics.clone();
    let mut driver = Driver::builder()
        .clock(&clock)
        .build_with_unpark(move || assert!(!first.swap(false, Relaxed), "of the unpark"));
    let context = Context::background().with_timeout(secs(60));
    let _entered = driver.handle().enter();
    assert!(driver.next_timeout().is_none(), "announces a park");
    let (one, other) = (Task::new(), Task::new());
    let (mut panicked, mut waits) = (context.done(), context.done());
    let polled = catch_unwind(AssertUnwindSafe(|| one.poll(&mut panicked)));
    assert!(polled.is_err() && !panics.load(Relaxed));
    assert!(other.poll(&mut waits).is_pending());
    let at = context.deadline().unwrap();
    clock.advance(at - driver.handle().now());
    driver.turn();
    assert_eq!(other.wakes(), 1);
    assert!(other.poll(&mut waits).is_ready());
    assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
}

#[test]
fn a_clock_that_panics_in_the_first_poll_costs_the_context_no_timer() {
    let dial = Dial::default();
    let (mut driver, panics) = dial.driver_that_may_panic();
    // Made outside: the timer takes the driver when `done` is polled.
    let context = Context::background().with_deadline(driver.handle().now() + secs(1_000_000_000));
    let _entered = driver.handle().enter();
    let (task, mut done) = (Task::new(), context.done());
    // The timer is polled twice.
    panics.store(2, Relaxed);
    let polled = catch_unwind(AssertUnwindSafe(|| task.poll(&mut done)));
    assert_eq!((polled.is_err(), panics.load(Relaxed)), (true, 0));
    assert!(task.poll(&mut done).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    dial.set(secs(1_000_000_000));
    driver.turn();
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut done).is_ready());
}

#[test]
fn a_clock_that_panics_when_its_driver_is_dropped_costs_the_context_no_timer() {
    watched(|| {
        let (driver, panics) = Dial::default().driver_that_may_panic();
        let context = {
            let _entered = driver.handle().enter();
            Context::background().with_timeout(ms(2))
        };
        panics.store(1, Relaxed);
        drop(driver);
        assert_eq!(panics.load(Relaxed), 0, "the timer moves at once");
        pollster::block_on(context.done());
        assert!(context.is_done());
    });
}

#[test]
fn a_cancel_ends_the_context_although_the_clock_panics() {
    let (driver, panics) = Dial::default().driver_that_may_panic();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(secs(1));
    let child = context.child();
    panics.store(1, Relaxed);
    assert!(context.cancel());
    assert_eq!(panics.load(Relaxed), 0, "the deadline might have passed");
    assert_eq!(child.err(), Some(ContextError::Canceled));
}

#[test]
fn where_there_is_no_driver_the_process_wide_thread_serves() {
    watched(|| {
        let start = Instant::now();
        let context = Context::background().with_timeout(ms(2));
        let (sender, receiver) = std::sync::mpsc::channel();
        context.after_func(move || sender.send(()).unwrap());
        receiver.recv().unwrap();
        assert!(start.elapsed() >= ms(2), "early");
        pollster::block_on(Context::background().with_timeout(ms(2)).done());
    });
}

#[test]
fn a_deadline_survives_its_driver() {
    watched(|| {
        let driver = Driver::new(ThreadPark::new());
        let start = Instant::now();
        let context = {
            let _entered = driver.handle().enter();
            Context::background().with_timeout(ms(20))
        };
        let task = Task::new();
        let mut done = context.done();
        assert!(task.poll(&mut done).is_pending());
        drop(driver);
        // It has moved to the process-wide thread.
        while task.wakes() == 0 {
            std::thread::yield_now();
        }
        assert!(start.elapsed() >= ms(20), "early");
        assert!(task.poll(&mut done).is_ready());
        assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    });
}

#[test]
fn a_context_is_used_from_other_threads_than_the_one_of_its_driver() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let context = {
            let _entered = timers.handle().enter();
            Context::background().with_timeout(ms(3))
        };
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let context = context.child();
                std::thread::spawn(move || {
                    pollster::block_on(context.done());
                    context.err()
                })
            })
            .collect();
        for wait in waits {
            assert_eq!(wait.join().unwrap(), Some(ContextError::DeadlineExceeded));
        }
        assert_eq!(timers.handle().armed(), 0);
    });
}

/// Tokio's clock may be paused, and its time moves while everything waits.
#[cfg(all(feature = "tokio", feature = "test-util"))]
#[tokio::test(start_paused = true)]
async fn a_deadline_follows_tokios_paused_clock() {
    let start = Instant::now();
    let context = Context::background().with_timeout(secs(3600));
    context.done().await;
    assert_eq!(start.elapsed(), secs(3600));
    let context = Context::background().with_timeout(secs(60));
    assert!(context.run(reveille::time::sleep(secs(59))).await.is_ok());
    assert!(!context.is_done());
    reveille::time::advance(secs(1)).await;
    assert!(context.is_done());
}

/// In a task whose budget is used up, a context still ends, and is not polled for ever.
#[cfg(feature = "tokio")]
#[test]
fn a_context_does_not_depend_on_the_budget_of_a_task() {
    watched(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let exhausted = std::future::poll_fn(|cx| {
                while let std::task::Poll::Ready(unit) = tokio::task::coop::poll_proceed(cx) {
                    unit.made_progress();
                }
                let context = Context::background().with_timeout(Duration::ZERO);
                assert!(context.is_done());
                let context = Context::background().with_timeout(ms(1));
                std::thread::sleep(ms(2));
                std::task::Poll::Ready(context)
            });
            exhausted.await.done().await;
        });
    });
}

/// A runtime ends, and a context that was made in it lives on: its deadline still comes.
#[test]
fn a_deadline_survives_its_runtime() {
    async fn make() -> (Instant, Context) {
        (Instant::now(), Context::background().with_timeout(ms(20)))
    }

    fn check((start, context): (Instant, Context)) {
        pollster::block_on(context.done());
        assert!(start.elapsed() >= ms(20), "early");
        assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    }

    watched(|| {
        #[cfg(feature = "rt")]
        check(crate::support::runtime(2).block_on(make()));
        #[cfg(feature = "rt")]
        check(reveille::rt::block_on(make()));
        for mut builder in [
            tokio::runtime::Builder::new_current_thread(),
            tokio::runtime::Builder::new_multi_thread(),
        ] {
            let runtime = builder.enable_all().build().unwrap();
            let made = runtime.block_on(make());
            drop(runtime);
            check(made);
        }
    });
}
