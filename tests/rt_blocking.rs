//! Tests of `spawn_blocking`: it keeps no task waiting but the one that awaits its result.

#![cfg(all(not(loom), feature = "blocking"))]

mod support;

use std::sync::mpsc;
use std::thread;

use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};
use reveille::{Driver, ManualClock};

use support::{Count, ms, secs, watched};

fn single() -> Runtime {
    Runtime::builder().worker_threads(1).build().unwrap()
}

#[test]
fn tasks_and_timers_run_while_a_call_blocks() {
    watched(|| {
        single().block_on(async {
            let (go, wait) = mpsc::channel();
            let here = thread::current().id();
            let work = rt::spawn_blocking(move || {
                wait.recv().unwrap();
                thread::current().id()
            });
            let start = Instant::now();
            sleep(ms(2)).await;
            assert!(start.elapsed() >= ms(2));
            assert!(!work.is_finished());
            go.send(()).unwrap();
            assert_ne!(work.await.unwrap(), here);
        });
    });
}

#[test]
fn the_handle_returns_the_panic() {
    watched(|| {
        let error = single().block_on(async {
            let work = rt::spawn_blocking(|| panic!("by design"));
            work.await.map(|(): ()| ()).unwrap_err()
        });
        assert_eq!(error.to_string(), "task panicked: by design");
    });
}

#[test]
fn time_does_not_advance_while_a_call_blocks() {
    watched(|| {
        for _ in 0..100 {
            let clock = ManualClock::new();
            let start = clock.now();
            let builder = Runtime::builder().worker_threads(2).clock(&clock);
            builder.build().unwrap().block_on(async {
                let work = rt::spawn_blocking(|| {
                    thread::yield_now();
                    7
                });
                assert_eq!(timeout(secs(1), work).await.unwrap().unwrap(), 7);
                assert_eq!(Instant::now(), start);
                sleep(secs(1)).await;
                assert_eq!(Instant::now(), start + secs(1));
            });
        }
    });
}

#[test]
fn an_aborted_call_yields_no_output() {
    watched(|| {
        let ran = Count::default();
        let counted = ran.clone();
        single().block_on(async {
            let (go, wait) = mpsc::channel::<()>();
            let work = rt::spawn_blocking(move || {
                wait.recv().unwrap();
                counted.add();
            });
            work.abort();
            assert!(work.await.unwrap_err().is_cancelled());
            assert_eq!(ran.get(), 0);
            // The handle does not tell whether it had begun.
            let _ = go.send(());
        });
    });
}

/// The task, which is gone, had the hold on the clock.
#[test]
fn time_does_not_advance_while_an_aborted_call_blocks() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let builder = Runtime::builder().worker_threads(1).clock(&clock);
        builder.build().unwrap().block_on(async {
            let (begun, has_begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            let work = rt::spawn_blocking(move || {
                begun.send(()).unwrap();
                let _ = ends.recv();
            });
            has_begun.recv().unwrap();
            work.abort();
            assert!(work.await.unwrap_err().is_cancelled());
            let task = rt::spawn(sleep(secs(1)));
            rt::yield_now().await;
            assert_eq!(rt::Handle::current().armed(), 1);
            let mut other = Driver::builder().clock(&clock).build_with_unpark(|| {});
            assert!(!other.advance_when_idle());
            drop(end);
            task.await.unwrap();
        });
        assert_eq!(clock.now(), start + secs(1));
    });
}
