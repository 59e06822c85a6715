//! Threads in `block_on`: which of them works, what they are told of, and how the runtime ends for
//! them.

use std::future::pending;

use futures::StreamExt;
use futures::channel::{mpsc as channel, oneshot};
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::sleep;
use shuttle::sync::mpsc;
use shuttle::thread;

use crate::{Count, Guard, SECOND, check, runtime};

/// One blocks its thread in its future, for what a task and a timer of the other one answer: the
/// other takes the place of the worker, whenever it comes. Then both go on.
#[test]
fn future_that_blocks_leaves_its_place_to_another_thread() {
    check(3_000, || {
        let runtime = runtime(1);
        let (answer, answered) = mpsc::channel();
        let handle = runtime.handle().clone();
        let other = thread::spawn(move || {
            handle.block_on(async {
                let task = rt::spawn(async move {
                    rt::yield_now().await;
                    answer.send(7).unwrap();
                    8
                });
                task.await.unwrap()
            })
        });
        runtime.block_on(async {
            assert_eq!(answered.recv().unwrap(), 7);
            // The place is free again, or the other one's.
            assert_eq!(rt::spawn(async { 9 }).await.unwrap(), 9);
        });
        assert_eq!(other.join().unwrap(), 8);
    });
}

/// Each is woken by the other, while their places change all the time.
#[test]
fn threads_in_block_on_wake_each_other_wherever_they_are_parked() {
    check(3_000, || {
        let runtime = runtime(1);
        let (first, hears_first) = oneshot::channel();
        let (second, hears_second) = oneshot::channel();
        let handle = runtime.handle().clone();
        let other = thread::spawn(move || {
            handle.block_on(async {
                first.send(()).unwrap();
                hears_second.await.unwrap();
                rt::spawn(async {}).await.unwrap();
            });
        });
        runtime.block_on(async {
            hears_first.await.unwrap();
            second.send(()).unwrap();
            rt::yield_now().await;
            sleep(SECOND).await;
        });
        other.join().unwrap();
    });
}

/// Each spawns a task and waits for it, while they hand the only worker to each other: one of them
/// runs it with a spare core.
#[test]
fn tasks_run_while_two_threads_hand_the_worker_to_each_other() {
    check(3_000, || {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let spawn_twice = || async {
            for number in 0..2 {
                let task = rt::spawn(async move {
                    rt::yield_now().await;
                    number
                });
                assert_eq!(task.await.unwrap(), number);
            }
        };
        let other = thread::spawn(move || handle.block_on(spawn_twice()));
        runtime.block_on(spawn_twice());
        other.join().unwrap();
    });
}

/// The owner drops a runtime of several workers while a thread is in `block_on`. The workers that
/// have left must not keep time from moving.
#[test]
fn frozen_time_moves_for_the_last_thread_in_block_on() {
    check(3_000, || {
        let runtime = runtime(2);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let thread = thread::spawn(move || {
            handle.block_on(async move {
                inside.send(()).unwrap();
                sleep(SECOND).await;
                sleep(SECOND).await;
            });
        });
        is_inside.recv().unwrap();
        drop(runtime);
        thread.join().unwrap();
    });
}

/// The owner drops a runtime of two workers while the future of one thread in `block_on` blocks.
/// Two others answer the owner: they run the worker whose thread has ended in turn, and park as
/// that worker or by themselves.
#[test]
fn threads_that_run_an_abandoned_worker_are_woken_wherever_they_are_parked() {
    check(3_000, || {
        let runtime = runtime(2);
        let (release, released) = mpsc::channel::<()>();
        let handle = runtime.handle().clone();
        let blocks = thread::spawn(move || handle.block_on(async { released.recv() }));
        let others = [(); 2].map(|()| {
            let handle = runtime.handle().clone();
            let (ask, mut asked) = channel::unbounded();
            let (answer, answered) = mpsc::channel();
            let thread = thread::spawn(move || {
                handle.block_on(async {
                    while let Some(()) = asked.next().await {
                        answer.send(()).unwrap();
                    }
                });
            });
            (thread, ask, answered)
        });
        drop(runtime);
        for _ in 0..3 {
            for (_, ask, answered) in &others {
                ask.unbounded_send(()).unwrap();
                answered.recv().unwrap();
            }
        }
        for (thread, ask, _) in others {
            drop(ask);
            thread.join().unwrap();
        }
        drop(release);
        let _ = blocks.join().unwrap();
    });
}

/// A thread spawns, and another one is in `block_on`, while the owner ends the runtime. Each task
/// is dropped once, or has run; nobody hangs.
#[test]
fn end_against_a_thread_in_block_on_and_a_spawner() {
    check(3_000, || {
        let (ended, started) = (Count::default(), Count::default());
        let runtime = runtime(2);
        let (spawner, waits) = (runtime.handle().clone(), runtime.handle().clone());
        let (count, counts) = (ended.clone(), started.clone());
        let spawning = thread::spawn(move || {
            for forever in [true, false] {
                let guard = Guard(count.clone());
                counts.add();
                drop(spawner.spawn(async move {
                    let _guard = guard;
                    if forever {
                        pending::<()>().await;
                    }
                }));
            }
        });
        let waiting = thread::spawn(move || {
            waits.block_on(async {
                let task = rt::spawn(async { rt::yield_now().await });
                // Ended by the runtime's end, or by itself.
                let _ = task.await;
            });
        });
        drop(runtime);
        spawning.join().unwrap();
        waiting.join().unwrap();
        assert_eq!(ended.get(), started.get());
    });
}

/// A hook that runs when a worker parks wakes a future, at the last moment that there is.
#[test]
fn what_the_park_hook_wakes_is_not_overslept() {
    for workers in [1, 2] {
        check(2_000, move || {
            let (sender, receiver) = oneshot::channel();
            let sender = std::sync::Mutex::new(Some(sender));
            let builder = Runtime::builder().worker_threads(workers);
            let runtime = builder
                .clock(ManualClock::new())
                .on_thread_park(move || {
                    // Not under the lock, which is of std: another thread may come here meanwhile.
                    let taken = sender.lock().unwrap().take();
                    if let Some(sender) = taken {
                        sender.send(7).unwrap();
                    }
                })
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            let spawning =
                thread::spawn(move || handle.spawn(async move { receiver.await.unwrap() }));
            let task = spawning.join().unwrap();
            assert_eq!(runtime.block_on(task).unwrap(), 7);
        });
    }
}

/// Destructors that wait for timers of the runtime that ends, on whichever thread they run.
#[test]
fn destructors_that_block_on_the_runtime_that_ends_return() {
    struct Waits(rt::Handle, Count);

    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.block_on(sleep(SECOND));
            self.1.add();
        }
    }

    for workers in [1, 2] {
        check(1_000, move || {
            let waited = Count::default();
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let guards = [(); 2].map(|()| Waits(handle.clone(), waited.clone()));
            let spawning = thread::spawn(move || {
                for guard in guards {
                    drop(handle.spawn(async move {
                        let _guard = guard;
                        pending::<()>().await;
                    }));
                }
            });
            spawning.join().unwrap();
            drop(runtime);
            assert_eq!(waited.get(), 2);
        });
    }
}
