//! Tests of when time advances on a clock that does not run, with many workers and external
//! threads.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, interval, sleep, timeout};
use reveille::{Clock, Driver, ManualClock};

use support::{Log, Random, block_on_elsewhere, ms, poll_with, runtime_on, secs, watched};

const WORKERS: [usize; 3] = [1, 2, 8];

/// A program with timers of many kinds. Its log is in the order of firing.
async fn program(log: Log<(u64, u64)>) -> u64 {
    let start = Instant::now();
    let since = move || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let mut random = Random::new(7);
    let tasks: Vec<_> = (0..100)
        .map(|task| {
            let (log, steps) = (log.clone(), [(); 5].map(|()| random.below(50) * 1000));
            rt::spawn(async move {
                let mut ticks = interval(Duration::from_micros(1 + task % 7));
                let mut sum = 0;
                for step in steps {
                    sleep(Duration::from_nanos(step)).await;
                    ticks.tick().await;
                    let never = timeout(Duration::from_nanos(step), std::future::pending::<()>());
                    assert!(never.await.is_err());
                    log.push((since(), task));
                    sum += since();
                }
                sum
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum + since()
}

#[test]
fn a_program_fires_in_the_same_order_on_one_worker_and_has_the_same_result_on_many() {
    watched(|| {
        let run = |workers| {
            let log = Log::new();
            let sum = runtime_on(workers, ManualClock::new()).block_on(program(log.clone()));
            (log.take(), sum)
        };
        let first = run(1);
        assert_eq!(first.0.len(), 500);
        assert!(first.0.iter().map(|(at, _)| at).is_sorted());
        assert_eq!(run(1), first);
        let mut sorted = first.0.clone();
        sorted.sort_unstable();
        for workers in [2, 8] {
            for _ in 0..5 {
                let (mut log, sum) = run(workers);
                log.sort_unstable();
                assert_eq!((log, sum), (sorted.clone(), first.1), "{workers} workers");
            }
        }
    });
}

#[cfg(feature = "test-util")]
#[test]
fn paused_clock_jumps_from_deadline_to_deadline_and_runs_on_when_resumed() {
    use reveille::time::{pause, resume, sleep_until};

    watched(|| {
        for workers in WORKERS {
            runtime_on(workers, Clock::monotonic()).block_on(async {
                sleep(ms(1)).await;
                pause();
                let start = Instant::now();
                let hours: Vec<_> = (1..=10)
                    .map(|hours| {
                        rt::spawn(async move {
                            sleep_until(start + secs(3600 * hours)).await;
                            assert_eq!(start.elapsed(), secs(3600 * hours));
                        })
                    })
                    .collect();
                for hour in hours {
                    hour.await.unwrap();
                }
                assert_eq!(start.elapsed(), secs(36_000));
                resume();
                let start = Instant::now();
                sleep(ms(1)).await;
                rt::spawn(async { sleep(ms(1)).await }).await.unwrap();
                assert!(start.elapsed() >= ms(2));
            });
        }
    });
}

/// The timer is at another time of the system's clock from then on.
#[cfg(feature = "test-util")]
#[test]
fn a_timer_that_waits_for_a_held_clock_fires_when_the_clock_is_resumed() {
    use reveille::time::{pause, resume};

    watched(|| {
        for workers in WORKERS {
            runtime_on(workers, Clock::monotonic()).block_on(async {
                pause();
                let hold = rt::hold();
                let timers = rt::Handle::current().timers();
                let resuming = thread::spawn(move || {
                    thread::sleep(ms(5));
                    let _entered = timers.enter();
                    resume();
                });
                sleep(ms(10)).await;
                resuming.join().unwrap();
                drop(hold);
            });
        }
    });
}

/// The other workers are idle all the time, which must not let time advance.
#[test]
fn time_stands_still_while_a_worker_works() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let start = clock.now();
            let seen = clock.clone();
            runtime.block_on(async move {
                drop(rt::spawn(async { sleep(secs(1)).await }));
                while rt::Handle::current().armed() == 0 {
                    rt::yield_now().await;
                }
                let busy = rt::spawn(async move {
                    // The work takes longer than another worker waits before it parks.
                    for _ in 0..2000 {
                        assert_eq!(seen.now(), start);
                        thread::yield_now();
                    }
                    for _ in 0..200 {
                        assert_eq!(seen.now(), start);
                        rt::yield_now().await;
                    }
                });
                busy.await.unwrap();
            });
        }
    });
}

#[test]
fn time_stands_still_between_two_block_ons() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let start = clock.now();
            let task = runtime.spawn(async { sleep(secs(1)).await });
            runtime.block_on(async {
                while rt::Handle::current().armed() == 0 && !task.is_finished() {
                    rt::yield_now().await;
                }
            });
            // However many workers there are: the first of them has no thread between two calls of
            // `block_on`, and it counts as busy.
            thread::yield_now();
            assert_eq!((clock.now(), task.is_finished()), (start, false));
            runtime.block_on(task).unwrap();
            assert_eq!(clock.now(), start + secs(1));
        }
    });
}

#[test]
fn hold_keeps_time_until_the_last_guard_is_dropped() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let start = clock.now();
            let seen = clock.clone();
            let late = runtime.block_on(async move {
                let holds = [rt::hold(), rt::hold()];
                let (sender, answer) = oneshot::channel();
                let helper = thread::spawn(move || {
                    let [first, second] = holds;
                    drop(first);
                    for _ in 0..100 {
                        thread::yield_now();
                    }
                    assert_eq!(seen.now(), start);
                    sender.send(seen.now()).unwrap();
                    drop(second);
                });
                let answer = timeout(secs(1), answer).await;
                helper.join().unwrap();
                answer
            });
            assert_eq!(late, Ok(Ok(start)));
        }
    });
}

/// The second thread waits without a core. Time must not advance while it has work to do.
#[test]
fn time_does_not_advance_before_a_second_thread_in_block_on_that_was_woken_has_run() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let (inside, is_inside) = mpsc::channel();
            // The external thread may wake it just when time is about to advance: there is no timer
            // before.
            let (go, gone) = oneshot::channel();
            let second = {
                let (handle, clock) = (runtime.handle().clone(), clock.clone());
                thread::spawn(move || {
                    is_inside.recv().unwrap();
                    handle.block_on(async {
                        go.send(()).unwrap();
                        let mut early = 0;
                        for _ in 0..100 {
                            let (ask, asked) = oneshot::channel::<oneshot::Sender<Instant>>();
                            // Wakes this thread, and then sleeps.
                            drop(rt::spawn(async move {
                                let reply = asked.await.unwrap();
                                let now = Instant::now();
                                reply.send(now).unwrap();
                                sleep(secs(3600)).await;
                            }));
                            let (reply, answer) = oneshot::channel();
                            ask.send(reply).unwrap();
                            early += usize::from(answer.await.unwrap() != clock.now());
                        }
                        assert_eq!(early, 0, "time advanced before the woken future ran");
                    });
                })
            };
            runtime.block_on(async {
                inside.send(()).unwrap();
                gone.await.unwrap();
                while !second.is_finished() {
                    sleep(ms(1)).await;
                }
            });
            second.join().unwrap();
        }
    });
}

/// The runtime has no timer of its own: its worker is unparked all the same when time may move
/// again.
#[test]
fn time_moves_to_the_deadline_of_another_driver_when_the_last_hold_is_dropped() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let runtime = runtime_on(workers, &clock);
            let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
            let sleep = driver.handle().sleep(secs(1));
            let hold = clock.hold();
            let holding = thread::spawn(move || {
                thread::sleep(ms(5));
                drop(hold);
            });
            let start = clock.now();
            runtime.block_on(sleep);
            assert_eq!(clock.now(), start + secs(1));
            holding.join().unwrap();
        }
    });
}

#[test]
fn two_runtimes_on_one_clock_both_see_it_move() {
    watched(|| {
        let clock = ManualClock::new();
        let runtimes: Vec<Runtime> = (1..=3).map(|n| runtime_on(n, &clock)).collect();
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (n, runtime) in runtimes.iter().enumerate() {
                let order = &order;
                scope.spawn(move || {
                    runtime.block_on(async {
                        for round in 1..=50 {
                            let wait = secs(1 + n as u64);
                            let wake = Instant::now() + wait;
                            sleep(wait).await;
                            assert!(Instant::now() >= wake);
                            order.lock().unwrap().push((n, round));
                        }
                    });
                });
            }
        });
        assert_eq!(order.into_inner().unwrap().len(), 150);
    });
}

/// Blocking work holds the clock without a guard.
#[cfg(feature = "blocking")]
#[test]
fn time_does_not_advance_during_blocking_work() {
    watched(|| {
        for workers in WORKERS {
            let clock = ManualClock::new();
            let start = clock.now();
            runtime_on(workers, &clock).block_on(async {
                let (release, released) = mpsc::channel();
                let seen = clock.clone();
                let work = rt::spawn_blocking(move || {
                    released.recv().unwrap();
                    assert_eq!(seen.now(), start);
                    7
                });
                let other = rt::spawn(async { sleep(secs(1)).await });
                thread::spawn(move || {
                    thread::yield_now();
                    release.send(()).unwrap();
                });
                assert!(timeout(secs(1), work).await.is_ok());
                other.await.unwrap();
            });
        }
    });
}

/// The worker that had left was taken for a running one, so time never advanced.
#[test]
fn frozen_time_advances_for_a_thread_in_block_on_when_the_other_workers_have_left() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(2, &clock);
        let (dropped, is_dropped) = oneshot::channel::<()>();
        let thread = block_on_elsewhere(runtime.handle(), async {
            is_dropped.await.unwrap();
            sleep(secs(1)).await;
            sleep(secs(3600)).await;
        });
        runtime.shutdown_background();
        dropped.send(()).unwrap();
        thread.join().unwrap();
    });
}

/// It leaves while the other one is parked already, and waits for a time to which no thread moves
/// the clock.
#[test]
fn frozen_time_advances_when_the_last_running_worker_leaves() {
    watched(|| {
        for _ in 0..20 {
            let clock = ManualClock::new();
            let runtime = runtime_on(2, &clock);
            let sleeps = async { sleep(secs(3600)).await };
            let thread = block_on_elsewhere(runtime.handle(), sleeps);
            drop(runtime);
            thread.join().unwrap();
        }
    });
}

/// An external thread armed a timer, the clock panicked while the workers' timeout was set for it,
/// and no thread set that again: no timer of a runtime whose workers were parked ever fired.
#[test]
fn timers_fire_after_a_clock_has_panicked_on_a_thread_that_arms_one() {
    thread_local! {
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }
    watched(|| {
        for workers in WORKERS {
            let start = std::time::Instant::now();
            let clock = Clock::custom(move || {
                assert!(!PANICS.take(), "a clock that panics once");
                start.elapsed()
            });
            let runtime = runtime_on(workers, clock);
            let timers = runtime.handle().timers().clone();
            let (ended, is_ended) = oneshot::channel();
            let external = thread::spawn(move || {
                let mut armed = Vec::new();
                // Each is earlier than the one before. Once a worker is parked, one sets its
                // timeout.
                for n in 1.. {
                    let mut sleep = Box::pin(timers.sleep(secs(3600) - ms(n)));
                    PANICS.set(true);
                    assert!(poll_with(&mut sleep, Waker::noop()).is_pending());
                    armed.push(sleep);
                    if !PANICS.take() {
                        break;
                    }
                    thread::yield_now();
                }
                pollster::block_on(timers.sleep(ms(1)));
                ended.send(()).unwrap();
            });
            runtime.block_on(async {
                is_ended.await.unwrap();
                sleep(ms(1)).await;
            });
            external.join().unwrap();
        }
    });
}

/// A worker that read it ended with the panic, and the timers that it was to fire never fired.
#[test]
fn timers_fire_on_workers_whose_clock_panics_now_and_then() {
    thread_local! {
        /// Set while a task reads the clock itself.
        static IN_TASK: Cell<bool> = const { Cell::new(false) };
    }
    watched(|| {
        for workers in WORKERS {
            let (start, readings) = (std::time::Instant::now(), AtomicUsize::new(0));
            let clock = Clock::custom(move || {
                let reading = readings.fetch_add(1, Ordering::Relaxed);
                assert!(IN_TASK.get() || reading % 5 != 0, "a clock that panics");
                start.elapsed()
            });
            let slept = |wait| {
                IN_TASK.set(true);
                let sleep = sleep(wait);
                IN_TASK.set(false);
                sleep
            };
            runtime_on(workers, clock).block_on(async {
                let tasks: Vec<_> = (0..10)
                    .map(|n| {
                        rt::spawn(async move {
                            for _ in 0..5 {
                                slept(ms(1 + n % 3)).await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
    });
}
