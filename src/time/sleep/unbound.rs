//! Timers that are made where there is no driver.
//!
//! A timer is often made before its runtime: `let limited = timeout(limit, work);
//! runtime.block_on(limited)`. The process-wide thread could serve it, on the system's time; but
//! then it would ignore a paused or manual clock, and each wake-up would cross threads. So it stays
//! *unbound* until it is first polled or reset where a driver is current, and takes that driver. If
//! it is polled where none is current, it takes that of the process-wide thread. Until then it
//! refers to a *placeholder*, a driver of which only the clock is used: the system's.
//!
//! If the clock of its driver then shows another time, a wait for a duration starts over there, so
//! that a test on a manual clock does not depend on how long the machine took in between. A wait
//! for an instant keeps its instant.
//!
//! The duration of an unbound wait is stored in the field that later holds the waker's identity, so
//! that a timer needs no more memory for it.

use std::task::{Context, Poll};
use std::time::Duration;

use super::poll::Identity;
use super::{NextPoll, Phase, Sleep};
use crate::backend::NoDriver;
use crate::driver::{DriverRef, Handle};
use crate::instant::{Instant, NEVER, nanos};
use crate::system;

impl Sleep {
    /// Makes a timer like [`after`](Self::after), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_after(error: NoDriver, duration: Duration) -> Self {
        Self::after(Handle::placeholder(error).into(), duration)
            .unbind(Phase::UnboundWait, duration)
    }

    /// Makes a timer like [`uncapped`](Self::uncapped), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_uncapped(error: NoDriver, duration: Duration) -> Self {
        Self::uncapped(Handle::placeholder(error).into(), duration)
            .unbind(Phase::UnboundUncapped, duration)
    }

    /// Makes a timer like [`at`](Self::at), where there is no driver.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn unbound_at(error: NoDriver, deadline: Instant) -> Self {
        let driver = DriverRef::from(Handle::placeholder(error));
        let deadline = driver.shared.clock.nanos_of(deadline);
        // Not as `at` does it: its question of the coarse clock would be forgotten in `bind`.
        Self::new(driver, deadline, NextPoll::ReadsClock)
            .unbind(Phase::UnboundInstant, Duration::ZERO)
    }

    fn unbind(mut self, phase: Phase, wait: Duration) -> Self {
        self.phase = phase;
        self.waker_id = Identity::of_nanos(nanos(wait));
        self
    }

    /// Returns whether the timer has no driver yet.
    pub(crate) fn is_unbound(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Registered | Phase::Done | Phase::DoneByReset => false,
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundUncapped => true,
        }
    }

    /// Binds an unbound timer to the current driver, or to the process-wide thread, and polls it.
    #[cold]
    pub(super) fn poll_unbound(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = self.phase != Phase::UnboundInstant;
        let now = system::monotonic();
        let Some(driver) = Handle::current_alive() else {
            return self.poll_on_process_wide_thread(cx, now);
        };
        let starts_over = self.bind(driver);
        // If the wait does not start over, the driver's clock is the system's, which was just read.
        if waits && !starts_over && self.deadline > now.cast_unsigned() {
            self.next_poll = NextPoll::SkipsClock;
        }
        self.poll_elapsed(cx)
    }

    /// Binds an unbound timer to the process-wide thread, and polls it. `now` is what the system's
    /// clock shows. For a deadline after `now`, the clock is read again only if a wait has no end
    /// ([`NEVER`]), or if the thread's clock is or was paused.
    fn poll_on_process_wide_thread(&mut self, cx: &mut Context<'_>, now: i64) -> Poll<()> {
        let waits = self.phase != Phase::UnboundInstant;
        // It has checked that this process was not forked, so `arm` needs no `notice_fork`.
        let starts_over = self.bind(Handle::process_wide(NoDriver, now));
        let is_real = match waits {
            true => !starts_over,
            false => self.driver.shared.clock.is_real(),
        };
        if is_real && self.deadline > now.cast_unsigned() {
            return self.arm(cx);
        }
        self.poll_elapsed(cx)
    }

    /// Completes a reset of an unbound timer, whose deadline is on the system's clock. `wait` is
    /// the duration that the deadline was computed from, unless the caller gave an instant.
    #[cold]
    pub(super) fn reset_unbound(&mut self, wait: Option<Duration>) {
        let phase = match wait {
            Some(_) => Phase::UnboundUncapped,
            None => Phase::UnboundInstant,
        };
        self.phase = phase;
        self.waker_id = Identity::of_nanos(nanos(wait.unwrap_or_default()));
        if let Some(driver) = Handle::current_alive() {
            self.bind(driver);
        }
    }

    /// Binds an unbound timer to a driver. Returns whether its wait starts over there.
    pub(in crate::time) fn bind(&mut self, driver: Handle) -> bool {
        let clock = &driver.shared.clock;
        let wait = Duration::from_nanos(self.waker_id.nanos());
        // A deadline that never comes on the system's clock may come on a tokio clock that
        // may be paused: its longest wait is thirty years.
        let starts_over =
            self.phase != Phase::UnboundInstant && (self.deadline == NEVER || !clock.is_real());
        self.deadline = match self.phase {
            Phase::UnboundWait if starts_over => clock.capped_deadline_after(wait),
            Phase::UnboundUncapped if starts_over => clock.deadline_after(wait),
            _ => clock.nanos_of(self.deadline()),
        };
        self.phase = Phase::Idle;
        self.waker_id = Identity::NONE;
        // The timer may have been made long ago.
        self.next_poll = NextPoll::ReadsClock;
        self.driver = driver.into();
        starts_over
    }
}
