//! [`Debounce`], a stream that yields an item once no newer one has come for a while.
//!
//! Each item resets the timer, and the newest item is yielded when the timer is ready. The timer is
//! made by the first poll, on the current driver, and is polled only while an item waits. A reset
//! that panics, as in `stream/timeout.rs`, leaves the item, and is made up for by the next poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::panic::catch_panic;
use crate::time::sleep::{self, Sleep};

/// How many items one poll takes at most. No item is yielded while newer ones keep coming, so
/// without this limit a stream that always has one would occupy its thread forever.
const BATCH: usize = 64;

pin_project! {
    /// A stream of the items that no newer one has replaced, returned by
    /// [`debounce`](super::StreamExt::debounce).
    ///
    /// Dropping it cancels its timer and drops the waiting item.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, stream::Debounce};
    /// use std::time::Duration;
    ///
    /// let settled: Debounce<_> = stream::iter([1, 2]).debounce(Duration::from_secs(60));
    /// assert_eq!(pollster::block_on(settled.collect::<Vec<_>>()), [2]);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct Debounce<S: Stream> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        newest: Option<S::Item>,
        duration: Duration,
        // Whether the reset for the newest item has panicked.
        must_reset: bool,
        ended: bool,
    }
}

impl<S: Stream> Debounce<S> {
    pub(super) fn new(stream: S, duration: Duration) -> Self {
        Self {
            stream,
            timer: None,
            newest: None,
            duration,
            must_reset: false,
            ended: false,
        }
    }
}

impl<S: Stream> Stream for Debounce<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let duration = *this.duration;
        // Before the stream is polled, because this panics without a driver, and no item must be
        // lost.
        let timer = this.timer.get_or_insert_with(|| sleep::uncapped(duration));
        if *this.must_reset {
            timer.reset_after(duration);
            *this.must_reset = false;
        }
        let before = ready!(timer.poll_start_item(cx));
        for _ in 0..BATCH {
            match this.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    if duration.is_zero() {
                        timer.count_item(before, cx);
                        return Poll::Ready(Some(item));
                    }
                    let replaced = this.newest.replace(item);
                    *this.must_reset = true;
                    timer.reset_after(duration);
                    *this.must_reset = false;
                    // Last, because its drop may panic.
                    drop(replaced);
                }
                Poll::Ready(None) => {
                    *this.ended = true;
                    // It drops a waker, which may panic, and the newest item must not be lost.
                    catch_panic(|| *this.timer = None);
                    return Poll::Ready(this.newest.take());
                }
                Poll::Pending => {
                    if this.newest.is_none() {
                        return Poll::Pending;
                    }
                    ready!(coop::poll_limit(before, cx, |cx| Pin::new(&mut *timer).poll(cx)));
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
        // Only the last item is certain to be yielded.
        let lower = lower.saturating_add(waiting).min(1);
        (lower, upper.and_then(|items| items.checked_add(waiting)))
    }
}

impl<S: Stream> FusedStream for Debounce<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
