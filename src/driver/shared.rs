//! What a driver and its handles share: the timers, a lock around them, and how a loop is
//! interrupted.
//!
//! Behind every [`Handle`](crate::Handle) is one [`Shared`]: a lock around the timers, and atomics
//! that are written under that lock and read without it, so that the common questions cost one
//! load:
//!
//! - `elapsed`: the clock as the last turn saw it. A deadline at or before it has passed.
//! - `drained`: every timer with a deadline at or before it has left the store, and its index may
//!   belong to another timer by now. A timer with a later deadline that was armed still owns its
//!   index; if its value is gone from the store, it has fired. `drained <= elapsed`.
//! - `next`: a lower bound of the earliest deadline. Before it nothing is due.
//! - `interrupt_before`: the announcement of the loop. Arming a timer that is due earlier
//!   interrupts it.
//!
//! Foreign code (wakers, unparkers, clocks) runs with the lock released. A function that has to
//! wake or drop a waker returns it to its caller, or collects it first; one that needs the time
//! reads the clock before it takes the lock.
//!
//! # The park protocol
//!
//! The loop announces, under the lock, until when it parks (`interrupt_before`), releases the lock,
//! and blocks. A thread that arms an earlier timer clears the announcement, under the same lock,
//! and then unparks the loop. So one of two things happens. Either the arming thread comes first,
//! and the loop computes its timeout with the new timer in view. Or it comes second, sees the
//! announcement, and unparks; an unpark that comes before the loop blocks makes the block return.
//! The first thread that interrupts clears the announcement, so the loop is interrupted once, and
//! never while it runs.
//!
//! Firing is in [`fire`].

pub(crate) mod fire;
#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::clock::Clock;
use crate::driver::slack::{self, Limit, NO_INTERRUPT};
use crate::instant::{LAST, NEVER};
use crate::park::Unpark;
use crate::store::Store;
use crate::sync::{
    CachePadded, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
    lock,
};

/// The value of `elapsed` once the driver is gone.
const CLOSED: u64 = u64::MAX;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    notifier: Box<dyn Notifier>,
    /// Whether the loop is also told when the timer that it waits for is cancelled. On a clock that
    /// may be paused the loop would move time on to that timer, or wait for it in vain.
    notify_on_cancel: AtomicBool,
    /// The slack of the loop that waits for the timers, which all drivers on that loop share.
    pub(super) slack: Limit,
    atomics: CachePadded<Atomics>,
    state: CachePadded<Mutex<State>>,
}

/// The loop that waits for a driver's timers: the driver's own, or that of a runtime with many
/// drivers.
///
/// Called with no lock held.
pub(crate) trait Notifier: Send + Sync {
    /// Tells the loop that the announced time is wrong: an earlier timer was armed, or the timer
    /// that it waits for was cancelled, if the loop is told of that.
    fn rearm(&self);

    /// Makes the loop look at the timers, the slack and the clock again, whatever was announced:
    /// the clock may have jumped.
    fn interrupt(&self);
}

/// A loop that was unparked looks at everything again.
impl<U: Unpark> Notifier for U {
    fn rearm(&self) {
        self.unpark();
    }

    fn interrupt(&self) {
        self.unpark();
    }
}

/// Written under the lock of `Shared::state`, except by `clear_announcement`, `note_timed_wake`,
/// `note_turn` and `abandon`; read without it.
struct Atomics {
    elapsed: AtomicU64,
    drained: AtomicU64,
    next: AtomicU64,
    /// Arming a timer that is due before this interrupts the loop; or `NO_INTERRUPT`.
    interrupt_before: AtomicU64,
    /// How often in a row a timer has interrupted the loop. No wait has ended at its time between
    /// these interruptions.
    interruptions: AtomicU64,
    /// What the clock showed when the loop last looked at its timers, or zero. `Debug` shows it.
    turned: AtomicU64,
}

/// Guarded by the lock of `Shared::state`.
pub(crate) struct State {
    pub(crate) timers: Store<Waker>,
    closed: bool,
}

/// The result of arming a timer. A waker that was not taken is left to the caller, to be dropped
/// outside of the lock.
pub(crate) enum Arm {
    /// It is armed, under this index.
    Armed(u32),
    /// Its deadline has passed.
    Due,
    /// The driver is gone.
    Closed,
}

/// The result of moving an armed timer to another deadline.
pub(crate) enum Reset {
    Moved,
    /// The new deadline has passed: the timer was removed, and the caller wakes its waker.
    Due(Waker),
    /// The timer has fired, or the driver is gone.
    Gone,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        notifier: Box<dyn Notifier>,
        notify_on_cancel: bool,
        slack: Limit,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            clock,
            notifier,
            notify_on_cancel: AtomicBool::new(notify_on_cancel),
            slack,
            atomics: CachePadded(Atomics {
                elapsed: AtomicU64::new(0),
                drained: AtomicU64::new(0),
                next: AtomicU64::new(NEVER),
                interrupt_before: AtomicU64::new(NO_INTERRUPT),
                interruptions: AtomicU64::new(0),
                turned: AtomicU64::new(0),
            }),
            state: CachePadded(Mutex::new(State {
                timers: Store::new(),
                closed: false,
            })),
        });
        let observer: Weak<Self> = Arc::downgrade(&shared);
        shared.clock.observe(observer);
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state.0)
    }

    /// Returns whether a turn or the driver's end has passed `deadline`;
    /// [`is_closed`](Self::is_closed) tells the two apart.
    #[inline]
    pub(crate) fn has_elapsed(&self, deadline: u64) -> bool {
        // Acquire: pairs with the release in `set_elapsed`. A thread that finds a timer elapsed
        // also sees what happened before the turn.
        deadline <= self.atomics.0.elapsed.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.atomics.0.elapsed.load(Ordering::Acquire) == CLOSED
    }

    /// Arms a timer, and interrupts the loop if it would park past `deadline`.
    ///
    /// `waker` is taken only if the answer is `Armed`.
    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: &mut Option<Waker>) -> Arm {
        let mut state = self.lock();
        if state.closed {
            return Arm::Closed;
        }
        if deadline <= self.atomics.0.elapsed.load(Ordering::Relaxed) {
            return Arm::Due;
        }
        let Some(waker) = waker.take() else {
            // Cannot happen: the caller brings one. (Passed by value and returned, it would cost 15
            // instructions more.)
            return Arm::Due;
        };
        let index = state.timers.insert(deadline, waker);
        let must_rearm = self.note_armed(deadline);
        drop(state);
        if must_rearm {
            self.notifier.rearm();
        }
        Arm::Armed(index)
    }

    /// Moves an armed timer from the deadline `old`.
    #[inline]
    pub(crate) fn reset(&self, index: u32, old: u64, deadline: u64) -> Reset {
        let mut state = self.lock();
        if !self.owns(&state, old) {
            return Reset::Gone;
        }
        if deadline <= self.atomics.0.elapsed.load(Ordering::Relaxed) {
            // The store holds no deadline that has elapsed: see `drained`.
            let waker = state.timers.take(index);
            // Removed like a timer that is dropped: the loop must not wait for it any longer.
            let must_rearm = self.note_cancelled(old);
            drop(state);
            if must_rearm {
                self.notifier.rearm();
            }
            return waker.map_or(Reset::Gone, Reset::Due);
        }
        if !state.timers.reset(index, deadline) {
            return Reset::Gone;
        }
        let must_rearm = self.note_armed(deadline) || self.note_cancelled(old);
        drop(state);
        if must_rearm {
            self.notifier.rearm();
        }
        Reset::Moved
    }

    /// Removes an armed timer and returns its waker, `None` if it has fired.
    #[inline]
    pub(crate) fn cancel(&self, index: u32, deadline: u64) -> Option<Waker> {
        // Acquire: the turn that took the timer out happened before.
        if deadline <= self.atomics.0.drained.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        if !self.owns(&state, deadline) {
            return None;
        }
        let waker = state.timers.take(index);
        if self.note_cancelled(deadline) {
            drop(state);
            self.notifier.rearm();
        }
        waker
    }

    /// Exchanges the waker of an armed timer. Returns `false`, and leaves `waker` alone, if the
    /// timer has fired.
    pub(crate) fn replace_waker(&self, index: u32, deadline: u64, waker: &mut Waker) -> bool {
        let mut state = self.lock();
        if !self.owns(&state, deadline) {
            return false;
        }
        let Some(armed) = state.timers.value_mut(index) else {
            return false;
        };
        std::mem::swap(armed, waker);
        true
    }

    /// Makes the loop look at its timers and its clock again.
    ///
    /// It does so whatever the loop has announced: the loop may have read the clock and not
    /// announced anything yet.
    pub(crate) fn interrupt(&self) {
        self.notifier.interrupt();
    }

    /// Announces, under the lock, that the loop parks until `until`, in clock time.
    pub(crate) fn announce_park(&self, _state: &State, until: u64) {
        self.atomics
            .0
            .interrupt_before
            .store(until, Ordering::Relaxed);
    }

    /// Notes that a wait of the loop has ended at its time, not by an interruption.
    pub(crate) fn note_timed_wake(&self) {
        // Relaxed, and without the lock: at worst an interruption at this moment is counted with
        // those before it.
        self.atomics.0.interruptions.store(0, Ordering::Relaxed);
    }

    /// Returns whether the loop is interrupted so often that it should wake earlier than it has to,
    /// by [`before`](Self::before).
    pub(crate) fn needs_margin(&self) -> bool {
        let interruptions = self.atomics.0.interruptions.load(Ordering::Relaxed);
        slack::needs_margin(interruptions) && !self.is_exact()
    }

    /// Returns when to wake for a deadline at `next` if the clock shows `now`: a margin before it.
    pub(crate) fn before(&self, next: u64, now: u64) -> u64 {
        if next == NEVER {
            return NEVER;
        }
        let interruptions = self.atomics.0.interruptions.load(Ordering::Relaxed);
        next - slack::margin(interruptions, next.saturating_sub(now))
    }

    /// Returns whether the loop must know the earliest deadline exactly, because time moves on to
    /// it.
    fn is_exact(&self) -> bool {
        self.notify_on_cancel.load(Ordering::Relaxed) || self.clock.is_frozen()
    }

    /// Returns until when the loop has announced to park, if that is neither over nor interrupted,
    /// else `NO_INTERRUPT`.
    pub(crate) fn interrupt_before(&self) -> u64 {
        self.atomics.0.interrupt_before.load(Ordering::Relaxed)
    }

    /// Sets whether the loop is told of cancelled timers, and clears the announcement: the timer
    /// that it was made for may have been cancelled before, without notice.
    #[cfg(feature = "rt")]
    pub(crate) fn set_notify_on_cancel(&self, notify: bool) {
        // Under the lock, as each cancellation and each announcement is: a timer that is cancelled
        // after the next announcement finds the flag as it is now.
        let _state = self.lock();
        self.notify_on_cancel.store(notify, Ordering::Relaxed);
        self.clear_announcement();
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

    /// Clears the announcement: the loop runs.
    pub(crate) fn clear_announcement(&self) {
        // Relaxed, and without the lock: at worst a thread that arms a timer at this moment
        // interrupts a loop that has just been unparked.
        self.atomics
            .0
            .interrupt_before
            .store(NO_INTERRUPT, Ordering::Relaxed);
    }

    /// Returns `false` if no timer is armed that would ever fire, `true` if one may be.
    pub(crate) fn may_have_timers(&self) -> bool {
        self.may_be_due(LAST)
    }

    /// Returns `false` if nothing is due at `now`, `true` if something may be.
    pub(crate) fn may_be_due(&self, now: u64) -> bool {
        // Relaxed: a timer armed at the same time may as well be armed just after.
        self.atomics.0.next.load(Ordering::Relaxed) <= now
    }

    /// Publishes, under the lock, what the clock showed. Returns what is published: it never goes
    /// back.
    pub(crate) fn set_elapsed(&self, state: &State, now: u64) -> u64 {
        let before = self.atomics.0.elapsed.load(Ordering::Relaxed);
        if before >= now || state.closed {
            return before;
        }
        self.atomics.0.elapsed.store(now, Ordering::Release);
        now
    }

    /// Returns, under the lock, how far the store is drained.
    pub(crate) fn drained(&self, _state: &State) -> u64 {
        self.atomics.0.drained.load(Ordering::Relaxed)
    }

    /// Publishes, under the lock, how far the store is drained and a lower bound of the next
    /// deadline.
    pub(crate) fn set_drained(&self, _state: &State, drained: u64, next: u64) {
        self.atomics.0.drained.store(drained, Ordering::Release);
        self.atomics.0.next.store(next, Ordering::Relaxed);
    }

    /// Closes the driver and returns its timers, which the caller wakes.
    pub(crate) fn close(&self) -> Store<Waker> {
        let mut state = self.lock();
        state.closed = true;
        self.atomics.0.elapsed.store(CLOSED, Ordering::Release);
        std::mem::replace(&mut state.timers, Store::new())
    }

    /// Marks the driver as gone without taking its lock: this process was forked from the driver's,
    /// and a thread that does not exist here may have held the lock.
    ///
    /// Its timers then count as fired, so that dropping one takes no lock either.
    pub(crate) fn abandon(&self) {
        self.atomics.0.drained.store(CLOSED, Ordering::Release);
        self.atomics.0.elapsed.store(CLOSED, Ordering::Release);
    }

    /// Returns whether a timer armed for `deadline` still owns its index.
    fn owns(&self, state: &State, deadline: u64) -> bool {
        !state.closed && deadline > self.drained(state)
    }

    /// Notes, under the lock, that a timer for `deadline` was cancelled. Returns whether the loop
    /// must be told.
    #[inline]
    fn note_cancelled(&self, deadline: u64) -> bool {
        // The flag comes first: on a clock that cannot be paused nothing else is read.
        let notify = self.notify_on_cancel.load(Ordering::Relaxed)
            && (deadline..NEVER).contains(&self.interrupt_before());
        if notify {
            self.clear_announcement();
        }
        notify
    }

    /// Notes a new deadline, under the lock. Returns whether the loop must be interrupted for it.
    #[inline]
    fn note_armed(&self, deadline: u64) -> bool {
        let atomics = &self.atomics.0;
        if deadline < atomics.next.load(Ordering::Relaxed) {
            atomics.next.store(deadline, Ordering::Relaxed);
        }
        let interrupt = deadline < atomics.interrupt_before.load(Ordering::Relaxed);
        if interrupt {
            atomics
                .interrupt_before
                .store(NO_INTERRUPT, Ordering::Relaxed);
            let interruptions = atomics.interruptions.load(Ordering::Relaxed);
            atomics
                .interruptions
                .store(interruptions.saturating_add(1), Ordering::Relaxed);
        }
        interrupt
    }
}
