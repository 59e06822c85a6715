//! Tests of several threads in `block_on`: which of them is a worker, and where futures are
//! dropped.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use futures::channel::oneshot;
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};

use support::{
    Count, OnDrop, abort, block_on_elsewhere, ms, pending_with, runtime, runtime_on, secs, watched,
};

/// Wakes itself until `stop` is set.
async fn busy(stop: Arc<AtomicBool>) {
    poll_fn(|cx| {
        if stop.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a future that blocks in another thread's `block_on`. Returns a sender; when that is
/// dropped, the future goes on.
fn blocked_in_block_on(runtime: &Runtime) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let (release, released) = mpsc::channel::<()>();
    let blocks = async move {
        let _ = released.recv();
    };
    (release, block_on_elsewhere(runtime.handle(), blocks))
}

/// The second thread polled its own future again and again, and never checked whether there was a
/// worker.
#[test]
fn a_busy_thread_becomes_the_worker_when_the_first_thread_leaves() {
    watched(|| {
        let runtime = runtime(1);
        let (end_first, ended) = oneshot::channel::<()>();
        let first = block_on_elsewhere(runtime.handle(), async {
            let _ = ended.await;
        });

        let (stop, handle) = (Arc::new(AtomicBool::new(false)), runtime.handle().clone());
        let task = {
            let stop = stop.clone();
            runtime.spawn(async move {
                sleep(ms(1)).await;
                stop.store(true, Ordering::Relaxed);
            })
        };
        let second = thread::spawn(move || handle.block_on(busy(stop)));
        drop(end_first);
        first.join().unwrap();
        second.join().unwrap();
        runtime.block_on(task).unwrap();
    });
}

/// The first thread was the only worker, and its future blocked, so no thread fired the timers.
#[test]
fn timers_and_tasks_run_while_the_only_other_future_blocks() {
    watched(|| {
        let runtime = runtime(1);
        let (release, blocked) = blocked_in_block_on(&runtime);
        let start = Instant::now();
        let sum = runtime.block_on(async {
            sleep(ms(5)).await;
            let task = rt::spawn(async {
                sleep(ms(5)).await;
                7
            });
            task.await.unwrap()
        });
        assert_eq!(sum, 7);
        assert!(start.elapsed() >= ms(10));
        drop(release);
        blocked.join().unwrap();
    });
}

/// The second thread waits already when the first thread's future begins to block.
#[test]
fn a_waiting_thread_takes_over_when_the_first_future_blocks() {
    watched(|| {
        let runtime = runtime(1);
        let (waiting, is_waiting) = oneshot::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        let handle = runtime.handle().clone();
        let first = thread::spawn(move || {
            handle.block_on(async move {
                is_waiting.await.unwrap();
                let _ = released.recv();
            });
        });
        let mut waiting = Some(waiting);
        runtime.block_on(async {
            if let Some(waiting) = waiting.take() {
                waiting.send(()).unwrap();
            }
            for _ in 0..10 {
                sleep(ms(1)).await;
                rt::spawn(async { rt::yield_now().await }).await.unwrap();
            }
        });
        drop(release);
        first.join().unwrap();
    });
}

/// Tasks that the future woke before it blocked are in the local queue of its core, from which the
/// other thread steals.
#[test]
fn tasks_of_a_future_that_blocks_run_on_the_thread_that_takes_over() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let first = thread::spawn(move || {
            handle.block_on(async move {
                let (sender, receiver) = mpsc::channel();
                for task in 0..20 {
                    let sender = sender.clone();
                    drop(rt::spawn(async move { sender.send(task).unwrap() }));
                }
                inside.send(()).unwrap();
                let mut seen: Vec<_> = (0..20).map(|_| receiver.recv().unwrap()).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..20));
            });
        });
        is_inside.recv().unwrap();
        runtime.block_on(async {
            while !first.is_finished() {
                sleep(ms(1)).await;
            }
        });
        first.join().unwrap();
        // The core was handed back, and the runtime goes on as before.
        assert_eq!(runtime.block_on(rt_spawned()), 7);
    });
}

/// The thread that takes over blocks, too. What its future has spawned lay in a core from which no
/// worker steals.
#[test]
fn tasks_of_a_thread_that_takes_over_and_blocks_run_on_a_third_one() {
    watched(|| {
        let runtime = runtime(1);
        let (release, first) = blocked_in_block_on(&runtime);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let second = thread::spawn(move || {
            handle.block_on(async move {
                let (sender, receiver) = mpsc::channel();
                drop(rt::spawn(async move { sender.send(7).unwrap() }));
                inside.send(()).unwrap();
                assert_eq!(receiver.recv().unwrap(), 7);
            });
        });
        is_inside.recv().unwrap();
        runtime.block_on(async {
            while !second.is_finished() {
                sleep(ms(1)).await;
            }
        });
        second.join().unwrap();
        drop(release);
        first.join().unwrap();
    });
}

async fn rt_spawned() -> u32 {
    rt::spawn(async { 7 }).await.unwrap()
}

/// The thread whose future blocks is running, even if it is no worker: time does not advance.
#[test]
fn frozen_time_stands_still_while_a_future_blocks_that_has_handed_over_its_core() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(1, &clock);
        let (release, blocked) = blocked_in_block_on(&runtime);
        let start = clock.now();
        let (ended, has_ended) = mpsc::channel();
        let handle = runtime.handle().clone();
        let sleeping = thread::spawn(move || {
            handle.block_on(async {
                // A task runs beside the future that blocks, so this thread is the worker.
                rt::spawn(async {}).await.unwrap();
                sleep(secs(1)).await;
                ended.send(()).unwrap();
            });
        });
        for _ in 0..100 {
            thread::yield_now();
            assert!(has_ended.try_recv().is_err());
        }
        assert_eq!(clock.now(), start);
        drop(release);
        has_ended.recv().unwrap();
        blocked.join().unwrap();
        sleeping.join().unwrap();
    });
}

/// It used to be dropped after the thread had left the runtime.
#[test]
fn future_is_dropped_inside_its_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let ran = Count::default();
            let spawned = OnDrop({
                let ran = ran.clone();
                move || {
                    let ran = ran.clone();
                    drop(rt::spawn(async move { ran.add() }));
                }
            });
            runtime.block_on(async move {
                let _spawned = spawned;
                rt::yield_now().await;
            });
            // The future owns `kept`, which is dropped with the future, not when that is ready.
            let ran_too = ran.clone();
            let mut kept = Some(OnDrop(move || {
                let ran = ran_too.clone();
                drop(rt::spawn(async move { ran.add() }));
            }));
            runtime.block_on(poll_fn(move |_| {
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
            runtime.block_on(async {
                while ran.get() < 2 {
                    rt::yield_now().await;
                }
            });
        }
    });
}

#[test]
fn future_that_panics_is_dropped_inside_its_runtime() {
    watched(|| {
        let runtime = runtime(1);
        let inside = Count::default();
        let seen = inside.clone();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async move {
                let _guard = OnDrop(move || {
                    drop(rt::spawn(pending::<()>()));
                    seen.add();
                });
                rt::yield_now().await;
                panic!("on purpose");
            });
        }));
        assert!(result.is_err());
        assert_eq!(inside.get(), 1);
        assert_eq!(runtime.block_on(rt_spawned()), 7);
    });
}

/// The worker counted as lent for ever, and time stood still.
#[test]
fn frozen_time_advances_after_a_future_has_panicked() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(1, &clock);
        let panics = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async { panic!("on purpose") });
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        runtime.block_on(sleep(secs(1)));
    });
}

/// A destructor may wait for the runtime that drops its future: the thread fires timers meanwhile.
#[test]
fn destructor_of_the_future_may_block_on_its_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let mut kept = Some(OnDrop(move || handle.block_on(sleep(ms(2)))));
            let start = Instant::now();
            runtime.block_on(poll_fn(move |_| {
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
            assert!(start.elapsed() >= ms(2));
            assert_eq!(runtime.block_on(rt_spawned()), 7);
        }
    });
}

/// When a task that was aborted is dropped, its destructor waits on the worker that drops it.
#[test]
fn destructor_of_an_aborted_task_may_block_on_its_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let waited = Count::default();
            let counted = waited.clone();
            let task = runtime.spawn(pending_with(move || {
                handle.block_on(async {
                    sleep(ms(2)).await;
                    assert!(timeout(ms(1), pending::<()>()).await.is_err());
                });
                counted.add();
            }));
            runtime.block_on(abort(task));
            assert_eq!(waited.get(), 1);
            assert_eq!(runtime.block_on(rt_spawned()), 7);
        }
    });
}
