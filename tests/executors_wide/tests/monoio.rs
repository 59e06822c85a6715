//! Tests of monoio, which needs its feature `sync`, or a task that fires the timers on its thread.

#![cfg(target_os = "linux")]

#[path = "../../../examples/pump.rs"]
#[allow(dead_code)]
mod pump;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use reveille_executors_wide::{scenario, watched};

/// Runs `main` on monoio over epoll and, where the system allows it, over io_uring.
fn on_each(main: impl AsyncFn() + Copy) {
    let legacy = RuntimeBuilder::<TimeDriver<LegacyDriver>>::new().build();
    legacy.unwrap().block_on(main());
    if monoio::utils::detect_uring() {
        let uring = RuntimeBuilder::<TimeDriver<IoUringDriver>>::new().build();
        uring.unwrap().block_on(main());
    } else {
        println!("no io_uring here");
    }
}

/// Runs the scenario in the main future and in tasks.
async fn scenarios() {
    let tasks = [monoio::spawn(scenario()), monoio::spawn(scenario())];
    scenario().await;
    for task in tasks {
        task.await;
    }
}

#[test]
fn a_pump_fires_timers_on_the_thread_of_monoio() {
    watched(|| {
        on_each(async || {
            let (handle, fire) = pump::pump(monoio::time::sleep);
            let _entered = handle.enter();
            let _pump = monoio::spawn(fire);
            scenarios().await;
            assert_eq!(handle.armed(), 0);
        });
    });
}

#[cfg(feature = "sync")]
#[test]
fn with_sync_the_process_wide_thread_fires_timers_of_monoio() {
    watched(|| on_each(scenarios));
}

/// Without the feature, a waker of monoio refuses or ignores a wake from another thread. If this
/// test fails, the table in docs/executor.md is out of date.
#[cfg(not(feature = "sync"))]
#[test]
fn without_sync_and_without_a_pump_no_timer_ends() {
    use reveille_executors_wide::ends;
    use std::time::Duration;

    async fn sleep() {
        reveille::time::sleep(Duration::from_millis(1)).await;
    }
    async fn spawned() {
        monoio::spawn(sleep()).await;
    }
    let limit = Duration::from_millis(500);
    let build = || RuntimeBuilder::<TimeDriver<LegacyDriver>>::new().build();
    assert!(!ends(limit, move || build().unwrap().block_on(sleep())));
    assert!(!ends(limit, move || build().unwrap().block_on(spawned())));
}
