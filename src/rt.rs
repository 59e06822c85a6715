//! An executor that schedules tasks as Go's scheduler does.
//!
//! Every worker has a queue of tasks and a driver of its own. It polls its timers between tasks,
//! and the tasks that they wake go to its own LIFO slot and queue. An idle worker steals tasks from
//! the others, and fires the timers that they do not get to. The executor is meant to be used, and
//! to be read: [`docs::executor`](crate::docs::executor) tells what a scheduler of your own has to
//! do, and at which moment, with this executor as the example.
//!
//! | to | use |
//! |---|---|
//! | run one future, and the tasks that it spawns | [`block_on`] |
//! | choose threads, clock, slack and hooks, or keep the runtime | [`Runtime`], [`Builder`] |
//! | start a task | [`spawn()`], [`spawn_local`]; from outside [`Handle::spawn`] |
//! | wait for a task, or end it | [`JoinHandle`], [`AbortHandle`] |
//! | let other tasks run first | [`yield_now`] |
//! | call what blocks | `spawn_blocking` (feature `blocking`) |
//! | wait for sockets and other descriptors | `io` (feature `io`, Linux) |
//! | keep paused time from moving | [`hold()`] |
//!
//! Channels, locks, `select!` and signals come from other crates:
//! [which ones](crate::docs::executor#what-rt-is-for).
//!
//! # Examples
//!
//! ```
//! use reveille::{rt, time::{sleep, Duration}};
//!
//! let sum = rt::block_on(async {
//!     let two = rt::spawn(async {
//!         sleep(Duration::from_millis(2)).await;
//!         2
//!     });
//!     let one = rt::spawn(async {
//!         sleep(Duration::from_millis(1)).await;
//!         1
//!     });
//!     one.await.unwrap() + two.await.unwrap()
//! });
//! assert_eq!(sum, 3);
//! ```

// The modules, from the bottom up; each uses only those before it:
//
// - `idle`: which workers are parked, and which one is unparked for new work; it owns the clock, and
//   the sharded driver, whose wake source is the timeout of one parked worker
// - `reactor`: from the kernel's events to tasks
// - `task`: a task, and the list that it is in until it ends
// - `core`: the tasks that are ready on one worker, and the state of its loop
// - `pool`: what all workers share
// - `local`: what belongs to one thread
// - `inner`: the runtime's cores and tasks, and its members: what keeps it alive
// - `join`: a task's handles
// - `scopes`: which runtimes this thread is in, and where a ready task goes
// - `worker`: the loop, and how a worker parks
// - `block_on`: a thread that waits for one future
// - `handle`: a runtime's handle, and the free functions
// - `io`: descriptors, and the futures that wait for them
// - `runtime`, `builder`: the `Runtime`, and its settings

mod block_on;
mod builder;
mod core;
mod handle;
pub(crate) mod idle;
mod inner;
#[cfg(all(feature = "io", target_os = "linux", not(loom)))]
pub mod io;
mod join;
pub(crate) mod local;
mod pool;
#[cfg(all(feature = "io", target_os = "linux"))]
mod reactor;
#[cfg(not(all(feature = "io", target_os = "linux")))]
#[path = "rt/no_reactor.rs"]
mod reactor;
mod runtime;
mod scopes;
mod task;
mod worker;

pub use self::builder::Builder;
#[cfg(feature = "blocking")]
pub use self::handle::spawn_blocking;
pub use self::handle::{Handle, NoRuntime, hold, spawn, spawn_local};
pub use self::join::{AbortHandle, JoinError, JoinHandle, YieldNow, yield_now};
pub use self::runtime::{Runtime, block_on};
pub use self::scopes::Entered;
