//! Tests of races in the executor: many threads do the same thing at the same moment.
//!
//! Random mixes of operations are in `stress`.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::pending;
use std::thread;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use reveille::rt;
use reveille::time::{Instant, sleep};

use support::{Count, OnDrop, ms, runtime, watched};

/// A value goes round through many tasks, each woken by the one before, on any worker.
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

/// A worker is always about to park just when a task is pushed.
#[test]
fn a_push_from_outside_always_unparks_a_worker() {
    watched(|| {
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            let (mut sender, mut receiver) = mpsc::channel(0);
            let handle = runtime.handle().clone();
            let external = thread::spawn(move || {
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
            external.join().unwrap();
        }
    });
}

/// A timer with a duration of zero, again and again, on a runtime that is idle in between (Go's
/// #44868), beside tasks that sleep in step (#45716: none of their timers may be lost).
#[test]
fn timers_of_zero_and_timers_in_step_all_fire() {
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

/// Twenty thousand tasks of sixteen kilobytes each, most of them never woken.
#[test]
fn many_large_tasks_start_and_end() {
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
