//! Parking: how a thread blocks until the next deadline, and how another thread interrupts it.
//!
//! Two traits, and the default that implements them. A [`Park`] belongs to the thread that blocks;
//! any number of [`Unpark`]s, on any threads, interrupt it. Between them is one bit, the *token*:
//!
//! - `unpark` sets the token; setting it twice is setting it once.
//! - `park` blocks while the token is unset, and takes it when it returns. A token that is set
//!   before `park` makes that `park` return at once, so an `unpark` is never lost, whichever of
//!   the two comes first.
//! - What a thread wrote before `unpark` is visible after the `park` that took its token.
//!
//! The driver decides whether to block, and for how long; no module here knows of timers. A runtime
//! with a poller of its own implements the traits over that; [`ThreadPark`] is for a thread that
//! has none.
//!
//! The modules: `token` (the bit), `futex` and `portable` (what a thread blocks in), `timerfd` and
//! `boottime` (waits on file descriptors), `thread` (the default park), and `worker` with
//! `worker::epoll` (the parkers of an executor's workers).

use std::time::Duration;

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
mod boottime;
#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
mod futex;
#[cfg(any(not(target_os = "linux"), loom, shuttle))]
mod portable;
mod thread;
#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
pub(crate) mod timerfd;
mod token;
#[cfg(feature = "rt")]
pub(crate) mod worker;

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
pub use boottime::{BoottimePark, BoottimeUnpark};
pub use thread::{ThreadPark, ThreadUnpark};

/// How a driver's thread blocks.
///
/// Implement it over what your loop already waits in (a poller, a completion queue, a GUI's event
/// queue), and timers need no thread of their own. An implementation must:
///
/// - **lose no `unpark`**: one that comes at any moment, before `park` included, makes the
///   running or else the next `park` return promptly;
/// - **block for at least `timeout`** unless interrupted, and round up where the wait is coarser
///   than a nanosecond. `None` blocks until interrupted. `Some(Duration::ZERO)` does not block, but
///   still takes a token (and a poller still collects its events). `Duration::MAX` may be treated
///   as `None`, and must not overflow;
/// - **publish**: what a thread wrote before `unpark` is visible after the `park` it interrupted.
///
/// It may return early for no reason. Callers read the clock again and, if nothing is due, park
/// again, so an early return costs time but is no error.
///
/// # Examples
///
/// A park over a channel: each message is a token.
///
/// ```
/// use reveille::{Park, Unpark};
/// use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
/// use std::time::Duration;
///
/// struct ChannelPark(SyncSender<()>, Receiver<()>);
///
/// struct ChannelUnpark(SyncSender<()>);
///
/// impl ChannelPark {
///     fn new() -> Self {
///         // Room for one message: further ones merge into it.
///         let (sender, receiver) = sync_channel(1);
///         ChannelPark(sender, receiver)
///     }
/// }
///
/// impl Park for ChannelPark {
///     type Unpark = ChannelUnpark;
///
///     fn unparker(&self) -> ChannelUnpark {
///         ChannelUnpark(self.0.clone())
///     }
///
///     fn park(&mut self, timeout: Option<Duration>) {
///         // Either result means the same: the caller looks for timers that are due.
///         let _ = match timeout {
///             None => self.1.recv().ok(),
///             Some(timeout) => self.1.recv_timeout(timeout).ok(),
///         };
///     }
/// }
///
/// impl Unpark for ChannelUnpark {
///     fn unpark(&self) {
///         let _ = self.0.try_send(());
///     }
/// }
///
/// let mut park = ChannelPark::new();
/// park.unparker().unpark();
/// park.park(None); // returns at once
/// ```
#[diagnostic::on_unimplemented(
    note = "for a loop that blocks in a poll of its own, use `Driver::with_unpark` with a closure"
)]
pub trait Park {
    /// The handle that interrupts this park.
    type Unpark: Unpark;

    /// Returns a handle that interrupts this park from any thread.
    ///
    /// The handle may outlive the park; unparking is then without effect.
    fn unparker(&self) -> Self::Unpark;

    /// Blocks until unparked, or for at least `timeout`; may return early for no reason.
    ///
    /// `None` waits without end, `Some(Duration::ZERO)` does not wait. Either way a token that is
    /// present is taken and makes the call return at once.
    fn park(&mut self, timeout: Option<Duration>);
}

/// Interrupts a [`Park`] from any thread.
///
/// Every handle and every timer keeps the `Unpark` of its driver, also when the driver is gone. One
/// that needs a file descriptor or a thread should refer to it weakly, or they may keep it for as
/// long as the process lives.
///
/// # Examples
///
/// ```
/// use reveille::{Park, ThreadPark, Unpark};
/// use std::thread;
///
/// let mut park = ThreadPark::new();
/// let unpark = park.unparker();
///
/// thread::spawn(move || unpark.unpark());
///
/// // Returns once the other thread has called, be it before or after this line is reached.
/// park.park(None);
/// ```
#[diagnostic::on_unimplemented(
    note = "a closure `Fn()` that is `Send + Sync + 'static` is an `Unpark`"
)]
pub trait Unpark: Send + Sync + 'static {
    /// Makes the running `park` return, or else the next one.
    ///
    /// Calls merge until a `park` has returned. A call must not block, panic, or wait for the
    /// parked thread, and is cheap when that thread is awake. The driver calls it with no lock of
    /// its own held, on the thread that arms the timer. So it may take a short lock of yours,
    /// unless that thread may hold it while it makes, polls or moves a timer.
    fn unpark(&self);
}

/// A closure is called to interrupt the park: it writes to a pipe, for example, or notifies a
/// poller.
impl<F: Fn() + Send + Sync + 'static> Unpark for F {
    fn unpark(&self) {
        self();
    }
}
