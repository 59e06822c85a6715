//! What does work that blocks its thread keep waiting? Nothing but the task that asked for it.

#![cfg(all(not(loom), feature = "blocking"))]

mod support;

use std::sync::mpsc;
use std::thread;

use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};

use support::{Count, ms, secs, watched};

fn single() -> Runtime {
    Runtime::builder().worker_threads(1).build().unwrap()
}

#[test]
fn tasks_and_timers_go_on_beside_it() {
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
fn its_panic_is_its_handles() {
    watched(|| {
        let error = single().block_on(async {
            let work = rt::spawn_blocking(|| panic!("by design"));
            work.await.map(|(): ()| ()).unwrap_err()
        });
        assert_eq!(error.to_string(), "task panicked: by design");
    });
}

#[test]
fn time_that_moves_by_itself_waits_for_it() {
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
fn what_is_aborted_yields_nothing() {
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
            // Whether it had begun or not: it is not told.
            let _ = go.send(());
        });
    });
}
