//! [`IntervalStream`], an interval for code that is written for tokio-stream's.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::instant::Instant;
use crate::time::interval::Interval;

/// A stream of an interval's ticks, as `tokio_stream::wrappers::IntervalStream`.
///
/// An [`Interval`] of this crate is a stream itself. This type is for code that names the wrapper.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use reveille::{stream::IntervalStream, time::{interval, Duration}};
///
/// let mut ticks = IntervalStream::new(interval(Duration::from_millis(1)));
/// assert!(pollster::block_on(ticks.next()).is_some());
/// ```
#[derive(Debug)]
pub struct IntervalStream {
    interval: Interval,
}

impl IntervalStream {
    /// Wraps an interval.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{stream::IntervalStream, time::{interval, Duration}};
    ///
    /// let ticks = IntervalStream::new(interval(Duration::from_secs(1)));
    /// # drop(ticks);
    /// ```
    #[must_use]
    pub fn new(interval: Interval) -> Self {
        Self { interval }
    }

    /// Returns the interval.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{stream::IntervalStream, time::{interval, Duration}};
    ///
    /// let ticks = IntervalStream::new(interval(Duration::from_secs(1)));
    /// assert_eq!(ticks.into_inner().period(), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Interval {
        self.interval
    }
}

impl Stream for IntervalStream {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.interval.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.interval.size_hint()
    }
}

impl FusedStream for IntervalStream {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl AsRef<Interval> for IntervalStream {
    fn as_ref(&self) -> &Interval {
        &self.interval
    }
}

impl AsMut<Interval> for IntervalStream {
    fn as_mut(&mut self) -> &mut Interval {
        &mut self.interval
    }
}
