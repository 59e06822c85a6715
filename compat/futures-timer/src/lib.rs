//! The API of the crate [futures-timer](https://docs.rs/futures-timer/3) on the timers of
//! [reveille](https://docs.rs/reveille), for `[patch.crates-io]` of a program.
//!
//! Many crates wait by `futures_timer::Delay`, among them governor and libp2p. The original has a
//! thread of its own that wakes for each timer. With this package in its place, their timers are on
//! the driver of the executor that they run on: that of `reveille::rt`, of a loop with a
//! `reveille::Driver`, or, with reveille's feature `tokio`, of the tokio runtime. So they obey a
//! manual clock, and are as precise as other timers there. Elsewhere reveille's process-wide thread
//! serves them.
//!
//! In the `Cargo.toml` of the *program*; a library cannot patch:
//!
//! ```toml
//! [dependencies]
//! reveille = { path = "../reveille", features = ["tokio"] } # for a program on tokio
//!
//! [patch.crates-io]
//! futures-timer = { path = "../reveille/compat/futures-timer" }
//! ```
//!
//! Both are from one clone, or from one address of git: otherwise the program has two copies of
//! reveille, and this package knows no drivers of the other one.
//!
//! Then run `cargo update -p futures-timer`, if the program has a `Cargo.lock` already.
//! `cargo tree -i futures-timer` shows which package is used.
//!
//! # Differences
//!
//! - The original fires on a thread of its own. Here a `Delay` that is made on a runtime of one
//!   thread does not fire while that thread is blocked: on `reveille::rt` with one worker, or on a
//!   tokio runtime of the kind `current_thread`.
//! - A wait too long for the clock never ends. The original ends it after 30 years.
//! - The original fires by itself. Here a poll may be pending a moment after the time has passed:
//!   the task is woken at once. So `now_or_never` is no way to ask whether the time is over.
//! - A task whose timers are always due yields now and then, as with all timers of reveille.
//! - The features `wasm-bindgen`, `gloo-timers` and `send_wrapper` exist, and do nothing: there is
//!   no support for browsers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use reveille::time::{Sleep, sleep};

/// A future that is ready once a duration has passed, and not before.
///
/// The duration counts from [`new`](Self::new) or [`reset`](Self::reset). Once ready, the future
/// stays ready until it is reset. Dropping it cancels the timer at once. The task that polled it
/// last is woken.
///
/// # Panics
///
/// The first poll panics if it needs the process-wide thread and the system refuses to start it.
///
/// # Examples
///
/// ```
/// use futures_timer::Delay;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let mut delay = Delay::new(Duration::from_millis(1));
/// pollster::block_on(&mut delay);
/// delay.reset(Duration::from_millis(1));
/// pollster::block_on(delay);
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[derive(Debug)]
pub struct Delay(Sleep);

/// Less than the longest wait of any clock.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Delay {
    /// Creates a future that is ready once `duration` has passed from now.
    #[inline]
    #[track_caller]
    pub fn new(duration: Duration) -> Self {
        let mut delay = Self(sleep(duration));
        // On a tokio runtime whose clock may be paused, `sleep` cuts a wait to 30 years, and a
        // reset does not.
        if duration > YEAR {
            delay.reset(duration);
        }
        delay
    }

    /// Starts over: the future is ready once `duration` has passed from now. It may have been ready
    /// before.
    ///
    /// A task that waits stays registered.
    #[inline]
    pub fn reset(&mut self, duration: Duration) {
        self.0.reset_after(duration);
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}
