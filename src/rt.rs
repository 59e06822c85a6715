//! How small can an executor be that runs tasks and timers on one thread?
//!
//! About this small: `rt/runtime.rs` is the loop, `rt/shared.rs` the way of a woken task back into
//! it, `rt/task.rs` what is handed out for a task, and the driver does the rest. It is meant to be
//! used, and to be copied: whoever integrates the driver into a scheduler of their own finds here,
//! in order, what has to happen when.
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

mod runtime;
mod shared;
mod task;

pub use self::runtime::{Runtime, block_on, spawn, spawn_local};
pub use self::task::{JoinError, JoinHandle, YieldNow, yield_now};
