//! What does a poll ask, and in which order?
//!
//! First what costs a load: has a turn passed the deadline? Then the clock, because a task that was
//! busy past its deadline should not wait for the driver to notice. Last the driver, and only if
//! the waker is not the one that it holds.
//!
//! The clock is read when the timer is made from a duration, and by polls. One poll goes without:
//! the first after the timer was made, if the reading that made it put the deadline some way off,
//! or after an armed timer was put off.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::backend::coop;
use crate::driver::Handle;
use crate::driver::shared::Arm;
use crate::time::sleep::{Phase, Sleep};

/// Which waker this is: two live wakers are alike if they are the same by this.
///
/// Kept is the identity of the clone that the driver holds, not of the one polled with: only what
/// is kept alive keeps its address to itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    data: usize,
    vtable: usize,
}

impl Identity {
    pub(super) const NONE: Self = Self { data: 0, vtable: 0 };

    /// No waker: in its place a number, in halves that fit wherever there is 64-bit arithmetic.
    pub(super) fn of_nanos(nanos: u64) -> Self {
        const LOW: u64 = u32::MAX as u64;
        Self {
            data: (nanos & LOW) as usize,
            vtable: (nanos >> 32) as usize,
        }
    }

    /// The number that [`of_nanos`](Self::of_nanos) was given.
    pub(super) fn nanos(self) -> u64 {
        (self.vtable as u64) << 32 | self.data as u64
    }

    fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            vtable: std::ptr::from_ref(waker.vtable()).addr(),
        }
    }
}

impl Sleep {
    /// The poll of every future here that has not ended. No pin: nothing in a `Sleep` minds being
    /// moved.
    #[inline(never)]
    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase != Phase::Idle && self.phase != Phase::Armed {
            return self.poll_unbound(cx);
        }
        let shared = &self.handle.shared;
        if shared.has_elapsed(self.deadline) {
            return self.end_or_move(cx);
        }
        let trusted = std::mem::take(&mut self.trusted);
        if !trusted {
            let now = shared.clock.nanos();
            if now >= self.deadline {
                coop::note_time(now);
                let waited = self.end();
                return coop::spend(cx, waited, &mut self.yielded, None);
            }
        }
        if self.phase == Phase::Armed {
            if self.waker == Identity::of(cx.waker()) {
                return Poll::Pending;
            }
            return self.poll_with_other_waker(cx);
        }
        self.arm(cx)
    }

    fn arm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        self.waker = Identity::of(&waker);
        let mut waker = Some(waker);
        match self.handle.shared.arm(self.deadline, &mut waker) {
            Arm::Armed(index) => {
                self.index = index;
                self.phase = Phase::Armed;
                Poll::Pending
            }
            Arm::Due => self.end_now(cx),
            Arm::Closed => self.move_to_heir(cx),
        }
    }

    #[cold]
    fn poll_with_other_waker(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waker = cx.waker().clone();
        let identity = Identity::of(&waker);
        if self
            .handle
            .shared
            .replace_waker(self.index, self.deadline, &mut waker)
        {
            self.waker = identity;
            return Poll::Pending;
        }
        self.end_or_move(cx)
    }

    /// For a timer that the driver has no more to do with: it has elapsed, or the driver is gone.
    fn end_or_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_orphaned() {
            return self.move_to_heir(cx);
        }
        self.end_now(cx)
    }

    #[inline]
    fn end_now(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waited = self.end();
        self.answer(cx, waited)
    }

    /// Notes that the timer has ended. Returns whether a poll before this one was pending.
    #[inline]
    fn end(&mut self) -> bool {
        let waited = self.is_armed();
        self.disarm();
        self.phase = Phase::Done;
        waited
    }

    /// Ready, unless the task has to let others run first.
    #[inline]
    pub(super) fn answer(&mut self, cx: &mut Context<'_>, waited: bool) -> Poll<()> {
        coop::spend(cx, waited, &mut self.yielded, Some(self.handle.clock()))
    }

    /// Goes on waiting on another driver, because its own is gone.
    #[cold]
    fn move_to_heir(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.phase = Phase::Idle;
        let clock = &self.handle.shared.clock;
        let now = clock.nanos();
        if now >= self.deadline {
            return self.end_now(cx);
        }
        // Time on a clock moved by hand means nothing to another.
        if clock.is_frozen() {
            return Poll::Pending;
        }
        let Some(heir) = Handle::heir() else {
            return Poll::Pending;
        };
        self.deadline = heir
            .shared
            .clock
            .nanos_after(Duration::from_nanos(self.deadline - now));
        self.handle = heir;
        self.poll_elapsed(cx)
    }

    /// Takes the timer out of the driver and releases its waker.
    #[inline]
    pub(in crate::time) fn disarm(&mut self) {
        if self.phase == Phase::Armed {
            self.cancel();
        }
    }

    fn cancel(&mut self) {
        self.phase = Phase::Idle;
        // The waker is dropped here, with no lock held: its drop may be anything.
        drop(self.handle.shared.cancel(self.index, self.deadline));
    }
}
