//! Tests of destructors that call `block_on` on the runtime that drops their future: the worker
//! that waits in one runs no tasks, and keeps none from the others.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::pending;
use std::sync::mpsc;
use std::thread;

use futures::StreamExt;
use futures::channel::{mpsc as channel, oneshot};
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep};

use support::{Count, OnDrop, ms, runtime, watched};

/// Has the worker that is a thread of its own drop a future, in a runtime of two workers whose
/// first one is not run. Returns when `destructor` has begun.
fn drop_on_the_second_worker(runtime: &Runtime, destructor: impl FnOnce() + Send + 'static) {
    let (begun, has_begun) = mpsc::channel();
    let mut destructor = Some(destructor);
    let guard = OnDrop(move || {
        begun.send(()).unwrap();
        if let Some(destructor) = destructor.take() {
            destructor();
        }
    });
    let task = runtime.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    task.abort();
    has_begun.recv().unwrap();
}

/// The worker that waits in a destructor was unparked for each push, and parked again without a
/// look at any queue.
#[test]
fn worker_that_waits_in_a_destructor_passes_notifications_on() {
    watched(|| {
        let runtime = runtime(2);
        let (answer, mut answers) = channel::unbounded::<()>();
        let (answered, is_answered) = mpsc::channel();
        let handle = runtime.handle().clone();
        drop_on_the_second_worker(&runtime, move || {
            handle.block_on(async {
                while answers.next().await.is_some() {
                    answered.send(()).unwrap();
                }
            });
        });
        let (end, ends) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let external = thread::spawn(move || {
            for _ in 0..100 {
                // The second worker parks last, so that it is the first to be unparked.
                answer.unbounded_send(()).unwrap();
                is_answered.recv().unwrap();
                let (ran, has_run) = mpsc::channel();
                drop(handle.spawn(async move { ran.send(()).unwrap() }));
                has_run.recv().unwrap();
            }
            end.send(()).unwrap();
        });
        runtime.block_on(ends).unwrap();
        external.join().unwrap();
    });
}

/// Both workers were parked then, which ended the looks at the slots.
#[test]
fn task_in_the_slot_of_a_worker_that_waits_for_it_in_a_destructor_runs() {
    watched(|| {
        let runtime = runtime(2);
        let (wake, woken) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel::<()>();
        drop(runtime.spawn(async move {
            woken.await.unwrap();
            done.send(()).unwrap();
        }));
        let (start, starts) = mpsc::channel::<()>();
        let (ended, has_ended) = oneshot::channel();
        let handle = runtime.handle().clone();
        drop_on_the_second_worker(&runtime, move || {
            starts.recv().unwrap();
            wake.send(()).unwrap();
            handle.block_on(is_done).unwrap();
            ended.send(()).unwrap();
        });
        runtime.block_on(async {
            start.send(()).unwrap();
            has_ended.await.unwrap();
        });
    });
}

/// A future that is spawned when the runtime ends is dropped at once, by the future that spawns it.
#[test]
fn destructor_of_a_future_that_is_spawned_too_late_may_block_on() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let waited = Count::default();
            let (inner, count) = (handle.clone(), waited.clone());
            let guard = OnDrop(move || {
                let start = Instant::now();
                inner.block_on(sleep(ms(2)));
                assert!(start.elapsed() >= ms(2));
                count.add();
            });
            handle.block_on(async move {
                drop(runtime);
                let task = rt::spawn(async move {
                    let _guard = guard;
                });
                assert!(task.await.unwrap_err().is_cancelled());
            });
            assert_eq!(waited.get(), 1);
        }
    });
}
