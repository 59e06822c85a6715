//! Which driver serves a timer that names none?
//!
//! The one that is entered on this thread, or, inside a tokio runtime (feature `tokio`), that
//! runtime's own: whichever was entered last. Else the process-wide thread, started on first use.

pub(crate) mod coop;
mod current;
mod fallback;
#[cfg(feature = "tokio")]
pub(crate) mod host;
#[cfg(not(feature = "tokio"))]
#[path = "backend/without_tokio.rs"]
pub(crate) mod host;
mod stack;
mod thread;

#[cfg(feature = "test-util")]
pub(crate) use self::current::no_clock;
pub use self::current::{Entered, NoDriver};
pub use self::thread::DriverThread;
