//! The cost of a short message over TCP, there and back.
//!
//! For each connection, a client task and a server task of the same process pass ten bytes back and
//! forth: on `rt::io`, on tokio, and on async-io's reactor with `rt` for the tasks. Each task reads
//! first and waits if there is nothing, so the contenders differ in how they wait, how events reach
//! tasks, and which threads are woken. The CPU time is that of the whole process, helper threads
//! included, and varies less than the wall time. The contenders take turns in rounds.
//!
//! `cargo bench --features io --bench echo`, for a few rows and contenders `... -- 2,1 rt tokio`
//!
//! Linux only, like `rt::io`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod linux;

fn main() {
    linux::run();
}
