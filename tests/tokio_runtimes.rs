//! Tests of which tokio runtime a timer uses, and what happens to it when that ends.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use reveille::time::{Instant, Sleep, sleep, timeout};
use reveille::{Driver, Handle, ThreadPark};
use tokio::runtime::{Builder, LocalRuntime, Runtime};

use support::{Task, ms, secs, waker, watched};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Sleeps, and checks that the sleep was not too short.
async fn sleep_and_check() {
    let start = Instant::now();
    sleep(ms(3)).await;
    assert!(start.elapsed() >= ms(3));
    assert!(timeout(ms(1), pending::<()>()).await.is_err());
    assert_eq!(timeout(secs(60), async { 5 }).await, Ok(5));
}

/// Returns a sleep of an hour, armed by a task elsewhere.
fn armed(runtime: &Runtime, task: &Task) -> Sleep {
    let _entered = runtime.enter();
    let mut sleep = sleep(secs(3600));
    assert!(task.poll(&mut sleep).is_pending());
    sleep
}

#[test]
fn every_kind_of_runtime_drives_its_timers() {
    watched(|| {
        current_thread().block_on(sleep_and_check());
        multi_thread().block_on(sleep_and_check());
        let spawned = multi_thread();
        spawned.block_on(spawned.spawn(sleep_and_check())).unwrap();
        LocalRuntime::new().unwrap().block_on(sleep_and_check());
        let blocking = multi_thread();
        let inside = blocking
            .spawn_blocking(|| tokio::runtime::Handle::current().block_on(sleep_and_check()));
        blocking.block_on(inside).unwrap();
    });
}

#[test]
fn a_runtime_without_io_or_without_time_drives_its_timers() {
    watched(|| {
        let mut time_only = Builder::new_current_thread();
        time_only
            .enable_time()
            .build()
            .unwrap()
            .block_on(sleep_and_check());
        let mut workers = Builder::new_multi_thread();
        workers.worker_threads(2).enable_time();
        let workers = workers.build().unwrap();
        workers.block_on(workers.spawn(sleep_and_check())).unwrap();
        let mut io_only = Builder::new_current_thread();
        io_only
            .enable_io()
            .build()
            .unwrap()
            .block_on(sleep_and_check());
    });
}

#[test]
fn a_runtime_with_neither_uses_the_process_wide_thread() {
    watched(|| {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(sleep_and_check());
        let _entered = runtime.enter();
        assert!(Handle::try_current().is_err());
    });
}

#[test]
fn an_entered_runtime_is_context_enough() {
    watched(|| {
        let runtime = multi_thread();
        let sleep = {
            let _entered = runtime.enter();
            sleep(ms(2))
        };
        thread::spawn(move || {
            let start = Instant::now();
            pollster::block_on(sleep);
            start
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_timer_stays_with_its_runtime_wherever_it_is_reset_and_polled() {
    watched(|| {
        let home = multi_thread();
        let away = current_thread();
        let task = Task::new();
        let mut sleep = armed(&home, &task);
        away.block_on(async {
            sleep.reset_at(Instant::now() + ms(2));
            (&mut sleep).await;
        });
        assert!(!sleep.is_orphaned());
        sleep.reset_after(secs(3600));
        assert!(task.poll(&mut sleep).is_pending());
        drop(away);
        assert!(!sleep.is_orphaned());
        drop(home);
        assert!(sleep.is_orphaned());
    });
}

#[test]
fn an_entered_driver_is_preferred_to_the_runtime() {
    let runtime = current_thread();
    let _runtime = runtime.enter();
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut sleep = sleep(secs(9));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.handle().armed(), 1);
}

#[test]
fn the_end_of_a_runtime_wakes_the_tasks_of_its_timers_and_they_go_on() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            let task = Task::new();
            let mut sleep = armed(&runtime, &task);
            drop(runtime);
            assert_eq!(task.wakes(), 1);
            assert!(sleep.is_orphaned() && !sleep.is_elapsed());
            sleep.reset_at(Instant::now() + ms(2));
            pollster::block_on(sleep);
        }
    });
}

#[test]
fn the_end_of_a_runtime_without_io_is_noticed_too() {
    watched(|| {
        for threads in [1, 2] {
            let mut builder = match threads {
                1 => Builder::new_current_thread(),
                _ => Builder::new_multi_thread(),
            };
            let runtime = builder.enable_time().build().unwrap();
            let task = Task::new();
            let sleep = armed(&runtime, &task);
            drop(runtime);
            assert_eq!(task.wakes(), 1);
            assert!(sleep.is_orphaned());
        }
    });
}

#[test]
fn timers_made_after_the_end_of_a_runtime_do_not_panic() {
    watched(|| {
        let runtime = current_thread();
        runtime.block_on(sleep_and_check());
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        pollster::block_on(sleep_and_check());
    });
}

#[test]
fn a_timer_may_be_dropped_after_its_runtime() {
    let task = Task::new();
    let runtime = multi_thread();
    let sleep = armed(&runtime, &task);
    drop(runtime);
    drop(sleep);
    assert_eq!(task.held(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn many_runtimes_one_after_the_other_leave_no_descriptor_behind() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    watched(move || {
        for runtime in 0..200 {
            let runtime = match runtime % 3 {
                0 => multi_thread(),
                _ => current_thread(),
            };
            runtime.block_on(sleep_and_check());
        }
        // Other tests of this process have some, too.
        assert!(open() < 150, "{} descriptors are open", open());
    });
}

/// Each new runtime asks whether it has ended, since it does not tell.
#[test]
fn a_runtime_that_nobody_runs_collects_no_tasks_while_others_come_and_go() {
    let tick = Duration::from_nanos(1);
    let idle = Builder::new_current_thread().enable_time().build().unwrap();
    idle.block_on(async { sleep(tick).await });
    for _ in 0..50 {
        current_thread().block_on(async { sleep(tick).await });
    }
    let metrics = idle.handle().metrics();
    assert!(metrics.num_alive_tasks() <= 1 && metrics.global_queue_depth() <= 1);
}

#[test]
fn a_waker_may_drop_and_arm_timers_of_its_runtime() {
    watched(|| {
        let runtime = multi_thread();
        runtime.block_on(async {
            // So far off that all are armed by then, also on a slow machine.
            let others: Vec<_> = (0..100).map(|_| Box::new(sleep(ms(500)))).collect();
            let others = std::sync::Arc::new(std::sync::Mutex::new(others));
            let in_waker = others.clone();
            let waker = waker(move || {
                let taken = std::mem::take(&mut *in_waker.lock().unwrap());
                drop(taken);
                let mut again = sleep(secs(3600));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut again).poll(&mut cx).is_pending());
            });
            for sleep in others.lock().unwrap().iter_mut() {
                let poll = Pin::new(&mut **sleep).poll(&mut Context::from_waker(&waker));
                assert_eq!(poll, Poll::Pending);
            }
            while !others.lock().unwrap().is_empty() {
                sleep(ms(1)).await;
            }
        });
    });
}

#[test]
fn sleepers_on_two_workers_all_wake_and_none_early() {
    watched(|| {
        let runtime = multi_thread();
        let tasks: Vec<_> = (0..400)
            .map(|task: u64| {
                runtime.spawn(async move {
                    for round in 0..20 {
                        let start = Instant::now();
                        let nap = std::time::Duration::from_micros((task * 7 + round * 31) % 900);
                        sleep(nap).await;
                        assert!(start.elapsed() >= nap);
                        // Most timeouts never fire.
                        let quick = timeout(secs(30), tokio::task::yield_now());
                        assert!(quick.await.is_ok());
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn the_slack_is_one_for_all_workers_of_a_runtime_and_for_no_other() {
    watched(|| {
        let (one, other) = (multi_thread(), multi_thread());
        one.spawn_blocking(|| Handle::current().set_slack(ms(2)));
        while one.block_on(async { Handle::current().slack() }) != ms(2) {
            thread::yield_now();
        }
        let seen = one.spawn(async { Handle::current().slack() });
        assert_eq!(one.block_on(seen).unwrap(), ms(2));
        let seen = other.spawn(async { Handle::current().slack() });
        let default = reveille::Builder::DEFAULT_SLACK;
        assert_eq!(other.block_on(seen).unwrap(), default);
        one.block_on(sleep_and_check());
    });
}

#[test]
fn timers_under_any_slack_end_and_none_early() {
    watched(|| {
        let runtime = multi_thread();
        runtime.block_on(async {
            for slack in [ms(200), ms(1), ms(0)] {
                let all: Vec<_> = (0..200)
                    .map(|i| {
                        tokio::spawn(async move {
                            for _ in 0..3 {
                                let start = Instant::now();
                                sleep(ms(1 + i % 5)).await;
                                assert!(start.elapsed() >= ms(1 + i % 5));
                            }
                        })
                    })
                    .collect();
                Handle::current().set_slack(slack);
                for task in all {
                    task.await.unwrap();
                }
            }
        });
    });
}

/// Returns whether a timer fires while the task of an earlier timer computes, which it does until
/// then, or until `give_up`.
fn fires_beside_a_task_that_computes(runtime: &Runtime, give_up: Duration) -> bool {
    let fired = Arc::new(AtomicBool::new(false));
    let fires = fired.clone();
    runtime.block_on(async {
        let later = tokio::spawn(async move {
            sleep(ms(60)).await;
            fires.store(true, Ordering::Release);
        });
        let computing = tokio::spawn(async move {
            sleep(ms(20)).await;
            let start = std::time::Instant::now();
            while !fired.load(Ordering::Acquire) && start.elapsed() < give_up {
                thread::sleep(ms(1));
            }
            fired.load(Ordering::Acquire)
        });
        let result = computing.await.unwrap();
        later.await.unwrap();
        result
    })
}

/// Tokio leaves its poller to itself while the worker that has waited there runs one task. Once
/// timers were late for it, another worker is made to wait there.
#[test]
fn task_that_computes_does_not_keep_other_timers_of_its_runtime_late_again() {
    watched(|| {
        let runtime = multi_thread();
        // Whether this first time another worker waits is tokio's choice.
        fires_beside_a_task_that_computes(&runtime, ms(100));
        let fires = (0..3).any(|_| fires_beside_a_task_that_computes(&runtime, secs(10)));
        assert!(fires, "no worker waited for the timer");
    });
}
