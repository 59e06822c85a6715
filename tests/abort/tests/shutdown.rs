//! Runs the program of this package: however its runtime ends, nothing panics. See `src/main.rs`.

use std::process::{Command, Output};

const KINDS: &[&str] = &[
    "one_thread",
    "one_thread_time",
    "workers",
    "workers_time",
    #[cfg(feature = "test-util")]
    "paused",
];

fn run(situation: &str, kind: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_reveille-abort"));
    program.args([situation, kind]).output().unwrap()
}

fn ends_without_a_panic(situation: &str) {
    for kind in KINDS {
        let output = run(situation, kind);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{kind}: {}: {errors}",
            output.status
        );
        assert_eq!(errors, "", "{kind}");
    }
}

#[test]
fn a_panic_would_be_seen() {
    assert!(!run("sees_panics", "workers").status.success());
}

#[test]
fn a_runtime_ends_with_no_timer_armed() {
    ends_without_a_panic("nothing_armed");
}

#[test]
fn a_runtime_ends_with_a_task_left_that_sleeps() {
    ends_without_a_panic("task_left");
}

#[test]
fn a_runtime_ends_that_a_static_delay_queue_outlives() {
    ends_without_a_panic("static_queue");
}

#[test]
fn a_runtime_ends_while_a_timer_is_due() {
    ends_without_a_panic("overdue");
}

#[test]
fn a_runtime_ends_while_another_thread_arms_timers() {
    ends_without_a_panic("arming_elsewhere");
}
