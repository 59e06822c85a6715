//! How does a test take time into its own hands?
//!
//! By the clock of the driver that is entered: these functions have the names and meanings of
//! tokio's, on every executor. Inside a tokio runtime it is tokio's own clock, and tokio moves it.
//! [`ManualClock`](crate::ManualClock) is the same without a global in between.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::backend::{NoDriver, host};
use crate::handle::Handle;

/// Stops the clock of the driver entered on this thread, or of the tokio runtime that it is in.
///
/// From then on [`Instant::now`](super::Instant::now) stands still there, and time moves by
/// [`advance`], or by itself, to the next deadline, whenever an executor of [`rt`](crate::rt) has
/// nothing left to run. A thread that looks at the clock at the very moment may have seen some
/// nanoseconds more than it then stands at.
///
/// Inside a tokio runtime this is `tokio::time::pause`: time moves on by itself when the runtime is
/// idle, and tokio's timers and ours share it. It takes the feature `test-util`.
///
/// # Panics
///
/// If the clock is frozen already, or no driver is entered on this thread. Inside a tokio runtime:
/// if that is one of several threads, or the feature `test-util` is off.
///
/// # Examples
///
/// ```
/// use reveille::time::{self, Duration, Instant};
///
/// reveille::rt::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::sleep(Duration::from_secs(3600)).await; // at once
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// });
/// ```
#[track_caller]
pub fn pause() {
    match Handle::entered() {
        Some(handle) => assert!(handle.clock().freeze(), "time is already frozen"),
        None => assert!(host::pause(), "{NoDriver}"),
    }
}

/// Lets a paused clock run on from where it stands.
///
/// # Panics
///
/// If the clock is not paused, is a [`ManualClock`](crate::ManualClock), which does not run, or no
/// driver is entered on this thread.
///
/// # Examples
///
/// ```
/// use reveille::time::{self, Duration, Instant};
///
/// reveille::rt::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::resume();
///     time::sleep(Duration::from_millis(1)).await;
///     assert!(start.elapsed() >= Duration::from_millis(1));
/// });
/// ```
#[track_caller]
pub fn resume() {
    match Handle::entered() {
        Some(handle) => assert!(
            handle.clock().resume(),
            "time is not frozen, or the clock is a manual one"
        ),
        None => assert!(host::resume(), "{NoDriver}"),
    }
}

/// Moves a paused clock on by `duration`, firing on the way.
///
/// What is due by then has been fired, in order, when the future is first polled; then it yields
/// once, so that tasks readied by that may run. It panics when polled, not when called. A future
/// that is dropped before it is polled moves nothing. A `duration` beyond the clock's end stops
/// just short of it.
///
/// # Panics
///
/// If the clock is not paused, or no driver is entered on this thread.
///
/// # Examples
///
/// ```
/// use reveille::time::{self, Duration, Instant};
///
/// reveille::rt::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::advance(Duration::from_millis(1500)).await;
///     assert_eq!(start.elapsed(), Duration::from_millis(1500));
/// });
/// ```
pub async fn advance(duration: Duration) {
    let Some(handle) = Handle::entered() else {
        assert!(host::advance(duration).await, "{NoDriver}");
        return;
    };
    assert!(
        handle.clock().is_frozen(),
        "time is not frozen: call pause first"
    );
    handle.clock().advance(duration);

    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
