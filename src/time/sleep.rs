//! [`Sleep`], the future that waits until a deadline, and the functions that make one.
//!
//! All other futures and streams of `time` that wait are built on it. It holds its driver and its
//! deadline. While it is armed, it also holds the index under which the driver has its waker, and
//! the identity of that waker, so that polling again with the same waker takes no lock. The first
//! poll that finds the deadline still to come arms it, and dropping it disarms it. How it is polled
//! is in `sleep/poll.rs`.
//!
//! Whether an armed timer has elapsed is not stored: it has if its deadline is at or before the
//! `elapsed` time of its driver, which takes one load to check. Whether the driver still holds its
//! waker is told by the timer's *word* (`driver/wakers/chunks/entries.rs`).
//!
//! A timer that is made where there is no driver is *unbound*: see `sleep/unbound.rs`.

mod limited;
mod poll;
mod unbound;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::FusedFuture;

pub(crate) use self::poll::Identity;
use crate::backend::coop::{self, Snapshot};
use crate::driver::shared::Reset;
use crate::driver::{DriverRef, Handle};
use crate::instant::{Instant, NEVER};

/// If a timer is made on a driver for at least this wait, its first poll does not read the clock:
/// it assumes that the timer is not due. If that poll comes so late that the deadline has passed,
/// the driver fires the timer in its next turn. (The first poll of an unbound timer reads the
/// system's clock.)
const LONG_WAIT: Duration = Duration::from_millis(1);

/// Waits until `duration` has passed: at least that long, to the nanosecond.
///
/// With a `duration` of zero, the first poll is ready, unless the timer
/// [yields](super#yielding). If the deadline is beyond the clock's end (292 years), the future is
/// never ready. (On a tokio runtime whose clock may be paused, no wait is longer than 30 years.)
///
/// If no driver is [current](Handle::current) at this call, the future takes the one that is
/// current when it is first polled or reset. If a poll finds none either, it takes the process-wide
/// thread. If the clock of that driver shows the time of the system's monotonic clock, time counts
/// from this call. If it shows another time (it is manual, was ever paused, or is
/// [`Clock::boottime`](crate::Clock::boottime) or one of your own), all of `duration` counts from
/// the first poll.
///
/// # Panics
///
/// If no driver is [current](Handle::current) and the feature `fallback` is off. The first poll
/// panics if it needs the process-wide thread and the system refuses to start it.
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
    match Handle::try_current_driver() {
        Ok(driver) => Sleep::after(driver, duration),
        Err(error) => Sleep::unbound_after(error, duration),
    }
}

/// Waits until `deadline`.
///
/// With a deadline in the past, even before the clock's epoch, the first poll is ready, unless the
/// timer [yields](super#yielding). With a deadline beyond the clock's end (292 years),
/// the future is never ready.
///
/// If no driver is [current](Handle::current) at this call, the future takes the one that is
/// current when it is first polled or reset, as [`sleep`] does, and waits until the clock of that
/// driver shows `deadline`. Take care if that is a manual clock or one of your own, which count from
/// when they were made: an [`Instant::now`] that was read outside of the runtime is on the system's
/// clock, and differs from theirs. Read instants where the timer runs, or use [`sleep`].
///
/// # Panics
///
/// In the same cases as [`sleep`].
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
    match Handle::try_current_driver() {
        Ok(driver) => Sleep::at(driver, deadline),
        Err(error) => Sleep::unbound_at(error, deadline),
    }
}

/// Makes a timer like [`sleep`], whose duration is not capped; see [`Sleep::uncapped`].
#[inline]
#[track_caller]
pub(crate) fn uncapped(duration: Duration) -> Sleep {
    match Handle::try_current_driver() {
        Ok(driver) => Sleep::uncapped(driver, duration),
        Err(error) => Sleep::unbound_uncapped(error, duration),
    }
}

impl Handle {
    /// Waits until `duration` has passed, like [`time::sleep`](sleep), on this driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// pollster::block_on(timers.handle().sleep(std::time::Duration::from_millis(1)));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::after(self.driver_ref(), duration)
    }

    /// Waits until `deadline`, like [`time::sleep_until`](sleep_until), on this driver.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// pollster::block_on(timers.handle().sleep_until(timers.handle().now()));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::at(self.driver_ref(), deadline)
    }
}

/// A future that is ready once its deadline has passed, returned by [`sleep`] and [`sleep_until`].
///
/// It is never ready early. A poll after the deadline is ready, whether or not the driver has
/// turned since, with the exceptions below. Once ready, the future stays ready until it is
/// [reset](Self::reset_at).
///
/// A poll after the deadline may be pending in three cases. The task is then woken by the driver's
/// next turn, or at once if the timer yields:
///
/// - The timer [yields](super#yielding).
/// - The poll does not read the clock. That is the first poll after one of these: the timer was
///   made on a driver for 1 ms or more, or for an instant more than 100 ms away, and was not reset;
///   [`reset_at`](Self::reset_at) moved it to a later deadline while it was armed;
///   [`reset_after`](Self::reset_after) gave it 1 ms or more while it was armed.
/// - A virtual machine has held up the ticks of its Linux for more than 100 ms. A deadline more
///   than 100 ms away is compared with the time of the last tick, which is then old.
///
/// It is `Unpin`, so it can be polled in place, kept in a struct, and moved between threads, tasks
/// and executors. The task that polled it last is woken. It stays with the driver that it was made
/// on, or if there was none, with the one that it was first polled or reset on.
///
/// If that driver is dropped first, the timer is [orphaned](Self::is_orphaned), and the task is
/// woken. Its next poll moves the timer to the driver that is current there, or to the process-wide
/// thread, where it still waits for its deadline. If there is no other driver, or the clock was a
/// manual or a paused one, the timer stays orphaned: a poll is ready only if the deadline has
/// passed, and nothing wakes the task.
///
/// Dropping it cancels the timer and drops its waker at once. If it is leaked with
/// [`mem::forget`](std::mem::forget), it wakes its task once more when it is due.
///
/// # Examples
///
/// One timer, moved after each event, as a limit on idle time:
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
    driver: DriverRef,
    /// The deadline in nanoseconds on the driver's clock.
    deadline: u64,
    /// While `Registered`, the identity of the waker that the driver holds; `NONE` if the timer
    /// came from `try_sleep`, `try_sleep_until` or `try_timeout` and was not polled yet. While
    /// unbound, the duration.
    waker_id: Identity,
    /// While `Registered`, the index under which the driver holds the waker.
    index: u32,
    phase: Phase,
    next_poll: NextPoll,
    /// Set when a poll is pending only to let other tasks run: the timer was due, or a `Timeout`
    /// (or a stream) yielded before it polled what it limits. See [`coop::count_or_yield`].
    yielded: bool,
    /// Whether the future in the timeout has completed. For `Timeout` alone; it is here
    /// because there is room for a byte.
    completed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The driver does not know the timer.
    Idle,
    /// The timer was given to its driver, and no poll was ready since. The driver holds a waker for
    /// it, or has fired it, or is gone. (A timer with a permit, from `try_sleep` and its like, and
    /// that of a context are given to the driver before the first poll.)
    Registered,
    /// A poll has found the deadline passed. It was ready, unless it yielded (`yielded`).
    Done,
    /// A reset has found that the new deadline had passed, and there was no poll since.
    DoneByReset,
    /// The timer was made for an instant where there was no driver. The first poll chooses one.
    UnboundInstant,
    /// The same, for a duration.
    UnboundWait,
    /// The same, for a duration that is not capped: that of a `Timeout` and its like, or of
    /// `reset_after`.
    UnboundUncapped,
}

/// What the next poll does if the deadline has not elapsed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NextPoll {
    /// It reads the clock. If the timer is armed, the system's coarse clock may be enough.
    ReadsClock,
    /// It assumes that the deadline has not passed. The poll after it reads the clock.
    SkipsClock,
}

impl NextPoll {
    /// Returns what the first poll of a timer that was made for `wait` does.
    fn first(wait: Duration) -> Self {
        if wait >= LONG_WAIT {
            Self::SkipsClock
        } else {
            Self::ReadsClock
        }
    }
}

impl Sleep {
    pub(super) fn after(driver: DriverRef, duration: Duration) -> Self {
        let deadline = driver.shared.clock.capped_deadline_after(duration);
        Self::new(driver, deadline, NextPoll::first(duration))
    }

    /// Makes a timer for a `Timeout` and its like. A duration beyond the clock's end means that
    /// there is no timeout. ([`after`](Self::after) cuts a duration to the clock's longest wait,
    /// which is 30 years if tokio may pause the clock. If this function did so too, an idle paused
    /// clock would advance by these 30 years, and the timeout would end.)
    pub(crate) fn uncapped(driver: DriverRef, duration: Duration) -> Self {
        let deadline = driver.shared.clock.deadline_after(duration);
        Self::new(driver, deadline, NextPoll::first(duration))
    }

    pub(super) fn at(driver: DriverRef, deadline: Instant) -> Self {
        let deadline = driver.shared.clock.nanos_of(deadline);
        let next_poll = match driver.shared.is_far_off(deadline) {
            true => NextPoll::SkipsClock,
            false => NextPoll::ReadsClock,
        };
        Self::new(driver, deadline, next_poll)
    }

    fn new(driver: DriverRef, deadline: u64, next_poll: NextPoll) -> Self {
        Self {
            driver,
            deadline,
            waker_id: Identity::NONE,
            index: 0,
            phase: Phase::Idle,
            next_poll,
            yielded: false,
            completed: false,
        }
    }

    pub(crate) fn driver(&self) -> &DriverRef {
        &self.driver
    }

    /// Returns the identity of the driver, to tell whether the timer has moved to another one.
    pub(super) fn driver_id(&self) -> *const () {
        Arc::as_ptr(&self.driver.shared).cast()
    }

    /// Returns the deadline, on the clock of its driver.
    ///
    /// If the timer was made where no driver was current, and was neither polled nor reset where
    /// one was, the deadline is on the system's clock. A deadline before the clock's epoch is
    /// returned as the epoch, and one beyond the clock's end as the farthest instant.
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
        self.driver.shared.clock.instant(self.deadline)
    }

    /// Returns whether the driver has fired the timer, or a poll or a reset has found the deadline
    /// passed.
    ///
    /// It asks the driver, and does not read the clock, so before the first poll it is `false`,
    /// even if the deadline has passed (but a timer of `try_sleep` is armed when it is made). If
    /// the driver is gone, the clock is read instead, also before the first poll. Once it is
    /// `true`, it stays so until the timer is reset.
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
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundUncapped => false,
            Phase::Idle | Phase::Registered => {
                let shared = &self.driver.shared;
                // `is_closed` comes last: on a driver that is gone each deadline has elapsed, so if
                // it ends in between, the first answer means nothing.
                let is_fired = self.is_registered() && shared.has_elapsed(self.deadline);
                match shared.is_closed() {
                    true => shared.clock.nanos() >= self.deadline,
                    false => is_fired,
                }
            }
            Phase::Done | Phase::DoneByReset => true,
        }
    }

    /// Returns whether the driver of the timer is gone, and the timer has not moved to another one.
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
        self.driver.is_closed()
    }

    /// Moves the deadline, earlier or later, in place.
    ///
    /// Allocates nothing, except that a move to an earlier time may make a list of the driver grow.
    /// A waiting task stays registered and is woken at the new deadline. If the new deadline has
    /// passed, the task is woken in the driver's next turn, or at once on this thread; if the waker
    /// panics, the panic is then passed on to the caller. A timer that has ended starts over, and
    /// wakes a task only after it has been polled again. After a move to a later deadline, the task
    /// is not woken at the old one.
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
        let deadline = self.driver.shared.clock.nanos_of(deadline);
        // Used only if the timer is still armed. Then, as a rule, the old deadline has not passed,
        // so the later one has not either. (If it has, the next turn fires the timer.)
        let next_poll = if deadline > self.deadline {
            NextPoll::SkipsClock
        } else {
            NextPoll::ReadsClock
        };
        self.reset_nanos(deadline, next_poll, None);
    }

    /// Moves the deadline of a pinned timer. This is tokio's name for [`reset_at`](Self::reset_at).
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
    /// Otherwise like [`reset_at`](Self::reset_at). With `Duration::MAX` the future is never ready.
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
        let deadline = self.driver.shared.clock.deadline_after(duration);
        self.reset_nanos(deadline, NextPoll::first(duration), Some(duration));
    }

    /// Moves the deadline like [`reset_at`](Self::reset_at), but the next poll reads the clock in
    /// any case: the old deadline may have passed, and the new one, too.
    pub(super) fn reset_reading_clock(&mut self, deadline: Instant) {
        let deadline = self.driver.shared.clock.nanos_of(deadline);
        self.reset_nanos(deadline, NextPoll::ReadsClock, None);
    }

    /// Returns whether the timer was given to its driver, and no poll was ready since. The driver
    /// may have fired it.
    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        self.phase == Phase::Registered
    }

    /// Returns whether a waker was registered, as a rule by a poll that was pending, and no poll
    /// was ready since. (A timer with a permit is armed with a waker of no task, which does
    /// not count.)
    #[inline]
    fn has_waited(&self) -> bool {
        self.is_registered() && self.waker_id.is_some()
    }

    /// Notes that the future that this timer limits has completed.
    #[inline]
    pub(super) fn set_completed(&mut self) {
        self.completed = true;
    }

    /// Returns whether [`set_completed`](Self::set_completed) was called.
    pub(super) fn is_completed(&self) -> bool {
        self.completed
    }

    /// Begins an item of something that this timer limits; see `coop::poll_start_item`.
    #[inline]
    pub(crate) fn poll_start_item(&mut self, cx: &mut Context<'_>) -> Poll<Snapshot> {
        // A limit that has ended has to report that, so its item is polled without a yield.
        let (phase, waker) = (self.phase, self.waker_id);
        let must_not_yield = || match phase {
            Phase::Registered => waker.is_some(),
            Phase::Done | Phase::DoneByReset => true,
            _ => false,
        };
        coop::poll_start_item(cx, &mut self.yielded, must_not_yield)
    }

    /// Counts an item of something that this timer limits; see `coop::count_item`.
    #[inline]
    pub(crate) fn count_item(&self, before: Snapshot, cx: &mut Context<'_>) {
        let clock = Some(self.driver.clock());
        // Two calls, because `false` as a constant saves instructions, and most such timers have
        // not waited.
        match self.has_waited() {
            true => coop::count_item(before, cx, true, clock),
            false => coop::count_item(before, cx, false, clock),
        }
    }

    /// Moves the deadline. `next_poll` is what the next poll does if the timer is armed. `wait` is
    /// the duration that the deadline was computed from, unless the caller gave an instant.
    #[inline]
    fn reset_nanos(&mut self, deadline: u64, next_poll: NextPoll, wait: Option<Duration>) {
        let old = std::mem::replace(&mut self.deadline, deadline);
        self.next_poll = NextPoll::ReadsClock;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Registered => {}
            Phase::Idle | Phase::Done | Phase::DoneByReset => return,
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundUncapped => {
                return self.reset_unbound(wait);
            }
        }
        match self.driver.shared.reset(self.index, old, deadline) {
            Reset::Moved { must_interrupt } => {
                self.phase = Phase::Registered;
                self.next_poll = next_poll;
                if must_interrupt {
                    self.driver.shared.interrupt();
                }
            }
            Reset::Due {
                waker,
                must_interrupt,
            } => {
                self.phase = Phase::DoneByReset;
                self.driver.shared.wake_and_interrupt(waker, must_interrupt);
            }
            Reset::Gone => {}
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(coop::poll_proceed(cx));
        let poll = if self.phase == Phase::Done {
            self.ready_or_yield(cx)
        } else {
            self.poll_elapsed(cx)
        };
        if poll.is_ready() {
            unit.made_progress();
        }
        poll
    }
}

/// It is terminated once a poll was ready, until it is reset: `futures::select!` then leaves it
/// out.
impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        self.phase == Phase::Done && !self.yielded
    }
}

/// Shows the deadline, how far away it is, and a phase:
///
/// - `Unarmed`: it was not polled since it was made or reset, so no driver knows it, and it wakes
///   no task.
/// - `Armed`: the driver has it, and wakes the task of the last poll, if there was a poll.
/// - `Fired`: the driver has fired it, or a reset has found its new deadline passed, and no poll
///   has come since.
/// - `Ended`: a poll has found the deadline passed. It was ready, unless it
///   [yielded](super#yielding): then the next one is.
/// - `Unbound`: it was made where there is no driver, and takes one when it is first polled or
///   reset.
/// - `Orphaned`: its driver is gone, and it has not moved to another one.
impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Done => "Ended",
            Phase::DoneByReset => "Fired",
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundUncapped => "Unbound",
            Phase::Idle | Phase::Registered if self.is_orphaned() => "Orphaned",
            Phase::Idle => "Unarmed",
            Phase::Registered if self.is_elapsed() => "Fired",
            Phase::Registered => "Armed",
        };
        let now = self.driver.shared.clock.nanos();
        let (text, left) = match self.deadline {
            NEVER => ("never", None),
            at if at <= now => ("since ", Some(now - at)),
            at => ("in ", Some(at - now)),
        };
        let left = left.map(|nanos| format!("{:.1?}", Duration::from_nanos(nanos)));
        let left = left.unwrap_or_default();
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("due", &format_args!("{text}{left}"))
            .field("phase", &format_args!("{phase}"))
            .field("orphaned", &self.is_orphaned())
            .finish()
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.disarm();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
