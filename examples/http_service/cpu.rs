//! The CPU time of the server.
//!
//! It is the time of all threads of this process except the main thread, which only waits, and the
//! thread of the clients. So a thread that a library starts for its timers counts. The kernel
//! reports it in ticks of 10 ms, and only Linux reports it by thread.

use std::time::Duration;

/// The name of the clients' thread, by which it is recognized here.
pub(crate) const CLIENTS: &str = "clients";

#[cfg(target_os = "linux")]
pub(crate) fn used() -> Option<Duration> {
    let first = std::process::id().to_string();
    let mut ticks = 0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?;
        // A thread that has ended meanwhile has no file any more.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else {
            continue;
        };
        // The name is in brackets and may contain anything; the rest is numbers.
        let (name, numbers) = stat.split_once('(')?.1.rsplit_once(')')?;
        if name == CLIENTS || thread.file_name() == first.as_str() {
            continue;
        }
        let (user, system) = (11, 12);
        let number = |at| numbers.split_whitespace().nth(at)?.parse::<u64>().ok();
        ticks += number(user)? + number(system)?;
    }
    Some(Duration::from_millis(10 * ticks))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn used() -> Option<Duration> {
    None
}
