//! Does not compile; what rustc says of it is checked by run.sh.

#[cfg(not(feature = "rt"))]
pub use reveille::{rt::block_on, time::pause};

#[cfg(feature = "rt")]
pub use reveille::rt::{io::AsyncFd, spawn_blocking};
