//! Tests of timers on other executors, which know nothing of this crate.
//!
//! The free functions use the process-wide thread, a `DriverThread`, or a driver that is entered.
//! All tests run in real time, so they assert only lower bounds and orders.

#![cfg(all(not(loom), feature = "fallback"))]

mod support;

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use futures::task::{LocalSpawnExt, SpawnExt};
use reveille::time::{Instant, interval, sleep, sleep_until, timeout};
use reveille::{Driver, DriverThread, Handle, Park, ThreadPark, Unpark};

use support::{Log, Task, manual, ms, secs, watched};

/// Timers in all forms, which must work on any executor.
async fn scenario() {
    let start = Instant::now();
    sleep(ms(2)).await;
    assert!(start.elapsed() >= ms(2));

    let deadline = Instant::now() + Duration::from_micros(100);
    sleep_until(deadline).await;
    assert!(Instant::now() >= deadline);

    assert!(timeout(ms(1), pending::<()>()).await.is_err());
    assert_eq!(timeout(secs(3600), async { 7 }).await, Ok(7));

    let start = Instant::now();
    let ticks: Vec<_> = interval(ms(1)).take(3).collect().await;
    assert!(start.elapsed() >= ms(2));
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == ms(1)));

    let first = futures::future::select(sleep(secs(3600)), sleep(ms(1))).await;
    assert!(matches!(first, futures::future::Either::Right(_)));
}

#[test]
fn timers_work_on_pollster() {
    watched(|| pollster::block_on(scenario()));
}

#[test]
fn timers_work_on_futures_executors() {
    watched(|| {
        futures::executor::block_on(scenario());

        let mut pool = futures::executor::LocalPool::new();
        let spawner = pool.spawner();
        let log = Log::new();
        for limit in [30, 10, 20] {
            let log = log.clone();
            let task = async move {
                sleep(ms(limit)).await;
                log.push(limit);
            };
            if limit == 10 {
                spawner.spawn_local(task).unwrap();
            } else {
                spawner.spawn(task).unwrap();
            }
        }
        pool.run_until(scenario());
        pool.run();
        let mut ended = log.take();
        // In no certain order: on a slow machine a task may be polled first after its time.
        ended.sort_unstable();
        assert_eq!(ended, [10, 20, 30]);
    });
}

#[test]
fn timers_work_on_smol() {
    watched(|| {
        smol::block_on(scenario());
        smol::block_on(smol::spawn(scenario()));
        let executor = smol::LocalExecutor::new();
        let tasks = [executor.spawn(scenario()), executor.spawn(scenario())];
        smol::block_on(executor.run(async move {
            for task in tasks {
                task.await;
            }
        }));
    });
}

#[test]
fn timers_work_on_tokio_without_its_time_driver() {
    watched(|| {
        let current = tokio::runtime::Builder::new_current_thread().build();
        let multi = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build();
        for runtime in [current.unwrap(), multi.unwrap()] {
            runtime.block_on(scenario());
            let tasks: Vec<_> = (0..8).map(|_| runtime.spawn(scenario())).collect();
            runtime.block_on(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
            // Timers are still waiting when their runtime ends.
            drop(runtime.spawn(sleep(secs(3600))));
            drop(runtime);
        }
    });
}

#[test]
fn an_entered_driver_is_preferred_to_the_fallback() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut timer = sleep(secs(3600));
    assert!(Task::new().poll(&mut timer).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(secs(3600));
    pollster::block_on(async {
        timer.await;
        assert_eq!(Instant::now(), clock.now());
    });
}

#[test]
fn a_driver_on_another_threads_loop_serves_this_thread() {
    watched(|| {
        let park = ThreadPark::new();
        let unpark = park.unparker();
        let mut driver = Driver::new(park);
        let handle = driver.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut fired = 0;
            while !stopped.load(Ordering::SeqCst) {
                fired += driver.park().fired();
            }
            fired
        });
        let entered = handle.enter();
        pollster::block_on(scenario());
        drop(entered);
        assert_eq!(handle.armed(), 0);
        stop.store(true, Ordering::SeqCst);
        unpark.unpark();
        assert!(thread.join().unwrap() > 0);
        assert!(handle.is_closed());
    });
}

#[test]
fn driver_thread_works_by_handle_and_when_entered() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        pollster::block_on(timers.handle().sleep(ms(1)));
        let entered = timers.handle().enter();
        pollster::block_on(scenario());
        let there = timers.handle().clone();
        thread::spawn(move || {
            assert!(Handle::try_current().is_err(), "entered on another thread");
            let _entered = there.enter();
            futures::executor::block_on(scenario());
        })
        .join()
        .unwrap();
        drop(entered);
    });
}

#[test]
fn timers_of_a_dropped_driver_thread_move_to_another_driver() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let handle = timers.handle().clone();
        let task = Task::new();
        let mut timer = handle.sleep(ms(100));
        let deadline = timer.deadline();
        assert!(task.poll(&mut timer).is_pending());
        drop(timers);
        assert!(handle.is_closed());
        assert_eq!((task.wakes(), task.held()), (1, 0));
        pollster::block_on(timer);
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn threads_of_different_executors_share_the_fallback() {
    watched(|| {
        let (done, ends) = mpsc::channel();
        let run: [fn(); 3] = [
            || pollster::block_on(scenario()),
            || futures::executor::block_on(scenario()),
            || smol::block_on(scenario()),
        ];
        for run in run.into_iter().cycle().take(12) {
            let done = done.clone();
            thread::spawn(move || {
                run();
                done.send(()).unwrap();
            });
        }
        drop(done);
        assert_eq!(ends.iter().count(), 12);
    });
}
