//! Test of the process-wide thread with embassy's executor for systems with threads.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::Executor;
use reveille_executors_wide::{scenario, watched};
use static_cell::StaticCell;

static DONE: AtomicBool = AtomicBool::new(false);

#[embassy_executor::task]
async fn main_task() {
    scenario().await;
    DONE.store(true, Ordering::SeqCst);
}

#[test]
fn timers_work_on_embassy() {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    watched(|| {
        let executor = EXECUTOR.init(Executor::new());
        let done = || DONE.load(Ordering::SeqCst);
        executor.run_until(|spawner| spawner.spawn(main_task().unwrap()), done);
    });
}
