//! This does not compile. `run.sh` checks what rustc says about it.

#[cfg(not(feature = "rt"))]
pub use reveille::{adapters::hyper::HyperTimer, exporters::metrics, rt::block_on, time::pause};

#[cfg(feature = "rt")]
pub use reveille::rt::{io::AsyncFd, spawn_blocking};
