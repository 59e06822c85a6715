//! [`TimeoutRepeating`], a stream that yields an error at each tick while no item comes.
//!
//! Each item resets the interval, which is polled only when the stream is pending. When the stream
//! ends, the interval is dropped; its absence shows that the stream has ended. A reset that panics
//! is made up for as in `stream/timeout.rs`.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::panic::catch_panic;
use crate::time::error::Elapsed;
use crate::time::interval::Interval;

pin_project! {
    /// A stream that yields an error at each tick while no item comes, returned by
    /// [`timeout_repeating`](super::StreamExt::timeout_repeating).
    ///
    /// Dropping it cancels its timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    /// use reveille::{stream::TimeoutRepeating, time::{Duration, interval}};
    ///
    /// let silent = stream::pending::<()>();
    /// let ticks = interval(Duration::from_millis(1));
    /// let limited: TimeoutRepeating<_> = silent.timeout_repeating(ticks);
    /// let reports: Vec<_> = pollster::block_on(limited.take(3).collect());
    /// assert!(reports.iter().all(Result::is_err));
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct TimeoutRepeating<S> {
        #[pin]
        stream: S,
        interval: Option<Interval>,
        // Whether the reset for the last item has panicked.
        must_reset: bool,
        // Whether the last poll was pending, and whether that was only to let other tasks run.
        waits: bool,
        yielded: bool,
    }
}

impl<S> TimeoutRepeating<S> {
    pub(super) fn new(stream: S, interval: Interval) -> Self {
        Self {
            stream,
            interval: Some(interval),
            must_reset: false,
            waits: false,
            yielded: false,
        }
    }
}

impl<S: Stream> Stream for TimeoutRepeating<S> {
    type Item = Result<S::Item, Elapsed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(interval) = this.interval else {
            return Poll::Ready(None);
        };
        if *this.must_reset {
            interval.reset();
            *this.must_reset = false;
        }
        let before = ready!(coop::poll_start_item(cx, this.yielded, || *this.waits));
        let waited = mem::replace(this.waits, true);
        match this.stream.poll_next(cx) {
            Poll::Ready(Some(item)) => {
                coop::count_item(before, cx, waited, Some(interval.driver().clock()));
                *this.waits = false;
                *this.must_reset = true;
                catch_panic(|| {
                    interval.reset();
                    *this.must_reset = false;
                });
                Poll::Ready(Some(Ok(item)))
            }
            Poll::Ready(None) => {
                *this.interval = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(coop::poll_limit(before, cx, |cx| interval.poll_tick(cx)));
                *this.waits = false;
                Poll::Ready(Some(Err(Elapsed::new())))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.is_terminated() {
            return (0, Some(0));
        }
        // The number of ticks between the items is unknown.
        (self.stream.size_hint().0, None)
    }
}

impl<S: Stream> FusedStream for TimeoutRepeating<S> {
    fn is_terminated(&self) -> bool {
        self.interval.is_none()
    }
}
