//! Which driver serves a timer that names none?
//!
//! The one that is entered on this thread, or, inside a tokio runtime (feature `tokio`), that
//! runtime's own: whichever was entered last. Else the process-wide thread, started on first use.

pub(crate) mod coop;
mod current;
#[cfg(all(feature = "fallback", not(loom)))]
mod fallback;
#[cfg(any(not(feature = "fallback"), loom))]
#[path = "backend/no_fallback.rs"]
mod fallback;
#[cfg(all(feature = "tokio", not(loom)))]
pub(crate) mod host;
#[cfg(any(not(feature = "tokio"), loom))]
#[path = "backend/no_host.rs"]
pub(crate) mod host;
#[cfg(loom)]
pub(crate) mod model;
mod stack;
#[cfg(not(loom))]
mod thread;

pub(crate) use self::current::no_clock;
pub use self::current::{Entered, NoDriver};
#[cfg(not(loom))]
pub use self::thread::DriverThread;
