//! Which timer is due next?
//!
//! Pairs the `heap`, which knows order but no timers, with the `table`, which knows timers but no
//! order. What happens to a timer is decided in the table; the heap hears of it when a slot is to
//! be filed, and when a slot that was true is so no more.
//!
//! Times are nanoseconds since an epoch of the owner's choice; [`NEVER`] does not come due.
//!
//! - S1 each armed timer that can come due has one slot that the table calls its own; a slot that
//!   is not true is counted stale where it lies, exactly once.
//! - S2 no call's work grows with the number of timers, except for `reserve`, `iter`, `compact` and
//!   dropping.
//!
//! The story goes on in `queue` for values with deadlines, in `handle` for wakers.

use crate::heap::{LEN, RunHeap};
use crate::instant::NEVER;
use crate::table::Table;

/// Timers in order of deadline, equal deadlines in order of insertion or of their last reset.
///
/// An index says which entry a timer has for as long as it is armed; it is then used again.
pub(crate) struct Store<V, const RUN: usize = LEN> {
    heap: RunHeap<RUN>,
    table: Table<V>,
}

impl<V> Store<V> {
    /// Makes a store. Allocates nothing.
    pub(crate) fn new() -> Self {
        Self::starting_at(0)
    }
}

impl<V, const RUN: usize> Store<V, RUN> {
    fn starting_at(seq: u32) -> Self {
        Self {
            heap: RunHeap::new(),
            table: Table::new(seq),
        }
    }

    /// Arms a timer and returns its index.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, value: V) -> u32 {
        let (index, slot) = self.table.arm(deadline, value);
        if let Some(slot) = slot {
            self.heap
                .push(slot, |slot, asked| self.table.fate(slot, asked));
        }
        index
    }

    /// Moves a timer's deadline, and returns whether it is armed.
    #[inline]
    pub(crate) fn reset(&mut self, index: u32, deadline: u64) -> bool {
        let Some((stale, slot)) = self.table.rearm(index, deadline) else {
            return false;
        };
        // In this order: the new slot may be looked at as soon as it is filed.
        if let Some(stale) = stale {
            let lean = self.table.is_mostly_free();
            self.heap
                .forsake(stale, lean, |slot, asked| self.table.fate(slot, asked));
        }
        if let Some(slot) = slot {
            self.heap
                .push(slot, |slot, asked| self.table.fate(slot, asked));
        }
        true
    }

    /// Disarms a timer and returns its value, if it is armed.
    #[inline]
    pub(crate) fn take(&mut self, index: u32) -> Option<V> {
        let (value, stale) = self.table.disarm(index)?;
        if let Some(stale) = stale {
            let lean = self.table.is_mostly_free();
            self.heap
                .forsake(stale, lean, |slot, asked| self.table.fate(slot, asked));
        }
        Some(value)
    }

    /// Takes out the earliest timer if its deadline is at or before `now`.
    ///
    /// Its index goes to the next timer, unless it is [held back](Self::hold_back) before that.
    #[inline]
    pub(crate) fn pop(&mut self, now: u64) -> Option<(u32, u64, V)> {
        if self.heap.bound() > now {
            return None;
        }
        let slot = self
            .heap
            .peek(now, |slot, asked| self.table.fate(slot, asked))?;
        self.heap.pop();
        let value = self.table.fire(slot.key())?;
        Some((slot.key(), slot.when(), value))
    }

    /// Holds back the indices of the timers that have popped since that of `oldest`, it included:
    /// no timer gets them before [`recycle`](Self::recycle). Those held back before are recycled,
    /// unless this call is to `add` to them. Nothing but `pop` may have been called since.
    pub(crate) fn hold_back(&mut self, oldest: u32, add: bool) {
        self.table.hold_back(oldest, add);
    }

    /// Lets the indices that were held back be used again.
    #[inline]
    pub(crate) fn recycle(&mut self) {
        self.table.recycle();
    }

    /// Returns the earliest deadline, [`NEVER`] if nothing can come due.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> u64 {
        self.heap
            .peek(NEVER, |slot, asked| self.table.fate(slot, asked))
            .map_or(NEVER, |slot| slot.when())
    }

    /// Returns the index, deadline and value of the earliest timer, if one can come due.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<(u32, u64, &V)> {
        let slot = self
            .heap
            .peek(NEVER, |slot, asked| self.table.fate(slot, asked))?;
        let (deadline, value) = self.table.get(slot.key())?;
        Some((slot.key(), deadline, value))
    }

    /// Returns a time at or before the earliest deadline, without any work.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        self.heap.bound()
    }

    /// Returns an armed timer's deadline and value.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<(u64, &V)> {
        self.table.get(index)
    }

    /// Returns an armed timer's value.
    #[inline]
    pub(crate) fn value_mut(&mut self, index: u32) -> Option<&mut V> {
        self.table.get_mut(index)
    }

    /// Returns how many timers are armed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns the armed timers, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64, &V)> {
        self.table.iter()
    }

    /// Returns how many timers there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Makes room for `more` timers.
    #[track_caller]
    pub(crate) fn reserve(&mut self, more: usize) {
        self.table.reserve(more);
    }

    /// Gives back all room that is not needed. Gives the armed timers the indices from zero on, in
    /// the order of `rank`; none may be [held back](Self::hold_back).
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) {
        self.heap = RunHeap::new();
        for slot in self.table.compact(rank) {
            self.heap
                .push(slot, |slot, asked| self.table.fate(slot, asked));
        }
    }
}

#[cfg(test)]
mod tests;
