//! I/O of the runtime: tasks wait for sockets and pipes.
//!
//! feature `io`, Linux only. A worker that has nothing to run sleeps until the earliest deadline, a
//! wake-up, or I/O, whichever comes first; there is no other thread. [`AsyncFd`] waits for a file
//! descriptor, whatever owns it. Reading and writing are left to the owner: the sockets and pipes
//! of std can do so without blocking.

// The modules, from the bottom up: `kernel` (the system calls), `source` (the tasks that wait for
// one descriptor), `reactor` (from the kernel's events to wakers), `mode` (the non-blocking mode),
// `async_fd` and `ready` (the owner of a descriptor, and its futures).

#[cfg(not(loom))]
mod async_fd;
#[cfg(not(loom))]
mod kernel;
#[cfg(loom)]
#[path = "../../tests/loom/kernel.rs"]
mod kernel;
#[cfg(not(loom))]
mod mode;
#[cfg(all(test, loom))]
#[path = "../../tests/loom/io.rs"]
mod models;
mod reactor;
#[cfg(not(loom))]
mod ready;
mod source;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(not(loom))]
pub use self::async_fd::AsyncFd;
#[cfg(not(loom))]
pub use self::ready::{Readable, Writable};

pub(crate) use self::reactor::Reactor;
