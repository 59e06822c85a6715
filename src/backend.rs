//! Which driver serves a timer that names none?
//!
//! The one that is entered on this thread; else the process-wide thread, started on first use. The
//! answer is given when the timer is made and stays with it.

mod current;
#[cfg(all(feature = "fallback", not(loom)))]
mod fallback;
#[cfg(any(not(feature = "fallback"), loom))]
#[path = "backend/no_fallback.rs"]
mod fallback;
#[cfg(not(loom))]
mod thread;

pub use self::current::{Entered, NoDriver};
#[cfg(not(loom))]
pub use self::thread::DriverThread;
