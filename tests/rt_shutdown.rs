//! Tests of how a runtime ends, and of the threads and tasks that are still in it.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{Future, pending, poll_fn};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::sleep;

use support::{
    Count, OnDrop, block_on_elsewhere, ms, pending_with, runtime, runtime_on, secs, watched,
};

/// Is never ready, and counts when it is dropped, polled or not.
fn counted(dropped: Count) -> impl Future<Output = ()> {
    pending_with(move || dropped.add())
}

/// Spawns a task that blocks its thread until the returned sender is used.
fn blocking(runtime: &Runtime) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (inside, is_inside) = mpsc::channel();
    drop(runtime.spawn(async move {
        inside.send(()).unwrap();
        let _ = released.recv();
    }));
    is_inside.recv().unwrap();
    release
}

#[test]
fn shutdown_with_a_timeout_does_not_wait_longer_for_a_blocked_worker() {
    watched(|| {
        let dropped = Count::default();
        let runtime = runtime(2);
        let release = blocking(&runtime);
        let rest = runtime.spawn(counted(dropped.clone()));
        assert!(!runtime.shutdown_timeout(ms(5)));
        drop(release);
        // The worker drops the other tasks when it returns from this one.
        assert!(rt::block_on(rest).unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn shutdown_in_the_background_does_not_wait() {
    watched(|| {
        let runtime = runtime(2);
        let release = blocking(&runtime);
        let rest = runtime.spawn(pending::<()>());
        runtime.shutdown_background();
        drop(release);
        assert!(rt::block_on(rest).unwrap_err().is_cancelled());
    });
}

#[test]
fn shutdown_that_does_not_time_out_has_ended_all_tasks() {
    watched(|| {
        for workers in [1, 2, 4] {
            let dropped = Count::default();
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let tasks: Vec<_> = (0..100)
                .map(|_| runtime.spawn(counted(dropped.clone())))
                .collect();
            let armed: Vec<_> = (0..100)
                .map(|_| runtime.spawn(async { sleep(secs(3600)).await }))
                .collect();
            runtime.block_on(async {
                while handle.armed() < 100 {
                    rt::yield_now().await;
                }
            });
            assert!(runtime.shutdown_timeout(Duration::MAX));
            assert_eq!((handle.armed(), dropped.get()), (0, 100));
            assert!(tasks.iter().all(|task| task.is_finished()));
            assert!(armed.iter().all(|task| task.is_finished()));
        }
    });
}

/// Whatever the runtime owned is dropped, however it is shut down.
#[test]
fn every_kind_of_shutdown_releases_the_hooks() {
    watched(|| {
        let ends: [fn(Runtime); 3] = [
            drop,
            |runtime| assert!(runtime.shutdown_timeout(Duration::MAX)),
            Runtime::shutdown_background,
        ];
        for end in ends {
            for workers in [1, 3] {
                let (sender, released) = mpsc::channel::<()>();
                let held = Mutex::new(sender);
                let runtime = Runtime::builder()
                    .worker_threads(workers)
                    .on_thread_start(move || drop(held.lock()))
                    .build()
                    .unwrap();
                runtime.block_on(async { rt::spawn(async {}).await.unwrap() });
                end(runtime);
                // Disconnected once the last thread has dropped its hook.
                assert_eq!(released.recv(), Err(mpsc::RecvError));
            }
        }
    });
}

#[test]
fn main_future_may_drop_its_own_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let ended = handle.block_on(async move {
                let task = rt::spawn(pending::<()>());
                let local = rt::spawn_local(async { 7 });
                drop(runtime);
                assert!(task.await.unwrap_err().is_cancelled());
                // The local task belongs to this call, not to the runtime.
                local.await.unwrap()
            });
            assert_eq!(ended, 7);
        }
    });
}

#[test]
fn task_may_end_the_runtime_that_it_runs_on() {
    watched(|| {
        let ends: [fn(Runtime); 3] = [
            drop,
            |runtime| {
                runtime.shutdown_timeout(ms(1));
            },
            Runtime::shutdown_background,
        ];
        for end in ends {
            for workers in [1, 2, 3] {
                let runtime = runtime(workers);
                let handle = runtime.handle().clone();
                let dropped = Count::default();
                let rest = runtime.spawn(counted(dropped.clone()));
                let (told, tell) = oneshot::channel();
                drop(handle.spawn(async move {
                    end(runtime);
                    told.send(7).unwrap();
                    // The last poll of the task.
                    pending::<()>().await;
                }));
                assert_eq!(handle.block_on(tell), Ok(7));
                assert!(rt::block_on(rest).unwrap_err().is_cancelled());
            }
        }
    });
}

/// The shutdown wakes the other task into the LIFO slot of the waiting worker. Once every other
/// worker was parked, nobody checked the slots any more.
#[test]
fn a_task_woken_by_a_shutdown_is_dropped_while_the_task_that_shuts_down_waits() {
    watched(|| {
        let runtime = runtime(2);
        let handle = runtime.handle().clone();
        let rest = handle.spawn(pending::<()>());
        let (begun, has_begun) = mpsc::channel();
        drop(handle.spawn(async move {
            begun.send(()).unwrap();
            // It waits for its own thread, and so for longer than this test runs.
            runtime.shutdown_timeout(secs(3600));
        }));
        // The second worker runs that task: no thread runs the first one before this has come.
        has_begun.recv().unwrap();
        assert!(handle.block_on(rest).unwrap_err().is_cancelled());
    });
}

/// The wait counted as that of the main future, which waits already, in the call of the destructor.
#[test]
fn a_destructor_of_a_main_future_may_wait_in_a_local_task_for_the_end_of_its_runtime() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (waits, mut runtime) = (handle.clone(), Some(runtime));
        let mut kept = Some(OnDrop(move || {
            let runtime = runtime.take().unwrap();
            let task = async { rt::spawn_local(async { runtime.shutdown_timeout(ms(1)) }).await };
            assert!(!waits.block_on(task).unwrap());
        }));
        handle.block_on(poll_fn(move |_| {
            // The future owns it, so that it is dropped with the future.
            assert!(kept.as_mut().is_some());
            Poll::Ready(())
        }));
    });
}

/// The thread is the caller's, not one that the runtime waits for.
#[test]
fn shutdown_with_a_timeout_does_not_wait_longer_for_a_thread_in_block_on() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let waits = thread::spawn({
            let handle = handle.clone();
            move || {
                handle.block_on(async move {
                    let task = rt::spawn(async move {
                        inside.send(()).unwrap();
                        let _ = released.recv();
                        pending::<()>().await;
                    });
                    task.await.unwrap_err().is_cancelled()
                })
            }
        });
        is_inside.recv().unwrap();
        assert!(!runtime.shutdown_timeout(ms(5)));
        drop(release);
        assert!(waits.join().unwrap());
    });
}

#[test]
fn thread_in_block_on_goes_on_when_the_runtime_has_ended() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let (inside, is_inside) = mpsc::channel();
            let (release, released) = oneshot::channel();
            let waits = thread::spawn(move || {
                handle.block_on(async move {
                    let task = rt::spawn(pending::<()>());
                    inside.send(()).unwrap();
                    released.await.unwrap();
                    sleep(ms(1)).await;
                    assert!(task.await.unwrap_err().is_cancelled());
                    let late = rt::spawn(async {});
                    assert!(late.await.unwrap_err().is_cancelled());
                    7
                })
            });
            is_inside.recv().unwrap();
            drop(runtime);
            release.send(()).unwrap();
            assert_eq!(waits.join().unwrap(), 7);
        }
    });
}

#[test]
fn a_handle_used_after_the_end_spawns_no_task_but_can_block_on() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            drop(runtime);
            let dropped = Count::default();
            let task = handle.spawn(counted(dropped.clone()));
            assert!(task.is_finished());
            let _entered = handle.enter();
            assert!(rt::spawn(async {}).is_finished());
            assert_eq!(handle.armed(), 0);
            assert_eq!(
                handle.block_on(async {
                    sleep(ms(1)).await;
                    let local = rt::spawn_local(async { 7 });
                    handle.timers().sleep(ms(1)).await;
                    local.await.unwrap()
                }),
                7
            );
        }
    });
}

/// The thread that shut the runtime down waited for the destructor, and used a whole core for that.
#[test]
fn destructor_of_a_future_that_is_spawned_too_late_may_wait_for_the_end_of_the_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            // A destructor that runs in the shutdown, on the thread that drops the runtime.
            let (begun, has_begun) = mpsc::channel();
            let (spawned, is_spawned) = mpsc::channel();
            let in_shutdown = OnDrop(move || {
                begun.send(()).unwrap();
                is_spawned.recv().unwrap();
            });
            let (ended, has_ended) = mpsc::channel();
            drop(runtime.spawn(async move {
                let _in_shutdown = in_shutdown;
                pending::<()>().await;
            }));
            let spawning = thread::spawn(move || {
                has_begun.recv().unwrap();
                let too_late = OnDrop(move || {
                    spawned.send(()).unwrap();
                    has_ended.recv().unwrap();
                });
                let task = handle.spawn(async move {
                    let _too_late = too_late;
                });
                assert!(task.is_finished());
                assert!(task.abort_handle().is_finished());
            });
            drop(runtime);
            ended.send(()).unwrap();
            spawning.join().unwrap();
        }
    });
}

/// While the runtime drops its tasks, a thread in `block_on` runs the worker. When the runtime had
/// ended, the thread went on doing so, with a parker that did not block any more.
#[test]
fn thread_that_runs_the_worker_when_the_runtime_ends_parks_by_itself_from_then_on() {
    watched(|| {
        let parks = Count::default();
        let counted = parks.clone();
        let builder = Runtime::builder().worker_threads(1);
        let runtime = builder
            .on_thread_park(move || counted.add())
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let guard = OnDrop(move || {
            begun.send(()).unwrap();
            let _ = released.recv();
        });
        drop(runtime.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        let ending = thread::spawn(move || drop(runtime));
        has_begun.recv().unwrap();

        let (inside, is_inside) = mpsc::channel();
        let (wake, woken) = oneshot::channel::<()>();
        let (end, ends) = oneshot::channel::<()>();
        let waits = handle.clone();
        let waiting = thread::spawn(move || {
            waits.block_on(async {
                sleep(ms(1)).await;
                inside.send(()).unwrap();
                woken.await.unwrap();
                inside.send(()).unwrap();
                ends.await.unwrap();
                sleep(ms(1)).await;
            });
        });
        is_inside.recv().unwrap();
        drop(release);
        ending.join().unwrap();
        wake.send(()).unwrap();
        is_inside.recv().unwrap();
        let before = parks.get();
        thread::sleep(ms(20));
        assert!(parks.get() < before + 10, "{} parks", parks.get() - before);
        end.send(()).unwrap();
        waiting.join().unwrap();
        handle.block_on(sleep(ms(1)));
    });
}

/// Each dropped task wakes the next one and spawns another; the shutdown still ends.
#[test]
fn tasks_that_wake_and_spawn_when_dropped_are_ended() {
    watched(|| {
        for workers in [1, 2, 4] {
            let dropped = Count::default();
            let runtime = runtime(workers);
            let mut next: Option<oneshot::Sender<()>> = None;
            let started = Count::default();
            for _ in 0..50 {
                let (sender, receiver) = oneshot::channel::<()>();
                let waker = next.replace(sender);
                let (dropped, started) = (dropped.clone(), started.clone());
                drop(runtime.spawn(async move {
                    let mut waker = waker;
                    let _guard = OnDrop(|| {
                        drop(waker.take());
                        drop(rt::spawn(counted(dropped.clone())));
                        dropped.add();
                    });
                    started.add();
                    let _ = receiver.await;
                    pending::<()>().await;
                }));
            }
            runtime.block_on(async {
                while started.get() < 50 {
                    rt::yield_now().await;
                }
            });
            drop(runtime);
            assert_eq!(
                dropped.get(),
                100,
                "every task and the one that it has spawned"
            );
        }
    });
}

#[test]
fn a_sleep_awaited_elsewhere_moves_when_its_runtime_ends() {
    watched(|| {
        let runtime = runtime(2);
        let start = std::time::Instant::now();
        let sleep = runtime.handle().timers().sleep(ms(20));
        let waits = thread::spawn(move || rt::block_on(sleep));
        // On a slow machine the sleep may end before this thread sees that it is armed.
        while runtime.handle().armed() == 0 && !waits.is_finished() {
            thread::yield_now();
        }
        drop(runtime);
        waits.join().unwrap();
        assert!(start.elapsed() >= ms(20));
    });
}

#[test]
fn runtimes_start_and_end_hundreds_of_times() {
    watched(|| {
        let (ran, mut awaited) = (Count::default(), 0);
        for round in 0..200 {
            let runtime = runtime(1 + round % 5);
            let tasks: Vec<_> = (0..round % 7)
                .map(|_| {
                    let ran = ran.clone();
                    runtime.spawn(async move { ran.add() })
                })
                .collect();
            if round % 3 == 0 {
                awaited += tasks.len();
                runtime.block_on(async {
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            }
        }
        assert!(awaited > 0 && ran.get() >= awaited);
        let handle = {
            let runtime = Arc::new(runtime(3));
            let other = runtime.clone();
            let thread = thread::spawn(move || drop(other));
            thread.join().unwrap();
            runtime.handle().clone()
        };
        assert_eq!(handle.armed(), 0);
    });
}

/// Tasks are dropped when the runtime ends. A destructor that waited there hung: its timers
/// belonged to drivers that no worker turned any more.
#[test]
fn destructor_may_block_on_the_runtime_that_ends() {
    watched(|| {
        for workers in [1, 2] {
            for clock in [None, Some(ManualClock::new())] {
                let runtime = match &clock {
                    Some(clock) => runtime_on(workers, clock),
                    None => runtime(workers),
                };
                let waited = Count::default();
                // Several tasks: while the destructor of one waits, the worker must not drop the
                // next.
                for _ in 0..3 {
                    let handle = runtime.handle().clone();
                    let guard = OnDrop({
                        let waited = waited.clone();
                        move || {
                            handle.block_on(sleep(ms(2)));
                            waited.add();
                        }
                    });
                    drop(runtime.spawn(async move {
                        let _guard = guard;
                        pending::<()>().await;
                    }));
                }
                runtime.block_on(rt::yield_now());
                drop(runtime);
                assert_eq!(waited.get(), 3);
            }
        }
    });
}

/// The same for a local task, which its thread drops when it leaves the runtime.
#[test]
fn destructor_of_a_local_task_may_block_on_the_runtime_that_ends() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let waited = Count::default();
            let (handle, count) = (runtime.handle().clone(), waited.clone());
            let started = runtime.spawn(async move {
                let guard = OnDrop(move || {
                    handle.block_on(sleep(ms(2)));
                    count.add();
                });
                drop(rt::spawn_local(async move {
                    let _guard = guard;
                    pending::<()>().await;
                }));
            });
            runtime.block_on(started).unwrap();
            drop(runtime);
            assert_eq!(waited.get(), 1);
        }
    });
}

/// The thread that runs the first worker is blocked by its main future, and so is one that has run
/// the other worker since its thread has left. Nothing fired the timers of the rest.
#[test]
fn sleep_fires_when_the_runtime_is_gone_and_the_main_futures_of_other_threads_block() {
    watched(|| {
        let runtime = runtime(2);
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let block_on = |wait: oneshot::Receiver<()>, main: Box<dyn FnOnce() + Send>| {
            block_on_elsewhere(runtime.handle(), async {
                let _ = wait.await;
                sleep(ms(2)).await;
                main();
            })
        };
        // The first one blocks before the runtime is dropped.
        let held = released.clone();
        let first = block_on_elsewhere(runtime.handle(), async move {
            let _ = held.lock().unwrap().recv();
        });
        let (start_second, wait_second) = oneshot::channel();
        let (start_third, wait_third) = oneshot::channel();
        let second = block_on(
            wait_second,
            Box::new(move || {
                start_third.send(()).unwrap();
                drop(released.lock());
            }),
        );
        let third = block_on(wait_third, Box::new(move || drop(release)));
        drop(runtime);
        start_second.send(()).unwrap();
        for thread in [third, second, first] {
            thread.join().unwrap();
        }
    });
}
