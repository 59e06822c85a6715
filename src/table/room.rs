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
        self.blocks
            .iter()
            .map(|block| block.capacity().min(BLOCK))
            .sum()
    }

    /// Makes room for `more` timers.
    #[track_caller]
    pub(crate) fn reserve(&mut self, more: usize) {
        let free = self.entries as usize - self.armed;
        let total = (self.entries as usize).saturating_add(more.saturating_sub(free));
        assert!(
            total <= NONE as usize,
            "a timer store holds at most {NONE} timers at once, not {total}"
        );
        for (at, start) in (0..total).step_by(BLOCK).enumerate() {
            if at == self.blocks.len() {
                self.blocks.push(Vec::new());
            }
            let block = &mut self.blocks[at];
            let room = (total - start).min(BLOCK);
            block.reserve_exact(room.saturating_sub(block.len()));
        }
    }

    /// Makes room for one more entry in the block that the next one goes to.
    pub(super) fn make_room_in(&mut self, block: usize) {
        if self.blocks.len() == block {
            self.blocks.push(Vec::new());
        }
        let entries = &mut self.blocks[block];
        if block > 0 && entries.len() == entries.capacity() {
            entries.reserve_exact(BLOCK - entries.len());
        }
    }

    /// Gives the armed timers the indices from zero on, in the order of `rank`, and has no room for
    /// more. Returns the slots to be filed, earliest first; all others are void.
    ///
    /// No timer may have fired since the last [`recycle`](Self::recycle).
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) -> Vec<Slot> {
        debug_assert_eq!(self.fired, (NONE, NONE), "entries that somebody counts on");
        let all = std::mem::take(&mut self.blocks).into_iter().flatten();
        let mut armed: Vec<Entry<V>> = all.filter(|entry| entry.value.is_some()).collect();
        armed.sort_unstable_by_key(|entry| entry.value.as_ref().map(&rank));
        self.entries = armed.len() as u32;
        self.free = NONE;

        let mut slots = Vec::with_capacity(armed.len());
        for (index, entry) in (0..).zip(&mut armed) {
            (entry.filed, entry.tag) = (entry.when, entry.seq);
            slots.extend(entry.true_slot(index));
        }
        slots.sort_unstable();

        let mut left = armed.into_iter();
        while left.len() > 0 {
            let mut block = Vec::with_capacity(left.len().min(BLOCK));
            block.extend(left.by_ref().take(BLOCK));
            self.blocks.push(block);
        }
        slots
    }
}
