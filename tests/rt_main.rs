//! Tests of a main future or a task that blocks its thread.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::sync::mpsc;
use std::time::Duration;

use reveille::rt;
use reveille::time::{Instant, sleep};

use support::{ms, runtime, watched};

/// Spawns so many tasks, and blocks this thread until all have run.
fn spawn_and_block(count: u32) {
    let (sender, receiver) = mpsc::channel();
    for task in 0..count {
        let sender = sender.clone();
        drop(rt::spawn(async move { sender.send(task).unwrap() }));
    }
    let mut seen: Vec<_> = (0..count).map(|_| receiver.recv().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..count));
}

/// A main future ported from other programs may block: no task that it woke may be kept from the
/// other workers, even the one in the LIFO slot.
#[test]
fn other_workers_run_what_a_blocking_main_future_has_spawned() {
    watched(|| {
        let runtime = runtime(2);
        for count in 1..20 {
            runtime.block_on(async { spawn_and_block(count) });
        }
    });
}

/// As in Go's `BenchmarkParallelTimerLatency`, which spins: the first task that was spawned stayed
/// in the LIFO slot, from which no worker stole.
#[test]
fn other_workers_run_what_a_blocking_task_has_spawned() {
    watched(|| {
        let runtime = runtime(2);
        for count in 1..20 {
            let blocks = runtime.spawn(async move {
                spawn_and_block(count);
            });
            runtime.block_on(blocks).unwrap();
        }
    });
}

#[test]
fn other_workers_fire_the_timers_of_a_blocking_main_future() {
    watched(|| {
        let runtime = runtime(2);
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel();
            // Armed on this worker, by its first poll here.
            let mut armed = sleep(ms(3));
            assert!(futures::poll!(&mut armed).is_pending());
            let deadline = armed.deadline();
            drop(rt::spawn(async move {
                armed.await;
                sender.send(Instant::now()).unwrap();
            }));
            assert!(receiver.recv().unwrap() >= deadline);
        });
    });
}

#[test]
fn a_main_future_on_many_threads_at_once_gets_its_timers_and_tasks() {
    watched(|| {
        for workers in [1, 2, 3] {
            let runtime = runtime(workers);
            std::thread::scope(|scope| {
                for thread in 0..8u64 {
                    let runtime = &runtime;
                    scope.spawn(move || {
                        for round in 0..20 {
                            let wait = Duration::from_micros((thread * 7 + round) % 5 * 100);
                            let answer = runtime.block_on(async {
                                sleep(wait).await;
                                let far = rt::spawn(async move {
                                    sleep(wait).await;
                                    thread
                                });
                                let near = rt::spawn_local(async move {
                                    sleep(wait).await;
                                    round
                                });
                                (far.await.unwrap(), near.await.unwrap())
                            });
                            assert_eq!(answer, (thread, round));
                        }
                    });
                }
            });
        }
    });
}
