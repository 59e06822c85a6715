//! Futures and streams that wait for time: sleeps, timeouts, intervals and delay queues.
//!
//! [`Sleep`], [`Timeout`] and [`Interval`] have the names, arguments and meanings of those in
//! `tokio::time`, so that porting a program means changing the import. The free functions of this
//! module make them on the [current](crate::Handle::current) driver. If there is none, the timer
//! chooses its driver at its first poll. The methods of the same names on a
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
//! can run, and a [`timeout`] around it can end, a timer yields after 128 ready results in a row,
//! or once ready results have come for 5 ms. The timer that yields wakes the task; its poll is
//! pending although its deadline has passed, and the next poll is ready. Apart from that, a timer
//! whose deadline has passed is ready at its first poll.
//!
//! This holds for every future and stream of this module and of [`StreamExt`]. The 5 ms begin when
//! the clock is first read for such a result, and are noticed when it is read again. A timer whose
//! driver has fired it needs no reading of the clock, nor does a [`timeout`] whose future is ready:
//! for these, it is read at the 8th, 16th, 32nd, 64th and 128th result. How ready results are
//! counted depends on the executor:
//!
//! - On the executor of this crate (feature `rt`) and in
//!   [`ManualClock::simulate`](crate::ManualClock::simulate), they are counted within one poll of a
//!   task.
//! - Inside a task of a tokio runtime (feature `tokio`), timers use tokio's own budget instead, as
//!   tokio's timers do. It is 128 for one poll of a task, with no limit of time. A task that spends
//!   it on something else first should poll its timers before that, or compare their
//!   [`deadline`](Sleep::deadline) with the time.
//! - On any other executor, a timer cannot tell where a poll of the task begins. So the count and
//!   the 5 ms go on across polls, until another task polls a timer. A result is not counted if the
//!   task has waited for the timer, and before the sixteenth none yields because of the 5 ms. A
//!   timer may therefore yield in a task that does not keep others waiting, which costs at most one
//!   more poll for fifteen ready results.
//!
//! The exception is any other executor on a thread that has entered a tokio runtime (feature
//! `tokio`). Timers use tokio's budget there, too, and outside of tokio's tasks that has no end: no
//! timer yields.
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
