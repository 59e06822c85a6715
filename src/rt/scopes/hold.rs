//! The hold on time of a scope whose thread runs futures where no worker sees it: it is taken,
//! passed on to an inner scope, and dropped while the thread waits.

use super::{Scope, is_lender, running_any, running_of, with};
use crate::clock::{Clock, Hold};
use crate::panic::catch_panic;
use crate::rt::inner::Inner;

impl Scope {
    /// Keeps time that is moved by hand from moving, until [`take_hold`](Self::take_hold). A clock
    /// that runs is held, too, if it can be paused, since a future may pause it.
    pub(in crate::rt) fn hold_time(&self) {
        let hold = self.take_hold();
        let new = || self.inner.pool.clock().hold_if_movable();
        self.hold.set(hold.or_else(new));
    }

    /// Takes the hold on time, if there is one.
    pub(in crate::rt) fn take_hold(&self) -> Option<Hold> {
        self.hold.take()
    }

    /// Puts back a hold that was taken.
    pub(in crate::rt) fn put_hold(&self, hold: Hold) {
        self.hold.set(Some(hold));
    }

    /// Takes over the hold of another scope, if it is on the same clock. Returns whether it did.
    pub(in crate::rt) fn take_hold_from(&self, other: &Self) -> bool {
        let hold = other.take_hold();
        let is_same = hold
            .as_ref()
            .is_some_and(|hold| hold.is_on(self.inner.pool.clock()));
        let holder = if is_same { self } else { other };
        holder.hold.set(hold);
        is_same
    }

    /// Drops the hold on time, if there is one.
    pub(in crate::rt) fn drop_hold(&self) {
        // It unparks the loops on the clock, which is foreign code. A panic there must not keep
        // this thread from leaving its runtime.
        let hold = self.take_hold();
        catch_panic(|| drop(hold));
    }

    /// Drops the hold on time, if it is on this clock. Returns whether it did.
    fn drop_hold_on(&self, clock: &Clock) -> bool {
        let hold = self.take_hold();
        let is_same = hold.as_ref().is_some_and(|hold| hold.is_on(clock));
        self.hold.set(hold);
        if is_same {
            self.drop_hold();
        }
        is_same
    }
}

/// Calls `wait`, which blocks this thread until other threads have left `inner`. Time that is moved
/// by hand may move meanwhile: a destructor on one of them may wait for a timer.
pub(in crate::rt) fn while_blocked<T>(inner: &Inner, wait: impl FnOnce() -> T) -> T {
    let mut scopes = with(|scopes| Some(scopes.to_vec())).unwrap_or_default();
    let worker = running_of(&scopes, inner).find(|scope| scope.runs_worker());
    let worker = worker.cloned();
    let is_lender = is_lender(inner);
    // This is foreign code, which may wake tasks into the LIFO slot of this thread's core.
    scopes.retain(|scope| scope.drop_hold_on(inner.pool.clock()));
    if is_lender {
        inner.begin_lent_wait();
        // The innermost scope takes a hold afterwards, and drops it when its call waits next. A
        // scope further out would drop it only after that call.
        scopes.extend(running_any());
    } else if let Some(core) = worker.as_ref().and_then(|scope| scope.core()) {
        // The LIFO slots are not checked once every other worker is parked.
        inner.pool.make_stealable(&core);
        inner.pool.remove_thread();
    }
    let result = wait();
    // In this order, so that time stands still in between.
    scopes.iter().for_each(|scope| scope.hold_time());
    if is_lender {
        inner.end_lent_wait();
    } else if worker.is_some() {
        inner.pool.idle.add_thread();
    }
    result
}
