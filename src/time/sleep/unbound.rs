//! On which driver is a timer that was made where there was none?
//!
//! A timer is often made before its runtime: `let limited = timeout(limit, work);
//! runtime.block_on(limited)`. The process-wide thread could serve it, on the system's time; but then a
//! paused or manual clock would not count, and each wake-up would cross threads. So it stays
//! *unbound* until it is first polled or reset where a driver is current, and takes that one; polled
//! where there is none, it goes to the process-wide thread.
//!
//! Until then its deadline is on the system's clock. On a driver whose clock shows another time, a
//! wait begins anew, whole, so that a test on a manual clock does not depend on how long the machine
//! took in between; an instant stays the instant that it is.
//!
//! The wait is kept where the identity of the waker goes later: a timer takes no more room for it.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::backend::NoDriver;
use crate::driver::Handle;
use crate::instant::{Instant, NEVER, nanos};
use crate::system;
use crate::time::sleep::poll::Identity;
use crate::time::sleep::{Phase, Sleep};

impl Sleep {
    /// [`after`](Self::after), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_after(error: NoDriver, duration: Duration) -> Self {
        Self::after(Handle::stand_in(error), duration).unbind(Phase::UnboundWait, duration)
    }

    /// [`limit`](Self::limit), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_limit(error: NoDriver, duration: Duration) -> Self {
        Self::limit(Handle::stand_in(error), duration).unbind(Phase::UnboundLimit, duration)
    }

    /// [`at`](Self::at), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_at(error: NoDriver, deadline: Instant) -> Self {
        let sleep = Self::at(Handle::stand_in(error), deadline);
        sleep.unbind(Phase::UnboundInstant, Duration::ZERO)
    }

    fn unbind(mut self, phase: Phase, wait: Duration) -> Self {
        self.phase = phase;
        self.waker = Identity::of_nanos(nanos(wait));
        self
    }

    /// Whether the timer has no driver yet.
    pub(in crate::time) fn is_unbound(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Armed | Phase::Done => false,
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundLimit => true,
        }
    }

    #[cold]
    pub(super) fn poll_unbound(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = self.phase != Phase::UnboundInstant;
        let now = system::monotonic();
        let anew = self.bind(Handle::serving(now));
        // Its clock is the system's then, which has just been read.
        self.trusted = waits && !anew && self.deadline > now.cast_unsigned();
        self.poll_elapsed(cx)
    }

    /// Goes on after a reset to a deadline that the system's clock shows, or `wait` from now.
    #[cold]
    pub(super) fn reset_unbound(&mut self, wait: Option<Duration>) {
        let phase = match wait {
            Some(_) => Phase::UnboundLimit,
            None => Phase::UnboundInstant,
        };
        self.phase = phase;
        self.waker = Identity::of_nanos(nanos(wait.unwrap_or_default()));
        if let Some(driver) = Handle::living() {
            self.bind(driver);
        }
    }

    /// Gives an unbound timer its driver. Returns whether its wait begins anew there.
    pub(in crate::time) fn bind(&mut self, driver: Handle) -> bool {
        let clock = &driver.shared.clock;
        let wait = Duration::from_nanos(self.waker.nanos());
        // What never comes on the system's clock may come on one that knows a longest wait.
        let anew =
            self.phase != Phase::UnboundInstant && (self.deadline == NEVER || !clock.is_real());
        self.deadline = match self.phase {
            Phase::UnboundWait if anew => clock.nanos_after_wait(wait),
            Phase::UnboundLimit if anew => clock.nanos_after(wait),
            _ => clock.nanos_of(self.deadline()),
        };
        self.phase = Phase::Idle;
        self.waker = Identity::NONE;
        // It may have been made long ago.
        self.trusted = false;
        self.handle = driver;
        anew
    }
}
