//! When may the next item come?
//!
//! Once the timer, started by the item before, is ready; only then is the stream asked. So the
//! timer is never armed while the stream is, and nothing is left to cancel when the stream ends. It
//! is made by the first poll, on the driver that is current there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::time::sleep::{self, Sleep};

pin_project! {
    /// A stream whose items are kept apart; made by [`throttle`](super::StreamExt::throttle).
    ///
    /// It is `Unpin` if the stream inside is. Dropping it cancels its timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, time::stream::Throttle};
    /// use std::time::Duration;
    ///
    /// let calm: Throttle<_> = stream::iter([1, 2]).throttle(Duration::from_millis(1));
    /// assert_eq!(pollster::block_on(calm.collect::<Vec<_>>()), [1, 2]);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct Throttle<S> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        duration: Duration,
        // Whether the timer has to be ready before the stream may be asked.
        waits: bool,
    }
}

impl<S> Throttle<S> {
    pub(super) fn new(stream: S, duration: Duration) -> Self {
        Self {
            stream,
            timer: None,
            duration,
            waits: false,
        }
    }

    /// Returns the stream inside.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{Stream, stream};
    /// use reveille::StreamExt;
    ///
    /// let calm = stream::iter([1, 2]).throttle(std::time::Duration::from_millis(1));
    /// assert_eq!(calm.get_ref().size_hint(), (2, Some(2)));
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream inside.
    ///
    /// Items that are taken from it directly are not counted: the pace is kept by those that come
    /// out here.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    ///
    /// let mut calm = stream::iter([1, 2]).throttle(std::time::Duration::from_millis(1));
    /// assert_eq!(pollster::block_on(calm.get_mut().next()), Some(1));
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Takes the stream out; the timer is cancelled, and no item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    ///
    /// let mut calm = stream::iter([1, 2]).throttle(std::time::Duration::from_secs(60));
    /// pollster::block_on(async {
    ///     assert_eq!(calm.next().await, Some(1));
    ///     assert_eq!(calm.into_inner().next().await, Some(2));
    /// });
    /// ```
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        // Before the stream is asked: where there can be no timer this panics, and no item is lost.
        let duration = *this.duration;
        let timer = this.timer.get_or_insert_with(|| sleep::limit(duration));
        let mark = ready!(timer.begin_item(cx));
        if *this.waits {
            ready!(Pin::new(&mut *timer).poll(cx));
            *this.waits = false;
        }
        let item = ready!(this.stream.poll_next(cx));
        timer.end_item(mark, cx);
        if item.is_some() && !duration.is_zero() {
            timer.reset_after(duration);
            *this.waits = true;
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<S: FusedStream> FusedStream for Throttle<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}
