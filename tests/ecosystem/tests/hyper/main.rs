//! hyper on this crate's timers, sockets and executor.

#![cfg(target_os = "linux")]

mod client;
mod http2;
mod io;
mod server;
mod timer;

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
