//! Futures and streams that wait for time: sleeps, timeouts, intervals and delay queues.
//!
//! [`Sleep`], [`Timeout`] and [`Interval`] have the names, arguments and meanings of those in
//! `tokio::time`, so that porting a program means changing the import. The free functions of this
//! module make them on the driver that is [current](crate::Handle::current), or if there is none,
//! choose the driver at the first poll. The methods of the same names on a
//! [`Handle`](crate::Handle) make them on the driver of that handle.
//!
//! A [`DelayQueue`], like that of `tokio_util::time`, keeps values until they are due. It and its
//! module are the only names here that `tokio::time` does not have, so that
//! `use reveille::time::*` takes the place of `use tokio::time::*`. [`FutureExt`] and
//! [`StreamExt`], with time limits as methods of futures and streams, are at the root.
//!
//! | for | use |
//! |---|---|
//! | a pause | [`sleep`], [`sleep_until`] |
//! | a limit on one future | [`timeout`], [`timeout_at`], or the method of [`FutureExt`] |
//! | something that is done again and again | [`interval`], [`interval_at`] |
//! | a limit that each event puts off, such as an idle timeout | one [`Sleep`] that is [reset] |
//! | limits on the items of a stream | the methods of [`StreamExt`] |
//! | very many deadlines in one task | a [`DelayQueue`] |
//! | the same without futures | [`TimerQueue`](crate::TimerQueue) |
//!
//! [`FutureExt`]: crate::FutureExt
//! [`StreamExt`]: crate::StreamExt
//! [reset]: Sleep::reset_at
//!
//! Tests can pause time, with the feature `test-util` and the functions `pause`, `resume` and
//! `advance` of this module, or run on a [`ManualClock`](crate::ManualClock), which takes no
//! feature.
//!
//! If a timer never fires, see [troubleshooting](crate::docs::troubleshooting).
//!
//! # Yielding
//!
//! A task whose timers are always due never has to wait: `loop { sleep(Duration::ZERO).await }`, or
//! an [`interval`] whose ticks take longer than its period. So that the other tasks of its thread
//! can run, and a [`timeout`] around it can end, a timer yields after the task has polled timers
//! that were ready 128 times in a row, or at least eight times in a row during 5 ms or more. The
//! timer that yields wakes the task; its poll is pending although its deadline has passed, and the
//! next poll is ready. Apart from that, a timer whose deadline has passed is ready at its first
//! poll. All of this is true of every future and stream in this crate, on every executor:
//!
//! - On the executor of this crate (feature `rt`), the timers that are ready are counted within one
//!   poll of a task.
//! - Inside a tokio runtime (feature `tokio`), timers use tokio's own budget, as tokio's timers do.
//!   A task that spends it on something else first should poll its timers before that, or compare
//!   their [`deadline`](Sleep::deadline) with the time.
//! - On any other executor, a timer cannot tell where a poll of the task begins. So the count goes
//!   on across polls, until another task polls a timer; only timers for which the task did not have
//!   to wait are counted, and the 5 ms begin with the sixteenth. A timer may therefore yield in a
//!   task that does not keep others waiting, which costs at most one more poll in sixteen.
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
pub(crate) mod interval;
mod now;
#[cfg(feature = "test-util")]
mod pause;
mod simulate;
pub(crate) mod sleep;
mod timeout;

pub use std::time::Duration;

#[doc(inline)]
pub use self::delay_queue::DelayQueue;
pub use self::interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use self::pause::{advance, pause, resume};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Timeout, timeout, timeout_at};
pub use crate::instant::Instant;
