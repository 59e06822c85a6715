//! QUIC by quinn: exchanges over real sockets, on this crate's timers and sockets.

#![cfg(target_os = "linux")]

mod exchange;
mod idle;
mod loss;
mod peer;
mod proxy;
mod socket;
mod timer;

use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
