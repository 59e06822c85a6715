//! Counts instructions by callgrind. Shared by the benches that do.

use std::process::Command;

/// Returns the instructions of a process of this program that runs one path `count` times, or `None`
/// if there is no valgrind.
///
/// # Panics
///
/// If the path panics under valgrind: the count would be that of a part of it.
pub(crate) fn counted(path: usize, count: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args([path.to_string(), count.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "path {path} has failed:\n{report}");
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}
