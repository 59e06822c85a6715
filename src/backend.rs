//! Which driver serves a timer that names none?
//!
//! The one that is entered on this thread, or, inside a tokio runtime (feature `tokio`), that
//! runtime's own: whichever was entered last. Else the process-wide thread, started on first use.

pub(crate) mod coop;
mod current;
#[cfg(feature = "fallback")]
mod fallback;
#[cfg(not(feature = "fallback"))]
#[path = "backend/no_fallback.rs"]
mod fallback;
#[cfg(feature = "tokio")]
pub(crate) mod host;
#[cfg(not(feature = "tokio"))]
#[path = "backend/no_host.rs"]
pub(crate) mod host;
mod stack;
mod thread;

#[cfg(feature = "test-util")]
pub(crate) use self::current::no_clock;
pub use self::current::{Entered, NoDriver};
pub use self::thread::DriverThread;
