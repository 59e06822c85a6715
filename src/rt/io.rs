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
//! | exactly n bytes | [`read_exact`](AsyncFd::read_exact) |
//! | datagrams | [`recv_from`], [`send_to`], [`recv`], [`send`] |
//! | lines, copying, buffers | `AsyncBufReadExt` and others of the crate `futures`, with the feature `futures-io` |
//! | another operation, such as `peek` | [`read_with`], [`write_with`] |
//! | readiness alone | [`readable`], [`writable`] |
//! | the same, kept in a struct | [`readable_owned`], [`writable_owned`] |
//! | a `poll` function | [`poll_readable`], [`poll_writable`] |
//!
//! [`timeout`] limits each of the futures: `stream.read(&mut buffer).timeout(limit).await??`. The
//! first `?` is for the limit, the second for the I/O. The crates `async-net` and `async-io` work
//! on `rt`, too, with a thread of their own.
//!
//! In a clone, `cargo run --release --features io --example tcp_echo` runs a server with an idle
//! timeout, and `--example reliable_udp` a file transfer over UDP that loses datagrams.
//!
//! # Lines
//!
//! With the feature `futures-io`, an [`AsyncFd`] and a reference to one are what the crate
//! `futures` calls `AsyncRead` and `AsyncWrite`:
//!
#![cfg_attr(feature = "futures-io", doc = "```")]
#![cfg_attr(not(feature = "futures-io"), doc = "```ignore")]
//! use futures::{TryStreamExt, io::{AsyncBufReadExt, BufReader}};
//! use reveille::rt::{self, io::AsyncFd};
//! use std::os::unix::net::UnixStream;
//!
//! rt::block_on(async {
//!     let (here, there) = UnixStream::pair()?;
//!     let (here, there) = (AsyncFd::new(here)?, AsyncFd::new(there)?);
//!     there.write_all(b"one\ntwo\n").await?;
//!     let mut lines = BufReader::new(&here).lines();
//!     assert_eq!(lines.try_next().await?.as_deref(), Some("one"));
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! # On a manual clock
//!
//! On a [`ManualClock`](crate::ManualClock) or a paused clock, time moves on to the next deadline
//! when all workers are idle, and a socket does not count as work: a task that waits for a peer is
//! idle. So a `timeout` around a read ends at once, in no real time, unless what it waits for is
//! there already. Three cases:
//!
//! - *The peer is outside of the runtime*: another process, or a thread. Take
//!   [`rt::hold`](crate::rt::hold()) before the request, and drop it after the answer. While it
//!   lives, time stands still, and the limit does not end, so do not wait for a peer that may never
//!   answer.
//! - *The peer is a task of the same runtime.* What the kernel has ready is read before time moves
//!   on, on any number of workers. So a conversation over a pipe or a Unix socket takes no simulated
//!   time. Nor does one over UDP on the loopback device, as a rule: Linux delivers a datagram there
//!   while it is sent, but does not promise it. Over TCP, whose timers are the kernel's, and over
//!   any other network device, time may move on first.
//! - *Neither*: in [`ManualClock::simulate`](crate::ManualClock::simulate) there is no runtime, and
//!   so no `AsyncFd`. Simulate the network instead, by a channel and a
//!   [`sleep`](crate::time::sleep()).
//!
//! ```
//! use reveille::rt::{self, Runtime, io::AsyncFd};
//! use reveille::{FutureExt, ManualClock, time::Duration};
//! use std::io::Write;
//!
//! let clock = ManualClock::new();
//! let runtime = Runtime::builder().worker_threads(1).clock(&clock).build()?;
//! runtime.block_on(async {
//!     let (reader, mut writer) = std::io::pipe()?;
//!     let reader = AsyncFd::new(reader)?;
//!     let mut buffer = [0; 8];
//!     let limit = Duration::from_secs(3600);
//!     // No byte is there: the hour passes at once.
//!     assert!(reader.read(&mut buffer).timeout(limit).await.is_err());
//!
//!     // A thread will answer, and time stands still until it has.
//!     let hold = rt::hold();
//!     std::thread::spawn(move || writer.write_all(b"hello"));
//!     assert_eq!(reader.read(&mut buffer).timeout(limit).await??, 5);
//!     drop(hold);
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! [`recv_from`]: AsyncFd::recv_from
//! [`send_to`]: AsyncFd::send_to
//! [`recv`]: AsyncFd::recv
//! [`send`]: AsyncFd::send
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
// `transfer` (bytes), `datagrams` (of UDP), `poll` (for traits that poll) and `traits` (of
// futures-io).

mod async_fd;
mod connect;
mod datagrams;
mod mode;
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "quinn-0_11"))]
mod poll;
mod ready;
#[cfg(test)]
mod tests;
#[cfg(feature = "futures-io")]
mod traits;
mod transfer;

pub use self::async_fd::AsyncFd;
pub use self::ready::{Readable, Writable};
