//! [`after`] and [`after_at`], timers that cannot be stopped otherwise than by dropping them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::FusedFuture;

use crate::instant::Instant;
use crate::time::Sleep;
use crate::time::sleep::{self, sleep_until};

/// Waits until `duration` has passed from now, and returns the time at which that was, as Go's
/// `time.After`.
///
/// In a loop it costs nothing but making it: if another arm of a `select!` wins, it is dropped, and
/// its timer with it. To reuse one timer, [reset](super::Timer::reset) a [`Timer`](super::Timer).
///
/// With a `duration` of zero it is ready at its first poll, unless it
/// [yields](crate::time#yielding). With one beyond the clock's end (292 years), such as
/// `Duration::MAX`, it is never ready.
///
/// # Panics
///
/// In the same cases as [`time::sleep`](crate::time::sleep).
///
/// # Cancel safety
///
/// Dropping the future cancels the timer at once.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, channel::mpsc, select};
/// use reveille::{go, time::Duration};
///
/// pollster::block_on(async {
///     let (_sender, mut messages) = mpsc::unbounded::<u8>();
///     select! {
///         message = messages.next() => println!("{message:?}"),
///         due = go::after(Duration::from_millis(1)) => println!("none until {due:?}"),
///     }
/// });
/// ```
#[track_caller]
pub fn after(duration: Duration) -> After {
    After {
        sleep: sleep::uncapped(duration),
        at: None,
        received: false,
    }
}

/// Waits until `at`, and returns `at`. Go has no such function.
///
/// With an instant in the past it is ready at its first poll, unless it
/// [yields](crate::time#yielding).
///
/// # Panics
///
/// In the same cases as [`time::sleep`](crate::time::sleep).
///
/// # Cancel safety
///
/// Dropping the future cancels the timer at once.
///
/// # Examples
///
/// ```
/// use reveille::{go, time::{Duration, Instant}};
///
/// pollster::block_on(async {
///     let at = Instant::now() + Duration::from_millis(1);
///     assert_eq!(go::after_at(at).await, at);
/// });
/// ```
#[track_caller]
pub fn after_at(at: Instant) -> After {
    After {
        sleep: sleep_until(at),
        at: Some(at),
        received: false,
    }
}

/// A future that is ready once, when its time has come, returned by [`after`] and [`after_at`].
///
/// It is `Unpin`. After it was ready it is pending, as a channel that was drained.
///
/// # Examples
///
/// ```
/// use reveille::go::{self, After};
///
/// let after: After = go::after(std::time::Duration::ZERO);
/// pollster::block_on(after);
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct After {
    sleep: Sleep,
    /// The instant that was asked for.
    at: Option<Instant>,
    received: bool,
}

impl Future for After {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.received {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.sleep).poll(cx));
        self.received = true;
        Poll::Ready(self.at.unwrap_or_else(|| self.sleep.deadline()))
    }
}

/// It is terminated once it was ready.
impl FusedFuture for After {
    fn is_terminated(&self) -> bool {
        self.received
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After")
            .field("at", &self.at.unwrap_or_else(|| self.sleep.deadline()))
            .field("received", &self.received)
            .finish()
    }
}
