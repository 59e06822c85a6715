//! Which futures wait for time?
//!
//! [`Sleep`], [`Timeout`] and [`Interval`], with the names, arguments and meanings of
//! `tokio::time`: changing the import is the whole port. Each is made by a free function here, on
//! the driver that is [current](crate::Handle::current) there, or else at the first poll; or by the
//! method of the same name on a [`Handle`](crate::Handle), on that.
//!
//! [`FutureExt`] and [`StreamExt`] give the futures and streams of others time limits and more, as
//! methods; what those of streams return is in [`stream`]. A [`DelayQueue`] keeps values until they
//! are due; it is that of `tokio_util::time`.
//!
//! Tests can pause time, with the feature `test-util` and the functions `pause`, `resume` and `advance`
//! of this module, or run on a [`ManualClock`](crate::ManualClock), which takes no feature.
//!
//! What to look at when a timer never fires is told in
//! [docs/troubleshooting.md](https://docs.rs/crate/reveille/latest/source/docs/troubleshooting.md).
//!
//! # Giving way
//!
//! A task whose timers are always due never has to wait: `loop { sleep(Duration::ZERO).await }`, or an
//! [`interval`] whose ticks take longer than its period. So that the other tasks of its thread run,
//! too, and a [`timeout`] around it ends, a timer yields when the task has had 128 ready answers in
//! a row, or fewer, from eight on, if they took 5 ms or more: it wakes the task, its poll is pending
//! although its time has come, and the next poll is ready. A timer that is due at its first poll is
//! ready there but for that. This goes for every future and stream of this module and for
//! [`DelayQueue`], on every executor:
//!
//! - On [`rt`](crate::rt) a row is what one poll of a task asks.
//! - Inside a tokio runtime (feature `tokio`) timers keep tokio's own budget, as tokio's do.
//! - On any other executor, where a poll begins cannot be seen. A row there is the answers for which
//!   the task did not have to wait, across polls, until another task asks a timer; time counts from
//!   the sixteenth on. So a task that does not keep others waiting may see a timer yield, too, at
//!   the cost of one poll more in sixteen or more.
//!
//! # Examples
//!
//! ```
//! use reveille::time::{sleep, timeout, Duration};
//!
//! pollster::block_on(async {
//!     sleep(Duration::from_millis(1)).await;
//!     let late = timeout(Duration::from_millis(1), sleep(Duration::from_secs(60))).await;
//!     assert!(late.is_err());
//! });
//! ```

pub mod delay_queue;
pub mod error;
mod future_ext;
mod interval;
mod now;
#[cfg(feature = "test-util")]
mod pause;
mod sleep;
pub mod stream;
mod timeout;

pub use std::time::Duration;

pub use self::delay_queue::DelayQueue;
pub use self::future_ext::FutureExt;
pub use self::interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use self::pause::{advance, pause, resume};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::stream::StreamExt;
pub use self::timeout::{Timeout, timeout, timeout_at};
pub use crate::instant::Instant;
