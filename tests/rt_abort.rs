//! Tests of aborting a task, in whatever state it is.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures::future::join_all;
use reveille::rt::{self, AbortHandle};
use reveille::time::sleep;

use support::{OnDrop, ms, runtime, watched};

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

/// The poll that is running goes on, and may still be the one that makes the task ready.
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
fn abort_after_the_end_keeps_the_output_and_aborts_no_other_task() {
    watched(|| {
        rt::block_on(async {
            let task = rt::spawn(async { 7 });
            rt::yield_now().await;
            assert!(task.is_finished());
            // This task has the slot of the one that has ended.
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
fn a_local_task_aborted_by_another_thread_is_dropped_on_its_own_thread() {
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
                // No other event unparks this thread.
                assert!(task.join().unwrap().await.unwrap_err().is_cancelled());
            });
        }
    });
}

/// A list with one handle for each task, whatever their outputs.
#[test]
fn abort_handles_of_several_types_end_their_tasks_from_any_thread() {
    watched(|| {
        for workers in [1, 3] {
            runtime(workers).block_on(async {
                let kept = Arc::new(());
                let (one, two) = (kept.clone(), kept.clone());
                let numbers = rt::spawn(async move {
                    let _kept = one;
                    pending::<u32>().await
                });
                let texts = rt::spawn(async move {
                    let _kept = two;
                    pending::<String>().await
                });
                let handles = [numbers.abort_handle(), texts.abort_handle()];
                let copies = handles.clone();
                assert!(!handles.iter().any(AbortHandle::is_finished));
                let aborts = thread::spawn(move || handles.iter().for_each(AbortHandle::abort));
                assert!(numbers.await.unwrap_err().is_cancelled());
                assert!(texts.await.unwrap_err().is_cancelled());
                aborts.join().unwrap();
                assert!(copies.iter().all(AbortHandle::is_finished));
                assert_eq!(Arc::strong_count(&kept), 1);
                // A second abort has no effect.
                copies.iter().for_each(AbortHandle::abort);
            });
        }
    });
}

/// By then, another task has its slot in the list of owned tasks.
#[test]
fn the_abort_handle_of_a_task_that_has_ended_aborts_no_other_task() {
    watched(|| {
        rt::block_on(async {
            let task = rt::spawn(async { 7 });
            let abort = task.abort_handle();
            rt::yield_now().await;
            assert!(abort.is_finished());
            let other = rt::spawn(async {
                rt::yield_now().await;
                8
            });
            abort.abort();
            assert_eq!((task.await.unwrap(), other.await.unwrap()), (7, 8));
        });
    });
}

/// The task goes on without its join handle, and can still be aborted.
#[test]
fn abort_handle_ends_a_task_that_was_detached() {
    watched(|| {
        rt::block_on(async {
            let kept = Arc::new(());
            let inside = kept.clone();
            let task = rt::spawn(async move {
                let _inside = inside;
                pending::<()>().await;
            });
            let abort = task.abort_handle();
            drop(task);
            rt::yield_now().await;
            assert!(!abort.is_finished());
            abort.abort();
            rt::yield_now().await;
            assert!(abort.is_finished());
            assert_eq!(Arc::strong_count(&kept), 1);
        });
    });
}

/// The handle refers to the task and the runtime, but keeps neither of them alive.
#[test]
fn abort_handle_outlives_its_runtime() {
    watched(|| {
        for workers in [1, 3] {
            let kept = Arc::new(());
            let runtime = runtime(workers);
            let tasks = (0..10).map(|_| {
                let inside = kept.clone();
                runtime.spawn(async move {
                    let _inside = inside;
                    sleep(ms(3_600_000)).await;
                })
            });
            let tasks: Vec<_> = tasks.collect();
            let handles: Vec<_> = tasks.iter().map(|task| task.abort_handle()).collect();
            drop(runtime);
            assert!(handles.iter().all(AbortHandle::is_finished));
            assert_eq!(Arc::strong_count(&kept), 1);
            handles.iter().for_each(AbortHandle::abort);
            let results = rt::block_on(join_all(tasks));
            assert!(results.iter().all(|result| result.is_err()));
            drop(results);
            handles.iter().for_each(AbortHandle::abort);
        }
    });
}

#[test]
fn abort_handle_says_in_debug_whether_its_task_has_ended() {
    rt::block_on(async {
        let task = rt::spawn(async {});
        let abort = task.abort_handle();
        assert_eq!(format!("{abort:?}"), "AbortHandle { finished: false }");
        task.await.unwrap();
        assert_eq!(format!("{abort:?}"), "AbortHandle { finished: true }");
    });
}

/// A destructor may take long, and use what the code that waits for the task's end uses next.
#[test]
fn task_is_not_finished_while_its_future_is_dropped() {
    watched(|| {
        let runtime = runtime(1);
        runtime.block_on(async {
            let task = Arc::new(Mutex::new(None::<rt::JoinHandle<()>>));
            let (seen, sees) = mpsc::channel();
            let asks = task.clone();
            let guard = OnDrop(move || {
                let is_finished = asks.lock().unwrap().as_ref().map(|task| task.is_finished());
                seen.send(is_finished).unwrap();
            });
            let spawned = rt::spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            spawned.abort();
            *task.lock().unwrap() = Some(spawned);
            rt::yield_now().await;
            assert_eq!(sees.recv(), Ok(Some(false)));
            let spawned = task.lock().unwrap().take().unwrap();
            assert!(spawned.is_finished());
            assert!(spawned.await.unwrap_err().is_cancelled());
        });
    });
}
