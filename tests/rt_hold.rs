//! Tests of time that is moved by hand, and of threads in `block_on` that run no worker: time
//! stands still while such a thread runs, and moves while it waits.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{Future, pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use futures::channel::oneshot;
use reveille::rt::{self, Handle, Runtime};
use reveille::time::{Instant, sleep};
use reveille::{Driver, ManualClock};

use support::{Count, OnDrop, ms, runtime_on, secs, watched};

/// The first thread runs the first worker and waits, until the second one, which runs no worker,
/// returns from `block_on`.
fn on_second_thread<F: Future<Output = ()>>(
    runtime: &Runtime,
    future: impl FnOnce(Handle) -> F + Send + 'static,
) {
    let handle = runtime.handle().clone();
    let (inside, is_inside) = mpsc::channel();
    let (end, ends) = oneshot::channel::<()>();
    let second = thread::spawn(move || {
        is_inside.recv().unwrap();
        handle.block_on(future(handle.clone()));
        drop(end);
    });
    runtime.block_on(async {
        inside.send(()).unwrap();
        let _ = ends.await;
    });
    second.join().unwrap();
}

/// Gives the idle workers time to move the clock, and asserts that none does.
fn assert_time_stands_still() {
    let start = Instant::now();
    for _ in 0..500 {
        thread::yield_now();
        assert_eq!(Instant::now(), start);
    }
}

async fn until_armed() {
    while Handle::current().armed() == 0 {
        rt::yield_now().await;
    }
}

/// Whether the clock was frozen was asked only before the poll.
#[cfg(feature = "test-util")]
#[test]
fn time_stands_still_while_a_future_runs_that_has_paused_the_clock_itself() {
    use reveille::Clock;
    use reveille::time::{pause, resume};

    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime_on(workers, Clock::monotonic());
            on_second_thread(&runtime, |_| async {
                let task = rt::spawn(sleep(secs(3600)));
                until_armed().await;
                for _ in 0..5 {
                    pause();
                    assert_time_stands_still();
                    resume();
                }
                task.abort();
            });
        }
    });
}

#[cfg(feature = "test-util")]
#[test]
fn time_stands_still_while_a_future_runs_during_which_another_thread_pauses_the_clock() {
    use reveille::Clock;
    use reveille::time::pause;

    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime_on(workers, Clock::monotonic());
            on_second_thread(&runtime, |handle| async move {
                let task = rt::spawn(sleep(secs(3600)));
                until_armed().await;
                let pausing = thread::spawn(move || {
                    let _entered = handle.enter();
                    pause();
                });
                pausing.join().unwrap();
                assert_time_stands_still();
                task.abort();
            });
        }
    });
}

/// The thread is notified while the clock runs, and its future is polled after the clock was
/// paused.
#[cfg(feature = "test-util")]
#[test]
fn time_stands_still_for_a_thread_that_was_woken_before_the_clock_was_paused() {
    use reveille::Clock;
    use reveille::time::{pause, resume};

    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime_on(workers, Clock::monotonic());
            on_second_thread(&runtime, |_| async {
                for _ in 0..100 {
                    let (wake, woken) = oneshot::channel();
                    let task = rt::spawn(async {
                        wake.send(()).unwrap();
                        pause();
                        let paused = Instant::now();
                        sleep(secs(3600)).await;
                        paused
                    });
                    woken.await.unwrap();
                    // Reads the clock before it waits.
                    let ran = Instant::now();
                    let paused = task.await.unwrap();
                    assert!(ran < paused + secs(3600));
                    resume();
                }
            });
        }
    });
}

#[test]
fn time_stands_still_while_the_future_of_such_a_thread_is_dropped() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime_on(workers, ManualClock::new());
            on_second_thread(&runtime, |_| {
                let mut kept = Some(OnDrop(assert_time_stands_still));
                let mut steps = 0;
                poll_fn(move |cx| {
                    // The future owns it, so that it is dropped with the future.
                    assert!(kept.as_mut().is_some());
                    if steps == 0 {
                        drop(rt::spawn(sleep(secs(3600))));
                    }
                    steps += 1;
                    if Handle::current().armed() > 0 {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
            });
        }
    });
}

/// The thread kept time from moving for the outer call while it waited in the inner one.
#[test]
fn time_moves_for_a_destructor_that_waits_on_such_a_thread() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let start = clock.now();
            let waited = Count::default();
            let counted = waited.clone();
            let runtime = runtime_on(workers, &clock);
            on_second_thread(&runtime, |handle| async move {
                let guard = OnDrop(move || {
                    handle.block_on(sleep(secs(3600)));
                    counted.add();
                });
                let task = rt::spawn_local(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                rt::yield_now().await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            });
            assert_eq!((waited.get(), clock.now()), (1, start + secs(3600)));
        }
    });
}

/// A thread that woke the outer future kept time from moving until the inner call would return.
#[test]
fn time_moves_for_a_destructor_that_waits_while_the_future_of_its_thread_is_woken() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime_on(workers, ManualClock::new());
            on_second_thread(&runtime, |handle| async move {
                let (wake, woken) = oneshot::channel::<()>();
                let guard = OnDrop({
                    let mut wake = Some(wake);
                    move || {
                        let wake = wake.take();
                        handle.block_on(async {
                            rt::spawn(async { drop(wake) }).await.unwrap();
                            sleep(secs(3600)).await;
                        });
                    }
                });
                let task = rt::spawn_local(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                rt::yield_now().await;
                task.abort();
                assert!(woken.await.is_err());
            });
        }
    });
}

/// The thread lends the only worker while its future runs, and time does not move then. In a call
/// that a destructor makes, it waits.
#[test]
fn time_moves_for_a_destructor_of_a_future_that_is_spawned_too_late() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let start = clock.now();
            let runtime = runtime_on(workers, &clock);
            let handle = runtime.handle().clone();
            let inner = handle.clone();
            let guard = OnDrop(move || inner.block_on(sleep(secs(3600))));
            handle.block_on(async move {
                drop(runtime);
                drop(rt::spawn(async move {
                    let _guard = guard;
                }));
            });
            assert_eq!(clock.now(), start + secs(3600));
        }
    });
}

#[test]
fn time_moves_for_a_call_on_another_runtime_that_such_a_thread_waits_in() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let other = runtime_on(workers, &clock);
            let runtime = runtime_on(workers, &clock);
            on_second_thread(&runtime, |_| async move {
                other.block_on(sleep(secs(3600)));
                drop(rt::spawn(sleep(secs(1))));
                until_armed().await;
                assert_time_stands_still();
            });
        }
    });
}

/// The call runs a worker of the other runtime, which knows when that one is idle. The idle workers
/// of the outer runtime moved time meanwhile.
#[test]
fn time_stands_still_while_another_runtime_runs_futures_on_such_a_thread() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let other = runtime_on(1, &clock);
            let runtime = runtime_on(workers, &clock);
            on_second_thread(&runtime, |_| async move {
                drop(rt::spawn(sleep(secs(3600))));
                until_armed().await;
                other.block_on(async {
                    let start = Instant::now();
                    for _ in 0..3 {
                        rt::yield_now().await;
                        assert_time_stands_still();
                        let task = rt::spawn(async { assert_time_stands_still() });
                        task.await.unwrap();
                        let task = rt::spawn_local(async { assert_time_stands_still() });
                        task.await.unwrap();
                    }
                    assert_eq!(start.elapsed(), secs(0));
                    sleep(secs(1)).await;
                    // It has moved, and stands still again.
                    let task = rt::spawn(async { assert_time_stands_still() });
                    task.await.unwrap();
                    assert_time_stands_still();
                });
                drop(rt::spawn(sleep(secs(3600))));
                assert_time_stands_still();
            });
        }
    });
}

/// It gave up its hold on time for a wait that does not take place.
#[test]
fn a_thread_that_shuts_another_runtime_down_without_a_wait_keeps_time_still() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(2, &clock);
        on_second_thread(&runtime, move |runtime| async move {
            let _timer = runtime.spawn(sleep(secs(3600)));
            let start = clock.now();
            for _ in 0..500 {
                runtime_on(1, &clock).shutdown_background();
                runtime_on(1, &clock).shutdown_timeout(secs(5));
                assert_eq!(clock.now(), start);
            }
        });
    });
}

/// It counted as a thread that polls its main future: time stood still, and the sleep of the other
/// thread, for which it waited, never ended.
#[test]
fn a_thread_that_has_lent_its_worker_and_waits_for_the_end_lets_time_move() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(1, &clock);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let slept = Arc::new(AtomicBool::new(false));
        let ends = slept.clone();
        let second = handle.clone();
        let second = thread::spawn(move || {
            is_inside.recv().unwrap();
            second.block_on(async {
                sleep(secs(3600)).await;
                ends.store(true, Ordering::SeqCst);
            });
        });
        handle.block_on(async {
            inside.send(()).unwrap();
            // It waits for its own thread, too, so it waits as long as it may.
            assert!(!runtime.shutdown_timeout(secs(3)));
            assert!(slept.load(Ordering::SeqCst));
        });
        second.join().unwrap();
    });
}

/// The scope of the outer call took a hold on time, and dropped it only after the inner call.
#[test]
fn time_moves_for_a_runtime_inside_of_a_lender_that_has_waited_for_its_end() {
    watched(|| {
        let clock = ManualClock::new();
        let (outer, other) = (runtime_on(1, &clock), runtime_on(1, &clock));
        let handle = outer.handle().clone();
        handle.block_on(async {
            other.block_on(async {
                assert!(!outer.shutdown_timeout(ms(1)));
                sleep(secs(3600)).await;
            });
        });
    });
}

/// The thread still counted as one that has lent its worker and drops its main future: time stood
/// still.
#[test]
fn time_moves_for_a_destructor_that_waits_inside_of_another_runtime() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let (runtime, other) = (runtime_on(workers, &clock), runtime_on(1, &clock));
            let handle = runtime.handle().clone();
            let mut kept = Some(OnDrop(move || {
                other.block_on(async { handle.block_on(async { sleep(secs(3600)).await }) });
            }));
            runtime.block_on(poll_fn(move |_| {
                // The future owns it, so that it is dropped with the future.
                assert!(kept.as_mut().is_some());
                Poll::Ready(())
            }));
        }
    });
}

/// The runtime that was dropped never ended: its threads were not waited for, and the one that
/// dropped it stayed a member.
#[test]
fn an_unpark_that_panics_does_not_keep_a_runtime_from_ending() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = runtime_on(2, &clock);
        let panics = Arc::new(AtomicBool::new(false));
        let fails = panics.clone();
        let other = Driver::builder()
            .clock(&clock)
            .build_with_unpark(move || assert!(!fails.load(Ordering::SeqCst), "an unpark"));
        on_second_thread(&runtime, move |_| async move {
            let ending = runtime_on(2, &clock);
            let task = ending.spawn(pending::<()>());
            panics.store(true, Ordering::SeqCst);
            drop(ending);
            panics.store(false, Ordering::SeqCst);
            assert!(task.is_finished());
        });
        drop(other);
    });
}
