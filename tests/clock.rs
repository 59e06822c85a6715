//! Who moves time, and what sees it move?

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, Runtime};
use reveille::time::{self, Instant, sleep, timeout};
use reveille::{Clock, Driver, Hold, ManualClock, ThreadPark};

use support::{Count, Dial, Log, Task, manual, ms, panic_of, poll_with, secs, waker, watched};

/// A runtime on a clock that moves by hand, or by itself when the runtime is idle.
fn simulated() -> (ManualClock, Runtime) {
    let clock = ManualClock::new();
    let runtime = single_on(&clock);
    (clock, runtime)
}

/// A runtime of one worker.
fn single_on(clock: impl Into<Clock>) -> Runtime {
    let builder = Runtime::builder().worker_threads(1).clock(clock);
    builder.build().unwrap()
}

#[test]
fn paused_clock_stands_and_runs_on_from_there() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    dial.set(secs(5));
    let start = Instant::now();
    for round in 0..3 {
        let now = start + secs(round);
        time::pause();
        dial.set(secs(100 * (round + 1)));
        assert_eq!((Instant::now(), driver.handle().now()), (now, now));
        time::resume();
        assert_eq!(Instant::now(), now);
        dial.set(secs(100 * (round + 1) + 1));
        assert_eq!(Instant::now(), now + secs(1));
    }
}

#[test]
fn paused_clock_that_was_moved_runs_on_from_where_it_was_moved_to() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let _entered = driver.handle().clone().enter();
    let task = Task::new();
    let start = Instant::now();
    let (mut near, mut far) = (sleep(secs(50)), sleep(secs(110)));
    assert!(task.poll(&mut near).is_pending());
    assert!(task.poll(&mut far).is_pending());
    time::pause();
    assert_eq!(driver.next_timeout(), None, "no wait helps");
    let mut advance = pin!(time::advance(secs(100)));
    assert!(advance.as_mut().poll(&mut task.context()).is_pending());
    assert_eq!(start.elapsed(), secs(100));
    assert_eq!(task.wakes(), 2, "one by the timer, one by the yield");
    assert!(advance.as_mut().poll(&mut task.context()).is_ready());
    time::resume();
    assert_eq!(
        (start.elapsed(), driver.next_timeout()),
        (secs(100), Some(secs(10)))
    );
    dial.set(secs(9));
    assert_eq!(
        (driver.turn().fired(), driver.next_timeout()),
        (0, Some(secs(1)))
    );
    dial.set(secs(10));
    assert_eq!(driver.turn().fired(), 1);
    assert!(task.poll(&mut near).is_ready() && task.poll(&mut far).is_ready());
}

#[test]
fn pause_and_resume_make_a_parked_loop_look_again() {
    let unparks = Count::default();
    let counted = unparks.clone();
    let driver = Driver::with_unpark(move || counted.add());
    let _entered = driver.handle().enter();
    assert_eq!(driver.next_timeout(), None);
    time::pause();
    assert_eq!(unparks.get(), 1);
    time::resume();
    assert_eq!(unparks.get(), 2);
}

#[test]
fn advance_that_is_not_polled_moves_nothing() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    drop(time::advance(secs(1)));
    assert_eq!(clock.now(), start);
}

#[test]
fn misuse_of_the_test_clock_panics_and_says_why() {
    fn entered(call: impl FnOnce() + Send + 'static) -> (String, String) {
        panic_of(move || {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            call();
        })
    }

    // Blocks, because a function that is passed on as a value has no caller to name.
    let twice = || {
        time::pause();
        time::pause();
    };
    let resume = || {
        time::resume();
    };
    let pause = || {
        time::pause();
    };
    let at_caller = [
        (entered(twice), "time is already frozen"),
        (entered(resume), "time is not frozen"),
        (panic_of(pause), "Handle::enter"),
        (panic_of(resume), "Handle::enter"),
        (
            panic_of(|| {
                let (_, driver) = manual();
                let _entered = driver.handle().enter();
                time::resume();
            }),
            "a ManualClock does not run",
        ),
        (
            panic_of(|| {
                let (_, driver) = manual();
                let _entered = driver.handle().enter();
                time::pause();
            }),
            "stands still without being paused",
        ),
    ];
    for ((message, file), expected) in at_caller {
        assert!(message.contains(expected), "{message}");
        assert_eq!(file, file!(), "{message}");
    }
    let (message, _) = entered(|| pollster::block_on(time::advance(ms(1))));
    assert!(message.contains("call pause first"), "{message}");
    let (message, _) = panic_of(|| pollster::block_on(time::advance(ms(1))));
    assert!(message.contains("Handle::enter"), "{message}");
}

#[test]
fn now_is_that_of_the_driver_entered() {
    let (clock, driver) = manual();
    clock.advance(secs(1_000_000));
    let entered = driver.handle().enter();
    assert_eq!(Instant::now(), clock.now());
    assert_eq!((clock.now() - secs(5)).elapsed(), secs(5));
    let there = thread::spawn(Instant::now).join().unwrap();
    drop(entered);
    let here = Instant::now();
    assert!(there <= here && here < clock.now(), "the system's");
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
fn never_is_not_waited_for() {
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
    watched(|| {
        for pause in [true, false] {
            let (mut runtime, log) = (simulated().1, Log::new());
            if pause {
                runtime = single_on(Clock::monotonic());
            }
            let seen = log.clone();
            runtime.block_on(async move {
                if pause {
                    time::pause();
                }
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
    });
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
fn hold_keeps_time_until_the_last_is_dropped_wherever() {
    fn let_go(hold: Hold) -> thread::JoinHandle<()> {
        thread::spawn(move || drop(hold))
    }

    watched(|| {
        for _ in 0..200 {
            let (clock, runtime) = simulated();
            let start = clock.now();
            let holds = [clock.hold(), clock.hold()];
            let threads = runtime.block_on(async {
                // Readied by the last to let go, or by time that must not pass before.
                let limit = timeout(secs(3600), std::future::pending::<()>());
                assert_eq!(clock.now(), start);
                let threads = holds.map(let_go);
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
fn held_runtime_is_still_moved_by_hand_from_another_thread() {
    watched(|| {
        let (clock, runtime) = simulated();
        let start = clock.now();
        let _hold = clock.hold();
        let (armed, ready) = mpsc::channel();
        let hand = clock.clone();
        let mover = thread::spawn(move || {
            ready.recv().unwrap();
            hand.advance(secs(10));
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

/// A timer's task moves time on, too, from within its wake: what was asked for last is less.
#[test]
fn waker_that_moves_time_further_than_the_caller_wins() {
    let (clock, driver) = manual();
    let (start, hand) = (clock.now(), clock.clone());
    let mut sleep = driver.handle().sleep(ms(5));
    let waker = waker(move || hand.advance(ms(100)));
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
