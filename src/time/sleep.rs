//! What does a future that waits until a deadline have to know?
//!
//! Its driver, its deadline, and, while it is armed, where its waker lies there: an index, and the
//! waker's identity, so that polling again with the same waker takes no lock. Nothing is armed
//! before the first poll that finds the deadline still to come, and nothing stays behind a drop.
//!
//! Whether a timer has fired is not written anywhere: it has if its driver's `elapsed` is past its
//! deadline (see `handle`), which is one load.
//!
//! The story goes on in `sleep/poll.rs` (what a poll asks, and in which order) and in
//! `sleep/unbound.rs` (timers made where there is no driver).

mod poll;
mod unbound;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::backend::coop::{self, Mark};
use crate::driver::Handle;
use crate::driver::shared::Reset;
use crate::instant::Instant;
use crate::time::sleep::poll::Identity;

/// A deadline this far off is still to come at the first poll, for all that matters: should the
/// poll be later than that, the driver fires the timer in its next turn.
const NEAR: Duration = Duration::from_millis(1);

/// Waits until `duration` has passed: at least that long, in nanoseconds.
///
/// Zero is ready at the first poll, unless the task has to [give way](super#giving-way). A `duration`
/// beyond the clock's end (292 years) never is.
///
/// Made where no driver is entered and no runtime runs, it takes the driver that it is first polled
/// on, and only if there is none there, too, the process-wide thread. Time counts from this call, if
/// that driver's clock is the system's; on a paused or manual clock, or one of your own, all of
/// `duration` counts from the first poll.
///
/// # Panics
///
/// If there is no [current driver](Handle::current) and the feature `fallback` is off. When first
/// polled: if the process-wide thread is needed, and the system refuses to start it.
///
/// # Cancel safety
///
/// Dropping the future cancels the timer at once.
///
/// # Examples
///
/// ```
/// use reveille::time::{sleep, Duration, Instant};
///
/// pollster::block_on(async {
///     let start = Instant::now();
///     sleep(Duration::from_micros(50)).await;
///     assert!(start.elapsed() >= Duration::from_micros(50));
/// });
/// ```
#[inline]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    match Handle::try_current() {
        Ok(handle) => Sleep::after(handle, duration),
        Err(error) => Sleep::unbound_after(error, duration),
    }
}

/// Waits until `deadline`.
///
/// A deadline in the past, even before the clock's epoch, is ready at the first poll, unless the task
/// has to [give way](super#giving-way); one beyond the clock's end (292 years) never is.
///
/// Made where no driver is entered and no runtime runs, it takes the driver that it is first polled
/// on, as [`sleep`] does, and there waits for `deadline` by that driver's clock. What that is on a
/// manual clock or one of your own, which count from when they were made, depends on when `deadline`
/// was read: read outside, where [`Instant::now`] is the system's, it lies off by the time between
/// the two. Read instants where the timer runs, or use [`sleep`].
///
/// # Panics
///
/// As [`sleep`] does.
///
/// # Cancel safety
///
/// Dropping the future cancels the timer at once.
///
/// # Examples
///
/// ```
/// use reveille::time::{sleep_until, Duration, Instant};
///
/// pollster::block_on(async {
///     let deadline = Instant::now() + Duration::from_millis(1);
///     sleep_until(deadline).await;
///     assert!(Instant::now() >= deadline);
/// });
/// ```
#[inline]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    match Handle::try_current() {
        Ok(handle) => Sleep::at(handle, deadline),
        Err(error) => Sleep::unbound_at(error, deadline),
    }
}

/// Like [`sleep`], for what is a limit to something else; see [`Sleep::limit`].
#[inline]
#[track_caller]
pub(super) fn limit(duration: Duration) -> Sleep {
    match Handle::try_current() {
        Ok(handle) => Sleep::limit(handle, duration),
        Err(error) => Sleep::unbound_limit(error, duration),
    }
}

impl Handle {
    /// Like [`time::sleep`](sleep), on this driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// pollster::block_on(timers.handle().sleep(std::time::Duration::from_millis(1)));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::after(self.clone(), duration)
    }

    /// Like [`time::sleep_until`](sleep_until), on this driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// pollster::block_on(timers.handle().sleep_until(timers.handle().now()));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::at(self.clone(), deadline)
    }
}

/// A future that is ready once its deadline has passed; made by [`sleep`] and [`sleep_until`].
///
/// It never ends early. A poll that finds the deadline passed is ready there and then, whether or
/// not the driver has turned since, unless the task has to [give way](super#giving-way); after that
/// it stays ready until [`reset_at`](Self::reset_at). (To
/// spare a look at the clock, a poll right after the timer was made for 1 ms or more, or put off,
/// takes the deadline for still to come. Should that be wrong, the driver fires in its next turn.)
///
/// It is `Unpin`, so it can be polled in place, kept in a struct, and moved between threads,
/// tasks and executors; the task that polled last is woken. It stays with the driver that it was
/// made on, or, made outside of any, first polled or reset on.
///
/// If that driver is dropped first, the task is woken; polled again, the timer moves to the driver
/// current there (or the process-wide thread) and still waits for its deadline. Where there is none
/// to move to, or the driver's clock was one moved by hand, [`is_orphaned`](Self::is_orphaned) says
/// so and the future stays pending, ready only if the deadline has passed when it is polled.
///
/// Dropping it cancels the timer and releases its waker there and then. Leaked with
/// [`mem::forget`](std::mem::forget), it wakes its task once more when it is due.
///
/// # Examples
///
/// One timer, moved again and again, as the limit on idle time:
///
/// ```
/// use reveille::time::{sleep, Duration, Instant};
///
/// pollster::block_on(async {
///     let limit = Duration::from_millis(1);
///     let mut idle = sleep(limit);
///     for _ in 0..3 {
///         idle.reset_at(Instant::now() + limit); // something happened: start over
///     }
///     (&mut idle).await;
///     assert!(idle.is_elapsed());
/// });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sleep {
    handle: Handle,
    /// In nanoseconds on the driver's clock.
    deadline: u64,
    /// Of the waker that the driver holds; means something while `Armed`. While unbound, the wait.
    waker: Identity,
    /// Where the driver holds it; means something while `Armed`.
    index: u32,
    phase: Phase,
    /// Whether the clock was read so recently that the next poll need not.
    trusted: bool,
    /// Whether the last poll was pending although the deadline had passed, to let other tasks run.
    yielded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The driver does not know of it.
    Idle,
    /// The driver holds a waker for it, or has fired it.
    Armed,
    /// A poll was ready, or a reset found the deadline passed.
    Done,
    /// Made where there was no driver, for an instant: the first poll chooses one (see `unbound`).
    UnboundInstant,
    /// The same, for a wait.
    UnboundWait,
    /// The same, for a wait that limits something else.
    UnboundLimit,
}

impl Sleep {
    pub(super) fn after(handle: Handle, duration: Duration) -> Self {
        let deadline = handle.shared.clock.nanos_after_wait(duration);
        Self::new(handle, deadline, duration >= NEAR)
    }

    /// Like [`after`](Self::after), for what is a limit to something else: one without end is none,
    /// and no clock moves on to it by itself.
    pub(super) fn limit(handle: Handle, duration: Duration) -> Self {
        let deadline = handle.shared.clock.nanos_after(duration);
        Self::new(handle, deadline, duration >= NEAR)
    }

    pub(super) fn at(handle: Handle, deadline: Instant) -> Self {
        let deadline = handle.shared.clock.nanos_of(deadline);
        Self::new(handle, deadline, false)
    }

    fn new(handle: Handle, deadline: u64, trusted: bool) -> Self {
        Self {
            handle,
            deadline,
            waker: Identity::NONE,
            index: 0,
            phase: Phase::Idle,
            trusted,
            yielded: false,
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Which driver it is on, to tell whether it has moved.
    pub(super) fn driver(&self) -> *const () {
        Arc::as_ptr(&self.handle.shared).cast()
    }

    /// Returns the deadline, on the clock of its driver.
    ///
    /// Of a timer that was made outside of any driver and not polled yet, on the system's clock. One
    /// given before the clock's epoch reads as the epoch; one beyond the clock's end as the
    /// farthest instant.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{sleep_until, Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// assert!(sleep_until(deadline).deadline() <= deadline);
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.handle.shared.clock.instant(self.deadline)
    }

    /// Returns whether the timer has fired, as long as its driver lives, or a poll found the deadline
    /// passed.
    ///
    /// `false` before the first poll even if the deadline has passed: the question is put to the
    /// driver, not to the clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{sleep, Duration};
    ///
    /// let mut sleep = sleep(Duration::ZERO);
    /// assert!(!sleep.is_elapsed());
    /// pollster::block_on(&mut sleep);
    /// assert!(sleep.is_elapsed());
    /// ```
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundLimit => false,
            Phase::Armed => self.handle.shared.has_elapsed(self.deadline) && !self.is_orphaned(),
            Phase::Done => true,
        }
    }

    /// Returns whether the driver that the timer is on is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let sleep = driver.handle().sleep(std::time::Duration::from_secs(1));
    /// assert!(!sleep.is_orphaned());
    /// drop(driver);
    /// assert!(sleep.is_orphaned());
    /// ```
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.handle.is_closed()
    }

    /// Moves the deadline, earlier or later, in place.
    ///
    /// Allocates nothing. A task that waits stays registered and is woken at the new deadline; if
    /// that has passed, in the driver's next turn or at once, on this thread: a panic of the waker
    /// is then the caller's. A timer that has ended starts over, and must be polled again to wake
    /// anybody. Moving later never wakes the task in between.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{sleep, Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let mut sleep = sleep(Duration::from_secs(60));
    ///     sleep.reset_at(Instant::now() + Duration::from_millis(1));
    ///     sleep.await;
    /// });
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        let deadline = self.handle.shared.clock.nanos_of(deadline);
        // Put off, it is still to come: it was when last looked at.
        let trusted = deadline > self.deadline;
        self.reset_nanos(deadline, trusted, None);
    }

    /// Moves the deadline of a pinned timer; tokio's name for [`reset_at`](Self::reset_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{sleep, Duration, Instant};
    /// use std::pin::pin;
    ///
    /// pollster::block_on(async {
    ///     let mut sleep = pin!(sleep(Duration::from_secs(60)));
    ///     sleep.as_mut().reset(Instant::now() + Duration::from_millis(1));
    ///     sleep.await;
    /// });
    /// ```
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        self.get_mut().reset_at(deadline);
    }

    /// Moves the deadline to `duration` from now, on the clock of its driver, in place.
    ///
    /// Like [`reset_at`](Self::reset_at) in all else; `Duration::MAX` is never.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{sleep, Duration};
    ///
    /// pollster::block_on(async {
    ///     let mut sleep = sleep(Duration::MAX);
    ///     sleep.reset_after(Duration::from_millis(1));
    ///     sleep.await;
    /// });
    /// ```
    pub fn reset_after(&mut self, duration: Duration) {
        let deadline = self.handle.shared.clock.nanos_after(duration);
        self.reset_nanos(deadline, duration >= NEAR, Some(duration));
    }

    /// Like [`reset_at`](Self::reset_at), for who cannot say that the old deadline was still to come: the
    /// next poll looks at the clock.
    pub(super) fn reset_unseen(&mut self, deadline: Instant) {
        let deadline = self.handle.shared.clock.nanos_of(deadline);
        self.reset_nanos(deadline, false, None);
    }

    /// Whether a poll was pending since it was last made or moved.
    #[inline]
    pub(super) fn is_armed(&self) -> bool {
        self.phase == Phase::Armed
    }

    /// Begins an item of something that this timer is a limit to; see `coop::begin_item`.
    #[inline]
    pub(super) fn begin_item(&mut self, cx: &mut Context<'_>) -> Poll<Mark> {
        let waits = matches!(self.phase, Phase::Armed | Phase::Done);
        coop::begin_item(cx, &mut self.yielded, waits)
    }

    /// Counts an item of something that this timer is a limit to; see `coop::end_item`.
    #[inline]
    pub(super) fn end_item(&self, mark: Mark, cx: &mut Context<'_>) {
        coop::end_item(mark, cx, self.is_armed(), Some(self.handle.clock()));
    }

    /// `trusted` says that an armed timer is known to be still to come; `wait` is what the deadline
    /// was made from, unless that was an instant.
    #[inline]
    fn reset_nanos(&mut self, deadline: u64, trusted: bool, wait: Option<Duration>) {
        let old = std::mem::replace(&mut self.deadline, deadline);
        self.trusted = false;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Armed => {}
            Phase::Idle | Phase::Done => return,
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundLimit => {
                return self.reset_unbound(wait);
            }
        }
        match self.handle.shared.reset(self.index, old, deadline) {
            Reset::Moved => {
                self.phase = Phase::Armed;
                self.trusted = trusted;
            }
            Reset::Due(waker) => {
                self.phase = Phase::Done;
                waker.wake();
            }
            Reset::Gone => {}
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(coop::proceed(cx));
        let poll = if self.phase == Phase::Done {
            self.answer(cx, false)
        } else {
            self.poll_elapsed(cx)
        };
        if poll.is_ready() {
            unit.made_progress();
        }
        poll
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("phase", &self.phase)
            .field("orphaned", &self.is_orphaned())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
