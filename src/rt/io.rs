//! I/O of the runtime: tasks wait for sockets and pipes.
//!
//! Feature `io`, Linux only. A worker that has nothing to run parks until the earliest deadline, an
//! unpark, or I/O, whichever comes first; there is no other thread. [`AsyncFd`] waits for a file
//! descriptor, whatever owns it: the sockets and pipes of std, and everything else that can be
//! polled.
//!
//! | for | use |
//! |---|---|
//! | a connection | [`connect`](AsyncFd::connect), [`accept`](AsyncFd::accept) |
//! | bytes | [`read`](AsyncFd::read), [`write`](AsyncFd::write), [`write_all`](AsyncFd::write_all) |
//! | another operation, such as `recv_from` | [`read_with`], [`write_with`] |
//! | readiness alone | [`readable`], [`writable`] |
//! | the same, kept in a struct | [`readable_owned`], [`writable_owned`] |
//! | a `poll` function | [`poll_readable`], [`poll_writable`] |
//! | code that takes `futures::io::AsyncRead` | the feature `futures-io` |
//!
//! [`timeout`] limits each of the futures: `stream.read(&mut buffer).timeout(limit).await??`. The
//! crates `async-net` and `async-io` work on `rt`, too, with a thread of their own.
//!
//! [`read_with`]: AsyncFd::read_with
//! [`write_with`]: AsyncFd::write_with
//! [`readable`]: AsyncFd::readable
//! [`writable`]: AsyncFd::writable
//! [`readable_owned`]: AsyncFd::readable_owned
//! [`writable_owned`]: AsyncFd::writable_owned
//! [`poll_readable`]: AsyncFd::poll_readable
//! [`poll_writable`]: AsyncFd::poll_writable
//! [`timeout`]: crate::FutureExt::timeout

// The modules: `mode` (the non-blocking mode), `async_fd` and `ready` (the owner of a descriptor,
// and its futures), which wait on the runtime's `reactor`; on these, `connect` (connections),
// `transfer` (bytes) and `traits` (of futures-io).

mod async_fd;
mod connect;
mod mode;
mod ready;
#[cfg(test)]
mod tests;
#[cfg(feature = "futures-io")]
mod traits;
mod transfer;

pub use self::async_fd::AsyncFd;
pub use self::ready::{Readable, Writable};
