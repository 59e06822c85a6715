//! Does the executor hold in any order of its threads' steps?
//!
//! [shuttle] runs each program many times, and says each time at random which thread is next at
//! every lock, atomic and park. Where loom looks at every order of a few steps, this looks at some
//! orders of very many: workers that steal, a runtime that is shut down, tasks that are aborted. It
//! is the executor that ships. Not broken into steps are `async-task` and `crossbeam-deque`, which
//! stay on std: each call of theirs is one step here. The memory is sequentially consistent; what
//! else it may be is loom's business. Time is a `ManualClock`.
//!
//! A package of its own, because some dev-dependencies of the main one do not build with
//! `--cfg shuttle`. From the root of the repository:
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test --release --manifest-path tests/shuttle/Cargo.toml --target-dir target/shuttle
//! ```
//!
//! A failure prints its schedule, and `shuttle::replay` runs it again. `SHUTTLE_ITERATIONS` in the
//! environment multiplies how many orders are tried.
//!
//! [shuttle]: https://docs.rs/shuttle
#![cfg(all(test, shuttle))]

mod abort;
mod block_on;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc as channel, oneshot};
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep};
use shuttle::sync::mpsc;
use shuttle::thread;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `program` in many orders, half of them with few preemptions: some bugs want long stretches.
fn check(iterations: usize, program: impl Fn() + Send + Sync + 'static) {
    let times = std::env::var("SHUTTLE_ITERATIONS");
    let times: usize = times.map_or(1, |times| times.parse().unwrap());
    let program = Arc::new(program);
    let again = program.clone();
    shuttle::check_random(move || program(), iterations * times);
    shuttle::check_pct(move || again(), iterations * times, 3);
}

fn runtime(workers: usize) -> Runtime {
    let builder = Runtime::builder().worker_threads(workers);
    builder.clock(ManualClock::new()).build().unwrap()
}

/// A number that tasks count up, running or dropped. Of std: it is no part of the program.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts when it is dropped.
struct Guard(Count);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add();
    }
}

#[test]
fn tasks_that_spawn_are_stolen_and_all_run() {
    check(20_000, || {
        let ran = Count::default();
        runtime(3).block_on(async {
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let ran = ran.clone();
                    rt::spawn(async move {
                        let inner = ran.clone();
                        let inner = rt::spawn(async move {
                            rt::yield_now().await;
                            inner.add();
                        });
                        rt::yield_now().await;
                        inner.await.unwrap();
                        ran.add();
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(ran.get(), 6);
    });
}

/// The one that was woken lies in the LIFO slot of the worker that the other one blocks, and every
/// other worker is parked, or about to be. Time, which is moved by hand, does not move meanwhile.
#[test]
fn task_in_the_slot_of_a_worker_that_blocks_is_run_by_another() {
    check(5_000, || {
        runtime(2).block_on(async {
            let (message, arrives) = oneshot::channel();
            let (answer, answered) = mpsc::channel();
            let b = rt::spawn(async move {
                arrives.await.unwrap();
                answer.send(()).unwrap();
            });
            let a = rt::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                message.send(()).unwrap();
                answered.recv().unwrap();
                Instant::now()
            });
            let late = rt::spawn(async {
                sleep(Duration::from_secs(2)).await;
                Instant::now()
            });
            let answered = a.await.unwrap();
            b.await.unwrap();
            assert!(late.await.unwrap() >= answered + Duration::from_secs(1));
        });
    });
}

/// The worker puts tasks into its slot and takes them out, while others look at it and take what
/// they find there: each message arrives once, in order.
#[test]
fn tasks_that_pass_through_a_slot_run_once_each_time() {
    const TRIPS: usize = 4;
    check(10_000, || {
        runtime(3).block_on(async {
            let (there, mut arrives) = channel::unbounded();
            let (back, mut returns) = channel::unbounded();
            let answers = rt::spawn(async move {
                while let Some(message) = arrives.next().await {
                    let _ = back.unbounded_send(message);
                }
            });
            for trip in 0..TRIPS {
                there.unbounded_send(trip).unwrap();
                let (sender, trips) = (there.clone(), trip);
                let asks = rt::spawn(async move {
                    sender.unbounded_send(trips + TRIPS).unwrap();
                    assert_eq!(returns.next().await, Some(trips));
                    assert_eq!(returns.next().await, Some(trips + TRIPS));
                    returns
                });
                returns = asks.await.unwrap();
            }
            drop(there);
            answers.await.unwrap();
            assert_eq!(returns.next().await, None);
        });
    });
}

#[test]
fn pushes_from_outside_find_a_worker() {
    check(20_000, || {
        let runtime = runtime(2);
        let handle = runtime.handle().clone();
        let (sender, receiver) = oneshot::channel();
        let stranger = thread::spawn(move || {
            let first = handle.spawn(async { 1 });
            let second = handle.spawn(async move { first.await.unwrap() + 1 });
            drop(handle.spawn(async move { sender.send(second.await.unwrap()) }));
        });
        assert_eq!(runtime.block_on(receiver), Ok(2));
        stranger.join().unwrap();
    });
}

/// While the last worker that searches gets ready to park, nobody is woken for what is pushed: it
/// finds that, takes one task, and has to wake another worker for the next.
#[test]
fn what_the_last_searcher_finds_when_it_parks_is_not_for_it_alone() {
    check(20_000, || {
        let runtime = runtime(3);
        let (there, arrives) = mpsc::channel();
        let (back, returns) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        drop(runtime.spawn(async move {
            there.send(()).unwrap();
            returns.recv().unwrap();
            done.send(()).unwrap();
        }));
        drop(runtime.spawn(async move {
            arrives.recv().unwrap();
            back.send(()).unwrap();
        }));
        // Not in `block_on`, where this thread would look for tasks.
        ended.recv().unwrap();
    });
}

#[test]
fn timers_move_time_on_however_the_workers_lie_down() {
    check(10_000, || {
        let runtime = runtime(2);
        let timers = runtime.handle().timers();
        let start = timers.now();
        let stranger = thread::spawn({
            let handle = runtime.handle().clone();
            move || {
                let timers = handle.timers();
                drop(handle.spawn(timers.sleep(Duration::from_secs(2))));
            }
        });
        runtime.block_on(async {
            let task = rt::spawn(async { sleep(Duration::from_secs(3)).await });
            sleep(Duration::from_secs(1)).await;
            task.await.unwrap();
        });
        assert!(timers.now() >= start + Duration::from_secs(3));
        stranger.join().unwrap();
    });
}

/// Each task counts once that it is gone, whatever state it was in.
#[test]
fn abort_at_any_moment_drops_the_task_once() {
    check(20_000, || {
        let dropped = Count::default();
        let runtime = runtime(2);
        let guard = Guard(dropped.clone());
        let task = runtime.spawn(async move {
            let _guard = guard;
            rt::yield_now().await;
            sleep(Duration::from_secs(1)).await;
            rt::yield_now().await;
            7
        });
        let task = thread::spawn(move || {
            task.abort();
            task
        });
        runtime.block_on(rt::yield_now());
        let task = task.join().unwrap();
        let result = runtime.block_on(task);
        assert!(result.map_or_else(|error| error.is_cancelled(), |output| output == 7));
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn local_task_is_woken_and_aborted_from_elsewhere() {
    check(10_000, || {
        let runtime = runtime(2);
        runtime.block_on(async {
            let (sender, receiver) = oneshot::channel();
            let waits = rt::spawn_local(receiver);
            let aborted = rt::spawn_local(pending::<()>());
            let thread = thread::spawn(move || {
                aborted.abort();
                sender.send(7).unwrap();
                aborted
            });
            assert_eq!(waits.await.unwrap(), Ok(7));
            let aborted = thread.join().unwrap();
            assert!(aborted.await.unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn shutdown_at_any_moment_drops_every_task_once() {
    check(20_000, || {
        let (spawned, dropped) = (Count::default(), Count::default());
        let runtime = runtime(2);
        let stranger = thread::spawn({
            let handle = runtime.handle().clone();
            let (spawned, dropped) = (spawned.clone(), dropped.clone());
            move || {
                for _ in 0..3 {
                    spawned.add();
                    let guard = Guard(dropped.clone());
                    drop(handle.spawn(async move {
                        let _guard = guard;
                        rt::yield_now().await;
                        pending::<()>().await;
                    }));
                }
            }
        });
        runtime.block_on(rt::yield_now());
        drop(runtime);
        stranger.join().unwrap();
        assert_eq!(spawned.get(), dropped.get());
    });
}

#[test]
fn shutdown_while_another_thread_is_in_block_on_ends_all_the_same() {
    check(20_000, || {
        let dropped = Count::default();
        let runtime = runtime(2);
        let handle = runtime.handle().clone();
        let guard = Guard(dropped.clone());
        let inside = thread::spawn(move || {
            handle.block_on(async move {
                let task = rt::spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                rt::yield_now().await;
                task.await.unwrap_err().is_cancelled()
            })
        });
        drop(runtime);
        assert!(inside.join().unwrap());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn core_is_handed_on_among_threads_in_block_on() {
    check(10_000, || {
        let runtime = Arc::new(runtime(1));
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let runtime = runtime.clone();
                thread::spawn(move || {
                    runtime.block_on(async move {
                        let task = rt::spawn(async move {
                            rt::yield_now().await;
                            n
                        });
                        let local = rt::spawn_local(async move { n });
                        task.await.unwrap() + local.await.unwrap()
                    })
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), 2 * n);
        }
    });
}
