//! I/O of the runtime: tasks wait for sockets and pipes.
//!
//! Feature `io`, Linux only. A worker that has nothing to run parks until the earliest deadline, an
//! unpark, or I/O, whichever comes first; there is no other thread. [`AsyncFd`] waits for a file
//! descriptor, whatever owns it. Reading and writing are left to the owner: the sockets and pipes
//! of std can do so without blocking.

// The modules: `mode` (the non-blocking mode), `async_fd` and `ready` (the owner of a descriptor,
// and its futures). They wait on the runtime's `reactor`.

mod async_fd;
mod mode;
mod ready;
#[cfg(test)]
mod tests;

pub use self::async_fd::AsyncFd;
pub use self::ready::{Readable, Writable};
