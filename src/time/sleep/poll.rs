//! How a [`Sleep`] is polled: checking its deadline, arming it, moving it to another driver.
//!
//! A poll makes three checks, and stops at the first that decides:
//!
//! 1. Has the deadline elapsed: has a turn of the driver published a time at or after it? One load
//!    tells. Then the timer is ready (or its driver is gone, and it moves to another).
//! 2. Has the deadline passed: does the clock show that time, or a later one? Then the timer is
//!    ready, too: a task that was busy past its deadline should not wait for the driver's next
//!    turn.
//! 3. Is the timer armed, with the waker of this poll? Then there is nothing to do. Otherwise the
//!    poll arms the timer, or exchanges its waker, under the lock of a chunk or of the driver.
//!
//! A poll leaves out the second check, and so does not read the clock ([`NextPoll::SkipsClock`]),
//! if it is the first poll after one of these:
//!
//! - The timer is made on a driver, with a wait of `LONG_WAIT` or more, or with an instant that the
//!   system's coarse clock shows to be far off (unless it is reset, or armed without a poll,
//!   before its first poll).
//! - An armed timer is moved by `reset_at` to a later deadline.
//! - An armed timer is moved by `reset_after`, for `LONG_WAIT` or longer.
//!
//! (The first poll of an unbound timer has just read the system's clock, and mostly does not read
//! it again.)
//!
//! To read the coarse clock costs a fifth of what the exact one costs. The polls of an armed timer
//! also ask it before the exact one, if the clock is the system's and the deadline is more than
//! 100 ms after `elapsed` (see [`Shared::is_far_off`](crate::driver::shared::Shared::is_far_off)).

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::backend::{self, coop};
use crate::driver::shared::Arm;
use crate::driver::{DriverRef, Handle};
use crate::time::sleep::{NextPoll, Phase, Sleep};

/// The identity of a waker. Two wakers that exist at the same time and have equal identities wake
/// the same task.
///
/// When a waker is dropped, another one may get its address. So a timer keeps the identity of the
/// clone that the driver holds, which lives while the timer is armed, and not that of the waker
/// that it was polled with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    data: usize,
    vtable: usize,
}

impl Identity {
    /// The identity of no waker: the address of a vtable is not zero.
    pub(super) const NONE: Self = Self { data: 0, vtable: 0 };

    /// Returns whether it is the identity of a waker.
    #[inline]
    pub(super) fn is_some(self) -> bool {
        self.vtable != 0
    }

    /// Stores a number (the wait of an unbound timer) in place of a waker, as two halves of 32
    /// bits, which fit into any `usize`.
    pub(super) fn of_nanos(nanos: u64) -> Self {
        const LOW: u64 = u32::MAX as u64;
        Self {
            data: (nanos & LOW) as usize,
            vtable: (nanos >> 32) as usize,
        }
    }

    /// Returns the number that was stored by [`of_nanos`](Self::of_nanos).
    pub(super) fn nanos(self) -> u64 {
        (self.vtable as u64) << 32 | self.data as u64
    }

    pub(crate) fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            vtable: std::ptr::from_ref(waker.vtable()).addr(),
        }
    }
}

impl Sleep {
    /// Polls a timer in any phase but `Done`. It takes no pin, because a `Sleep` may be moved.
    #[inline(never)]
    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase != Phase::Idle && self.phase != Phase::Registered {
            return self.poll_rare(cx);
        }
        let shared = &self.driver.shared;
        if shared.has_elapsed(self.deadline) {
            return self.end_or_move(cx);
        }
        let this_poll = std::mem::replace(&mut self.next_poll, NextPoll::ReadsClock);
        let is_registered = self.is_registered();
        // A timer that is not armed yet, and whose first poll reads the clock, is due soon as a
        // rule, so the coarse clock is not asked. (If it was reset before it was armed, it may be
        // far off: then this one poll reads the exact clock for nothing.)
        let is_far_off = || is_registered && shared.is_far_off(self.deadline);
        if this_poll == NextPoll::ReadsClock && !is_far_off() {
            let now = shared.clock.nanos();
            if now >= self.deadline {
                coop::note_time(now);
                let waited = self.note_ended();
                return coop::count_or_yield(cx, waited, &mut self.yielded, None);
            }
        }
        if is_registered {
            // The driver still has the timer, or it has fired it since the checks above, and called
            // the waker that it had. If that is the waker of this poll, nothing is left to do.
            if self.waker_id == Identity::of(cx.waker()) {
                return Poll::Pending;
            }
            return self.poll_with_other_waker(cx);
        }
        // The timer may have got its driver before this process was forked.
        backend::notice_fork(&self.driver.shared);
        if self.driver.is_closed() {
            // After a fork its lock may be held for ever.
            return self.move_to_successor(cx);
        }
        self.arm(cx)
    }

    /// Polls a timer that was ended by a reset, or that has no driver yet.
    #[cold]
    fn poll_rare(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase == Phase::DoneByReset {
            self.phase = Phase::Done;
            return self.ready_or_yield(cx);
        }
        self.poll_unbound(cx)
    }

    // Always inlined: as a call it would add 20 instructions to the 388 of a poll (of a timer that
    // has a driver).
    #[inline(always)]
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        self.waker_id = Identity::of(&waker);
        let mut waker = Some(waker);
        match self.driver.shared.arm(self.deadline, &mut waker) {
            Arm::Armed {
                index,
                must_interrupt,
            } => {
                self.index = index;
                self.phase = Phase::Registered;
                if must_interrupt {
                    self.driver.shared.interrupt();
                }
                Poll::Pending
            }
            Arm::Due => self.end_and_count(cx),
            Arm::Closed => self.move_to_successor(cx),
        }
    }

    /// Arms a timer that is not due soon, as its first poll would. The driver keeps the waker. If
    /// the timer cannot be armed, the waker is returned, and the caller has to poll the timer.
    pub(crate) fn arm_with_waker(&mut self, waker: Waker) -> Option<Waker> {
        let is_new = self.phase == Phase::Idle && self.next_poll == NextPoll::SkipsClock;
        // On a driver that is gone each deadline has elapsed.
        if !is_new || self.driver.shared.has_elapsed(self.deadline) {
            return Some(waker);
        }
        backend::notice_fork(&self.driver.shared);
        if self.driver.is_closed() {
            return Some(waker);
        }
        self.waker_id = Identity::of(&waker);
        let mut waker = Some(waker);
        if let Arm::Armed {
            index,
            must_interrupt,
        } = self.driver.shared.arm(self.deadline, &mut waker)
        {
            self.index = index;
            self.phase = Phase::Registered;
            self.next_poll = NextPoll::ReadsClock;
            if must_interrupt {
                self.driver.shared.interrupt();
            }
        }
        waker
    }

    #[cold]
    fn poll_with_other_waker(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        backend::notice_fork(&self.driver.shared);
        let mut waker = cx.waker().clone();
        let identity = Identity::of(&waker);
        if self
            .driver
            .shared
            .replace_waker(self.index, self.deadline, &mut waker)
        {
            self.waker_id = identity;
            return Poll::Pending;
        }
        self.end_or_move(cx)
    }

    /// Ends a timer that has elapsed, or moves it to another driver if its own is gone.
    fn end_or_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_orphaned() {
            return self.move_to_successor(cx);
        }
        self.end_and_count(cx)
    }

    #[inline]
    fn end_and_count(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waited = self.note_ended();
        coop::count_or_yield(cx, waited, &mut self.yielded, Some(self.driver.clock()))
    }

    /// Notes that the timer has ended. Returns `true` if its driver was given the waker of a task,
    /// which mostly means that an earlier poll was pending. (A timer of `try_sleep` is armed with a
    /// waker that wakes nothing, until its first poll. That waker does not count.)
    #[inline]
    fn note_ended(&mut self) -> bool {
        let is_registered = self.is_registered();
        // Before the removal, which drops the waker and so may panic. After such a panic the timer
        // must not be removed again: another one may have its entry.
        self.phase = Phase::Done;
        if !is_registered {
            return false;
        }
        drop(
            self.driver
                .shared
                .remove_found_due(self.index, self.deadline),
        );
        self.waker_id.is_some()
    }

    /// Returns `Ready` for a timer that has ended, or yields if the task has had too many ready
    /// results in a row.
    #[inline]
    pub(super) fn ready_or_yield(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        coop::count_or_yield(cx, false, &mut self.yielded, Some(self.driver.clock()))
    }

    /// Moves the timer to another driver, because its own is gone, and polls it there.
    #[cold]
    fn move_to_successor(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.phase = Phase::Idle;
        let clock = &self.driver.shared.clock;
        let now = clock.nanos();
        if now >= self.deadline {
            return self.end_and_count(cx);
        }
        // The time left on a manual or paused clock means nothing on another clock.
        if clock.is_frozen() {
            return Poll::Pending;
        }
        let Some(successor) = Handle::successor().map(DriverRef::from) else {
            return Poll::Pending;
        };
        let next_clock = &successor.shared.clock;
        self.deadline = if clock.is_real() && next_clock.is_real() {
            next_clock.nanos_of(self.deadline())
        } else {
            next_clock.deadline_after(Duration::from_nanos(self.deadline - now))
        };
        // The old driver lives until the end of this poll: its address must not be used again
        // before, since a timer tells by the address which driver it is on (`Sleep::driver_id`).
        let _left = std::mem::replace(&mut self.driver, successor);
        self.poll_elapsed(cx)
    }

    /// Takes the timer out of the driver and releases its waker.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if self.phase == Phase::Registered {
            self.cancel();
        }
    }

    fn cancel(&mut self) {
        self.phase = Phase::Idle;
        // The waker is dropped here, with no lock held, because its drop is foreign code.
        drop(self.driver.shared.cancel(self.index, self.deadline));
    }
}
