//! Tests of clocks: pausing, advancing, holding, and executors that move time while they are idle.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};
use reveille::{Clock, Driver, Hold, ManualClock, ThreadPark};

use support::{Log, Task, manual, ms, poll_with, secs, waker, watched};

/// Returns a manual clock and a runtime on it, which moves the clock while it is idle.
fn simulated() -> (ManualClock, Runtime) {
    let clock = ManualClock::new();
    let runtime = single_on(&clock);
    (clock, runtime)
}

/// Returns a runtime of one worker.
fn single_on(clock: impl Into<Clock>) -> Runtime {
    let builder = Runtime::builder().worker_threads(1).clock(clock);
    builder.build().unwrap()
}

#[test]
fn now_reads_the_clock_of_the_entered_driver() {
    let (clock, driver) = manual();
    clock.advance(secs(1_000_000));
    let entered = driver.handle().enter();
    assert_eq!(Instant::now(), clock.now());
    assert_eq!((clock.now() - secs(5)).elapsed(), secs(5));
    let there = thread::spawn(Instant::now).join().unwrap();
    drop(entered);
    let here = Instant::now();
    assert!(there <= here && here < clock.now(), "on the system's clock");
}

#[test]
fn advance_stops_at_each_deadline_on_its_way() {
    let (clock, driver) = manual();
    let start = clock.now();
    let log = Log::new();
    let mut sleeps = Vec::new();
    for micros in [2_500, 1, 999, 2_501, 1_000_000] {
        let limit = Duration::from_micros(micros);
        let mut sleep = driver.handle().sleep(limit);
        let (log, clock) = (log.clone(), clock.clone());
        let waker = waker(move || log.push((limit, clock.now() - start)));
        assert!(poll_with(&mut sleep, &waker).is_pending());
        sleeps.push(sleep);
    }
    clock.advance(Duration::from_micros(2_500));
    let fired = log.take();
    assert!(fired.iter().all(|(limit, now)| limit == now));
    assert_eq!(fired.len(), 3);
    assert_eq!(clock.now() - start, Duration::from_micros(2_500));

    assert!(clock.advance_to_next());
    assert_eq!(clock.now() - start, Duration::from_micros(2_501));
    assert!(clock.advance_to_next());
    assert_eq!(clock.now() - start, secs(1));
    assert!(!clock.advance_to_next());
    assert_eq!(log.take().len(), 2);
}

#[test]
fn a_clock_does_not_advance_to_a_timer_that_never_fires() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut never = driver.handle().sleep(Duration::MAX);
    assert!(task.poll(&mut never).is_pending());
    assert!(!clock.advance_to_next());
    assert_eq!(clock.now(), start);

    watched(|| {
        let (clock, runtime) = simulated();
        let start = clock.now();
        let (sender, receiver) = oneshot::channel();
        let never = runtime.spawn(async { sleep(Duration::MAX).await });
        let (ready, parked) = mpsc::channel();
        let helper = thread::spawn(move || {
            parked.recv().unwrap();
            sender.send(7).unwrap();
        });
        let answer = runtime.block_on(async move {
            ready.send(()).unwrap();
            timeout(Duration::MAX, receiver).await
        });
        assert_eq!(answer, Ok(Ok(7)));
        assert!(!never.is_finished());
        assert_eq!(clock.now(), start);
        helper.join().unwrap();
    });
}

#[test]
fn idle_runtime_moves_on_to_each_deadline_in_turn() {
    watched(|| check_that_it_moves_on(&simulated().1, || ()));
}

#[cfg(feature = "test-util")]
#[test]
fn idle_runtime_moves_a_paused_clock_on_to_each_deadline_in_turn() {
    watched(|| check_that_it_moves_on(&single_on(Clock::monotonic()), reveille::time::pause));
}

/// `freeze` is called inside of the runtime, and is to keep its clock from running.
fn check_that_it_moves_on(runtime: &Runtime, freeze: fn()) {
    let log = Log::new();
    let seen = log.clone();
    runtime.block_on(async move {
        freeze();
        let start = Instant::now();
        let tasks: Vec<_> = [3, 1, 2]
            .map(|hours| {
                let log = seen.clone();
                rt::spawn(async move {
                    sleep(secs(3600 * hours)).await;
                    log.push((hours, start.elapsed()));
                    sleep(secs(3600 * 2)).await;
                    log.push((hours, start.elapsed()));
                })
            })
            .into_iter()
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(start.elapsed(), secs(3600 * 5));
    });
    // At three hours, the timer that was armed first comes first.
    let expected = [(1, 1), (2, 2), (3, 3), (1, 3), (2, 4), (3, 5)];
    let expected = expected.map(|(task, hours)| (task, secs(3600 * hours)));
    assert_eq!(log.take(), expected);
}

#[test]
fn time_stands_still_while_a_task_is_ready() {
    watched(|| {
        let (clock, runtime) = simulated();
        let start = clock.now();
        runtime.block_on(async {
            let sleeper = rt::spawn(async { sleep(Duration::from_nanos(1)).await });
            for _ in 0..10_000 {
                rt::yield_now().await;
            }
            assert_eq!(clock.now(), start);
            assert!(!sleeper.is_finished());
            sleeper.await.unwrap();
        });
        assert_eq!(clock.now(), start + Duration::from_nanos(1));
    });
}

#[test]
fn time_stands_still_until_the_last_hold_is_dropped_on_any_thread() {
    fn drop_on_thread(hold: Hold) -> thread::JoinHandle<()> {
        thread::spawn(move || drop(hold))
    }

    watched(|| {
        for _ in 0..200 {
            let (clock, runtime) = simulated();
            let start = clock.now();
            let holds = [clock.hold(), clock.hold()];
            let threads = runtime.block_on(async {
                // Woken by the thread that drops the last guard, or by time, which must not pass
                // before.
                let limit = timeout(secs(3600), std::future::pending::<()>());
                assert_eq!(clock.now(), start);
                let threads = holds.map(drop_on_thread);
                assert!(limit.await.is_err());
                threads
            });
            assert_eq!(clock.now(), start + secs(3600));
            for thread in threads {
                thread.join().unwrap();
            }
        }
    });
}

#[test]
fn held_clock_can_still_be_advanced_from_another_thread() {
    watched(|| {
        let (clock, runtime) = simulated();
        let start = clock.now();
        let _hold = clock.hold();
        let (armed, ready) = mpsc::channel();
        let moved = clock.clone();
        let mover = thread::spawn(move || {
            ready.recv().unwrap();
            moved.advance(secs(10));
        });
        runtime.block_on(async move {
            let mut limit = sleep(secs(10));
            assert!(futures::poll!(&mut limit).is_pending());
            armed.send(()).unwrap();
            limit.await;
        });
        mover.join().unwrap();
        assert_eq!(clock.now(), start + secs(10));
    });
}

#[test]
fn boottime_runs() {
    watched(|| {
        let runtime = single_on(Clock::boottime());
        let handle = runtime.handle().timers();
        let start = handle.now();
        runtime.block_on(async { sleep(ms(3)).await });
        assert!(handle.now() - start >= ms(3));
        assert!(format!("{:?}", handle.clock()).contains("boottime"));
    });
}

/// The timer's waker moves time beyond the target of the caller, which is then in the past.
#[test]
fn waker_may_move_time_further_than_the_caller() {
    let (clock, driver) = manual();
    let (start, moved) = (clock.now(), clock.clone());
    let mut sleep = driver.handle().sleep(ms(5));
    let waker = waker(move || moved.advance(ms(100)));
    assert!(poll_with(&mut sleep, &waker).is_pending());
    clock.advance(ms(10));
    assert_eq!(clock.now(), start + ms(105));
}

#[test]
fn instants_move_both_ways_in_place() {
    let start = Instant::now();
    let mut instant = start;
    instant += secs(5);
    assert_eq!(instant, start + secs(5));
    instant -= secs(7);
    assert_eq!((instant, start - instant), (start - secs(2), secs(2)));
    instant -= secs(1 << 33);
    instant += secs(1 << 33);
    assert_eq!(instant, start - secs(2));
}

#[test]
fn debug_output_of_instants_tells_the_past_from_the_future() {
    let (century, now) = (secs(100 * 365 * 86_400), Instant::now());
    let (past, future) = (
        format!("{:?}", now - century),
        format!("{:?}", now + century),
    );
    assert!(past.starts_with("Instant(-3153"), "{past}");
    assert!(future.starts_with("Instant(3153"), "{future}");
}

#[test]
fn a_manual_clock_may_start_at_any_instant() {
    let system = Instant::now();
    for start in [Instant::ORIGIN, system + secs(1_000_000)] {
        let clock = ManualClock::starting_at(start);
        let runtime = single_on(&clock);
        runtime.block_on(async {
            assert_eq!(Instant::now(), start);
            sleep(secs(5)).await;
            assert!(timeout(ms(1), std::future::pending::<()>()).await.is_err());
            assert_eq!(Instant::now(), start + secs(5) + ms(1));
        });
    }
    assert!(Instant::ORIGIN <= system);
    let before = ManualClock::starting_at(Instant::ORIGIN - secs(1));
    assert_eq!(before.now(), Instant::ORIGIN);
}

/// The clock panics in a turn that is late by more than a period, when the function reads it, and
/// again if arming the timer anew reads it.
#[test]
fn a_clock_that_panics_in_one_turn_does_not_end_a_function_that_repeats() {
    let (time, panics) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (shown, fails) = (time.clone(), panics.clone());
    let clock = Clock::custom(move || {
        assert!(!fails.load(Ordering::SeqCst), "a clock that panics");
        Duration::from_secs(shown.load(Ordering::SeqCst))
    });
    let mut driver = Driver::builder().clock(clock).build(ThreadPark::new());
    let fail = panics.clone();
    let second = Duration::from_secs(1);
    driver
        .handle()
        .call_after(second / 2, move || fail.store(true, Ordering::SeqCst));
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let timer = driver.handle().call_every(second, move || {
        called.fetch_add(1, Ordering::SeqCst);
    });
    time.store(3, Ordering::SeqCst);
    driver.turn();
    panics.store(false, Ordering::SeqCst);
    assert_eq!(
        (calls.load(Ordering::SeqCst), driver.handle().armed()),
        (1, 1)
    );
    time.store(4, Ordering::SeqCst);
    driver.turn();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(timer.stop());
}

/// Those of std count seconds in 64 bits with a sign: `now` plus so many does not fit.
#[test]
fn an_instant_is_added_to_wherever_one_of_std_can_be() {
    let (now, std) = (Instant::now(), std::time::Instant::now());
    for add in [0, 1, 1 << 62, i64::MAX as u64, u64::MAX].map(secs) {
        let sum = now.checked_add(add);
        assert_eq!(sum.is_some(), std.checked_add(add).is_some(), "{add:?}");
        assert!(sum.is_none_or(|sum| sum == now + add));
    }
}
