//! [`Throttle`], a stream that lets time pass between items.
//!
//! Each item resets the timer, and the stream is polled again only once the timer is ready. So the
//! timer is not armed while the task waits for the stream, and when the stream ends there is
//! nothing to cancel. The timer is made by the first poll, on the current driver. A reset that
//! panics is made up for as in `stream/timeout.rs`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::panic::catch_panic;
use crate::time::sleep::{self, Sleep};

pin_project! {
    /// A stream that lets time pass between items, returned by
    /// [`throttle`](super::StreamExt::throttle).
    ///
    /// It is `Unpin` if the inner stream is. Dropping it cancels its timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, stream::Throttle};
    /// use std::time::Duration;
    ///
    /// let throttled: Throttle<_> = stream::iter([1, 2]).throttle(Duration::from_millis(1));
    /// assert_eq!(pollster::block_on(throttled.collect::<Vec<_>>()), [1, 2]);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct Throttle<S> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        duration: Duration,
        // Whether the timer has to be ready before the stream may be polled.
        waits: bool,
        // Whether the reset for the last item has panicked.
        must_reset: bool,
    }
}

impl<S> Throttle<S> {
    pub(super) fn new(stream: S, duration: Duration) -> Self {
        Self {
            stream,
            timer: None,
            duration,
            waits: false,
            must_reset: false,
        }
    }

    /// Returns a reference to the inner stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{Stream, stream};
    /// use reveille::StreamExt;
    ///
    /// let throttled = stream::iter([1, 2]).throttle(std::time::Duration::from_millis(1));
    /// assert_eq!(throttled.get_ref().size_hint(), (2, Some(2)));
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns a mutable reference to the inner stream.
    ///
    /// Items that are taken from it directly do not delay the next item of the throttled stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    ///
    /// let mut throttled = stream::iter([1, 2]).throttle(std::time::Duration::from_millis(1));
    /// assert_eq!(pollster::block_on(throttled.get_mut().next()), Some(1));
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Cancels the timer and returns the inner stream. No item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::StreamExt as _;
    ///
    /// let mut throttled = stream::iter([1, 2]).throttle(std::time::Duration::from_secs(60));
    /// pollster::block_on(async {
    ///     assert_eq!(throttled.next().await, Some(1));
    ///     assert_eq!(throttled.into_inner().next().await, Some(2));
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
        // Before the stream is polled, because this panics without a driver, and no item must be
        // lost.
        let duration = *this.duration;
        let timer = this.timer.get_or_insert_with(|| sleep::uncapped(duration));
        if *this.must_reset {
            timer.reset_after(duration);
            *this.must_reset = false;
        }
        let before = ready!(timer.poll_start_item(cx));
        // The timer is not armed any more when it is ready.
        let waited = timer.is_registered();
        if *this.waits {
            ready!(Pin::new(&mut *timer).poll(cx));
            *this.waits = false;
        }
        let item = ready!(this.stream.poll_next(cx));
        coop::count_item(before, cx, waited, Some(timer.driver().clock()));
        if item.is_some() && !duration.is_zero() {
            *this.waits = true;
            *this.must_reset = true;
            catch_panic(|| {
                timer.reset_after(duration);
                *this.must_reset = false;
            });
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
