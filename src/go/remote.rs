//! [`TimerRemote`], by which other tasks stop and reset a timer, and what they share with it.
//!
//! The owner of the timer polls a `Sleep`, which runs foreign code: wakers, clocks, unparkers. So
//! no lock may be held around it, and a remote cannot reach it. A remote writes down what is to be,
//! in a [`Link`], and wakes the owner's task, which then arms or disarms its `Sleep`.
//!
//! - L1 `active` is changed under the lock, by the remote that stops or resets the timer and by the
//!   owner that receives its value. So of a stop and a value exactly one succeeds.
//! - L2 each change by a stop or reset has a new `version`. The owner receives a value only if the
//!   version is that for which its `Sleep` was set, so never one from before.
//! - L3 the owner's waker is stored under the lock under which the owner reads the version. A later
//!   change finds the waker, and wakes the task.
//! - L4 a remote reads the clock of the driver that the link knows, and notes the time only if the
//!   link still knows that one. A poll that gives the `Sleep` another driver tells the link before
//!   it returns, and a command that came in between then counts from that poll.
//! - L5 the owner's waker is kept only while it may be needed: a value is to come, or there is a
//!   remote that might start the timer.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::driver::DriverRef;
use crate::instant::Instant;
use crate::sync::{Mutex, MutexGuard, lock};

/// Stops and resets a [`Timer`](super::Timer) from any task or thread; see
/// [`Timer::remote`](super::Timer::remote).
///
/// Among those that race, with each other and with the task that awaits the timer, each call is
/// told exactly what it did, as if they had come one after the other.
///
/// Once the timer is dropped, it does nothing.
///
/// # Examples
///
/// ```
/// use reveille::go::{Timer, TimerRemote};
/// use std::time::Duration;
///
/// let timer = Timer::new(Duration::from_secs(60));
/// let remote: TimerRemote = timer.remote();
/// assert!(remote.clone().stop());
/// assert!(!remote.stop());
/// ```
pub struct TimerRemote {
    link: Arc<Link>,
}

// No lock is held while foreign code runs, so that a panic of it leaves nothing half done.
impl UnwindSafe for TimerRemote {}
impl RefUnwindSafe for TimerRemote {}

impl TimerRemote {
    pub(super) fn new(link: Arc<Link>) -> Self {
        link.lock().remotes += 1;
        Self { link }
    }

    /// Stops the timer, like [`Timer::stop`](super::Timer::stop), and returns whether this call
    /// did.
    ///
    /// A task that awaits the timer waits on, for a reset. It is woken once, and frees the timer's
    /// place in the driver.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.remote().stop()); // due, but not received
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn stop(&self) -> bool {
        let mut state = self.link.lock();
        if !state.active {
            return false;
        }
        state.change(false, Command::Stop);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Starts the timer anew, like [`Timer::reset`](super::Timer::reset): it is due when `duration`
    /// has passed from now. Returns whether it was active.
    ///
    /// A task that awaits the timer is woken once, to move its deadline. If the timer was made
    /// where no driver was current and was not awaited yet, `duration` counts from when it is.
    ///
    /// Returns `false` and does nothing if the timer was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::go::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Duration::from_secs(60));
    /// let remote = timer.remote();
    /// assert!(remote.stop());
    /// assert!(!remote.reset(Duration::ZERO));
    /// pollster::block_on(timer);
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn reset(&self, duration: Duration) -> bool {
        let mut driver = self.link.lock().driver.clone();
        let (mut state, at, _driver) = loop {
            let Some(known) = driver else {
                return false;
            };
            // Not under the lock, because a clock may be foreign code.
            let clock = known.clock();
            let at = clock.instant(clock.deadline_after(duration));
            let state = self.link.lock();
            if state.driver.as_ref() == Some(&known) {
                // `known` is kept until the lock is released: it may be the last handle by now, and
                // dropping that drops the clock, which is foreign code.
                break (state, at, known);
            }
            // The timer got another driver meanwhile, on whose clock `at` means nothing.
            driver = state.driver.clone();
            drop(state);
        };
        let was_active = state.active;
        state.change(true, Command::Start { at, wait: duration });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        was_active
    }
}

impl Clone for TimerRemote {
    fn clone(&self) -> Self {
        Self::new(self.link.clone())
    }
}

impl Drop for TimerRemote {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        state.remotes -= 1;
        let waker = state.take_useless_waker();
        drop(state);
        drop(waker);
    }
}

impl fmt::Debug for TimerRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerRemote")
            .field("active", &self.link.is_active())
            .finish()
    }
}

/// What a timer and its remotes share.
pub(super) struct Link {
    state: Mutex<State>,
}

struct State {
    /// Whether a value is to come.
    active: bool,
    /// How many remotes there are.
    remotes: u32,
    version: u64,
    command: Command,
    /// The task that awaits the timer.
    waker: Option<Waker>,
    /// The driver of the timer, by whose clock it is reset. `None` once the timer is dropped.
    driver: Option<DriverRef>,
}

/// What the last change of the version asks of the owner's `Sleep`.
#[derive(Clone, Copy)]
pub(super) enum Command {
    /// Nothing: the owner made the change itself.
    Own,
    Stop,
    /// To be due at `at`, which is `wait` after the call.
    Start {
        at: Instant,
        wait: Duration,
    },
    /// To be due when this has passed: the timer got another driver after the call.
    StartAfter(Duration),
}

impl State {
    fn change(&mut self, active: bool, command: Command) {
        self.active = active;
        self.version += 1;
        self.command = command;
    }

    /// Returns whether a value is to come, or there is a remote that might start the timer.
    fn may_yield(&self) -> bool {
        self.active || self.remotes > 0
    }

    /// Takes the waker of the owner's task if nothing can come. The caller drops it when the lock
    /// is released.
    #[must_use]
    fn take_useless_waker(&mut self) -> Option<Waker> {
        if self.may_yield() {
            return None;
        }
        self.waker.take()
    }

    /// Notes the driver of the timer. Returns the one before, which the caller drops when the lock
    /// is released.
    #[must_use]
    fn set_driver(&mut self, driver: &DriverRef) -> Option<DriverRef> {
        if self.driver.as_ref() == Some(driver) {
            return None;
        }
        // `at` was read from the clock of the driver before.
        if let Command::Start { wait, .. } = self.command {
            self.command = Command::StartAfter(wait);
        }
        self.driver.replace(driver.clone())
    }
}

impl Link {
    pub(super) fn new(active: bool, version: u64, driver: &DriverRef) -> Self {
        Self {
            state: Mutex::new(State {
                active,
                remotes: 0,
                version,
                command: Command::Own,
                waker: None,
                driver: Some(driver.clone()),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn is_active(&self) -> bool {
        self.lock().active
    }

    pub(super) fn may_yield(&self) -> bool {
        self.lock().may_yield()
    }

    pub(super) fn has_remotes(&self) -> bool {
        self.lock().remotes > 0
    }

    /// Notes a stop or reset by the owner, which may have given the timer its driver. Returns the
    /// new version, and whether the timer was active.
    pub(super) fn set_by_owner(&self, active: bool, driver: &DriverRef) -> (u64, bool) {
        let mut state = self.lock();
        let was_active = state.active;
        state.change(active, Command::Own);
        let version = state.version;
        let waker = state.take_useless_waker();
        let old_driver = state.set_driver(driver);
        drop(state);
        drop((waker, old_driver));
        (version, was_active)
    }

    /// Stores the waker of the owner's task, if it may be needed, and the driver. Returns the
    /// version, what it asks for, and whether a value is to come.
    pub(super) fn begin_poll(&self, waker: &Waker, driver: &DriverRef) -> (u64, Command, bool) {
        let mut state = self.lock();
        // What is replaced is dropped after the lock, because that is foreign code.
        let mut old_waker = None;
        let known = state.waker.as_ref();
        if state.may_yield() && !known.is_some_and(|known| known.will_wake(waker)) {
            drop(state);
            let mut waker = Some(waker.clone());
            state = self.lock();
            // The last remote may have been dropped meanwhile.
            if state.may_yield() {
                std::mem::swap(&mut state.waker, &mut waker);
            }
            old_waker = waker;
        }
        let old_driver = state.set_driver(driver);
        let seen = (state.version, state.command, state.active);
        drop(state);
        drop((old_waker, old_driver));
        seen
    }

    /// Takes the waker of the owner's task, to wake it.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.lock().waker.take()
    }

    /// Takes the value, if the timer was neither stopped nor reset since `version`, and notes the
    /// driver.
    pub(super) fn receive(&self, version: u64, driver: &DriverRef) -> bool {
        let mut state = self.lock();
        if state.version != version || !state.active {
            return false;
        }
        state.active = false;
        let waker = state.waker.take();
        let old_driver = state.set_driver(driver);
        drop(state);
        drop((waker, old_driver));
        true
    }

    /// Notes that the timer is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.active = false;
        let waker = state.waker.take();
        let driver = state.driver.take();
        drop(state);
        drop((waker, driver));
    }
}
