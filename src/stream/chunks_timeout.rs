//! [`ChunksTimeout`], a stream that collects items into chunks.
//!
//! A chunk is complete when it is full, when the stream has ended, or when the stream is pending
//! and the timer, which was made with the first item, is ready. A poll that has taken many items
//! goes on as if the stream were pending, and wakes its own task. A timer exists only while items
//! wait: whatever takes the items also drops the timer.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::panic::catch_panic;
use crate::time::sleep::{self, Sleep};

/// How many items one poll takes at most. A `max_size` may be greater, `usize::MAX` even, and the
/// timer is polled only when the stream is pending: so without this limit a stream that always has
/// an item would occupy its thread, and its chunk would never end. It is as large as it is so that
/// most chunks take one poll.
const BATCH: usize = 1024;

/// For how many items memory is reserved when a chunk begins, at most. The chunk grows as it fills,
/// because a large `max_size` may be a mere limit that is never reached.
const INITIAL_CAPACITY: usize = 64;

pin_project! {
    /// A stream of chunks of items, returned by
    /// [`chunks_timeout`](super::StreamExt::chunks_timeout).
    ///
    /// Dropping it cancels its timer and drops the waiting items; to keep them, call
    /// [`into_remainder`](Self::into_remainder) first.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, stream::ChunksTimeout};
    /// use std::time::Duration;
    ///
    /// let chunks: ChunksTimeout<_> = stream::iter(1..=5).chunks_timeout(2, Duration::MAX);
    /// let chunks: Vec<_> = pollster::block_on(chunks.collect());
    /// assert_eq!(chunks, [vec![1, 2], vec![3, 4], vec![5]]);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct ChunksTimeout<S: Stream> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        items: Vec<S::Item>,
        max_size: usize,
        duration: Duration,
        ended: bool,
        // Whether the last poll was pending only to let other tasks run.
        yielded: bool,
    }
}

impl<S: Stream> ChunksTimeout<S> {
    #[track_caller]
    pub(super) fn new(stream: S, max_size: usize, duration: Duration) -> Self {
        assert!(
            max_size > 0,
            "`max_size` must be non-zero, but is {max_size}: for chunks that only time limits, \
             pass usize::MAX"
        );
        Self {
            stream,
            timer: None,
            items: Vec::new(),
            max_size,
            duration,
            ended: false,
            yielded: false,
        }
    }

    /// Takes out and returns the items of the chunk that is not complete yet, and cancels the
    /// timer.
    ///
    /// If the stream is polled again, it goes on with a new chunk.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    /// use std::{pin::pin, time::Duration};
    ///
    /// let silent = stream::iter([1, 2]).chain(stream::pending());
    /// let mut chunks = pin!(silent.chunks_timeout(10, Duration::from_secs(60)));
    /// pollster::block_on(async {
    ///     assert!(futures::poll!(chunks.next()).is_pending());
    /// });
    /// assert_eq!(chunks.into_remainder(), [1, 2]);
    /// ```
    #[must_use]
    pub fn into_remainder(self: Pin<&mut Self>) -> Vec<S::Item> {
        let this = self.project();
        // It drops a waker, which may panic, and the items are to be returned all the same.
        catch_panic(|| *this.timer = None);
        mem::take(this.items)
    }
}

impl<S: Stream> Stream for ChunksTimeout<S> {
    type Item = Vec<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.as_mut().project();
        let waits = this.timer.as_ref().is_some_and(Sleep::is_registered);
        let before = ready!(coop::poll_start_item(cx, this.yielded, || waits));
        let full_batch = this.items.len().saturating_add(BATCH);
        while !*this.ended {
            let is_full_batch = this.items.len() == full_batch;
            let polled = match is_full_batch {
                true => Poll::Pending,
                false => this.stream.as_mut().poll_next(cx),
            };
            let Poll::Ready(item) = polled else {
                if this.items.is_empty() {
                    return Poll::Pending;
                }
                // There is none if the poll that took the first item panicked for want of a driver.
                let duration = *this.duration;
                let timer = this.timer.get_or_insert_with(|| sleep::uncapped(duration));
                let limit = coop::poll_limit(before, cx, |cx| Pin::new(&mut *timer).poll(cx));
                if limit.is_pending() && is_full_batch {
                    cx.waker().wake_by_ref();
                }
                ready!(limit);
                break;
            };
            let Some(item) = item else {
                *this.ended = true;
                break;
            };
            if this.items.is_empty() {
                this.items.reserve(INITIAL_CAPACITY.min(*this.max_size));
            }
            this.items.push(item);
            if this.items.len() >= *this.max_size {
                break;
            }
            // After the push, because this panics without a driver, and the item must not be lost.
            if this.timer.is_none() {
                *this.timer = Some(sleep::uncapped(*this.duration));
            }
        }
        let clock = this.timer.as_ref().map(|timer| timer.driver().clock());
        coop::count_item(before, cx, waits, clock);
        let items = self.into_remainder();
        Poll::Ready((!items.is_empty()).then_some(items))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            return (0, Some(0));
        }
        let (lower, upper) = self.stream.size_hint();
        let waiting = self.items.len();
        let lower = lower.saturating_add(waiting).div_ceil(self.max_size);
        // At most, the waiting items are one chunk and each further item is another.
        let upper = upper.and_then(|items| items.checked_add(waiting.min(1)));
        (lower, upper)
    }
}

impl<S: Stream> FusedStream for ChunksTimeout<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
