//! Test of a system that refuses to start the process-wide thread.

#![cfg(all(not(loom), feature = "fallback", target_os = "linux"))]

mod support;

use std::panic::catch_unwind;
use std::process::Command;
use std::time::Duration;

use reveille::{Driver, Handle, ThreadPark};

use support::Task;

const CHILD: &str = "REVEILLE_TEST_WITHOUT_THREADS";

/// In an earlier version, every call but the first panicked for another reason, a poisoned lock,
/// and an orphaned timer panicked, too. The test runs in a process of its own, in which no thread
/// can start, because the stack size is set to petabytes.
#[test]
fn a_thread_that_cannot_start_panics_in_each_caller_but_not_in_an_orphaned_timer() {
    if std::env::var_os(CHILD).is_some() {
        return without_threads();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["thread_that_cannot_start", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", "4000000000000000")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

fn without_threads() {
    for _ in 0..2 {
        let panic = catch_unwind(|| drop(Handle::current())).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("cannot start"), "{message}");
    }
    let driver = Driver::new(ThreadPark::new());
    let task = Task::new();
    let mut sleep = driver.handle().sleep(Duration::from_secs(60));
    assert!(task.poll(&mut sleep).is_pending());
    drop(driver);
    assert!(task.poll(&mut sleep).is_pending());
    assert!(sleep.is_orphaned());
}
