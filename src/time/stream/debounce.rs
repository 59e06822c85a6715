//! Which item has settled?
//!
//! The newest, once the timer that it started over is ready. The timer exists until the stream
//! ends, which is also how its end is known, and is asked only while an item waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::handle::Handle;
use crate::time::sleep::Sleep;

/// How many items one poll takes at most: no item comes out while newer ones keep coming, and so
/// a stream that always has one would keep its thread for ever.
const BATCH: usize = 64;

pin_project! {
    /// A stream of the items that have settled; made by [`debounce`](super::StreamExt::debounce).
    ///
    /// Dropping it cancels its timer and drops the item that waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, time::stream::Debounce};
    /// use std::time::Duration;
    ///
    /// let settled: Debounce<_> = stream::iter([1, 2]).debounce(Duration::from_secs(60));
    /// assert_eq!(reveille::rt::block_on(settled.collect::<Vec<_>>()), [2]);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct Debounce<S: Stream> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        newest: Option<S::Item>,
        duration: Duration,
    }
}

impl<S: Stream> Debounce<S> {
    #[track_caller]
    pub(super) fn new(stream: S, duration: Duration) -> Self {
        Self {
            stream,
            timer: Some(Sleep::limit(Handle::current(), duration)),
            newest: None,
            duration,
        }
    }
}

impl<S: Stream> Stream for Debounce<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let Some(timer) = this.timer else {
            return Poll::Ready(None);
        };
        let mark = ready!(timer.begin_item(cx));
        for _ in 0..BATCH {
            match this.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    if this.duration.is_zero() {
                        timer.end_item(mark, cx);
                        return Poll::Ready(Some(item));
                    }
                    let replaced = this.newest.replace(item);
                    timer.reset_after(*this.duration);
                    // Last, for its drop may panic.
                    drop(replaced);
                }
                Poll::Ready(None) => {
                    *this.timer = None;
                    return Poll::Ready(this.newest.take());
                }
                Poll::Pending => {
                    if this.newest.is_none() {
                        return Poll::Pending;
                    }
                    ready!(coop::poll_limit(mark, cx, |cx| Pin::new(&mut *timer).poll(cx)));
                    return Poll::Ready(this.newest.take());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.is_terminated() {
            return (0, Some(0));
        }
        let (lower, upper) = self.stream.size_hint();
        let waiting = usize::from(self.newest.is_some());
        // All that is sure is that the last item comes out.
        let lower = lower.saturating_add(waiting).min(1);
        (lower, upper.and_then(|items| items.checked_add(waiting)))
    }
}

impl<S: Stream> FusedStream for Debounce<S> {
    fn is_terminated(&self) -> bool {
        self.timer.is_none()
    }
}
