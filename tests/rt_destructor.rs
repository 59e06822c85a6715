//! Tests of destructors that call `block_on` on the runtime that drops their future: the worker
//! that waits in one runs no tasks, and keeps none from the other workers.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::channel::{mpsc as channel, oneshot};
use futures::{FutureExt, StreamExt};
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};

use support::{
    Count, OnDrop, abort, alone, block_on_elsewhere, ms, pending_with, runtime, runtime_on, secs,
    watched,
};

/// Has a worker that is a thread of its own drop a future, in a runtime whose first worker is not
/// run. Returns when `destructor` has begun.
fn drop_on_another_worker(runtime: &Runtime, destructor: impl FnOnce() + Send + 'static) {
    let (begun, has_begun) = mpsc::channel();
    let mut destructor = Some(destructor);
    let task = runtime.spawn(pending_with(move || {
        begun.send(()).unwrap();
        if let Some(destructor) = destructor.take() {
            destructor();
        }
    }));
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
        drop_on_another_worker(&runtime, move || {
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
        drop_on_another_worker(&runtime, move || {
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

/// The task may need what the thread holds while it drops the future.
#[test]
fn worker_that_waits_in_a_destructor_runs_no_task() {
    watched(|| {
        let runtime = runtime(1);
        let (handle, ran) = (runtime.handle().clone(), Count::default());
        let (seen, sees) = mpsc::channel();
        let count = ran.clone();
        let dropped = pending_with(move || {
            handle.block_on(sleep(ms(2)));
            seen.send(count.get()).unwrap();
        });
        runtime.block_on(async move {
            let dropped = rt::spawn(dropped);
            rt::yield_now().await;
            dropped.abort();
            let task = rt::spawn(async move { ran.add() });
            assert!(dropped.await.unwrap_err().is_cancelled());
            task.await.unwrap();
        });
        assert_eq!(sees.recv(), Ok(0));
    });
}

/// A task that takes a while.
async fn slow() -> u32 {
    sleep(ms(2)).await;
    1
}

/// The worker that waits in a destructor runs no tasks, but those that the destructor's own call
/// has spawned on its thread have nobody else to run them.
#[test]
fn destructor_on_a_worker_may_wait_for_a_local_task() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let (result, results) = mpsc::channel();
            let waits = pending_with(move || {
                let sum = handle.block_on(async {
                    let slow = rt::spawn_local(slow());
                    let fast = rt::spawn_local(async { 2 });
                    slow.await.unwrap() + fast.await.unwrap()
                });
                result.send(sum).unwrap();
            });
            runtime.block_on(async { abort(rt::spawn(waits)).await });
            assert_eq!(results.recv(), Ok(3));
        }
    });
}

/// The last thread that leaves the runtime drops its tasks, and fires timers for their destructors.
#[test]
fn destructor_at_the_end_of_the_runtime_may_wait_for_a_local_task() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let (result, results) = mpsc::channel();
            drop(runtime.spawn(pending_with(move || {
                let one = handle.block_on(async { rt::spawn_local(slow()).await.unwrap() });
                result.send(one).unwrap();
            })));
            drop(runtime);
            assert_eq!(results.recv(), Ok(1));
        }
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

/// The future is dropped inside of another runtime, and only the call of that one was marked as
/// dropping: `block_on` panicked in the destructor, which ended the process.
#[test]
fn destructor_of_a_future_that_is_spawned_too_late_inside_of_others_may_block_on_each() {
    alone(|| {
        for workers in [1, 2] {
            let (first, second, third) = (runtime(workers), runtime(workers), runtime(workers));
            let handle = first.handle().clone();
            let waited = Count::default();
            let handles = [&first, &second, &third].map(|runtime| runtime.handle().clone());
            let count = waited.clone();
            let guard = OnDrop(move || {
                for handle in &handles {
                    handle.block_on(async { sleep(ms(2)).await });
                    count.add();
                }
            });
            handle.block_on(async {
                drop(first);
                second.block_on(async {
                    third.block_on(async {
                        let task = handle.spawn(async move {
                            let _guard = guard;
                        });
                        assert!(task.await.unwrap_err().is_cancelled());
                    });
                });
            });
            assert_eq!(waited.get(), 3);
        }
    });
}

/// Each of two workers that wait in destructors was unparked for a task, and unparked the other one
/// for it, for ever.
#[test]
fn two_workers_that_wait_in_destructors_do_not_unpark_each_other() {
    watched(|| {
        let parks = Count::default();
        let counted = parks.clone();
        let builder = Runtime::builder().worker_threads(3);
        let runtime = builder
            .on_thread_park(move || counted.add())
            .build()
            .unwrap();
        let mut releases = Vec::new();
        for _ in 0..2 {
            let (release, released) = oneshot::channel::<()>();
            let handle = runtime.handle().clone();
            drop_on_another_worker(&runtime, move || {
                let _ = handle.block_on(released);
            });
            releases.push(release);
        }
        let (ran, has_run) = mpsc::channel();
        drop(runtime.spawn(async move { ran.send(()).unwrap() }));
        thread::sleep(ms(5));
        let before = parks.get();
        thread::sleep(ms(20));
        assert!(parks.get() < before + 10, "{} parks", parks.get() - before);
        drop(releases);
        has_run.recv().unwrap();
    });
}

/// The thread whose future is dropped runs no worker at that moment, and no other one would run it
/// later.
#[test]
fn destructor_on_a_thread_that_runs_no_worker_may_block_on() {
    watched(|| {
        let runtime = runtime(1);
        let (wake, woken) = oneshot::channel::<()>();
        let (end, ends) = oneshot::channel::<()>();
        let first = block_on_elsewhere(runtime.handle(), async { ends.await.unwrap() });
        let handle = runtime.handle().clone();
        let waits = handle.clone();
        let begun = Arc::new(Mutex::new(Some(end)));
        let mut kept = Some(OnDrop(move || {
            // The thread that runs the worker leaves.
            let _ = begun.lock().unwrap().take().unwrap().send(());
            waits.block_on(sleep(ms(20)));
        }));
        let second = thread::spawn(move || {
            let mut woken = woken;
            handle.block_on(poll_fn(move |cx| {
                assert!(kept.as_mut().is_some());
                woken.poll_unpin(cx)
            }))
        });
        wake.send(()).unwrap();
        second.join().unwrap().unwrap();
        first.join().unwrap();
    });
}

/// When a task is ready, its future is dropped after its last poll, outside of what catches panics:
/// a call of `block_on` in a destructor panicked there, and that ended the process.
#[test]
fn destructor_of_a_task_that_has_ended_may_block_on_its_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let waited = Count::default();
            let waits = || {
                let (handle, waited) = (runtime.handle().clone(), waited.clone());
                OnDrop(move || {
                    handle.block_on(sleep(ms(2)));
                    waited.add();
                })
            };
            let mut kept = Some(waits());
            let ready = runtime.spawn(poll_fn(move |_| {
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
            runtime.block_on(ready).unwrap();

            let mut kept = Some(waits());
            let timed_out = runtime.spawn(timeout(
                ms(1),
                poll_fn(move |_| {
                    assert!(kept.as_mut().is_some());
                    Poll::<()>::Pending
                }),
            ));
            assert!(runtime.block_on(timed_out).unwrap().is_err());

            let mut kept = Some(waits());
            let panics = runtime.spawn(poll_fn(move |_| -> Poll<()> {
                assert!(kept.as_mut().is_none(), "the task's own panic");
                Poll::Pending
            }));
            assert!(runtime.block_on(panics).unwrap_err().is_panic());

            // Nobody takes the output of this one, so it is dropped there, too.
            let (output, ended) = (waits(), waited.clone());
            drop(runtime.spawn(async move { output }));
            runtime.block_on(async {
                while ended.get() < 4 {
                    sleep(ms(1)).await;
                }
            });
            let blocks = runtime.handle().clone();
            let inside = runtime.spawn(async move { blocks.block_on(async {}) });
            assert!(
                runtime.block_on(inside).unwrap_err().is_panic(),
                "in a poll"
            );
        }
    });
}

/// In a runtime of one worker the worker is lent while the main future is polled. It was not while
/// that future was dropped: a destructor that waited for another thread waited for ever, if that
/// thread waited for a timer.
#[test]
fn other_threads_go_on_while_a_destructor_of_the_main_future_blocks() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let waits = || {
                let handle = runtime.handle().clone();
                OnDrop(move || {
                    let other = block_on_elsewhere(&handle, sleep(ms(2)));
                    other.join().unwrap();
                })
            };
            let mut kept = Some(waits());
            runtime.block_on(poll_fn(move |_| {
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
            let local = waits();
            runtime.block_on(async {
                rt::spawn_local(async move {
                    let _local = local;
                    std::future::pending::<()>().await
                });
                rt::yield_now().await;
            });
            let panics = waits();
            let mut kept = Some(panics);
            let panics = std::panic::AssertUnwindSafe(|| {
                runtime.block_on(poll_fn(move |_| -> Poll<()> {
                    assert!(kept.as_mut().is_none(), "the future's own panic");
                    Poll::Pending
                }))
            });
            assert!(std::panic::catch_unwind(panics).is_err());
            runtime.block_on(sleep(ms(1)));
        }
    });
}

/// A task that ran on top of a destructor might wait for it. In a runtime of one worker, which is
/// lent while the main future and local tasks are dropped, none does either.
#[test]
fn no_task_runs_on_top_of_a_destructor_at_the_end_of_block_on() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let lock = Arc::new(Mutex::new(()));
            let waits = || {
                let (handle, lock) = (runtime.handle().clone(), lock.clone());
                OnDrop(move || {
                    let _guard = lock.lock().unwrap();
                    handle.block_on(sleep(ms(2)));
                })
            };
            let spawn = || {
                let lock = lock.clone();
                runtime.spawn(async move { drop(lock.lock().unwrap()) })
            };

            let local = waits();
            let mut task = None;
            runtime.block_on(async {
                rt::spawn_local(async move {
                    let _local = local;
                    std::future::pending::<()>().await
                });
                rt::yield_now().await;
                task = Some(spawn());
            });
            runtime.block_on(task.unwrap()).unwrap();

            let (task, mut kept) = (spawn(), Some(waits()));
            runtime.block_on(poll_fn(move |_| {
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
            runtime.block_on(task).unwrap();
        }
    });
}

/// A destructor waits for a future, and that one's destructor waits, too.
#[test]
fn destructors_that_block_on_may_nest() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let inner = handle.clone();
            let waited = Count::default();
            let counted = waited.clone();
            let task = runtime.spawn(pending_with(move || {
                let waits = inner.clone();
                let counted = counted.clone();
                let mut kept = Some(OnDrop(move || {
                    waits.block_on(sleep(ms(2)));
                    counted.add();
                }));
                // The future owns `kept`, which is dropped with it, not when it is ready.
                inner.block_on(poll_fn(move |_| {
                    assert!(kept.as_mut().is_some());
                    Poll::Ready(())
                }));
            }));
            runtime.block_on(abort(task));
            assert_eq!(waited.get(), 1);
        }
    });
}

/// The list of the thread's local tasks had been closed before there was one, so the task was in a
/// list that nothing would run or close.
#[test]
fn local_task_of_a_destructor_that_the_last_member_runs_ends_at_once() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (dropped, (send, handles)) = (Count::default(), mpsc::channel());
        let count = dropped.clone();
        drop(runtime.spawn(pending_with(move || {
            let count = count.clone();
            let task = rt::spawn_local(pending_with(move || count.add()));
            send.send(task).unwrap();
        })));
        handle.block_on(async { drop(runtime) });
        let task = handles.recv().unwrap();
        assert!(rt::block_on(task).unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 1);
    });
}

/// The thread that drops the runtime waits for the other worker. It counted as running meanwhile,
/// or kept its hold on time, so the timer that the destructor waits for was never due.
#[test]
fn time_moves_for_a_destructor_while_its_runtime_is_dropped_on_one_of_its_threads() {
    watched(|| {
        for on_first_worker in [true, false] {
            let clock = ManualClock::new();
            let runtime = runtime_on(2, &clock);
            let handle = runtime.handle().clone();
            let (start, starts) = mpsc::channel::<()>();
            let waits = handle.clone();
            drop_on_another_worker(&runtime, move || {
                starts.recv().unwrap();
                waits.block_on(sleep(secs(1)));
            });
            let (end, ends) = oneshot::channel::<()>();
            let waits = async {
                let _ = ends.await;
            };
            let first = (!on_first_worker).then(|| block_on_elsewhere(&handle, waits));
            handle.block_on(async move {
                start.send(()).unwrap();
                drop(runtime);
                drop(end);
            });
            if let Some(first) = first {
                first.join().unwrap();
            }
        }
    });
}

/// The thread that waits for the end of one runtime is in `block_on` of another one on the same
/// clock, and runs no worker there. It kept its hold on time.
#[test]
fn time_moves_for_a_destructor_while_a_thread_of_another_runtime_waits_for_its_end() {
    watched(|| {
        let ends: [fn(Runtime); 2] = [drop, |runtime| {
            assert!(runtime.shutdown_timeout(Duration::MAX));
        }];
        for end in ends {
            let clock = ManualClock::new();
            let (ending, other) = (runtime_on(2, &clock), runtime_on(2, &clock));
            let waits = ending.handle().clone();
            drop_on_another_worker(&ending, move || waits.block_on(sleep(secs(1))));
            let (done, is_done) = oneshot::channel::<()>();
            let worker = block_on_elsewhere(other.handle(), async {
                let _ = is_done.await;
            });
            other.block_on(async {
                end(ending);
                drop(done);
            });
            worker.join().unwrap();
        }
    });
}
