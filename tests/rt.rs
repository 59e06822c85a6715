//! Tests of the executor: tasks, their handles, fairness, and when their timers fire.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::{Instant, sleep, timeout};
use reveille::{Clock, ManualClock};

use support::{Count, Log, OnDrop, ms, panic_of, secs, watched};

/// Returns a runtime of one worker, which is the thread in `block_on`.
fn single() -> Runtime {
    Runtime::builder().worker_threads(1).build().unwrap()
}

/// The same on a given clock.
fn single_on(clock: impl Into<Clock>) -> Runtime {
    let builder = Runtime::builder().worker_threads(1).clock(clock);
    builder.build().unwrap()
}

/// Is never ready, and counts when it is dropped.
async fn counted(dropped: Count) {
    let _guard = OnDrop(|| dropped.add());
    pending::<()>().await;
}

#[test]
fn task_yields_its_output() {
    watched(|| {
        rt::block_on(async {
            let send = rt::spawn(async { String::from("sent") });
            let local = Rc::new(Cell::new(1));
            let inside = local.clone();
            let unsend = rt::spawn_local(async move { inside.replace(2) });
            assert_eq!(send.await.unwrap(), "sent");
            assert_eq!((unsend.await.unwrap(), local.get()), (1, 2));
        });
    });
}

#[test]
fn the_handle_of_a_task_returns_its_panic() {
    watched(|| {
        rt::block_on(async {
            let bad = rt::spawn(async { panic!("by {}", String::from("design")) });
            let good = rt::spawn(async { 7 });
            let error: rt::JoinError = bad.await.map(|(): ()| ()).unwrap_err();
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(error.to_string(), "task panicked: by design");
            let payload = error.try_into_panic().unwrap();
            assert_eq!(payload.downcast_ref::<String>().unwrap(), "by design");
            assert_eq!(good.await.unwrap(), 7);
        });
    });
}

#[test]
fn a_panic_of_the_main_future_reaches_the_caller_and_the_runtime_goes_on() {
    watched(|| {
        let runtime = single();
        let task = runtime.spawn(async { 7 });
        let main = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { panic!("by design") })
        }));
        assert!(main.is_err());
        assert_eq!(runtime.block_on(task).unwrap(), 7);
    });
}

#[test]
fn a_task_goes_on_when_its_handle_is_dropped() {
    watched(|| {
        let (sender, receiver) = oneshot::channel();
        rt::block_on(async {
            drop(rt::spawn(async move {
                rt::yield_now().await;
                sender.send(7).unwrap();
            }));
            assert_eq!(receiver.await, Ok(7));
        });
    });
}

#[test]
fn tasks_stay_between_two_runs() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = single_on(&clock);
        let task = runtime.spawn(async { sleep(ms(5)).await });
        runtime.block_on(async { rt::yield_now().await });
        assert!(!task.is_finished());
        assert_eq!(runtime.handle().armed(), 1);
        runtime.block_on(task).unwrap();
        assert_eq!(runtime.handle().armed(), 0);
    });
}

#[test]
fn dropped_runtime_drops_each_task_once_and_cancels_its_timers() {
    watched(|| {
        let dropped = Count::default();
        let runtime = single();
        let handle = runtime.handle().clone();
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        runtime.block_on(async {
            for _ in 0..10 {
                tasks.push(rt::spawn(counted(dropped.clone())));
                let dropped = dropped.clone();
                tasks.push(rt::spawn(async move {
                    let _guard = OnDrop(|| dropped.add());
                    sleep(secs(3600)).await;
                }));
            }
            while handle.armed() < 10 {
                rt::yield_now().await;
            }
        });
        // This task has never run.
        tasks.push(runtime.spawn(counted(dropped.clone())));
        assert_eq!((dropped.get(), handle.armed()), (0, 10));
        drop(runtime);
        assert_eq!(handle.armed(), 0);
        assert_eq!(dropped.get(), 20, "the tasks that have run");
        for task in tasks {
            assert!(task.is_finished());
            assert!(rt::block_on(task).unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn local_tasks_end_with_the_call_that_they_were_spawned_in() {
    watched(|| {
        let dropped = Count::default();
        let runtime = single();
        let mut tasks = Vec::new();
        runtime.block_on(async {
            let dropped = dropped.clone();
            tasks.push(rt::spawn_local(async move {
                let _guard = OnDrop(|| dropped.add());
                sleep(secs(3600)).await;
            }));
            rt::yield_now().await;
        });
        let task = tasks.pop().unwrap();
        assert_eq!((dropped.get(), runtime.handle().armed()), (1, 0));
        assert!(task.is_finished());
        assert!(runtime.block_on(task).unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_spawned_by_a_dropped_task_is_dropped_too() {
    watched(|| {
        let dropped = Count::default();
        let count = dropped.clone();
        let runtime = single();
        drop(runtime.spawn(async move {
            let _guard = OnDrop(|| {
                let guard = OnDrop({
                    let count = count.clone();
                    move || count.add()
                });
                drop(rt::spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                }));
            });
            pending::<()>().await;
        }));
        runtime.block_on(rt::yield_now());
        drop(runtime);
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn spawn_without_a_runtime_panics() {
    let spawn = || drop(rt::spawn(async {}));
    let spawn_local = || drop(rt::spawn_local(async {}));
    for (message, file) in [panic_of(spawn), panic_of(spawn_local)] {
        assert!(message.contains("rt::block_on"), "{message}");
        assert_eq!(file, file!());
    }
}

#[test]
fn tasks_that_yield_take_turns() {
    watched(|| {
        let log = Log::new();
        let seen = log.clone();
        rt::block_on(async move {
            let tasks: Vec<_> = (0..3)
                .map(|task| {
                    let log = seen.clone();
                    rt::spawn(async move {
                        for round in 0..100 {
                            log.push((round, task));
                            rt::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let turns = (0..100).flat_map(|round| (0..3).map(move |task| (round, task)));
        assert!(log.take().into_iter().eq(turns));
    });
}

#[test]
fn a_main_future_and_tasks_that_yield_do_not_starve_each_other() {
    watched(|| {
        rt::block_on(async {
            let ran = Count::default();
            let count = ran.clone();
            drop(rt::spawn(async move {
                loop {
                    count.add();
                    rt::yield_now().await;
                }
            }));
            for turn in 0..1000 {
                assert!(ran.get() >= turn);
                rt::yield_now().await;
            }
        });
    });
}

/// A loop that is never idle never parks, so the turn between two batches must fire the timer.
#[test]
fn a_sleep_ends_beside_tasks_that_never_wait() {
    watched(|| {
        rt::block_on(async {
            for _ in 0..200 {
                drop(rt::spawn(async {
                    loop {
                        rt::yield_now().await;
                    }
                }));
            }
            let start = Instant::now();
            sleep(ms(3)).await;
            assert!(start.elapsed() >= ms(3));
            rt::spawn(sleep(ms(3))).await.unwrap();
            let busy = poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            assert!(timeout(ms(3), busy).await.is_err());
        });
    });
}

#[test]
fn timers_wake_their_tasks_in_order_of_deadline() {
    watched(|| {
        let log = Log::new();
        let seen = log.clone();
        single_on(ManualClock::new()).block_on(async move {
            let tasks: Vec<_> = (0..100)
                .map(|task| {
                    let log = seen.clone();
                    rt::spawn(async move {
                        sleep(Duration::from_micros(task * 37 % 101)).await;
                        log.push(task * 37 % 101);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(log.take().is_sorted());
    });
}

#[test]
fn wake_from_another_thread_ends_the_park() {
    watched(|| {
        let runtime = single();
        for _ in 0..200 {
            let (sender, receiver) = oneshot::channel();
            let (parked, go) = mpsc::channel();
            let thread = thread::spawn(move || {
                go.recv().unwrap();
                sender.send(7).unwrap();
            });
            let task = runtime.spawn(async move {
                parked.send(()).unwrap();
                receiver.await
            });
            assert_eq!(runtime.block_on(task).unwrap(), Ok(7));
            thread.join().unwrap();
        }
    });
}

#[test]
fn runtimes_nest() {
    watched(|| {
        rt::block_on(async {
            let outer = rt::spawn(async { 1 });
            let inner = rt::block_on(async {
                sleep(ms(1)).await;
                rt::spawn(async {
                    sleep(ms(1)).await;
                    2
                })
                .await
                .unwrap()
            });
            assert!(!outer.is_finished(), "it has not been polled");
            sleep(ms(1)).await;
            assert_eq!((outer.await.unwrap(), inner), (1, 2));
        });
    });
}

#[test]
fn a_task_of_the_inner_runtime_wakes_the_outer_one() {
    watched(|| {
        let (sender, receiver) = oneshot::channel();
        rt::block_on(async {
            let waits = rt::spawn(receiver);
            rt::yield_now().await;
            rt::block_on(async {
                sleep(ms(1)).await;
                sender.send(7).unwrap();
            });
            assert_eq!(waits.await.unwrap(), Ok(7));
        });
    });
}

#[test]
fn runtimes_on_several_threads_share_a_manual_clock() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let threads: Vec<_> = (1..=4)
            .map(|hours| {
                let clock = clock.clone();
                thread::spawn(move || {
                    single_on(&clock).block_on(async {
                        for round in 1..=100 {
                            let wake = Instant::now() + secs(3600 * hours);
                            sleep(secs(3600 * hours)).await;
                            assert!(Instant::now() >= wake, "round {round}");
                        }
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(clock.now() >= start + secs(3600 * 400));
    });
}
