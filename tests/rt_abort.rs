//! What becomes of a task that is aborted, in whatever state?

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use reveille::rt;
use reveille::time::sleep;

use support::{ms, runtime, watched};

#[test]
fn abort_before_the_first_poll_drops_the_future_unpolled() {
    watched(|| {
        for workers in [1, 4] {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let polled = Rc::new(Cell::new(false));
                let inside = polled.clone();
                let local = rt::spawn_local(async move { inside.set(true) });
                local.abort();
                local.abort();
                assert!(local.await.unwrap_err().is_cancelled());
                assert!(!polled.get());
                assert_eq!(Rc::strong_count(&polled), 1);
            });
        }
    });
}

#[test]
fn abort_while_it_waits_ends_the_task_and_its_timers() {
    watched(|| {
        for workers in [1, 4] {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let handle = rt::Handle::current();
                let tasks = (0..100).map(|_| rt::spawn(sleep(ms(3_600_000))));
                let tasks: Vec<_> = tasks.collect();
                while handle.armed() < 100 {
                    rt::yield_now().await;
                }
                for task in &tasks {
                    task.abort();
                }
                for task in tasks {
                    assert!(task.await.unwrap_err().is_cancelled());
                }
                assert_eq!(handle.armed(), 0);
            });
        }
    });
}

/// Its last poll goes on, and may still be the one that makes it ready.
#[test]
fn abort_while_it_runs_ends_the_task_unless_that_poll_is_its_last() {
    watched(|| {
        for ends in [false, true] {
            let runtime = runtime(2);
            let (running, is_running) = mpsc::channel();
            let (go, gone) = mpsc::channel::<()>();
            let task = runtime.spawn(async move {
                running.send(()).unwrap();
                let _ = gone.recv();
                if !ends {
                    pending::<()>().await;
                }
                7
            });
            is_running.recv().unwrap();
            task.abort();
            assert!(!task.is_finished());
            drop(go);
            let result = runtime.block_on(task);
            assert_eq!(result.ok(), ends.then_some(7));
        }
    });
}

#[test]
fn abort_after_the_end_leaves_the_output_and_strikes_nobody_else() {
    watched(|| {
        rt::block_on(async {
            let task = rt::spawn(async { 7 });
            rt::yield_now().await;
            assert!(task.is_finished());
            // In the place of the one that has ended.
            let other = rt::spawn(async {
                rt::yield_now().await;
                8
            });
            task.abort();
            assert_eq!((task.await.unwrap(), other.await.unwrap()), (7, 8));
        });
    });
}

#[test]
fn local_task_aborted_by_another_thread_is_dropped_on_its_own() {
    watched(|| {
        for workers in [1, 3] {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let home = thread::current().id();
                let guard = support::OnDrop(move || assert_eq!(thread::current().id(), home));
                let task = rt::spawn_local(async move {
                    let _guard = (guard, Rc::new(()));
                    pending::<()>().await;
                });
                rt::yield_now().await;
                let task = thread::spawn(move || {
                    task.abort();
                    task
                });
                // Nothing else wakes this thread.
                assert!(task.join().unwrap().await.unwrap_err().is_cancelled());
            });
        }
    });
}
