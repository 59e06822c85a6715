//! A task is aborted just when something else happens to it.
//!
//! Whatever comes first: its future is dropped once, its handle is ready, and the abort handle says
//! that it has ended. If the end were lost, the handle would wait for ever, which shuttle reports.

use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, AbortHandle, JoinError, JoinHandle};
use reveille::time::sleep;
use shuttle::thread;

use crate::{Count, Guard, check, runtime};

/// Aborts twice, on two threads, as clones do.
fn aborting(handle: AbortHandle) -> [thread::JoinHandle<()>; 2] {
    [handle.clone(), handle].map(|handle| thread::spawn(move || handle.abort()))
}

fn ended<T>(result: Result<T, JoinError>, output: impl FnOnce(T) -> bool) -> bool {
    result.map_or_else(|error| error.is_cancelled(), output)
}

/// The task runs, yields, and is taken by other workers meanwhile.
#[test]
fn abort_against_run_drops_the_future_once() {
    check(10_000, || {
        let dropped = Count::default();
        runtime(2).block_on(async {
            let guard = Guard(dropped.clone());
            let task = rt::spawn(async move {
                let _guard = guard;
                for _ in 0..4 {
                    rt::yield_now().await;
                }
                7
            });
            let abort = task.abort_handle();
            let aborts = aborting(abort.clone());
            assert!(ended(task.await, |output| output == 7));
            assert_eq!(dropped.get(), 1);
            assert!(abort.is_finished());
            for thread in aborts {
                thread.join().unwrap();
            }
        });
        assert_eq!(dropped.get(), 1);
    });
}

/// Another thread wakes the task, which then puts itself to rest for good: only the abort ends it.
#[test]
fn abort_against_wake_drops_the_future_once() {
    check(10_000, || {
        let dropped = Count::default();
        runtime(2).block_on(async {
            let guard = Guard(dropped.clone());
            let (wake, woken) = oneshot::channel::<()>();
            let task = rt::spawn(async move {
                let _guard = guard;
                // An abort may drop either end first.
                let _ = woken.await;
                pending::<()>().await;
            });
            let wakes = thread::spawn(move || {
                // The task may be gone.
                let _ = wake.send(());
            });
            let aborts = aborting(task.abort_handle());
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(dropped.get(), 1);
            wakes.join().unwrap();
            for thread in aborts {
                thread.join().unwrap();
            }
        });
    });
}

/// The output is dropped once, too, by the one that has waited for it or by nobody else.
#[test]
fn abort_against_completion_yields_the_output_or_drops_the_future() {
    check(10_000, || {
        let (dropped, outputs) = (Count::default(), Count::default());
        let made = Count::default();
        runtime(2).block_on(async {
            let guard = Guard(dropped.clone());
            let (output, made) = (outputs.clone(), made.clone());
            let task = rt::spawn(async move {
                let _guard = guard;
                rt::yield_now().await;
                made.add();
                Guard(output)
            });
            let abort = task.abort_handle();
            let aborts = aborting(abort.clone());
            assert!(ended(task.await, |_output| true));
            assert!(abort.is_finished());
            for thread in aborts {
                thread.join().unwrap();
            }
        });
        assert_eq!(dropped.get(), 1);
        assert_eq!(outputs.get(), made.get());
    });
}

/// The task waits on a timer, which the shutdown closes, while its abort takes the waker from the
/// list.
#[test]
fn abort_against_shutdown_drops_the_future_once() {
    fn result<T>(task: JoinHandle<T>) -> Result<T, JoinError> {
        match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("its runtime is gone"),
        }
    }

    check(10_000, || {
        let dropped = Count::default();
        let runtime = runtime(2);
        let guard = Guard(dropped.clone());
        let task = runtime.spawn(async move {
            let _guard = guard;
            rt::yield_now().await;
            sleep(Duration::from_secs(1)).await;
        });
        let abort = task.abort_handle();
        let aborts = aborting(abort.clone());
        drop(runtime);
        // Its last poll may have made it ready, if time has moved.
        assert!(ended(result(task), |()| true));
        assert_eq!(dropped.get(), 1);
        assert!(abort.is_finished());
        for thread in aborts {
            thread.join().unwrap();
        }
    });
}

/// A local task is dropped on its own thread, and may be aborted from any.
#[test]
fn abort_of_a_local_task_against_its_end_drops_the_future_once() {
    check(10_000, || {
        let dropped = Count::default();
        runtime(2).block_on(async {
            let guard = Guard(dropped.clone());
            let home = thread::current().id();
            let task = rt::spawn_local(async move {
                let _guard = guard;
                rt::yield_now().await;
                assert_eq!(thread::current().id(), home);
                7
            });
            let aborts = aborting(task.abort_handle());
            assert!(ended(task.await, |output| output == 7));
            assert_eq!(dropped.get(), 1);
            for thread in aborts {
                thread.join().unwrap();
            }
        });
    });
}
