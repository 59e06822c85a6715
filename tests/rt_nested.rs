//! Tests of threads that are inside several runtimes, and of `block_on` inside a runtime.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use futures::channel::oneshot;
use reveille::rt::{self, Handle, Runtime};
use reveille::time::sleep;

use support::{block_on_elsewhere, ms, panic_of, runtime, watched};

/// Checks which of two runtimes the thread is in, by their number of tasks.
fn spawns_on(expected: &Runtime) {
    let before = tasks(expected.handle());
    let task = rt::spawn(std::future::pending::<()>());
    assert_eq!(tasks(expected.handle()), before + 1);
    task.abort();
}

/// Returns how many tasks a runtime owns.
fn tasks(handle: &Handle) -> usize {
    let text = format!("{handle:?}");
    let (_, rest) = text.split_once("tasks: ").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// Checks the message and the location of the panic in a call that would wait for itself.
fn panics_instead_of_waiting_for_itself(call: impl FnOnce() + Send + 'static) {
    let (message, file) = watched(|| panic_of(call));
    assert!(message.contains("await it, or spawn it"), "{message}");
    assert_eq!(file, file!());
}

#[test]
fn block_on_inside_the_same_runtime_panics() {
    for workers in [1, 2] {
        panics_instead_of_waiting_for_itself(move || {
            let runtime = runtime(workers);
            runtime.block_on(async { runtime.block_on(async {}) });
        });
    }
}

#[test]
fn block_on_in_a_task_of_the_same_runtime_panics() {
    for workers in [1, 2] {
        watched(move || {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let task = runtime.spawn(async move { handle.block_on(async {}) });
            let error = runtime.block_on(task).unwrap_err();
            assert!(error.is_panic());
            assert!(
                error.to_string().contains("await it, or spawn it"),
                "{error}"
            );
        });
    }
}

#[test]
fn block_on_in_another_runtime_inside_the_same_panics() {
    panics_instead_of_waiting_for_itself(|| {
        let (outer, inner) = (runtime(1), runtime(1));
        outer.block_on(async { inner.block_on(async { outer.block_on(sleep(ms(1))) }) });
    });
}

#[test]
fn block_on_in_a_runtime_that_has_entered_another_panics() {
    panics_instead_of_waiting_for_itself(|| {
        let (outer, other) = (runtime(1), runtime(1));
        outer.block_on(async {
            let _entered = other.enter();
            outer.block_on(sleep(ms(1)));
        });
    });
}

#[test]
fn a_task_may_block_on_another_runtime() {
    watched(|| {
        let (outer, inner) = (runtime(2), runtime(2));
        let handle = inner.handle().clone();
        let sum = outer.block_on(async move {
            let tasks: Vec<_> = (1..=8)
                .map(|n| {
                    let handle = handle.clone();
                    rt::spawn(async move {
                        handle.block_on(async {
                            sleep(ms(1)).await;
                            rt::spawn(async move { n }).await.unwrap()
                        })
                    })
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 36);
    });
}

#[test]
fn guards_nest_and_the_runtime_entered_last_is_current() {
    watched(|| {
        let (first, second) = (runtime(1), runtime(1));
        assert!(Handle::try_current().is_err());
        let outside = first.enter();
        spawns_on(&first);
        {
            let _inside = second.enter();
            spawns_on(&second);
            {
                let _again = first.enter();
                spawns_on(&first);
            }
            spawns_on(&second);
        }
        spawns_on(&first);
        first.block_on(async { spawns_on(&first) });
        second.block_on(async { spawns_on(&second) });
        spawns_on(&first);
        drop(outside);
        assert!(Handle::try_current().is_err());
    });
}

/// The holder of a guard is still inside the runtime, but that takes no tasks.
#[test]
fn guard_outlives_its_runtime() {
    watched(|| {
        let runtime = runtime(2);
        let entered = runtime.enter();
        drop(runtime);
        let task = rt::spawn(async {});
        assert!(task.is_finished());
        rt::block_on(async move {
            assert!(task.await.unwrap_err().is_cancelled());
            // The sleep uses the timers of the outer runtime.
            sleep(ms(1)).await;
        });
        drop(entered);
        assert!(Handle::try_current().is_err());
    });
}

#[test]
fn guard_that_leaves_its_block_on_does_not_make_the_thread_a_worker() {
    watched(|| {
        let runtime = runtime(1);
        let entered = runtime.block_on(async { runtime.enter() });
        drop(entered);
        assert_eq!(runtime.block_on(async { 7 }), 7);
    });
}

/// The same for a thread that waits while another one has the core.
#[test]
fn guard_that_leaves_the_block_on_of_a_second_thread_lets_it_block_on_again() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (release, released) = oneshot::channel();
        let first = block_on_elsewhere(&handle, async { released.await.unwrap() });
        let entered = handle.block_on(async { handle.enter() });
        drop(entered);
        assert_eq!(handle.block_on(async { 7 }), 7);
        release.send(()).unwrap();
        first.join().unwrap();
        assert_eq!(handle.block_on(async { 7 }), 7);
    });
}

/// A thread that waits without the core becomes a worker when the core is free; what its future has
/// entered before stays entered.
#[test]
fn guard_of_a_second_thread_holds_when_that_becomes_the_worker() {
    watched(|| {
        let (shared, other) = (runtime(1), runtime(1));
        let handle = shared.handle().clone();
        let (release, released) = oneshot::channel();
        let first = block_on_elsewhere(&handle, async { released.await.unwrap() });
        let (go, gone) = oneshot::channel();
        handle.block_on(async {
            let entered = other.enter();
            // This runs only if this thread is a worker, because the first one has left.
            drop(handle.spawn(async move { go.send(()).unwrap() }));
            release.send(()).unwrap();
            gone.await.unwrap();
            spawns_on(&other);
            drop(entered);
            spawns_on(&shared);
        });
        first.join().unwrap();
        assert!(Handle::try_current().is_err());
    });
}
