//! Tests of external threads, which are no workers, on a clock that does not run: when time
//! advances.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::task::Waker;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::ManualClock;
use reveille::rt;
use reveille::time::{Instant, sleep, sleep_until};

use support::{Random, ms, poll_with, runtime_on, secs, watched};

const WORKERS: [usize; 3] = [1, 2, 8];

/// All workers are parked when the last guard is dropped: one has to be unparked and move time.
#[test]
fn time_advances_when_an_external_thread_drops_the_last_hold() {
    watched(|| {
        for workers in WORKERS {
            let runtime = runtime_on(workers, ManualClock::new());
            for _ in 0..100 {
                let hold = runtime.handle().timers().clock().hold();
                let thread = thread::spawn(move || drop(hold));
                runtime.block_on(async { sleep(secs(1)).await });
                thread.join().unwrap();
            }
        }
    });
}

/// The timer of an external thread is the only one, and all workers are parked without a deadline.
#[test]
fn time_advances_to_a_timer_that_an_external_thread_arms_while_all_workers_are_parked() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let start = clock.now();
            runtime.block_on(async {
                for round in 1..=50 {
                    // A timer has fired before; its deadline must not be taken for the next one.
                    sleep(secs(1)).await;
                    let timers = rt::Handle::current().timers().clone();
                    let (sender, done) = oneshot::channel();
                    let external = thread::spawn(move || {
                        pollster::block_on(timers.sleep(secs(1)));
                        sender.send(()).unwrap();
                    });
                    done.await.unwrap();
                    external.join().unwrap();
                    assert_eq!(clock.now(), start + secs(2 * round));
                }
            });
        }
    });
}

/// The deadline announced for a dropped timer must not hide the next one.
#[test]
fn time_advances_to_a_timer_that_an_external_thread_arms_after_dropping_an_earlier_one() {
    watched(|| {
        for workers in WORKERS {
            let runtime = runtime_on(workers, ManualClock::new());
            runtime.block_on(async {
                for _ in 0..200 {
                    let timers = rt::Handle::current().timers().clone();
                    let (sender, done) = oneshot::channel();
                    let external = thread::spawn(move || {
                        let mut gone = timers.sleep(secs(1));
                        let _ = poll_with(&mut gone, Waker::noop());
                        drop(gone);
                        pollster::block_on(timers.sleep(secs(2)));
                        sender.send(()).unwrap();
                    });
                    done.await.unwrap();
                    external.join().unwrap();
                }
            });
        }
    });
}

/// External threads arm, reset and drop timers of the runtime, and move time themselves.
#[test]
fn external_threads_that_arm_reset_drop_and_advance_lose_no_timer() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let handle = runtime.handle().clone();
            let externals: Vec<_> = (0..3)
                .map(|seed| {
                    let (handle, clock) = (handle.clone(), clock.clone());
                    thread::spawn(move || {
                        let timers = handle.timers();
                        let mut random = Random::new(seed);
                        let mut tasks = Vec::new();
                        for _ in 0..300 {
                            let wait = Duration::from_millis(random.below(100));
                            let deadline = timers.now() + wait;
                            match random.below(4) {
                                0 => pollster::block_on(timers.sleep_until(deadline)),
                                1 => {
                                    let (sleep, clock) =
                                        (timers.sleep_until(deadline), clock.clone());
                                    tasks.push(handle.spawn(async move {
                                        sleep.await;
                                        assert!(clock.now() >= deadline, "early");
                                    }));
                                    continue;
                                }
                                2 => {
                                    let mut sleep = Box::pin(timers.sleep(secs(9)));
                                    let waker = Waker::noop();
                                    let _ = poll_with(&mut sleep, waker);
                                    sleep.as_mut().reset(deadline);
                                    pollster::block_on(sleep);
                                }
                                _ => clock.advance(wait),
                            }
                            assert!(clock.now() >= deadline, "early");
                        }
                        for task in tasks {
                            pollster::block_on(task).unwrap();
                        }
                    })
                })
                .collect();
            let (stop, stopped) = oneshot::channel::<()>();
            let waits = thread::spawn(move || {
                for external in externals {
                    external.join().unwrap();
                }
                drop(stop);
            });
            runtime.block_on(async {
                let tasks: Vec<_> = (0..50)
                    .map(|n| {
                        rt::spawn(async move {
                            for _ in 0..20 {
                                let deadline = Instant::now() + ms(n);
                                sleep_until(deadline).await;
                                assert!(Instant::now() >= deadline);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert!(stopped.await.is_err());
            });
            waits.join().unwrap();
        }
    });
}
