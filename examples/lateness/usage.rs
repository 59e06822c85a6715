//! What the process has used: CPU time, and how often its threads have waited. Only Linux tells.

use std::time::Duration;

#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// How often a thread gave up its core by itself, which is what a wait does.
    pub(crate) waits: u64,
}

/// Returns what all threads that are alive have used so far, so a thread that a library starts for
/// its timers counts.
#[cfg(target_os = "linux")]
pub(crate) fn so_far() -> Option<Usage> {
    let mut all = Usage::default();
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let folder = thread.ok()?.path();
        // A thread that has ended meanwhile has no files any more.
        let (Ok(times), Ok(status)) = (
            std::fs::read_to_string(folder.join("schedstat")),
            std::fs::read_to_string(folder.join("status")),
        ) else {
            continue;
        };
        let nanos = times.split_whitespace().next()?.parse().ok()?;
        all.cpu += Duration::from_nanos(nanos);
        let waits = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all.waits += waits?.trim().parse::<u64>().ok()?;
    }
    Some(all)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn so_far() -> Option<Usage> {
    None
}
