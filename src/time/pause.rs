//! Pauses, resumes and advances the clock of the current driver: feature `test-util`.
//!
//! With them, a test of code that was written for a clock that runs lets hours pass at once. The
//! functions have the names and meanings of tokio's, on every executor. Inside a tokio runtime they
//! act on tokio's own clock, and tokio moves it. They are test code, as in tokio: without the
//! feature no clock that runs can be paused, and reading one need not allow for it (see `clock`).
//! [`ManualClock`](crate::ManualClock) does the same without a current driver, and without a
//! feature.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::task::Poll;
use std::time::Duration;

use crate::backend::{no_clock, tokio_driver};
use crate::driver::Handle;

/// Stops the clock of the driver entered on this thread, or of the tokio runtime that it is in.
///
/// For tests: it exists with the feature `test-util` only. From then on
/// [`Instant::now`](super::Instant::now) stands still there, and time moves by [`advance`], or by
/// itself, to the next deadline, whenever an executor of `rt` has nothing left to run. A thread
/// that reads the clock at this very moment may see a time some nanoseconds later than the one at
/// which the clock then stands.
///
/// Inside a tokio runtime this is `tokio::time::pause`: time moves on by itself when the runtime is
/// idle, and tokio's timers and those of this crate share it. It takes the feature `tokio`, too.
///
/// # Panics
///
/// If the clock is frozen already, as a [`ManualClock`](crate::ManualClock) always is, or no driver
/// is entered on this thread. Inside a tokio runtime: if that is one of several threads, or the
/// feature `tokio` is off.
///
/// # Examples
///
#[cfg_attr(feature = "rt", doc = "```")]
#[cfg_attr(not(feature = "rt"), doc = "```ignore")]
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
    let Some(handle) = entered() else {
        if !tokio_driver::pause() {
            no_clock("pause");
        }
        return;
    };
    let clock = handle.clock();
    assert!(
        !clock.is_manual(),
        "a ManualClock stands still without being paused: use ManualClock::advance to move it"
    );
    assert!(
        clock.freeze(),
        "time is already frozen: it was paused before, or the runtime was started with start_paused"
    );
}

/// Lets a paused clock run on from where it stands; feature `test-util`.
///
/// # Panics
///
/// If the clock is not paused, is a [`ManualClock`](crate::ManualClock), which does not run, is
/// that of a tokio runtime that has ended while it was paused, or no driver is entered on this
/// thread. (A driver of your own on the clock of a tokio runtime does not count where this thread
/// is not in that runtime.)
///
/// # Examples
///
#[cfg_attr(feature = "rt", doc = "```")]
#[cfg_attr(not(feature = "rt"), doc = "```ignore")]
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
    let Some(handle) = entered() else {
        if !tokio_driver::resume() {
            no_clock("resume");
        }
        return;
    };
    let clock = handle.clock();
    assert!(
        !clock.is_manual(),
        "a ManualClock does not run: use ManualClock::advance to move it"
    );
    assert!(
        !clock.is_stopped(),
        "the tokio runtime whose clock this is has ended while it was paused: the clock stands for \
         good"
    );
    assert!(clock.resume(), "time is not frozen: call pause first");
}

/// Moves a paused clock on by `duration`, and fires what comes due: on the way, or, inside a tokio
/// runtime, at the end; feature `test-util`.
///
/// The first poll moves the clock and fires what has come due, in order. It is pending, so that
/// the tasks that were woken may run, and the next poll is ready. A future that is dropped before
/// it is polled moves nothing. A `duration` beyond the clock's end stops just short of it.
///
/// # Panics
///
/// At the call, if the clock of the driver or runtime that this thread has entered runs. At the
/// first poll, if the clock there runs, or no driver is entered there.
///
/// # Examples
///
#[cfg_attr(feature = "rt", doc = "```")]
#[cfg_attr(not(feature = "rt"), doc = "```ignore")]
/// use reveille::time::{self, Duration, Instant};
///
/// reveille::rt::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::advance(Duration::from_millis(1500)).await;
///     assert_eq!(start.elapsed(), Duration::from_millis(1500));
/// });
/// ```
#[track_caller]
pub fn advance(duration: Duration) -> impl Future<Output = ()> {
    // Checked at the call if a clock is current, so that the panic names the caller's line. The
    // future may also be made outside of the runtime whose clock it moves.
    let is_frozen = match entered() {
        Some(handle) => handle.clock().is_frozen(),
        None => tokio_driver::can_advance(),
    };
    assert!(is_frozen, "{NOT_FROZEN}");
    advance_polled(duration, Location::caller())
}

const NOT_FROZEN: &str = "time is not frozen: call pause first, or use a ManualClock";

async fn advance_polled(duration: Duration, caller: &'static Location<'static>) {
    let Some(handle) = entered() else {
        if !tokio_driver::advance(duration).await {
            no_clock(&format!("advance, as {caller} does"));
        }
        return;
    };
    let clock = handle.clock();
    assert!(
        clock.is_frozen(),
        "{NOT_FROZEN} (advance was called at {caller})"
    );
    clock.advance(duration);

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

/// Returns the driver entered on this thread, unless it is on the clock of a tokio runtime. That
/// clock is tokio's to pause, whether the driver is the runtime's, entered explicitly, or another.
fn entered() -> Option<Handle> {
    Handle::entered().filter(|handle| !tokio_driver::owns(handle.clock()))
}
