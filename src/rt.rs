//! How does an executor look that readies tasks as Go's scheduler does?
//!
//! Every worker has a queue of tasks and a heap of timers; it checks its timers between tasks and
//! readies theirs onto its own queue. Who is idle runs the tasks and timers of others. It is meant
//! to be used, and to be read: whoever puts the driver into a scheduler of their own finds here what
//! has to happen when (and in `docs/executor.md` why).
//!
//! The rooms, from the inside out: `task` (what is known of a task), `slot` and `core` (a worker's own
//! queue), `idle` (who is parked and who is unparked) and `bed` (in what), `pool` (what all workers
//! share), `notifier` and `local` (what is for one thread alone), `inner` (the runtime's cores, tasks and
//! members), `context` (which runtimes this thread is in), `schedule` (where a ready task goes), `worker`
//! (the loop), `block_on` (a thread that waits for one future), `runtime` (how it starts and ends).
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

mod block_on;
#[cfg(feature = "blocking")]
mod blocking;
mod builder;
mod context;
mod core;
mod handle;
mod hooks;
pub(crate) mod idle;
mod inner;
#[cfg(all(feature = "poll", target_os = "linux"))]
pub mod io;
mod join;
mod local;
#[cfg(not(all(feature = "poll", target_os = "linux")))]
mod no_io;
pub(crate) mod notifier;
mod pool;
mod runtime;
mod schedule;
mod slot;
mod spawn;
mod task;
mod worker;

#[cfg(feature = "blocking")]
pub use self::blocking::spawn_blocking;
pub use self::builder::Builder;
pub use self::context::Entered;
pub use self::handle::{Handle, NoRuntime};
pub use self::join::{AbortHandle, JoinError, JoinHandle, YieldNow, yield_now};
pub use self::runtime::Runtime;
pub use self::spawn::{block_on, hold, spawn, spawn_local};

#[cfg(all(feature = "poll", target_os = "linux"))]
use self::io::Reactor;
#[cfg(not(all(feature = "poll", target_os = "linux")))]
use self::no_io::Reactor;
