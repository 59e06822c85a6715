//! Which futures wait for time?
//!
//! [`Sleep`], [`Timeout`] and [`Interval`], with the names, arguments and meanings of
//! `tokio::time`: changing the import is the whole port. Each is made by a free function here, on
//! the driver that is [current](crate::Handle::current), or by the method of the same name on a
//! [`Handle`](crate::Handle).
//!
//! [`FutureExt`] and [`StreamExt`] give the futures and streams of others time limits and more, as
//! methods; what those of streams return is in [`stream`]. A [`DelayQueue`] keeps values until they
//! are due; it is that of `tokio_util::time`.
//!
//! # Examples
//!
//! ```
//! use reveille::time::{sleep, timeout, Duration};
//!
//! reveille::rt::block_on(async {
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
mod pause;
mod sleep;
pub mod stream;
mod timeout;

pub use std::time::Duration;

pub use self::delay_queue::DelayQueue;
pub use self::future_ext::FutureExt;
pub use self::interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use self::pause::{advance, pause, resume};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::stream::StreamExt;
pub use self::timeout::{Timeout, timeout, timeout_at};
pub use crate::instant::Instant;
