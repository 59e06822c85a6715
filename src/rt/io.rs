//! How do tasks wait for sockets and pipes in the wait that the timers have anyway?
//!
//! Feature `poll`, Linux only. A worker that has nothing to run sleeps until the earliest deadline,
//! a wake-up, or I/O, whichever comes first; there is no other thread. [`AsyncFd`] waits for a file
//! descriptor, whatever owns it. Reading and writing are left to the owner: std's sockets and pipes
//! do so without blocking.
//!
//! The rooms: `kernel` (the system calls), `reactor` (from the kernel's events to wakers), `source`
//! (who waits for one descriptor), `mode` (that operations do not block), `async_fd` and `ready` (the
//! owner, and its futures).

mod async_fd;
mod kernel;
mod mode;
mod reactor;
mod ready;
mod source;
#[cfg(test)]
mod tests;

pub use self::async_fd::AsyncFd;
pub use self::ready::{Readable, Writable};

pub(crate) use self::kernel::Epoll;
pub(crate) use self::reactor::Reactor;
