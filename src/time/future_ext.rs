//! How does a future get its limit behind it, at the end of a chain of calls?
//!
//! By methods that say what the free functions say, and nothing more: what they mean is told in
//! `time/timeout.rs`.

use std::future::Future;
use std::time::Duration;

use crate::instant::Instant;
use crate::time::timeout::{Timeout, timeout, timeout_at};

/// Limits on time, as methods of every future.
///
/// The names and meanings are those of `tokio_util::time::FutureExt`. None of its methods is one of
/// `futures::FutureExt`; to use both traits, import this one without its name:
///
/// ```
/// use futures::FutureExt;
/// use reveille::FutureExt as _;
/// use std::time::Duration;
///
/// let answer = async { 41 }.map(|x| x + 1).timeout(Duration::from_secs(1));
/// assert_eq!(pollster::block_on(answer), Ok(42));
/// ```
pub trait FutureExt: Future {
    /// Gives the future until `duration` from now; [`time::timeout`](timeout), behind the future.
    ///
    /// Zero still polls it once. A `duration` beyond the clock's end (292 years) sets no limit. A limit
    /// that is set where no driver is entered goes by the driver of its first poll.
    ///
    /// # Errors
    ///
    /// The future yields [`Elapsed`](crate::time::error::Elapsed) if the deadline passes first.
    ///
    /// # Panics
    ///
    /// As [`time::sleep`](crate::time::sleep()) does.
    ///
    /// # Cancel safety
    ///
    /// As safe to drop as the future itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::FutureExt;
    /// use std::{future::pending, time::Duration};
    ///
    /// pollster::block_on(async {
    ///     let limit = Duration::from_millis(1);
    ///     assert_eq!(async { 5 }.timeout(limit).await, Ok(5));
    ///     assert!(pending::<()>().timeout(limit).await.is_err());
    /// });
    /// ```
    #[track_caller]
    fn timeout(self, duration: Duration) -> Timeout<Self>
    where
        Self: Sized,
    {
        timeout(duration, self)
    }

    /// Gives the future until `deadline`; [`time::timeout_at`](timeout_at), behind the future.
    ///
    /// A deadline in the past still polls it once.
    ///
    /// # Errors
    ///
    /// The future yields [`Elapsed`](crate::time::error::Elapsed) if the deadline passes first.
    ///
    /// # Panics
    ///
    /// As [`time::sleep`](crate::time::sleep()) does.
    ///
    /// # Cancel safety
    ///
    /// As safe to drop as the future itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{FutureExt, time::Instant};
    ///
    /// pollster::block_on(async {
    ///     assert_eq!(async { 5 }.timeout_at(Instant::now()).await, Ok(5));
    /// });
    /// ```
    #[track_caller]
    fn timeout_at(self, deadline: Instant) -> Timeout<Self>
    where
        Self: Sized,
    {
        timeout_at(deadline, self)
    }
}

impl<F: Future + ?Sized> FutureExt for F {}
