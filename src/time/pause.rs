//! How does a test take time into its own hands?
//!
//! By the clock of the driver that is entered: these functions have the names and meanings of
//! tokio's, on every executor. [`ManualClock`](crate::ManualClock) is the same without a global in
//! between.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::handle::Handle;

/// Stops the clock of the driver entered on this thread.
///
/// From then on [`Instant::now`](super::Instant::now) stands still there, and time moves by
/// [`advance`], or by itself, to the next deadline, whenever an executor of [`rt`](crate::rt) has
/// nothing left to run. A thread that looks at the clock at the very moment may have seen some
/// nanoseconds more than it then stands at.
///
/// # Panics
///
/// If the clock is frozen already, or no driver is entered on this thread.
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
    assert!(entered().clock().freeze(), "time is already frozen");
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
    assert!(
        entered().clock().resume(),
        "time is not frozen, or the clock is a manual one"
    );
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
    let handle = entered();
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

/// The driver entered here. Not the process-wide one: a test must not stop everybody's time.
#[track_caller]
fn entered() -> Handle {
    match Handle::try_current() {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}
