//! How many entries is there room for?
//!
//! All that gives the blocks their sizes. A block has room for BLOCK entries, but for two: the first
//! grows as it fills, so that a small table stays small, and the last may be made to measure.
//!
//! [`Table::compact`] is the one thing that gives an armed timer another index. What the indices
//! mean is told in `table`.

use super::{BLOCK, Entry, NONE, Table};
use crate::heap::Slot;

impl<V> Table<V> {
    /// Returns how many timers there is room for, those that are armed included.
    pub(crate) fn capacity(&self) -> usize {
        let both = self.entries.iter().zip(&self.values);
        both.map(|(entries, values)| entries.capacity().min(values.capacity()).min(BLOCK))
            .sum()
    }

    /// Makes room for `more` timers.
    #[track_caller]
    pub(crate) fn reserve(&mut self, more: usize) {
        let free = self.len as usize - self.armed;
        let total = (self.len as usize).saturating_add(more.saturating_sub(free));
        assert!(
            total <= NONE as usize,
            "a timer store holds at most {NONE} timers at once, not {total}"
        );
        for (at, start) in (0..total).step_by(BLOCK).enumerate() {
            let room = (total - start).min(BLOCK);
            self.make_room(at, room);
        }
    }

    /// Makes room for one more entry in the block that the next one goes to.
    pub(super) fn make_room_in(&mut self, block: usize) {
        if block > 0 {
            self.make_room(block, BLOCK);
        } else if self.entries.is_empty() {
            self.make_room(0, 0);
        }
    }

    /// Makes room for so many entries in a block, the next new one at the farthest.
    fn make_room(&mut self, block: usize, room: usize) {
        if self.entries.len() == block {
            self.entries.push(Vec::new());
            self.values.push(Vec::new());
        }
        let (entries, values) = (&mut self.entries[block], &mut self.values[block]);
        entries.reserve_exact(room.saturating_sub(entries.len()));
        values.reserve_exact(room.saturating_sub(values.len()));
    }

    /// Gives the armed timers the indices from zero on, in the order of `rank`, and has no room for
    /// more. Returns the slots to be filed, earliest first; all others are void.
    ///
    /// No timer may have fired since the last [`recycle`](Self::recycle).
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) -> Vec<Slot> {
        debug_assert_eq!(self.fired, (NONE, NONE), "entries that somebody counts on");
        let entries = std::mem::take(&mut self.entries).into_iter().flatten();
        let values = std::mem::take(&mut self.values).into_iter().flatten();
        let both = entries.zip(values);
        let mut armed: Vec<(Entry, V)> = both
            .filter_map(|(entry, value)| value.map(|value| (entry, value)))
            .collect();
        armed.sort_unstable_by_key(|(_, value)| rank(value));
        self.len = armed.len() as u32;
        self.free = NONE;

        let mut slots = Vec::with_capacity(armed.len());
        for (index, (entry, _)) in (0..).zip(&mut armed) {
            (entry.filed, entry.tag) = (entry.when, entry.seq);
            slots.extend(entry.true_slot(index));
        }
        slots.sort_unstable();

        for (at, start) in (0..armed.len()).step_by(BLOCK).enumerate() {
            self.make_room(at, (armed.len() - start).min(BLOCK));
        }
        for (index, (entry, value)) in armed.into_iter().enumerate() {
            self.entries[index / BLOCK].push(entry);
            self.values[index / BLOCK].push(Some(value));
        }
        slots
    }
}
