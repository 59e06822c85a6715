//! [`WakeSources`]: what a tokio runtime waits for, so that it wakes at the deadline of a timer.
//!
//! There are two, and a runtime has one or both:
//!
//! - A timerfd among its file descriptors (Linux, with I/O). It has a resolution of nanoseconds,
//!   and leaves tokio's own timers alone.
//! - A tokio `Sleep`, with a resolution of a millisecond. It is used if there is no timerfd, and if
//!   the clock may be paused: tokio advances a paused clock to the next of its own timers, so it
//!   needs one for ours.
//!
//! If the clock may be paused and there is a timerfd, the timerfd expires while the clock runs, and
//! the `Sleep` while it is paused.
//!
//! A runtime that shuts down wakes everything that waits for it, so something of ours always waits.
//! The exception is a clock that may be paused, without a timerfd, while no timer is armed: tokio
//! would advance the clock to whatever it is given to wait for, however soon that is taken away
//! again. In such a runtime [`WakeSources::wake_on_shutdown`] is false, and the driver checks
//! whether the runtime has ended.
//!
//! Tokio may call the waker of a `Sleep` on the very thread that sets it: if the `Sleep` is set for
//! a time that has passed, if it expires at that moment, or if the runtime is gone. That thread may
//! hold a lock of its caller, so it must not fire timers. It only notes the call
//! ([`note_if_setting`]), and has the waker called again by the runtime.
//!
//! # When the runtime shuts down
//!
//! To poll a `Sleep` then is a panic, which ends the process if panics abort. To reset it does not
//! panic: it then has elapsed at once, under the lock under which tokio expires its timers. So a
//! `Sleep` is reset first, and polled only if it has not elapsed. It is also polled only if it has
//! to be, to register the waker: when it is new, and when tokio has called the waker, which takes
//! it ([`CallNote`]). Tokio calls it while it waits for its timers, on a thread without which the
//! runtime cannot shut down. One panic remains possible: another thread sets a new `Sleep`, or one
//! that has just expired, and the shutdown begins between its reset and its poll.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

use crate::backend::tokio_driver::descriptor::Descriptor;
use crate::backend::tokio_driver::time::{self, ClockRuntime};
use crate::clock::Clock;
use crate::driver::sharded::{Liveness, WakeSource};
use crate::instant::{NEVER, nanos};
use crate::panic::catch_panic;
use crate::system;

/// How far ahead the `Sleep` is set at most. It expires then, and is set again.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The resolution of tokio's timers, a millisecond.
const TICK: u64 = 1_000_000;

thread_local! {
    /// Whether this thread is setting a `Sleep`, and tokio has called its waker meanwhile.
    static SETTING: Cell<Setting> = const { Cell::new(Setting::No) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    No,
    NotCalled,
    Called,
}

/// Returns whether this thread is setting a `Sleep`, and notes in that case that tokio has called
/// the waker.
pub(super) fn note_if_setting() -> bool {
    let is_setting = SETTING.get() != Setting::No;
    if is_setting {
        SETTING.set(Setting::Called);
    }
    is_setting
}

/// Calls into tokio to set a `Sleep`. Also returns whether tokio has called its waker meanwhile.
fn noting_calls<T>(set: impl FnOnce() -> T) -> (T, bool) {
    struct Restore;

    impl Drop for Restore {
        fn drop(&mut self) {
            SETTING.set(Setting::No);
        }
    }

    let _restore = Restore;
    SETTING.set(Setting::NotCalled);
    let result = set();
    (result, SETTING.get() == Setting::Called)
}

/// Notes that tokio has called the waker, or that there is a new `Sleep`: then the `Sleep` may have
/// no waker.
///
/// If tokio takes the waker on another thread at the moment at which the `Sleep` is reset, nothing
/// is noted yet. But the call follows: it notes that, and has the sources set again.
#[derive(Clone)]
pub(super) struct CallNote(Arc<AtomicBool>);

impl CallNote {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// To be called first in each call of the waker.
    #[inline]
    pub(super) fn note(&self) {
        // Release: pairs with `take`. The scan that follows the call sees it.
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }
}

/// The wake sources of one runtime, which wake a `W`.
pub(super) struct WakeSources<W> {
    target: Weak<W>,
    clock: Clock,
    /// The runtime whose clock is read, if that may be paused. It is released when the sources are
    /// dropped.
    clock_runtime: Option<ClockRuntime>,
    descriptor: Option<Arc<Descriptor>>,
    sleep: Option<TokioSleep>,
    calls: CallNote,
}

/// A tokio `Sleep`, which is made again when it is needed.
struct TokioSleep {
    runtime: runtime::Handle,
    /// `None` while no timer is armed and tokio must have no timer of ours.
    sleep: Option<Pin<Box<Sleep>>>,
    calls: CallNote,
}

impl<W> WakeSources<W> {
    /// Makes the wake sources that a runtime can have. Returns `None` if it can have none.
    ///
    /// # Panics
    ///
    /// If a runtime has no time, and panics abort the process: then tokio cannot be asked.
    #[track_caller]
    pub(super) fn new(runtime: &runtime::Handle) -> Option<Self> {
        let descriptor = Descriptor::new();
        let clock_runtime = time::can_pause(runtime).then(|| ClockRuntime::new(runtime.clone()));
        // On a clock that cannot be paused a timerfd is enough.
        let needs_sleep = descriptor.is_none() || clock_runtime.is_some();
        let calls = CallNote::new();
        let sleep = needs_sleep
            .then(|| TokioSleep::new(runtime, calls.clone()))
            .flatten();
        if descriptor.is_none() && sleep.is_none() {
            return None;
        }
        let clock = clock_runtime
            .as_ref()
            .map_or_else(Clock::monotonic, ClockRuntime::clock);
        Some(Self {
            target: Weak::new(),
            clock,
            clock_runtime,
            descriptor: descriptor.map(Arc::new),
            sleep,
            calls,
        })
    }

    /// Sets what the sources wake.
    pub(super) fn waking(mut self, target: Weak<W>) -> Self {
        self.target = target;
        self
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn descriptor(&self) -> Option<Weak<Descriptor>> {
        self.descriptor.as_ref().map(Arc::downgrade)
    }

    pub(super) fn calls(&self) -> CallNote {
        self.calls.clone()
    }

    pub(super) fn can_pause(&self) -> bool {
        self.clock_runtime.is_some()
    }

    /// Returns whether the runtime wakes the sources when it shuts down, even while no timer is
    /// armed.
    pub(super) fn wake_on_shutdown(&self) -> bool {
        self.descriptor.is_some() || !self.can_pause()
    }
}

impl<W: Wake + Send + Sync + 'static> WakeSource for WakeSources<W> {
    fn set(&mut self, at: u64) -> Liveness {
        let Some(target) = self.target.upgrade() else {
            return Liveness::Gone;
        };
        let waker = Waker::from(target);
        if self.can_pause() && time::is_thread_ending() {
            // This thread can no longer read tokio's clock: a thread of the runtime has to do so.
            if let Some(sleep) = &self.sleep {
                return sleep.wake_soon(&waker);
            }
            if let Some(descriptor) = &self.descriptor {
                // A time that has passed.
                descriptor.set(1);
            }
            return Liveness::Alive;
        }
        // Asked once, since it takes a microsecond on a clock that may be paused.
        let is_real = at == NEVER || self.clock.is_real();
        if let Some(descriptor) = &self.descriptor {
            descriptor.set(if is_real { at } else { NEVER });
        }
        let can_pause = self.can_pause();
        match &mut self.sleep {
            // With any timer of ours, tokio would advance a paused clock to it.
            Some(sleep) if can_pause && at == NEVER => {
                sleep.sleep = None;
                Liveness::Alive
            }
            Some(sleep) => sleep.set(at, &self.clock, is_real, &waker),
            None => Liveness::Alive,
        }
    }
}

impl TokioSleep {
    /// Returns `None` if the runtime has no time.
    #[track_caller]
    fn new(runtime: &runtime::Handle, calls: CallNote) -> Option<Self> {
        let _entered = runtime.enter();
        let sleep = catch_panic(|| tokio::time::sleep(YEAR))?;
        Some(Self {
            runtime: runtime.clone(),
            sleep: Some(Box::pin(sleep)),
            calls,
        })
    }

    /// Sets it to wake `waker` at `at`; `is_real` tells whether the clock shows the real time.
    fn set(&mut self, at: u64, clock: &Clock, is_real: bool, waker: &Waker) -> Liveness {
        let now = clock.nanos();
        let mut at = at.min(now.saturating_add(nanos(YEAR)));
        if at > now && !is_real {
            // Tokio advances a paused clock by whole milliseconds and rounds deadlines up, so a
            // clock that was paused between two milliseconds would go one too far. Set `TICK - 1`
            // earlier, it stops exactly at a timer that is whole milliseconds away. For any other
            // timer it stops short once, the `Sleep` is set again, and the timer fires at the next
            // whole millisecond.
            at = at.saturating_sub(TICK - 1).max(now + 1);
        }
        let (elapsed, called) = noting_calls(|| self.reset_and_watch(at, clock, waker));
        match elapsed {
            false if !called => Liveness::Alive,
            // Tokio's timers are never early: the runtime has shut down.
            true if clock.nanos() < at => Liveness::Gone,
            _ => self.wake_soon(waker),
        }
    }

    /// Resets the `Sleep`, and has it wake `waker`. Returns whether it has elapsed.
    fn reset_and_watch(&mut self, at: u64, clock: &Clock, waker: &Waker) -> bool {
        let at = clock.instant(at).into();
        let sleep = self.sleep.get_or_insert_with(|| {
            let _entered = self.runtime.enter();
            self.calls.note();
            Box::pin(tokio::time::sleep_until(at))
        });
        sleep.as_mut().reset(at);
        if sleep.is_elapsed() {
            // That it has no waker stays noted.
            return true;
        }
        // Tokio's alternative timer, which only an unstable build can have, loses the waker when it
        // is reset.
        if !self.calls.take() && !cfg!(tokio_unstable) {
            return false;
        }
        // Unconstrained: the task that arms a timer may have used up its budget.
        let mut sleep = unconstrained(sleep.as_mut());
        let poll = Pin::new(&mut sleep).poll(&mut Context::from_waker(waker));
        poll == Poll::Ready(())
    }

    /// Has `waker` called by the runtime's own loop.
    fn wake_soon(&self, waker: &Waker) -> Liveness {
        // If the runtime shuts down before it runs the task, it drops it, and that wakes, too. If
        // it has shut down already, it drops the task at once, on this thread.
        let wake = WakeOnDrop(waker.clone());
        let (_task, called) = noting_calls(|| self.runtime.spawn(async move { drop(wake) }));
        match called {
            true => Liveness::Gone,
            false => Liveness::Alive,
        }
    }
}

/// Wakes a waker when it is dropped.
struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

impl<W> Drop for WakeSources<W> {
    fn drop(&mut self) {
        if let Some(runtime) = &self.clock_runtime {
            // A thread that is ending cannot tell.
            if !time::is_thread_ending() {
                if system::runs(|| self.clock.nanos().cast_signed()) {
                    runtime.go_on(&self.clock);
                } else {
                    // The time that its timers have left means nothing on another clock.
                    self.clock.stop();
                }
            }
            runtime.release();
        }
    }
}
