//! [`FutureExt`], time limits as methods of futures.
//!
//! They are for the end of a chain of calls, and do the same as the functions of the same names in
//! `time`.

use std::future::Future;
use std::time::Duration;

use crate::instant::Instant;
use crate::time::{Timeout, timeout, timeout_at};

/// Time limits, as methods of every future.
///
/// The names and meanings are those of `tokio_util::time::FutureExt`. The methods of
/// `futures::FutureExt` have other names; to use both traits, import this one as `_`:
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
    /// Requires the future to complete before `duration` has passed; see
    /// [`time::timeout`](timeout).
    ///
    /// With a `duration` of zero, the future is still polled once. If the deadline is beyond the
    /// clock's end (292 years), there is no limit. If no driver is
    /// [current](crate::Handle::current) at this call, the limit takes the driver that is current
    /// at its first poll.
    ///
    /// # Errors
    ///
    /// The returned future ends with [`Elapsed`](crate::time::error::Elapsed) if the deadline
    /// passes first.
    ///
    /// # Panics
    ///
    /// In the same cases as [`time::sleep`](crate::time::sleep()).
    ///
    /// # Cancel safety
    ///
    /// The returned future is as safe to drop as the future itself.
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

    /// Requires the future to complete before `deadline`; see [`time::timeout_at`](timeout_at).
    ///
    /// With a deadline in the past, the future is still polled once.
    ///
    /// # Errors
    ///
    /// The returned future ends with [`Elapsed`](crate::time::error::Elapsed) if the deadline
    /// passes first.
    ///
    /// # Panics
    ///
    /// In the same cases as [`time::sleep`](crate::time::sleep()).
    ///
    /// # Cancel safety
    ///
    /// The returned future is as safe to drop as the future itself.
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
