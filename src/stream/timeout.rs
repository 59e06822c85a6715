//! [`Timeout`], a stream with a limit on the wait for each item.
//!
//! Each item resets the timer. If the timer is ready and the stream is not, the limit is up;
//! `spent` then says that the timer must not be polled again before the next item. The timer is
//! made together with the stream if a driver is current there, so that the first wait counts from
//! then, otherwise by the first poll. It exists until the stream ends.
//!
//! To reset the timer runs foreign code: it reads the clock, and may unpark the driver. If that
//! panics, the item is yielded all the same, and the next poll begins with the reset.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::backend::coop;
use crate::driver::Handle;
use crate::panic::catch_panic;
use crate::time::error::Elapsed;
use crate::time::sleep::{self, Sleep};

pin_project! {
    /// A stream with a limit on the wait for each item, returned by
    /// [`timeout`](super::StreamExt::timeout).
    ///
    /// Dropping it cancels its timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream::{self, StreamExt};
    /// use reveille::{StreamExt as _, stream::Timeout};
    /// use std::time::Duration;
    ///
    /// let mut limited: Timeout<_> = stream::pending::<()>().timeout(Duration::from_millis(1));
    /// assert!(pollster::block_on(limited.next()).unwrap().is_err());
    /// ```
    #[must_use = "streams do nothing unless polled"]
    #[derive(Debug)]
    pub struct Timeout<S> {
        #[pin]
        stream: S,
        timer: Option<Sleep>,
        duration: Duration,
        spent: bool,
        // Whether the reset for the last item has panicked.
        must_reset: bool,
        // Whether the last poll was pending, and whether that was only to let other tasks run.
        waits: bool,
        yielded: bool,
        ended: bool,
    }
}

impl<S> Timeout<S> {
    pub(super) fn new(stream: S, duration: Duration) -> Self {
        let driver = Handle::try_current_driver().ok();
        Self {
            stream,
            timer: driver.map(|driver| Sleep::uncapped(driver, duration)),
            duration,
            spent: false,
            must_reset: false,
            waits: false,
            yielded: false,
            ended: false,
        }
    }
}

impl<S: Stream> Stream for Timeout<S> {
    type Item = Result<S::Item, Elapsed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // Before the stream is polled, because this panics without a driver, and no item must be
        // lost.
        let duration = *this.duration;
        let timer = this.timer.get_or_insert_with(|| sleep::uncapped(duration));
        if *this.must_reset {
            timer.reset_after(duration);
            *this.must_reset = false;
        }
        let before = ready!(coop::poll_start_item(cx, this.yielded, || *this.waits));
        let waited = mem::replace(this.waits, true);
        match this.stream.poll_next(cx) {
            Poll::Ready(Some(item)) => {
                coop::count_item(before, cx, waited, Some(timer.driver().clock()));
                *this.waits = false;
                *this.spent = false;
                *this.must_reset = true;
                catch_panic(|| {
                    timer.reset_after(duration);
                    *this.must_reset = false;
                });
                Poll::Ready(Some(Ok(item)))
            }
            Poll::Ready(None) => {
                // First, because to drop the timer drops a waker, which may panic.
                *this.ended = true;
                *this.timer = None;
                Poll::Ready(None)
            }
            Poll::Pending if *this.spent => Poll::Pending,
            Poll::Pending => {
                ready!(coop::poll_limit(before, cx, |cx| Pin::new(&mut *timer).poll(cx)));
                *this.spent = true;
                *this.waits = false;
                Poll::Ready(Some(Err(Elapsed::new())))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.is_terminated() {
            return (0, Some(0));
        }
        let (lower, upper) = self.stream.size_hint();
        // One `Elapsed` before each item and one before the end, less the next one if it was
        // yielded already.
        let elapsed = usize::from(!self.spent);
        let upper = upper.and_then(|items| items.checked_mul(2)?.checked_add(elapsed));
        (lower, upper)
    }
}

impl<S: Stream> FusedStream for Timeout<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
