//! Does anything get lost when everything happens at once?
//!
//! More workers than the machine has cores, tasks that spawn, sleep, yield, wake, abort and drop each
//! other at random, from inside and outside. Every run counts what it has begun and what has ended.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};
use reveille::ManualClock;
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::{Instant, interval, sleep, timeout};

use support::{Count, OnDrop, Random, ms, runtime, runtime_on, secs, watched};

/// What is shared by the tasks of one run.
#[derive(Clone, Default)]
struct Run {
    begun: Count,
    ended: Count,
    handles: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Run {
    /// A task that does some things at random and counts itself, dropped early or not.
    fn task(&self, seed: u64, depth: u64) -> impl Future<Output = ()> + Send + 'static {
        self.begun.add();
        let ended = self.ended.clone();
        let guard = OnDrop(move || ended.add());
        let run = self.clone();
        async move {
            let _guard = guard;
            let mut random = Random::new(seed);
            for step in 0..random.below(8) {
                match random.below(9) {
                    0 => rt::yield_now().await,
                    1 => sleep(Duration::from_micros(random.below(300))).await,
                    2 => {
                        let wait = Duration::from_micros(random.below(200));
                        let _ = timeout(wait, sleep(Duration::from_micros(100))).await;
                    }
                    3 if depth > 0 => {
                        let task = rt::spawn(
                            run.boxed(seed.wrapping_mul(31).wrapping_add(step), depth - 1),
                        );
                        let _ = task.await;
                    }
                    4 if depth > 0 => {
                        let task = rt::spawn(
                            run.boxed(seed.wrapping_mul(37).wrapping_add(step), depth - 1),
                        );
                        run.handles.lock().unwrap().push(task);
                    }
                    5 => run.abort_one(&mut random),
                    6 => {
                        let task =
                            rt::spawn_local(run.boxed(seed.wrapping_mul(41).wrapping_add(step), 0));
                        drop(task);
                    }
                    7 => {
                        let (sender, receiver) = oneshot::channel();
                        drop(rt::spawn(async move { sender.send(()).ok() }));
                        let _ = receiver.await;
                    }
                    _ => {
                        let mut ticks = interval(Duration::from_micros(1 + random.below(50)));
                        ticks.tick().await;
                        ticks.tick().await;
                    }
                }
            }
        }
    }

    fn boxed(&self, seed: u64, depth: u64) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.task(seed, depth))
    }

    fn abort_one(&self, random: &mut Random) {
        let task = {
            let mut handles = self.handles.lock().unwrap();
            let len = handles.len();
            if len == 0 {
                return;
            }
            handles.swap_remove(random.below(len as u64) as usize)
        };
        task.abort();
    }
}

/// `end` is how the runtime goes, with tasks in every state.
fn storm(runtime: Runtime, seed: u64, tasks: u64, end: fn(Runtime)) {
    let run = Run::default();
    let stop = Arc::new(AtomicBool::new(false));
    let strangers: Vec<_> = (0..2)
        .map(|n| {
            let (run, stop) = (run.clone(), stop.clone());
            let handle = runtime.handle().clone();
            thread::spawn(move || {
                let mut random = Random::new(seed + n);
                while !stop.load(Ordering::SeqCst) {
                    match random.below(3) {
                        0 => run.abort_one(&mut random),
                        // No faster than they end: one worker would not get through.
                        1 if run.begun.get() < run.ended.get() + 500 => {
                            drop(handle.spawn(run.task(random.below(1 << 20), 1)));
                        }
                        1 => {}
                        _ => handle.block_on(async { rt::yield_now().await }),
                    }
                    thread::yield_now();
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for n in 0..tasks {
            let task = rt::spawn(run.task(seed * 1000 + n, 2));
            match n % 3 {
                0 => drop(task),
                1 => run.handles.lock().unwrap().push(task),
                _ => {
                    let _ = task.await;
                }
            }
        }
    });
    if seed.is_multiple_of(2) {
        stop.store(true, Ordering::SeqCst);
    }
    end(runtime);
    stop.store(true, Ordering::SeqCst);
    for stranger in strangers {
        stranger.join().unwrap();
    }
    assert_eq!(run.begun.get(), run.ended.get());
}

#[test]
fn storm_of_tasks_ends_every_one_of_them() {
    watched(|| {
        for (seed, workers) in [1, 2, 3, 8, 16].into_iter().cycle().take(10).enumerate() {
            let end: fn(Runtime) = match seed % 4 {
                0 | 1 => drop,
                _ => |runtime| assert!(runtime.shutdown_timeout(secs(50))),
            };
            storm(runtime(workers), seed as u64, 300, end);
        }
    });
}

#[test]
fn storm_on_a_clock_that_jumps_ends_every_task() {
    watched(|| {
        for (seed, workers) in [1, 2, 8].into_iter().cycle().take(9).enumerate() {
            storm(
                runtime_on(workers, ManualClock::new()),
                seed as u64,
                200,
                drop,
            );
        }
    });
}

/// A value goes round through many tasks, each woken by the one before, on whatever worker.
#[test]
fn rings_of_tasks_lose_no_wake() {
    watched(|| {
        for workers in [2, 8] {
            runtime(workers).block_on(async {
                let rings: Vec<_> = (0..4)
                    .map(|_| {
                        rt::spawn(async {
                            let (mut first, mut last) = mpsc::channel::<u32>(1);
                            for _ in 0..20 {
                                let (mut next, mut previous) = mpsc::channel(1);
                                std::mem::swap(&mut last, &mut previous);
                                drop(rt::spawn(async move {
                                    while let Some(value) = previous.next().await {
                                        next.send(value + 1).await.unwrap();
                                    }
                                }));
                            }
                            let mut value = 0;
                            for _ in 0..100 {
                                first.send(value).await.unwrap();
                                value = last.next().await.unwrap();
                            }
                            value
                        })
                    })
                    .collect();
                for ring in rings {
                    assert_eq!(ring.await.unwrap(), 2000);
                }
            });
        }
    });
}

/// Somebody is always about to lie down just when something is pushed.
#[test]
fn push_from_outside_always_wakes_a_worker() {
    watched(|| {
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            let (mut sender, mut receiver) = mpsc::channel(0);
            let handle = runtime.handle().clone();
            let stranger = thread::spawn(move || {
                for n in 0..3000 {
                    let task = handle.spawn(async move { n });
                    if n % 2 == 0 {
                        assert_eq!(pollster::block_on(task).unwrap(), n);
                    } else {
                        pollster::block_on(sender.send(n)).unwrap();
                    }
                }
            });
            runtime.block_on(async {
                let mut count = 0;
                while receiver.next().await.is_some() {
                    count += 1;
                }
                assert_eq!(count, 1500);
            });
            stranger.join().unwrap();
        }
    });
}

/// A timer for at once, over and over, on a runtime that is idle in between (Go's #44868), beside
/// others that sleep in step (#45716: none may be left behind).
#[test]
fn timers_for_at_once_and_in_step_all_fire() {
    watched(|| {
        for workers in [1, 2, 8] {
            runtime(workers).block_on(async {
                let in_step: Vec<_> = (0..200)
                    .map(|_| {
                        rt::spawn(async {
                            for _ in 0..10 {
                                let start = Instant::now();
                                sleep(ms(1)).await;
                                assert!(start.elapsed() >= ms(1));
                            }
                        })
                    })
                    .collect();
                for nanos in 0..2000 {
                    sleep(Duration::from_nanos(nanos)).await;
                }
                for task in in_step {
                    task.await.unwrap();
                }
            });
        }
    });
}

/// Twenty thousand tasks of sixteen kilobytes, most of them never woken.
#[test]
fn many_large_tasks_come_and_go() {
    watched(|| {
        let dropped = Count::default();
        let runtime = runtime(8);
        runtime.block_on(async {
            for round in 0..4 {
                let tasks: Vec<_> = (0..5000u32)
                    .map(|n| {
                        let (large, dropped) = ([n; 4096], dropped.clone());
                        let guard = OnDrop(move || dropped.add());
                        rt::spawn(async move {
                            let _guard = guard;
                            if n % 4 == round {
                                sleep(Duration::from_micros(u64::from(n % 100))).await;
                            } else {
                                pending::<()>().await;
                            }
                            large[n as usize % 4096]
                        })
                    })
                    .collect();
                for (n, task) in tasks.into_iter().enumerate() {
                    if n as u32 % 4 == round {
                        assert_eq!(task.await.unwrap() as usize, n);
                    } else if n % 2 == 0 {
                        task.abort();
                        assert!(task.await.unwrap_err().is_cancelled());
                    }
                }
            }
        });
        drop(runtime);
        assert_eq!(dropped.get(), 20_000);
    });
}
