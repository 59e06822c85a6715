//! What does a tokio runtime ring for us?
//!
//! - A timerfd among its file descriptors, where there is one: nanoseconds, and nothing of tokio's
//!   is touched but by the kernel.
//! - A tokio `Sleep`, the *backstop*, where there is none, or where the clock may be paused: tokio
//!   moves a paused clock on to the next of its own timers, so it must have one for ours. Its grain
//!   is a millisecond.
//!
//! Both, where the clock may be paused and there is a timerfd: that then rings while the clock
//! runs, and the backstop while it does not.
//!
//! Tokio says that a runtime shuts down by waking whoever waits; so one of the two always waits.
//! Where that cannot be (a clock that may be paused, no timerfd, and no timer), the host asks
//! ([`WakeSources::hears_the_end`]): time moves on to whatever tokio is given to wait for, if only for the
//! moment that it takes another thread to find out.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

use crate::backend::host::descriptor::Descriptor;
use crate::backend::host::time::{self, Anchor};
use crate::clock::Clock;
use crate::driver::sharded::{Liveness, WakeSource};
use crate::instant::{NEVER, nanos};

/// The farthest that the backstop is set; it rings then, and is set again.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Tokio's grain, a millisecond.
const TICK: u64 = 1_000_000;

/// What rings, calling a `W`.
pub(super) struct WakeSources<W> {
    caller: Weak<W>,
    clock: Clock,
    /// What keeps the runtime for the clock, if that may be paused; let go of with the sources.
    anchor: Option<Anchor>,
    descriptor: Option<Descriptor>,
    backstop: Option<Backstop>,
}

struct Backstop {
    runtime: runtime::Handle,
    /// `None` while there is nothing to wait for, and tokio must have no timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<W> WakeSources<W> {
    /// Finds out what a runtime can ring; `None` if nothing.
    ///
    /// # Panics
    ///
    /// If a runtime has no time, and panics abort the process: then tokio cannot be asked.
    #[track_caller]
    pub(super) fn new(runtime: &runtime::Handle) -> Option<Self> {
        let descriptor = Descriptor::new();
        let anchor = time::can_pause(runtime).then(|| Anchor::new(runtime.clone()));
        // With a clock that nobody can pause a timerfd is all we need.
        let wanted = descriptor.is_none() || anchor.is_some();
        let backstop = wanted.then(|| Backstop::new(runtime)).flatten();
        if descriptor.is_none() && backstop.is_none() {
            return None;
        }
        let clock = anchor.as_ref().map_or_else(Clock::monotonic, Anchor::clock);
        Some(Self {
            caller: Weak::new(),
            clock,
            anchor,
            descriptor,
            backstop,
        })
    }

    /// Whom to call.
    pub(super) fn calling(mut self, caller: Weak<W>) -> Self {
        self.caller = caller;
        self
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn can_pause(&self) -> bool {
        self.anchor.is_some()
    }

    /// Whether the runtime tells of its end even while no timer is armed.
    pub(super) fn hears_the_end(&self) -> bool {
        self.descriptor.is_some() || !self.can_pause()
    }
}

impl<W: Wake + Send + Sync + 'static> WakeSource for WakeSources<W> {
    fn note_expired(&mut self) -> Liveness {
        if let Some(descriptor) = &self.descriptor
            && let Some(caller) = self.caller.upgrade()
            && !descriptor.listen(&Waker::from(caller))
        {
            return Liveness::Gone;
        }
        // The backstop is asked when it is set again, which follows.
        Liveness::Alive
    }

    fn set(&mut self, at: u64) -> Liveness {
        let Some(caller) = self.caller.upgrade() else {
            return Liveness::Gone;
        };
        let waker = Waker::from(caller);
        if self.can_pause() && time::is_thread_ending() {
            // Tokio's clock cannot be asked here any more: the runtime's thread is to look again.
            return self
                .backstop
                .as_ref()
                .map_or(Liveness::Alive, |backstop| backstop.ring_soon(&waker));
        }
        if let Some(descriptor) = &self.descriptor {
            let runs = self.backstop.is_none() || time::is_real(&self.clock);
            descriptor.set(if runs { at } else { NEVER });
        }
        let tied = self.can_pause() && at == NEVER;
        match &mut self.backstop {
            // Tokio must be left without a timer of ours.
            Some(backstop) if tied => {
                backstop.sleep = None;
                Liveness::Alive
            }
            Some(backstop) => backstop.set(at, &self.clock, &waker),
            None => Liveness::Alive,
        }
    }
}

impl Backstop {
    /// `None` if the runtime has no time.
    #[track_caller]
    fn new(runtime: &runtime::Handle) -> Option<Self> {
        let _entered = runtime.enter();
        let sleep = time::ask(|| tokio::time::sleep(YEAR))?;
        Some(Self {
            runtime: runtime.clone(),
            sleep: Some(Box::pin(sleep)),
        })
    }

    fn set(&mut self, at: u64, clock: &Clock, waker: &Waker) -> Liveness {
        let now = clock.nanos();
        let mut at = at.min(now.saturating_add(nanos(YEAR)));
        if at > now && !time::is_real(clock) {
            // Tokio moves a paused clock by whole milliseconds, and rounds deadlines up to its own.
            // If it was paused between two, that is one too far: with this much less it gets there
            // in as many as it takes. A timer of whole ones is met to the nanosecond; before any
            // other it stops once, rings, and is set again.
            at = at.saturating_sub(TICK - 1).max(now + 1);
        }
        let sleep = self.reset(at, clock);
        if sleep.is_elapsed() {
            return self.fired(at, clock, waker);
        }
        // Whatever the task that arms a timer has left of its budget. Should the runtime shut down
        // just now, on another thread, tokio panics, and the bell is gone.
        let mut sleep = unconstrained(sleep);
        match Pin::new(&mut sleep).poll(&mut Context::from_waker(waker)) {
            Poll::Pending => Liveness::Alive,
            Poll::Ready(()) => self.fired(at, clock, waker),
        }
    }

    fn reset(&mut self, at: u64, clock: &Clock) -> Pin<&mut Sleep> {
        let at = clock.instant(at).into();
        let sleep = self.sleep.get_or_insert_with(|| {
            let _entered = self.runtime.enter();
            Box::pin(tokio::time::sleep_until(at))
        });
        sleep.as_mut().reset(at);
        sleep.as_mut()
    }

    /// Tokio has fired at once: because the time is past, or because it is shut down; never early.
    fn fired(&self, at: u64, clock: &Clock, waker: &Waker) -> Liveness {
        if clock.nanos() < at {
            return Liveness::Gone;
        }
        self.ring_soon(waker)
    }

    /// Rings from the runtime's own loop.
    fn ring_soon(&self, waker: &Waker) -> Liveness {
        // A runtime that is shut down drops the task instead of running it: that rings, too, and the
        // next look finds the runtime gone.
        let soon = Soon(waker.clone());
        self.runtime.spawn(async move { drop(soon) });
        Liveness::Alive
    }
}

/// Rings when dropped.
struct Soon(Waker);

impl Drop for Soon {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

impl<W> Drop for WakeSources<W> {
    fn drop(&mut self) {
        if let Some(anchor) = &self.anchor {
            anchor.let_go();
        }
    }
}
