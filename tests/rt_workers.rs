//! Tests of a runtime of several workers: its threads, hooks, spawning, local tasks and `block_on`.

#![cfg(all(not(loom), feature = "rt"))]
#![allow(
    clippy::async_yields_async,
    reason = "a task hands out the handle of one that it has spawned"
)]

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use futures::channel::oneshot;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, sleep_until};

use support::{Count, Log, block_on_elsewhere, ms, runtime, watched};

/// Runs a task on each of the runtime's workers at the same time. Returns the ids of their threads.
fn threads_of(runtime: &Runtime, workers: usize) -> HashSet<thread::ThreadId> {
    let barrier = Arc::new(Barrier::new(workers));
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let barrier = barrier.clone();
            runtime.spawn(async move {
                barrier.wait();
                thread::current().id()
            })
        })
        .collect();
    runtime.block_on(async {
        let mut threads = HashSet::new();
        for task in tasks {
            threads.insert(task.await.unwrap());
        }
        threads
    })
}

/// Each task waits until all have begun, so fewer threads would not do.
#[test]
fn there_are_as_many_workers_as_configured_and_the_caller_is_one() {
    watched(|| {
        for workers in [1, 2, 3, 8, 20] {
            let runtime = runtime(workers);
            let threads = threads_of(&runtime, workers);
            assert_eq!(threads.len(), workers);
            assert!(threads.contains(&thread::current().id()));
        }
    });
}

#[test]
fn zero_workers_count_as_one() {
    watched(|| {
        let runtime = runtime(0);
        let task = runtime.spawn(async { thread::current().id() });
        assert_eq!(runtime.block_on(task).unwrap(), thread::current().id());
    });
}

#[test]
fn threads_have_the_configured_name() {
    watched(|| {
        let names = Log::new();
        let seen = names.clone();
        let runtime = Runtime::builder()
            .worker_threads(4)
            .thread_name("by-name")
            .on_thread_start(move || seen.push(thread::current().name().map(str::to_owned)))
            .build()
            .unwrap();
        drop(runtime);
        assert_eq!(names.take(), vec![Some("by-name".to_owned()); 3]);
    });
}

#[test]
fn hooks_are_called_once_for_each_thread_and_in_pairs_for_each_park() {
    watched(|| {
        for workers in [1, 2, 5] {
            let counts: [Count; 4] = Default::default();
            let [start, stop, park, unpark] = counts.clone().map(|count| move || count.add());
            let runtime = Runtime::builder()
                .worker_threads(workers)
                .on_thread_start(start)
                .on_thread_stop(stop)
                .on_thread_park(park)
                .on_thread_unpark(unpark)
                .build()
                .unwrap();
            runtime.block_on(async {
                // On a busy machine the time may be up before any worker could park.
                while counts[2].get() == 0 {
                    sleep(ms(1)).await;
                }
            });
            drop(runtime);
            let [start, stop, park, unpark] = counts.map(|count| count.get());
            assert_eq!((start, stop), (workers - 1, workers - 1));
            assert!(
                park >= 1 && park == unpark,
                "{park} parks, {unpark} unparks"
            );
        }
    });
}

/// From a task, the main future, external threads, and another runtime.
#[test]
fn tasks_may_be_spawned_from_anywhere() {
    watched(|| {
        for workers in [1, 2, 4] {
            let (here, other) = (runtime(workers), runtime(workers));
            let ran = Count::default();
            let add = |count: &Count| {
                let count = count.clone();
                async move { count.add() }
            };
            let outside = here.spawn(add(&ran));
            let (handle, count) = (here.handle().clone(), ran.clone());
            let external = thread::spawn(move || {
                let _entered = handle.enter();
                [handle.spawn(add(&count)), rt::spawn(add(&count))]
            });
            let externals = external.join().unwrap();
            let (handle, count) = (here.handle().clone(), ran.clone());
            let foreign = other.block_on(async move {
                let (task, count) = (handle.spawn(add(&count)), count.clone());
                let inner = rt::spawn(async move { handle.spawn(add(&count)) });
                [task, inner.await.unwrap()]
            });
            let count = ran.clone();
            here.block_on(async {
                let main = rt::spawn(add(&count));
                let inner = rt::spawn(async move { rt::spawn(add(&count)) });
                let inner = inner.await.unwrap();
                let tasks = externals.into_iter().chain(foreign);
                for task in tasks.chain([outside, main, inner]) {
                    task.await.unwrap();
                }
            });
            assert_eq!(ran.get(), 7);
        }
    });
}

/// The task is woken from everywhere, and must never be polled on another thread.
#[test]
fn a_local_task_stays_on_its_thread_whichever_thread_wakes_it() {
    watched(|| {
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            let local = async move {
                let home = thread::current().id();
                let shared = Rc::new(Cell::new(0));
                let inside = shared.clone();
                let task = rt::spawn_local(async move {
                    for round in 0..50 {
                        let (sender, receiver) = oneshot::channel();
                        match round % 3 {
                            0 => drop(rt::spawn(async move { sender.send(()).unwrap() })),
                            1 => drop(thread::spawn(move || sender.send(()).unwrap())),
                            _ => drop(rt::spawn_local(async move { sender.send(()).unwrap() })),
                        }
                        receiver.await.unwrap();
                        rt::yield_now().await;
                        assert_eq!(thread::current().id(), home);
                        inside.set(inside.get() + 1);
                    }
                });
                (task, shared)
            };
            runtime.block_on(async {
                let (task, shared) = local.await;
                task.await.unwrap();
                assert_eq!(shared.get(), 50);
                // The same for a local task of a worker's task.
                rt::spawn(async {
                    let home = thread::current().id();
                    rt::spawn_local(async move {
                        for _ in 0..50 {
                            sleep(std::time::Duration::from_micros(10)).await;
                            assert_eq!(thread::current().id(), home);
                        }
                    })
                })
                .await
                .unwrap()
                .await
                .unwrap();
            });
        }
    });
}

/// The core is handed over: the remaining threads run the tasks.
#[test]
fn threads_in_block_on_take_turns_as_the_worker() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = Arc::new(runtime(workers));
            let threads: Vec<_> = (0..6)
                .map(|n| {
                    let runtime = runtime.clone();
                    thread::spawn(move || {
                        for round in 0..20 {
                            let sum = runtime.block_on(async move {
                                let local = Rc::new(n);
                                let task = rt::spawn(async move {
                                    rt::yield_now().await;
                                    sleep(std::time::Duration::from_micros(50)).await;
                                    round
                                });
                                let local = rt::spawn_local(async move {
                                    rt::yield_now().await;
                                    *local
                                });
                                task.await.unwrap() + local.await.unwrap()
                            });
                            assert_eq!(sum, n + round);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
    });
}

/// The thread that has the core leaves, while the others wait for tasks that only its successor can
/// run.
#[test]
fn the_successor_runs_tasks_that_the_first_thread_has_left() {
    watched(|| {
        for _ in 0..100 {
            let runtime = runtime(1);
            let (leave, left) = oneshot::channel();
            let first = block_on_elsewhere(runtime.handle(), async {
                left.await.unwrap();
                // This thread has never run it.
                rt::spawn(async { 7 })
            });
            let task = runtime.block_on(async {
                leave.send(()).unwrap();
                rt::spawn(async { sleep(ms(1)).await }).await.unwrap();
                first.join().unwrap().await.unwrap()
            });
            assert_eq!(task, 7);
        }
    });
}

#[test]
fn a_wake_after_the_end_of_block_on_has_no_effect() {
    watched(|| {
        let runtime = runtime(2);
        let waker = runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        waker.wake_by_ref();
        assert_eq!(runtime.block_on(async { 7 }), 7);
        let local = runtime.block_on(async {
            let task = rt::spawn_local(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
            task.await.unwrap()
        });
        local.wake();
        drop(runtime);
        waker.wake();
    });
}

#[test]
fn the_handle_of_a_local_task_returns_its_panic() {
    watched(|| {
        let runtime = runtime(2);
        runtime.block_on(async {
            let task = rt::spawn_local(async { panic!("by design") });
            let error = task.await.map(|(): ()| ()).unwrap_err();
            assert_eq!(error.to_string(), "task panicked: by design");
            // No future awaits this one, and the worker survives its panic.
            drop(rt::spawn(async { panic!("by design") }));
            rt::spawn(async {}).await.unwrap();
        });
        assert_eq!(threads_of(&runtime, 2).len(), 2);
    });
}

/// If a worker ended with the panic, wake-ups meant for it would be lost.
#[test]
fn a_hook_that_panics_ends_no_worker() {
    watched(|| {
        fn hook(count: &Count) -> impl Fn() + Send + Sync + 'static {
            let count = count.clone();
            move || {
                count.add();
                panic!("by design");
            }
        }
        let called = Count::default();
        let runtime = Runtime::builder()
            .worker_threads(3)
            .on_thread_start(hook(&called))
            .on_thread_park(hook(&called))
            .on_thread_unpark(hook(&called))
            .on_thread_stop(hook(&called))
            .build()
            .unwrap();
        for _ in 0..10 {
            assert_eq!(threads_of(&runtime, 3).len(), 3);
            runtime.block_on(async { sleep(ms(1)).await });
        }
        drop(runtime);
        assert!(called.get() > 4);
    });
}

/// Wakers that wake no task leave the worker nothing to run between two batches of timers: it
/// parked there, for a slack each time.
#[test]
fn a_storm_that_wakes_no_task_fires_without_parking_in_between() {
    watched(|| {
        let parks = Count::default();
        let count = parks.clone();
        let runtime = Runtime::builder()
            .worker_threads(1)
            .on_thread_park(move || count.add())
            .build()
            .unwrap();
        runtime.block_on(async {
            let due = Instant::now() + ms(200);
            let mut cx = Context::from_waker(Waker::noop());
            let mut sleeps: Vec<_> = (0..30_000).map(|_| sleep_until(due)).collect();
            for sleep in &mut sleeps {
                // Ready only if this machine is so slow that its deadline has passed.
                let _ = Pin::new(sleep).poll(&mut cx);
            }
            // The last of the timers.
            sleep_until(due).await;
        });
        // One for the wait, and a few in case the system ends it early.
        assert!(parks.get() < 8, "{} parks", parks.get());
    });
}

/// The standard library panics if a thread is to be started with such a name.
#[test]
fn name_of_threads_with_a_nul_is_an_error_that_names_it() {
    let builder = Runtime::builder().thread_name("a\0b");
    for workers in [1, 2] {
        let error = builder.clone().worker_threads(workers).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(r#""a\0b""#), "{error}");
    }
}
