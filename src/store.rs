//! Timers in order of deadline: the `heap`, which knows order, combined with the `table`, which
//! knows timers.
//!
//! The table decides what happens to a timer. The store tells the heap when to file a slot, and
//! when a slot that was live turns stale.
//!
//! Times are nanoseconds since an epoch of the owner's choice; a deadline of [`NEVER`] never comes
//! due.
//!
//! - S1 each armed timer that can come due owns exactly one slot (T1 in `table`); the heap counts
//!   each stale slot at most once, with the near slots or in its run (H5 in `heap` says which it
//!   does not count).
//! - S2 no call's work grows with the number of timers, except that of `reserve`, `iter`, `compact`
//!   and dropping.
//!
//! `queue` builds on the store. The driver's timers are in `driver/wakers.rs`: it has a heap and a
//! table of its own, since their owners move deadlines without its lock.

use crate::heap::{RUN_LEN, RunHeap};
use crate::instant::NEVER;
use crate::table::Table;

/// Timers in order of deadline, equal deadlines in order of insertion or of their last reset.
///
/// An index names a timer as long as it is armed; after that, the next timer gets the index.
pub(crate) struct Store<V, const RUN: usize = RUN_LEN> {
    heap: RunHeap<RUN>,
    table: Table<V>,
}

impl<V> Store<V> {
    /// Creates a store. Allocates nothing.
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
            self.heap.push(slot, &mut self.table);
        }
        index
    }

    /// Moves a timer's deadline, and returns whether it is armed.
    #[inline]
    pub(crate) fn reset(&mut self, index: u32, deadline: u64) -> bool {
        let Some((stale, slot)) = self.table.reset(index, deadline) else {
            return false;
        };
        // In this order: filing may split a run, and so take the old slot out. One that is marked
        // only after that would be counted without being there (R3 in `heap/runs.rs`).
        if let Some(stale) = stale {
            self.heap.mark_stale(stale, &mut self.table);
        }
        if let Some(slot) = slot {
            self.heap.push(slot, &mut self.table);
        }
        true
    }

    /// Disarms a timer and returns its value, if it is armed.
    #[inline]
    pub(crate) fn take(&mut self, index: u32) -> Option<V> {
        let (value, stale) = self.table.disarm(index)?;
        if let Some(stale) = stale {
            self.heap.mark_stale(stale, &mut self.table);
        }
        Some(value)
    }

    /// Takes out the earliest timer if its deadline is at or before `now`, and returns its index,
    /// deadline and value.
    #[inline]
    pub(crate) fn pop(&mut self, now: u64) -> Option<(u32, u64, V)> {
        if self.heap.bound() > now {
            return None;
        }
        let slot = self.heap.peek(now, &mut self.table)?;
        self.heap.pop();
        let value = self.table.fire(slot.key())?;
        Some((slot.key(), slot.when(), value))
    }

    /// Returns the earliest deadline, or [`NEVER`] if nothing can come due.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> u64 {
        self.heap
            .peek(NEVER, &mut self.table)
            .map_or(NEVER, |slot| slot.when())
    }

    /// Returns the index, deadline and value of the earliest timer, if one can come due.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<(u32, u64, &V)> {
        let slot = self.heap.peek(NEVER, &mut self.table)?;
        let (deadline, value) = self.table.get(slot.key())?;
        Some((slot.key(), deadline, value))
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

    /// Returns for how many timers the table has memory.
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Reserves memory for `more` timers.
    #[track_caller]
    pub(crate) fn reserve(&mut self, more: usize) {
        self.table.reserve(more);
    }

    /// Frees all memory that is not needed. Gives the armed timers the indices from zero on, in the
    /// order of `rank`.
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) {
        self.heap = RunHeap::new();
        for slot in self.table.compact(rank) {
            self.heap.push(slot, &mut self.table);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
