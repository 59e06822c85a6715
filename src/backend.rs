//! The backend: finds the driver for a timer that names none.
//!
//! That is the driver entered on this thread or, inside a tokio runtime (feature `tokio`), the
//! runtime's own: whichever of the two was entered last. If there is neither, it is the
//! process-wide thread, which is started on first use.
//!
//! The modules: `thread` (a driver on a thread of its own), `fallback` (the process-wide one),
//! `tokio_driver` (the drivers of tokio runtimes; without the feature `tokio` the file is
//! `without_tokio.rs`, whose functions find none), `current` (which of all these is current, with
//! the guards of those that are entered), and `coop` (after how many ready results a timer yields).

pub(crate) mod coop;
mod current;
mod fallback;
mod thread;
#[cfg(feature = "tokio")]
pub(crate) mod tokio_driver;
#[cfg(not(feature = "tokio"))]
#[path = "backend/without_tokio.rs"]
pub(crate) mod tokio_driver;

#[cfg(feature = "test-util")]
pub(crate) use self::current::no_clock;
pub use self::current::{Entered, NoDriver};
pub(crate) use self::fallback::notice_fork;
pub use self::thread::DriverThread;
