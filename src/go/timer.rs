//! [`Timer`], Go's one-shot timer.
//!
//! It is a `Sleep`, and a flag that tells whether a value is to come. Once there is a
//! [`TimerRemote`], the flag in the [`Link`] that they share takes the place of that flag.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::FusedFuture;

use crate::go::remote::{Command, Link, TimerRemote};
use crate::instant::Instant;
use crate::time::Sleep;
use crate::time::sleep;

/// A timer that returns one value, the time at which it was due, as Go's `time.Timer`.
///
/// `(&mut timer).await` receives the value, in place of Go's `<-timer.C`. After that it is pending,
/// as a channel that was drained, until the timer is [reset](Self::reset). A timer that was
/// [stopped](Self::stop) is pending, too.
///
/// One timer may be used again and again, in a loop and in `select!`: losing a `select!` does not
/// stop it. Resetting it allocates nothing once warm. Dropping it cancels it and frees its memory
/// at once, so there is no `defer timer.Stop()`.
///
/// In `futures::select!` it is left out while nothing can come: after its value was received or it
/// was stopped, unless there is a [`remote`](Self::remote) that might reset it.
///
/// # Examples
///
/// A limit for each of several pieces of work:
///
/// ```
/// use futures::{FutureExt, select};
/// use reveille::go::Timer;
/// use reveille::time::{sleep, Duration};
///
/// pollster::block_on(async {
///     let mut limit = Timer::new(Duration::from_secs(60));
///     for _ in 0..3 {
///         limit.reset(Duration::from_secs(60));
///         select! {
///             _ = sleep(Duration::from_millis(1)).fuse() => {}
///             at = limit => panic!("too slow, it is after {at:?}"),
///         }
///     }
///     assert!(limit.stop());
/// });
/// ```
#[must_use = "a timer does nothing unless it is awaited"]
pub struct Timer {
    sleep: Sleep,
    /// Whether a value is to come. Without meaning once there is a link.
    active: bool,
    /// The version of the link up to which `sleep` follows it.
    seen: u64,
    link: OnceLock<Arc<Link>>,
}

impl Timer {
    /// Makes a timer that is due when `duration` has passed from now.
    ///
    /// With a `duration` of zero its value can be received at once. With one beyond the clock's end
    /// (292 years), such as `Duration::MAX`, it is never due. Nothing is allocated.
    ///
    /// # Panics
    ///
    /// In the same cases as [`time::sleep`](crate::time::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    /// use reveille::time::{Duration, Instant};
    ///
    /// pollster::block_on(async {
    ///     let start = Instant::now();
    ///     let due = Timer::new(Duration::from_millis(1)).await;
    ///     assert!(due >= start + Duration::from_millis(1));
    /// });
    /// ```
    #[track_caller]
    pub fn new(duration: Duration) -> Self {
        Self {
            sleep: sleep::uncapped(duration),
            active: true,
            seen: 0,
            link: OnceLock::new(),
        }
    }

    /// Stops the timer, and returns whether this call did.
    ///
    /// `true` means that the value has not been received, whether or not the timer was due. After
    /// that, nothing is received until the timer is [reset](Self::reset). `false` means that its
    /// value was received or the timer was stopped before.
    ///
    /// The driver forgets the timer at once, and with it the task that awaits it. If the timer has
    /// a [`remote`](Self::remote), it keeps the task's waker itself, for a reset.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    ///
    /// let mut timer = Timer::new(std::time::Duration::from_secs(60));
    /// assert!(timer.stop());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&mut self) -> bool {
        let was_active = self.set_active(false);
        self.sleep.disarm();
        was_active
    }

    /// Starts the timer anew: it is due when `duration` has passed from now. Returns whether it was
    /// active, that is, whether [`stop`](Self::stop) would have returned `true`.
    ///
    /// It works on any timer, also one that was stopped or whose value was received. A value that
    /// was due before is not received any more. If a task waits for the timer, it waits on.
    ///
    /// After a [`stop`](Self::stop), or a value, poll the timer again for it to start: nothing
    /// wakes a task that has polled it before. Only if the timer has a [`remote`](Self::remote),
    /// this call wakes that task. This matters where the timer is polled in one place and reset in
    /// another, as behind a lock or in a `FuturesUnordered`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    /// use reveille::time::Duration;
    ///
    /// pollster::block_on(async {
    ///     let mut timer = Timer::new(Duration::from_secs(60));
    ///     assert!(timer.reset(Duration::from_millis(1)));
    ///     (&mut timer).await;
    ///     assert!(!timer.reset(Duration::from_millis(1)));
    ///     (&mut timer).await;
    /// });
    /// ```
    pub fn reset(&mut self, duration: Duration) -> bool {
        self.sleep.reset_after(duration);
        let was_active = self.set_active(true);
        // A stop has taken it out of the driver, and a task that waits has to arm it.
        if !self.sleep.is_registered()
            && let Some(waker) = self.link.get().and_then(|link| link.take_waker())
        {
            waker.wake();
        }
        was_active
    }

    /// Returns a handle by which other tasks and threads stop and reset this timer, also while its
    /// owner awaits it.
    ///
    /// The first call allocates what they share. A timer without a remote uses no lock.
    ///
    /// Make the first remote before the timer is awaited, or poll the timer again afterwards:
    /// remotes wake only a task that has polled the timer while there was one. A task that has
    /// waited since before that is not woken, and notices what they did only at the old deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    /// use reveille::time::Duration;
    ///
    /// let mut timer = Timer::new(Duration::from_secs(3600));
    /// let remote = timer.remote();
    /// std::thread::spawn(move || assert!(remote.reset(Duration::from_millis(1))));
    /// pollster::block_on(&mut timer);
    /// ```
    #[must_use]
    pub fn remote(&self) -> TimerRemote {
        let new = || Arc::new(Link::new(self.active, self.seen, self.sleep.driver()));
        TimerRemote::new(self.link.get_or_init(new).clone())
    }

    /// Sets whether a value is to come, and returns whether one was.
    fn set_active(&mut self, active: bool) -> bool {
        let Some(link) = self.link.get() else {
            return std::mem::replace(&mut self.active, active);
        };
        let (version, was_active) = link.set_by_owner(active, self.sleep.driver());
        self.seen = version;
        was_active
    }

    /// Polls a timer that has remotes.
    fn poll_linked(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let Some(link) = self.link.get() else {
            return Poll::Pending;
        };
        loop {
            // What the link knows from now on. A command may give the timer its driver, too.
            let known = Arc::as_ptr(&self.sleep.driver().shared);
            let (version, command, active) = link.begin_poll(cx.waker(), self.sleep.driver());
            if version != self.seen {
                match command {
                    Command::Stop => self.sleep.disarm(),
                    // Without a driver there is no clock yet on which `at` means anything.
                    Command::Start { wait, .. } if self.sleep.is_unbound() => {
                        self.sleep.reset_after(wait);
                    }
                    Command::Start { at, .. } => self.sleep.reset_at(at),
                    Command::StartAfter(wait) => self.sleep.reset_after(wait),
                    Command::Own => {}
                }
                // Last: if the clock panics, the next poll does it.
                self.seen = version;
            }
            if !active {
                return Poll::Pending;
            }
            let polled = Pin::new(&mut self.sleep).poll(cx);
            // The address is that of no other driver, because the link holds the one before.
            if polled.is_pending() && Arc::as_ptr(&self.sleep.driver().shared) != known {
                // Remotes must read the clock of the driver that the timer has now.
                continue;
            }
            ready!(polled);
            // A remote may have stopped or reset the timer during the poll. Then the value must not
            // be received.
            if link.receive(self.seen, self.sleep.driver()) {
                return Poll::Ready(self.sleep.deadline());
            }
        }
    }
}

impl Future for Timer {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.link.get().is_some() {
            return self.poll_linked(cx);
        }
        if !self.active {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.sleep).poll(cx));
        self.active = false;
        Poll::Ready(self.sleep.deadline())
    }
}

/// It is terminated while nothing can come.
impl FusedFuture for Timer {
    fn is_terminated(&self) -> bool {
        match self.link.get() {
            None => !self.active,
            Some(link) => !link.may_yield(),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(link) = self.link.get() {
            link.close();
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.link.get().map_or(self.active, |link| link.is_active());
        let has_remotes = self.link.get().is_some_and(|link| link.has_remotes());
        f.debug_struct("Timer")
            .field("deadline", &self.sleep.deadline())
            .field("active", &active)
            .field("has_remotes", &has_remotes)
            .finish()
    }
}
