//! What does a short message over TCP cost, there and back?
//!
//! A client and a server for each connection, all tasks of one process, pass ten bytes back and
//! forth: on `rt::io`, on tokio, and on async-io's reactor with `rt` for the tasks. Each reads
//! first and waits when there is nothing, so what differs is how a wait is made, how events get to
//! tasks, and who is woken. CPU is that of the whole process, helper threads included, and steadier
//! than the wall time. The contenders take turns in rounds.
//!
//! `cargo bench --features io --bench echo`
//!
//! Linux only, as `rt::io` is.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod linux;

fn main() {
    linux::run();
}
