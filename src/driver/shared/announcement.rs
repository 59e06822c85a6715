//! The announcement: until when the loop parks, and what interrupts it before.
//!
//! The park protocol is told at the head of `shared`. Mostly the earliest deadline is announced. In
//! two cases it is an earlier time, and the loop may wake and find nothing due:
//!
//! - Many timers were put off or removed. It takes work to find the earliest deadline then, and the
//!   loop is not held up for that.
//! - New timers, each a little earlier than the one before, interrupt the loop again and again.
//!   Then it wakes a *margin* (see `slack`) before the deadline, and they no longer interrupt it.
//!
//! On a frozen clock, and on one that tokio may pause, time moves on to the earliest deadline,
//! so the loop has to know that deadline *exactly*. On such a clock, a runtime tells its loop when
//! the timer that the loop waits for is cancelled or put off. A `Driver` reads the deadlines anew
//! before it moves time.

use super::{Shared, State};
use crate::driver::slack::{self, NO_INTERRUPT};
use crate::driver::wakers::StaleBudget;
use crate::instant::NEVER;
use crate::sync::{self, MutexGuard, atomic::Ordering};

/// How many stale slots are dropped or filed anew, at most, each time that the lock is taken.
pub(super) const STALE_SLOTS: usize = sync::under_loom_or(2, 256);

/// How often the lock is taken, at most, to get through stale slots. It limits the search for the
/// time at which the loop has to wake, and a call that fires. Where the loop has to know its next
/// deadline exactly, there is no limit.
pub(super) const MOST_LOCKINGS: usize = sync::under_loom_or(2, 16);

impl Shared {
    /// Returns whether the loop must know the earliest deadline exactly, because time moves on to
    /// it.
    #[inline]
    pub(super) fn needs_exact_deadline(&self) -> bool {
        self.notify_on_cancel.load(Ordering::Relaxed) || self.clock.is_frozen()
    }

    /// Lowers `next` to this deadline, under the lock. To be called before a slot for it is filed,
    /// and before such a slot may stay unfiled (P1 in `wakers/chunks.rs`).
    #[inline]
    pub(super) fn lower_next(&self, state: &State, deadline: u64) {
        if deadline < self.atomics.0.next.load(Ordering::Relaxed) {
            self.set_next(state, deadline);
        }
    }

    /// Announces, under the lock, that the loop parks until `until`, which is some time before its
    /// next deadline (the margin, see `slack`).
    pub(crate) fn announce_early(&self, state: &State, until: u64) {
        // From now on a slot that is due at `until` or later may stay unfiled: the loop wakes at
        // `until`, and files it.
        self.lower_next(state, until);
        state.timers.lower_unfiled_from(&self.chunks, until);
        self.announce(state, until);
    }

    /// Announces, under the lock, that the loop parks until `until`, in clock time.
    pub(crate) fn announce(&self, _state: &State, until: u64) {
        self.atomics.0.announced.store(until, Ordering::Relaxed);
    }

    /// Returns the announced time, even if it has passed; `NO_INTERRUPT` if the announcement was
    /// cleared, or if no new timer may interrupt the wait.
    pub(crate) fn announced(&self) -> u64 {
        self.atomics.0.announced.load(Ordering::Relaxed)
    }

    /// Clears the announcement: the loop runs, or is about to look at its timers, or no new timer
    /// can make it look at them earlier.
    pub(crate) fn clear_announcement(&self) {
        // Relaxed, and without the lock: at worst a thread that arms a timer at this moment
        // interrupts a loop that has just been unparked.
        self.atomics
            .0
            .announced
            .store(NO_INTERRUPT, Ordering::Relaxed);
    }

    /// Takes the lock and finds the earliest deadline. If that is much work, it releases the lock
    /// and takes it again, and after a while ends with an earlier time, unless the loop or the
    /// caller has to know the deadline exactly.
    ///
    /// With `exactly` it does not raise `next`, so any thread may call it while the loop waits. If
    /// the loop of a `Driver` wakes when `next` has come, and then fires nothing, it knows that it
    /// was woken for a timer that is gone. If another thread had raised `next` meanwhile, the loop
    /// would take the wait for one that was cut short. So without `exactly` only that loop calls
    /// it and, in a runtime, the thread that scans, which finds in another way whether a wake-up
    /// was for nothing (`ShardedDriver::note_expired`).
    pub(crate) fn lock_and_find_next(&self, exactly: bool) -> (MutexGuard<'_, State>, u64) {
        let mut lockings = 0;
        loop {
            let mut state = self.lock();
            let mut budget = StaleBudget(STALE_SLOTS);
            lockings += 1;
            let next = match state.timers.next_deadline(&self.chunks, &mut budget) {
                Some(next) => next,
                None if lockings >= MOST_LOCKINGS && !exactly && !self.needs_exact_deadline() => {
                    state.timers.bound(&self.chunks)
                }
                None => continue,
            };
            // The search has dropped the slots of timers that were removed or put off, which
            // `next` may still name, and has raised `unfiled_from` to the time that it has found.
            // So `next` may be raised to the same time (P1 in `wakers/chunks.rs`).
            if !exactly {
                self.set_next(&state, next);
            }
            return (state, next);
        }
    }

    /// Notes a new deadline, under the lock. Returns whether the loop must be interrupted for it.
    #[inline]
    pub(super) fn note_armed(&self, deadline: u64) -> bool {
        let atomics = &self.atomics.0;
        let interrupt = deadline < atomics.announced.load(Ordering::Relaxed);
        if interrupt {
            atomics.announced.store(NO_INTERRUPT, Ordering::Relaxed);
            let interruptions = atomics.interruptions.load(Ordering::Relaxed);
            atomics
                .interruptions
                .store(interruptions.saturating_add(1), Ordering::Relaxed);
        }
        interrupt
    }

    /// Notes, under the lock, that a timer is no longer due at `old`: it was removed or moved.
    /// Returns whether the loop must be told.
    #[inline]
    pub(super) fn note_no_longer_due_at(&self, old: u64) -> bool {
        // Where the flag is not set, nothing else is read.
        if !self.notify_on_cancel.load(Ordering::Relaxed) {
            return false;
        }
        let announced = self.announced();
        let notify = old <= announced && announced != NEVER;
        if notify {
            self.clear_announcement();
        }
        notify
    }

    /// Tells the loop, if it must be told, that a timer is no longer due at `old`: it was put off
    /// or removed.
    #[cold]
    pub(super) fn tell_loop_no_longer_due_at(&self, old: u64) {
        let state = self.lock();
        let must_interrupt = self.note_no_longer_due_at(old);
        drop(state);
        if must_interrupt {
            self.interrupt();
        }
    }

    /// Sets whether the loop is told of cancelled timers, and clears the announcement: the timer
    /// that it was made for may have been cancelled before, without notice.
    #[cfg(feature = "rt")]
    pub(crate) fn set_notify_on_cancel(&self, notify: impl Fn() -> bool) {
        // The flag is written under the lock, as announcements are. So a thread that takes the
        // driver's lock after the next announcement, to cancel or put off a timer, sees the flag.
        // (Those that take the lock of a chunk alone are dealt with below.) `notify` is asked under
        // the lock, too: if two threads pause and resume a clock, the last of them to come here
        // sees the last change.
        let state = self.lock();
        let notify = notify();
        self.notify_on_cancel.store(notify, Ordering::Relaxed);
        self.clear_announcement();
        drop(state);
        if !notify {
            return;
        }
        // Now each chunk is locked once, one after the other, and each of its words is written
        // again with the same value. A thread that later takes the chunk's lock to remove a timer,
        // or exchanges the word to put it off, sees the flag. A thread that removed a timer or put
        // it off before that may have missed the flag, and the loop may have announced the old
        // deadline of that timer since the driver's lock was released. So the announcement is
        // cleared once more at the end: the next one finds the new deadline. The driver's lock is
        // not held during this.
        let mut chunk = 0;
        while self.chunks.rewrite(chunk) {
            chunk += 1;
        }
        let _state = self.lock();
        self.clear_announcement();
    }

    /// Resets the count of interruptions in a row. To be called when the announced time has come,
    /// when the loop has looked at its timers without having been interrupted, or when it was told
    /// to look again.
    pub(crate) fn reset_interruptions(&self) {
        // Relaxed, and without the lock: at worst an interruption at this moment is counted with
        // those before it.
        self.atomics.0.interruptions.store(0, Ordering::Relaxed);
    }

    /// Returns whether the loop is interrupted so often that it should wake earlier than it has to,
    /// by [`wake_with_margin`](Self::wake_with_margin).
    pub(crate) fn needs_margin(&self) -> bool {
        let interruptions = self.atomics.0.interruptions.load(Ordering::Relaxed);
        slack::needs_margin(interruptions) && !self.needs_exact_deadline()
    }

    /// Returns when the loop should wake for a deadline at `next` if it is interrupted often and
    /// the clock shows `now`: a margin before `next`.
    pub(crate) fn wake_with_margin(&self, next: u64, now: u64) -> u64 {
        if next == NEVER {
            return NEVER;
        }
        let interruptions = self.atomics.0.interruptions.load(Ordering::Relaxed);
        next - slack::margin(&self.slack, interruptions, next.saturating_sub(now))
    }
}
