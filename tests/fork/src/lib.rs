//! Runs code in a child process.

#![cfg(unix)]

use std::panic::{AssertUnwindSafe, catch_unwind};

/// After how many seconds the system ends a child, because it hangs.
const PATIENCE: u32 = 60;

/// How a child has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Well,
    Panicked,
    /// The watchdog has ended it.
    Hung,
    Other(i32),
}

/// Forks a child, which runs `code` and exits. Returns how it has ended.
pub fn in_child(code: impl FnOnce()) -> End {
    // SAFETY: the child runs code that a program which forks would run, too; what such code may do
    // is what the tests check. The child does not return from here, so no code of the parent runs
    // twice.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "the system refuses to fork");
    if child == 0 {
        // SAFETY: both take a number and touch no memory.
        unsafe { libc::alarm(PATIENCE) };
        let code = catch_unwind(AssertUnwindSafe(code));
        unsafe { libc::_exit(i32::from(code.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    match status {
        _ if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => End::Well,
        _ if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1 => End::Panicked,
        _ if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM => End::Hung,
        _ => End::Other(status),
    }
}
