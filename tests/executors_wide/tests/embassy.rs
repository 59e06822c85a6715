//! Does the process-wide thread serve embassy's executor, in its form for systems with threads?

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
fn embassy_is_served() {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    watched(|| {
        let executor = EXECUTOR.init(Executor::new());
        let done = || DONE.load(Ordering::SeqCst);
        executor.run_until(|spawner| spawner.spawn(main_task().unwrap()), done);
    });
}
