//! What a driver and its handles share: the timers, a lock around them, and how a loop is
//! interrupted.
//!
//! Behind every [`Handle`](crate::Handle) is one [`Shared`]: a lock around the order of the timers,
//! and atomics that are read without it, and mostly written under it (see [`Atomics`]), so that the
//! common questions cost one load:
//!
//! - `elapsed`: what the clock showed in the last turn that looked for due timers under the lock. A
//!   deadline *has elapsed* when a turn has published a time at or after the deadline: its timer
//!   has fired, or fires in that turn or in a later turn. (It *has passed* when the clock shows
//!   that time or a later time, whether or not a turn has come since.)
//! - `next`: a lower bound of the earliest deadline. Before it nothing is due.
//! - `announced`: the announcement of the loop. Arming a timer that is due earlier
//!   interrupts it.
//!
//! Beside them lie the entries of the timers, in [`chunks`](crate::driver::wakers::chunks) with a
//! lock for each, and a word for each timer, its deadline while it is armed. So a timer tells
//! without a lock whether it has fired, and is put off by one compare-and-exchange: its slot in the
//! heap keeps the old, earlier time, so the loop still wakes in time. New timers take their entries
//! from one chunk, the *current* one. That chunk has a time `unfiled_from`, which is at or after
//! `next`. A new timer that is due then or later is armed under the lock of a chunk alone, as a
//! rule: the loop looks at its timers at `unfiled_from` or earlier in any case (P1 and P2 in
//! `wakers/chunks.rs`). Its slot, if it needs one, goes to a list of the chunk, *unfiled*, until a
//! thread that holds the driver's lock files it. The loop does so before it takes out what is due,
//! and before it announces a wait. A removal takes the chunk's lock alone, too. On a frozen clock
//! (manual or paused), and on a tokio clock that may be paused, time moves on to the earliest
//! deadline, so the loop must know it exactly. There a timer is put off under the driver's lock,
//! and in a runtime a removal takes the driver's lock, too: the loop may have to be told.
//!
//! Foreign code (wakers, unparkers, clocks) runs with the lock released. A function that has to
//! wake or drop a waker returns it to its caller, or collects it first; one that needs the time
//! reads the clock before it takes the lock.
//!
//! # The park protocol
//!
//! Under the lock, the loop files the unfiled slots and announces until when it parks
//! (`announced`): the time of the heap's first slot, or an earlier one; zero, if the slack alone
//! decides when it wakes. (`Driver::advance_when_idle` does it in the other order. It announces
//! `NEVER`. Then, unless time is held, it reads the deadlines, and that files the unfiled slots.)
//! Then it releases the lock, and blocks. A thread that arms an earlier timer clears the
//! announcement, under the same lock, and then unparks the loop. So one of two things happens.
//! Either the arming thread comes first, and the loop computes its timeout with the new timer in
//! view. Or it comes second, sees the announcement, and unparks; an unpark that comes before the
//! loop blocks makes the block return. The first thread that interrupts clears the announcement, so
//! the loop is interrupted once for each announcement. If no thread interrupts, the announcement
//! stands until the next turn clears it. So a timer that is armed between the end of the park and
//! that turn may interrupt the loop, although it is not parked.
//!
//! [`announcement`] has what is announced, and [`fire`] the firing. [`limited`] has the timers that
//! count towards a limit (those of `try_sleep` and its like): their entry keeps a *permit*.

mod announcement;
pub(crate) mod fire;
mod limited;
#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::clock::{Clock, FAR};
use crate::driver::counters::Counters;
use crate::driver::late::LateObserver;
use crate::driver::slack::{NO_INTERRUPT, SharedSlack};
use crate::driver::wakers::Order;
use crate::driver::wakers::chunks::{Chunks, Removal};
use crate::instant::{LATEST_DEADLINE, NEVER};
use crate::park::Unpark;
use crate::sync::{
    CachePadded, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
    lock,
};

/// The value of `elapsed` once the driver is gone: `close` stores it, and then calls `fire(NEVER)`.
/// It must equal [`NEVER`], so that `set_elapsed` leaves it as it is and returns it, and `collect`
/// knows that the driver is gone.
const CLOSED: u64 = u64::MAX;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    notifier: Box<dyn Notifier>,
    /// Whether the loop is also told when the timer that it waits for is cancelled or put off.
    /// If it were not told, a runtime that moves time on to the earliest deadline would move it to
    /// the deadline of a timer that is gone, or wait for that deadline in vain.
    notify_on_cancel: AtomicBool,
    /// The slack of the loop that waits for the timers, which all drivers on that loop share.
    pub(super) slack: SharedSlack,
    pub(crate) counters: Counters,
    pub(super) late: LateObserver,
    atomics: CachePadded<Atomics>,
    pub(super) chunks: Chunks,
    state: CachePadded<Mutex<State>>,
}

/// The loop that waits for a driver's timers: the driver's own, or that of a runtime with many
/// drivers.
///
/// Called with no lock held.
pub(crate) trait Notifier: Send + Sync {
    /// Tells the loop that the announced time is wrong: an earlier timer was armed, or (where
    /// `notify_on_cancel` is set) the timer that it waits for was cancelled or put off. The loop
    /// only has to correct the time at which it wakes.
    fn interrupt(&self);

    /// Makes the loop look at the timers, the slack and the clock again, whatever was announced:
    /// the clock may have jumped.
    fn look_again(&self);

    /// Returns whose loop it is.
    fn origin(&self) -> Origin {
        Origin::of("own driver")
    }
}

/// Whose loop waits for a driver's timers; `Debug` of a handle shows it.
pub(crate) struct Origin {
    pub(crate) name: &'static str,
    /// The drivers of all threads of a runtime. Empty if the loop is not that of a runtime, or if
    /// the runtime is gone.
    pub(crate) shards: Box<[Arc<Shared>]>,
}

impl Origin {
    pub(crate) fn of(name: &'static str) -> Self {
        let shards = Box::default();
        Self { name, shards }
    }
}

/// A loop that was unparked looks at everything again.
impl<U: Unpark> Notifier for U {
    fn interrupt(&self) {
        self.unpark();
    }

    fn look_again(&self) {
        self.unpark();
    }
}

/// Written under the lock of `Shared::state`, except by `clear_announcement`,
/// `reset_interruptions`, `note_turn` and `abandon`; read without it.
struct Atomics {
    elapsed: AtomicU64,
    next: AtomicU64,
    /// The announcement: a timer that is armed for an earlier deadline interrupts the loop.
    /// `NO_INTERRUPT` if it is cleared.
    announced: AtomicU64,
    /// How often in a row a timer that was armed, or reset to an earlier time, has interrupted the
    /// loop. Zero again when the announced time has come. (In a `Driver`, also at a turn that finds
    /// that no timer has interrupted; in a runtime, also at the first scan after the source has
    /// expired, or after the loop was told to look again.)
    interruptions: AtomicU64,
    /// What the clock showed when the loop last looked at its timers (in a runtime, when it last
    /// found that some may be due), or zero. `Debug` shows it.
    turned: AtomicU64,
}

/// Guarded by the lock of `Shared::state`.
pub(crate) struct State {
    pub(crate) timers: Order,
}

/// The result of arming a timer. A waker that was not taken is left to the caller, to be dropped
/// outside of the lock.
pub(crate) enum Arm {
    /// It is armed, under this index. The loop must be interrupted for it if the flag says so: by
    /// [`Shared::interrupt`], once the caller has noted that the timer is armed.
    Armed { index: u32, must_interrupt: bool },
    /// Its deadline has elapsed.
    Due,
    /// The driver is gone.
    Closed,
}

/// The result of moving an armed timer to another deadline.
pub(crate) enum Reset {
    /// The loop must be told if the flag says so: by [`Shared::interrupt`], once the caller has
    /// noted that the timer is armed.
    Moved { must_interrupt: bool },
    /// The new deadline has elapsed: the timer was removed, and the caller wakes its waker. The
    /// loop must be told as above.
    Due { waker: Waker, must_interrupt: bool },
    /// The timer has fired, or the driver is gone.
    Gone,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        notifier: Box<dyn Notifier>,
        notify_on_cancel: bool,
        slack: SharedSlack,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            clock,
            notifier,
            notify_on_cancel: AtomicBool::new(notify_on_cancel),
            slack,
            counters: Counters::new(),
            late: LateObserver::new(),
            atomics: CachePadded(Atomics {
                elapsed: AtomicU64::new(0),
                next: AtomicU64::new(NEVER),
                announced: AtomicU64::new(NO_INTERRUPT),
                interruptions: AtomicU64::new(0),
                turned: AtomicU64::new(0),
            }),
            chunks: Chunks::new(),
            state: CachePadded(Mutex::new(State {
                timers: Order::new(),
            })),
        });
        let observer: Weak<Self> = Arc::downgrade(&shared);
        shared.clock.observe(observer);
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state.0)
    }

    /// Returns whether `deadline` has elapsed. After the driver's end, every deadline has:
    /// [`is_closed`](Self::is_closed) tells.
    #[inline]
    pub(crate) fn has_elapsed(&self, deadline: u64) -> bool {
        // Acquire: pairs with the release in `set_elapsed`. A thread that finds a timer elapsed
        // also sees what happened before the turn.
        deadline <= self.atomics.0.elapsed.load(Ordering::Acquire)
    }

    /// Returns what the clock showed in the last turn that looked for due timers; `u64::MAX` once
    /// the driver is gone.
    pub(crate) fn elapsed(&self) -> u64 {
        self.atomics.0.elapsed.load(Ordering::Acquire)
    }

    /// Returns whether a deadline that has not elapsed is so far off that the clock need not be
    /// read to know that it has not passed; see [`Clock::is_far_off`].
    #[inline]
    pub(crate) fn is_far_off(&self, deadline: u64) -> bool {
        // The coarse clock is at most one tick behind `elapsed`. So for a deadline less than FAR
        // after `elapsed` the answer is nearly always no, and the clock is not read for it.
        let elapsed = self.atomics.0.elapsed.load(Ordering::Relaxed);
        deadline > elapsed.saturating_add(FAR) && self.clock.is_far_off(deadline)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.atomics.0.elapsed.load(Ordering::Acquire) == CLOSED
    }

    /// Arms a timer. `waker` is taken only if the answer is `Armed`.
    ///
    /// The caller, not this function, interrupts the loop, after it has noted that the timer is
    /// armed: the unpark may panic.
    // Always inlined: as a call it would add 14 instructions to the 388 of a poll.
    #[inline(always)]
    pub(crate) fn arm(&self, deadline: u64, waker: &mut Option<Waker>) -> Arm {
        match self.arm_in_chunk(deadline, waker) {
            Some(index) => Arm::Armed {
                index,
                must_interrupt: false,
            },
            None => self.insert_locked(deadline, waker),
        }
    }

    /// Arms a timer without the driver's lock, if that can be.
    #[inline]
    fn arm_in_chunk(&self, deadline: u64, waker: &mut Option<Waker>) -> Option<u32> {
        // A first check without the lock of the chunk: see P1 in `wakers/chunks.rs`. Relaxed: it is
        // only a hint.
        if deadline < self.atomics.0.next.load(Ordering::Relaxed) {
            return None;
        }
        let has_elapsed = || self.has_elapsed(deadline);
        self.chunks.arm_unfiled(deadline, waker, has_elapsed)
    }

    /// Interrupts the loop, or tells it that the timer that it waits for is gone. It may panic.
    pub(crate) fn interrupt(&self) {
        self.counters.count_interruption();
        self.notifier.interrupt();
    }

    // A function of its own, so that a poll that does not come here need not push registers for it.
    #[inline(never)]
    fn insert_locked(&self, deadline: u64, waker: &mut Option<Waker>) -> Arm {
        self.insert(&mut self.lock(), deadline, waker)
    }

    #[inline]
    fn insert(&self, state: &mut State, deadline: u64, waker: &mut Option<Waker>) -> Arm {
        let elapsed = self.atomics.0.elapsed.load(Ordering::Relaxed);
        if deadline <= elapsed {
            return match elapsed {
                CLOSED => Arm::Closed,
                _ => Arm::Due,
            };
        }
        self.lower_next(state, deadline);
        let Some(index) = state.timers.insert(&self.chunks, deadline, waker) else {
            // Cannot happen: there is a free entry, and the caller brings a waker. (A waker that is
            // passed by value and returned would cost 15 instructions more.)
            return Arm::Due;
        };
        let must_interrupt = self.note_armed(deadline);
        Arm::Armed {
            index,
            must_interrupt,
        }
    }

    /// Moves an armed timer from the deadline `old`.
    #[inline]
    pub(crate) fn reset(&self, index: u32, old: u64, deadline: u64) -> Reset {
        if deadline < old || self.needs_exact_deadline() {
            return self.reset_locked(index, old, deadline);
        }
        if !self.chunks.put_off(index, old, deadline) {
            return Reset::Gone;
        }
        self.counters.resets.count();
        // The loop may have begun to wait for the exact deadline after the check above. Then either
        // it has found the new deadline, or this thread finds the flag set: see
        // `set_notify_on_cancel`.
        if self.notify_on_cancel.load(Ordering::Relaxed) {
            self.tell_loop_no_longer_due_at(old);
        }
        Reset::Moved {
            must_interrupt: false,
        }
    }

    // A function of its own, so that putting a timer off need not push registers for it.
    #[inline(never)]
    fn reset_locked(&self, index: u32, old: u64, deadline: u64) -> Reset {
        // After a fork the lock of a driver that is gone may be held for ever.
        if self.is_closed() {
            return Reset::Gone;
        }
        let mut state = self.lock();
        let elapsed = self.atomics.0.elapsed.load(Ordering::Relaxed);
        if elapsed == CLOSED {
            return Reset::Gone;
        }
        if deadline <= elapsed {
            // V1 in `wakers/chunks/entries.rs`: a word must not be lowered to a deadline that has
            // elapsed. So the timer is removed, and the caller wakes it.
            let has_elapsed = || self.has_elapsed(old);
            let Some(waker) = self.chunks.take(index, old, Removal::Fired, has_elapsed) else {
                return Reset::Gone;
            };
            self.counters.count_locked_reset();
            self.counters.count_found_due();
            // Removed like a timer that is dropped: the loop must not wait for it any longer.
            let must_interrupt = self.note_no_longer_due_at(old);
            return Reset::Due {
                waker,
                must_interrupt,
            };
        }
        self.lower_next(&state, deadline);
        if !state.timers.reset(&self.chunks, index, old, deadline) {
            return Reset::Gone;
        }
        self.counters.count_locked_reset();
        let must_interrupt = self.note_armed(deadline) || self.note_no_longer_due_at(old);
        Reset::Moved { must_interrupt }
    }

    /// Removes an armed timer and returns its waker, `None` if it has fired.
    #[inline]
    pub(crate) fn cancel(&self, index: u32, deadline: u64) -> Option<Waker> {
        self.remove(index, deadline, Removal::Cancelled)
    }

    /// Removes a timer like [`cancel`](Self::cancel), because it was found due before a turn has
    /// taken it out: it counts as fired.
    #[inline]
    pub(crate) fn remove_found_due(&self, index: u32, deadline: u64) -> Option<Waker> {
        let waker = self.remove(index, deadline, Removal::Fired);
        if waker.is_some() {
            self.counters.count_found_due();
        }
        waker
    }

    #[inline]
    fn remove(&self, index: u32, deadline: u64, removal: Removal) -> Option<Waker> {
        // A driver that is gone wakes all tasks itself, and after a fork its lock may be held for
        // ever. If the deadline has not elapsed, the timer is armed.
        let elapsed = self.atomics.0.elapsed.load(Ordering::Acquire);
        if elapsed == CLOSED || deadline <= elapsed && self.has_fired(index, deadline) {
            return None;
        }
        let has_elapsed = || self.has_elapsed(deadline);
        let waker = self.chunks.take(index, deadline, removal, has_elapsed);
        // After the timer was taken out: see `set_notify_on_cancel`.
        if self.notify_on_cancel.load(Ordering::Relaxed) {
            self.tell_loop_no_longer_due_at(deadline);
        }
        waker
    }

    /// Returns whether a timer that was armed for `deadline` is armed no longer.
    #[inline]
    fn has_fired(&self, index: u32, deadline: u64) -> bool {
        // The timer's word may be cold, so `next` is tried first: a timer that is armed keeps
        // `next` at or below its deadline. Acquire: this thread then sees what
        // the turn that took the timer out had done by then.
        deadline < self.atomics.0.next.load(Ordering::Acquire)
            || self.chunks.load(index) != deadline
    }

    /// Exchanges the waker of an armed timer. Returns `false`, and leaves `waker` alone, if the
    /// timer has fired.
    pub(crate) fn replace_waker(&self, index: u32, deadline: u64, waker: &mut Waker) -> bool {
        // After a fork the lock of a driver that is gone may be held for ever.
        if self.is_closed() {
            return false;
        }
        self.chunks.replace_waker(index, deadline, waker)
    }

    /// Returns whether a timer whose deadline is not [`NEVER`] wakes the task of `waker`.
    pub(crate) fn has_waker_of(&self, waker: &Waker) -> bool {
        // After a fork the locks of a driver that is gone may be held for ever.
        !self.is_closed() && self.chunks.has_waker_of(waker)
    }

    /// Returns how many timers are armed.
    pub(crate) fn armed(&self) -> usize {
        self.chunks.armed()
    }

    /// Takes each lock there is.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn lock_all(&self) -> impl Sized {
        (self.lock(), self.chunks.lock_all())
    }

    /// Returns how many entries there are.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.chunks.entries()
    }

    pub(crate) fn origin(&self) -> Origin {
        self.notifier.origin()
    }

    /// Makes the loop look at its timers and its clock again.
    ///
    /// It does so whatever the loop has announced: the loop may have read the clock and not
    /// announced anything yet.
    pub(crate) fn make_loop_look_again(&self) {
        self.counters.count_interruption();
        self.notifier.look_again();
    }

    /// Notes that the loop looks at its timers, at `now`.
    #[inline]
    pub(crate) fn note_turn(&self, now: u64) {
        // Relaxed: nothing else is published with it. `| 1`, because zero means never.
        self.atomics.0.turned.store(now | 1, Ordering::Relaxed);
    }

    /// Returns when the loop last looked at its timers, `None` if it never has.
    pub(crate) fn last_turn(&self) -> Option<u64> {
        let turned = self.atomics.0.turned.load(Ordering::Relaxed);
        (turned > 0).then_some(turned)
    }

    /// Returns `false` if no timer is armed that would ever fire, `true` if such a timer may be
    /// armed.
    pub(crate) fn may_have_timers(&self) -> bool {
        self.may_be_due(LATEST_DEADLINE)
    }

    /// Returns `false` if nothing is due at `now`, `true` if something may be.
    pub(crate) fn may_be_due(&self, now: u64) -> bool {
        self.next() <= now
    }

    /// Returns a lower bound of the earliest deadline.
    pub(super) fn next(&self) -> u64 {
        // Relaxed: a timer that is armed at the same time counts as armed just after.
        self.atomics.0.next.load(Ordering::Relaxed)
    }

    /// Publishes, under the lock, a lower bound of the next deadline.
    fn set_next(&self, _state: &State, next: u64) {
        // Release: pairs with the load in `has_fired`.
        self.atomics.0.next.store(next, Ordering::Release);
    }
}
