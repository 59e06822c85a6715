//! [`FuncTimer`], a function that a driver calls when it is due, once or again and again.
//!
//! It is for loops that run no futures (mio, calloop, winit), and under `go::after_func`. The
//! driver knows only timers with wakers, so a callback is a waker: its [`Wake`] calls the function.
//! The driver wakes it in its own turn, on the thread that turns, with no lock held and shielded
//! from a panic. So all that is needed of the driver is to arm, move and cancel a timer.
//!
//! # Who decides, and who arms
//!
//! `State` is what the callers have decided: when the function is to be called, if at all. `stop`,
//! `reset` and the wake change it under its lock, so each of them knows whether it came first, and
//! at most one of `stop` and the wake gets its way.
//!
//! What is armed in the driver follows. It cannot be changed under the lock of `State`, since to
//! arm a timer may interrupt the loop, and that is foreign code, which may stop this very timer. So
//! the thread that has changed `State` claims the right to arm (`arming`), releases the lock, does
//! what `State` asks for, and looks at it again, until the driver has armed what `State` says. A
//! thread that finds the right claimed leaves the work to that thread. So:
//!
//! - C1 a thread takes `armed` out of `State` before it changes the driver's timer, so an index is
//!   used by one thread at a time. Only the thread that has set `arming` arms a timer or moves it;
//!   a wake that calls the function may only cancel it.
//! - C2 a wake that comes when `due` has not elapsed, or is `None`, is an old one, and does
//!   nothing. For every `due` a wake comes after it has elapsed, because the timer is armed for it,
//!   or is going to be.
//! - C3 nothing is armed while the function runs. A function that takes longer than its period is
//!   called again in a later turn, and never by two threads at once.
//!
//! # Memory
//!
//! While armed, the driver holds the waker, the waker the callback, and the callback a handle of
//! the driver. The circle is opened when the timer fires, is stopped, or the driver ends, which
//! wakes all its timers.

mod arm;

use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use crate::driver::{DriverRef, Handle};
use crate::instant::nanos;
use crate::panic::{Payload, catch_first};
use crate::sync::{Mutex, MutexGuard, lock};

impl Handle {
    /// Calls `f` once `duration` has passed, in the driver's own turn.
    ///
    /// `f` runs on the thread that turns the driver, between other timers, with no lock held. It
    /// may make, stop and drop timers, this one too, and it should be short: the loop and all its
    /// other timers wait for it. If it panics, the panic ends in the turn, after the panic hook has
    /// reported it, and no other timer is lost. To run a function as a task instead, use
    /// [`go::after_func`](crate::go::after_func).
    ///
    /// It is never called early, and never by this call itself: with a `duration` of zero it is
    /// called in the next turn, or at the latest in the first one at which the clock shows more
    /// than at any turn before. (So on a manual or paused clock `f` may have to wait until the
    /// clock has moved, if only by a nanosecond.) Callbacks and other timers are fired in the order
    /// of their deadlines. With `Duration::MAX` it is never called.
    ///
    /// If the driver is dropped first, `f` is dropped without being called.
    ///
    /// A child process has no copy of the process-wide thread after a `fork`: there `f` is not
    /// called, and the first [`stop`](FuncTimer::stop) or [`reset`](FuncTimer::reset) ends the
    /// timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let (sender, fired) = mpsc::channel();
    /// driver.handle().call_after(Duration::from_millis(1), move || sender.send("late").unwrap());
    /// while fired.try_recv().is_err() {
    ///     driver.park();
    /// }
    /// ```
    pub fn call_after(&self, duration: Duration, f: impl FnOnce() + Send + 'static) -> FuncTimer {
        FuncTimer::start(self, duration, Function::Once(Box::new(f)))
    }

    /// Spawns `task` once `duration` has passed: in the driver's turn; or by this call, if the
    /// driver has passed that time already and the task [may be spawned
    /// there](Spawn::may_spawn_here).
    pub(crate) fn spawn_after(
        &self,
        duration: Duration,
        task: impl Spawn + Send + 'static,
    ) -> FuncTimer {
        FuncTimer::start(self, duration, Function::Spawn(Box::new(task)))
    }

    /// Calls `f` every `period`, in the driver's own turn; first when one period has passed.
    ///
    /// `f` runs as with [`call_after`](Self::call_after). The calls keep to the grid of the period.
    /// If the loop is late, or `f` takes longer than a period, one call makes up for those that
    /// were missed: the earliest of them comes late, and the others are left out. The one after it
    /// comes at the next time of the grid. With a period of 10 ms and an `f` that takes 15, the
    /// calls begin at 10, 25 and 40 ms. `f` is never called by two threads at once. With
    /// `Duration::MAX` it is never called.
    ///
    /// It goes on until it is [stopped](FuncTimer::stop), `f` panics, or the driver is dropped.
    /// Then `f` is dropped.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let (sender, ticks) = mpsc::channel();
    /// let every = driver.handle().call_every(Duration::from_millis(1), move || {
    ///     let _ = sender.send(());
    /// });
    /// for _ in 0..3 {
    ///     while ticks.try_recv().is_err() {
    ///         driver.park();
    ///     }
    /// }
    /// assert!(every.stop());
    /// ```
    #[track_caller]
    pub fn call_every(&self, period: Duration, f: impl FnMut() + Send + 'static) -> FuncTimer {
        check_period(period);
        FuncTimer::start(self, period, Function::Every(Box::new(f)))
    }
}

/// A function that only spawns a task, which a thread that arms the timer may do, too.
pub(crate) trait Spawn {
    /// Returns whether [`spawn`](Self::spawn) on this thread spawns it in the right runtime.
    ///
    /// Called under the lock of the callback's state: it must run no foreign code.
    fn may_spawn_here(&self) -> bool;

    fn spawn(self: Box<Self>);
}

#[track_caller]
fn check_period(period: Duration) {
    assert!(
        period > Duration::ZERO,
        "the period of a callback must be non-zero, but is {period:?}"
    );
}

/// A function that is called later, returned by [`Handle::call_after`], [`Handle::call_every`] and
/// [`go::after_func`](crate::go::after_func).
///
/// Clones refer to the same timer, and any thread may use them. When they are dropped, the function
/// is still called; only [`stop`](Self::stop) and the end of the driver prevent that. (A
/// [`Sleep`](crate::time::Sleep) is cancelled when it is dropped.)
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let timer = driver.handle().call_after(Duration::from_secs(60), || println!("a minute later"));
/// assert!(timer.stop()); // it will not be called
/// assert!(!timer.stop());
/// ```
#[derive(Clone)]
pub struct FuncTimer {
    callback: Arc<Callback>,
}

// The lock is not held while the function runs, so that its panic leaves nothing half done.
impl UnwindSafe for FuncTimer {}
impl RefUnwindSafe for FuncTimer {}

impl FuncTimer {
    fn start(handle: &Handle, duration: Duration, function: Function) -> Self {
        let callback = Arc::new(Callback {
            handle: handle.driver_ref(),
            repeats: matches!(function, Function::Every(_)),
            state: Mutex::new(State {
                due: Some(handle.shared.clock.deadline_after(duration)),
                function: Some(function),
                period: nanos(duration),
                running: false,
                arming: false,
                armed: None,
            }),
        });
        callback.settle(callback.lock());
        Self { callback }
    }

    /// Stops the timer, and returns whether this call did: then the function is not called again.
    ///
    /// `false` means that a function that is called once has begun, and may still be running; that
    /// the timer was stopped before; that its driver has ended; or that a function of `call_every`
    /// has panicked. It does not wait for a function that runs. Among threads that race, at most
    /// one is told `true`, and none if a function that is called once has begun.
    ///
    /// The driver forgets the timer at once. A function that was to be called once is kept for a
    /// [`reset`](Self::reset), until the last `FuncTimer` is dropped. The function of
    /// [`call_every`](Handle::call_every) is dropped by this call, or if it is running, when it
    /// returns. So a function that is to be called once and owns a `FuncTimer` of its own keeps
    /// itself after a `stop`, and is never freed: let it own a [`Weak`](std::sync::Weak) reference
    /// to what holds the `FuncTimer`.
    ///
    /// # Examples
    ///
    /// A limit that is given up:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let limit = driver.handle().call_after(Duration::from_secs(5), || panic!("too slow"));
    /// // The work is done here.
    /// assert!(limit.stop());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn stop(&self) -> bool {
        self.callback.stop()
    }

    /// Has the function called when `duration` has passed from now, and returns whether the timer
    /// was active.
    ///
    /// `true` means that this call has moved a call that was to come. `false` means that there was
    /// none:
    ///
    /// - After a [`stop`](Self::stop) of a function that is called once, the timer starts again, as
    ///   in Go.
    /// - Once such a function has begun, it does not: Go would run it again, but an `FnOnce` cannot
    ///   be. Make a new timer.
    /// - The timer of [`call_every`](Handle::call_every) ends with its stop.
    ///
    /// `duration` is the new period of `call_every`. It begins now.
    ///
    /// # Panics
    ///
    /// If `duration` is zero and the timer is one of `call_every`.
    ///
    /// # Examples
    ///
    /// A limit that each event puts off:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let idle = driver.handle().call_after(Duration::from_secs(5), || println!("idle"));
    /// for _event in 0..3 {
    ///     assert!(idle.reset(Duration::from_secs(5)));
    /// }
    /// # idle.stop();
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    #[track_caller]
    pub fn reset(&self, duration: Duration) -> bool {
        if self.callback.repeats {
            check_period(duration);
        }
        self.callback.reset(duration)
    }
}

/// Shows whether a call is to come.
impl fmt::Debug for FuncTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.callback.lock();
        let (active, running) = (state.due.is_some(), state.running);
        drop(state);
        f.debug_struct("FuncTimer")
            .field("active", &active)
            .field("running", &running)
            .field("repeats", &self.callback.repeats)
            .finish()
    }
}

/// See the head of this file.
struct Callback {
    handle: DriverRef,
    /// Whether the function is one that is called again and again.
    repeats: bool,
    state: Mutex<State>,
}

enum Function {
    /// Called by the driver alone.
    Once(Box<dyn FnOnce() + Send>),
    Spawn(Box<dyn Spawn + Send>),
    Every(Box<dyn FnMut() + Send>),
}

struct State {
    /// When the function is to be called, in nanoseconds on the driver's clock.
    due: Option<u64>,
    /// `None` while the function runs, and when it will not be called any more.
    function: Option<Function>,
    /// Of a function that is called again and again.
    period: u64,
    /// Whether a function that is called again and again is running just now.
    running: bool,
    /// Whether a thread changes what the driver has armed.
    arming: bool,
    /// What the driver has armed, or has fired since. `None` also while a thread changes it.
    armed: Option<Armed>,
}

/// A timer in the driver.
struct Armed {
    index: u32,
    /// What it is armed for.
    deadline: u64,
    /// The `due` that it is armed for. If that had elapsed already, `deadline` is later.
    due: u64,
}

impl State {
    /// Returns what the driver should have armed.
    fn wanted(&self) -> Option<u64> {
        self.due.filter(|_| !self.running)
    }

    fn is_settled(&self) -> bool {
        self.armed.as_ref().map(|armed| armed.due) == self.wanted()
    }

    /// Ends the timer. The caller drops the function when the lock is released.
    #[must_use]
    fn end(&mut self) -> Option<Function> {
        self.due = None;
        self.function.take()
    }
}

impl Callback {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn stop(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        let was_active = state.due.take().is_some();
        let ended = state.function.take_if(|_| self.repeats);
        self.settle(state);
        drop(ended);
        was_active
    }

    fn reset(self: &Arc<Self>, duration: Duration) -> bool {
        // Read before the lock is taken, because a clock may be foreign code.
        let due = self.handle.shared.clock.deadline_after(duration);
        let mut state = self.lock();
        let was_active = state.due.is_some();
        if was_active || state.function.is_some() {
            state.due = Some(due);
            state.period = nanos(duration);
        }
        self.settle(state);
        was_active
    }

    /// Calls the function, if it is due. A panic of the clock or the unpark comes after that.
    fn call(self: &Arc<Self>) {
        let mut panic = None;
        self.call_catching(&mut panic);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    fn call_catching(self: &Arc<Self>, panic: &mut Option<Payload>) {
        let shared = &self.handle.shared;
        // Read before the lock is taken, because a clock may be foreign code.
        let now = match self.repeats {
            true => catch_first(panic, || shared.clock.nanos()).unwrap_or(0),
            false => 0,
        };
        let mut state = self.lock();
        let Some(due) = state.wanted().filter(|due| shared.has_elapsed(*due)) else {
            return;
        };
        // Asked after `has_elapsed`, which is true of any deadline once the driver is gone.
        if shared.is_closed() {
            let ended = state.end();
            drop(state);
            return drop(ended);
        }
        // Usually it has fired. But this may be an old wake, and another one under way.
        let armed = state.armed.take();
        let function = state.function.take();
        state.running = self.repeats && function.is_some();
        state.due = state.running.then(|| next_on_grid(due, now, state.period));
        let missed = match state.running {
            true => now.saturating_sub(due) / state.period,
            false => 0,
        };
        drop(state);
        if missed > 0 {
            shared.counters.count_missed_ticks(missed);
        }
        self.set_timer(armed, None, panic);
        match function {
            None => {}
            Some(Function::Once(f)) => f(),
            Some(Function::Spawn(task)) => task.spawn(),
            Some(Function::Every(f)) => self.run_repeating(f),
        }
    }

    fn run_repeating(self: &Arc<Self>, mut f: Box<dyn FnMut() + Send>) {
        let result = catch_unwind(AssertUnwindSafe(&mut f));
        let mut state = self.lock();
        state.running = false;
        let ended = match result {
            Ok(()) if state.due.is_some() => {
                state.function = Some(Function::Every(f));
                None
            }
            _ => {
                state.due = None;
                Some(f)
            }
        };
        self.settle(state);
        drop(ended);
        if let Err(payload) = result {
            resume_unwind(payload);
        }
    }
}

/// Returns the first time after `now` and `due` that is whole periods after `due`, which has
/// passed.
fn next_on_grid(due: u64, now: u64, period: u64) -> u64 {
    // `now` is earlier if the timer was reset since the clock was read, or if the clock has
    // panicked.
    let now = now.max(due);
    let late = now - due;
    // The same as `due + period * (1 + late / period)`, but does not overflow before the end.
    now.saturating_add(period - late % period)
}

impl Wake for Callback {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
