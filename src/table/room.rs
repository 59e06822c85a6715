//! How many entries is there room for?
//!
//! All that gives the blocks their sizes. A block has room for BLOCK entries, but for two: the first
//! grows as it fills, so that a small table stays small, and the last may be made to measure.
//!
//! [`Table::compact`] is the one thing that gives an armed timer another index. What the indices
//! mean is told in `table`.

use super::{BLOCK, Block, Entry, NONE, Table};
use crate::heap::Slot;

impl<V> Table<V> {
    /// Returns how many timers there is room for, those that are armed included.
    pub(crate) fn capacity(&self) -> usize {
        let room = |block: &Block<V>| block.entries.capacity().min(block.values.capacity());
        self.blocks.iter().map(|block| room(block).min(BLOCK)).sum()
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
    pub(super) fn make_room_in(&mut self, block: usize) -> &mut Block<V> {
        // The first grows as it fills.
        self.make_room(block, if block > 0 { BLOCK } else { 0 })
    }

    /// Makes room for so many entries in a block, the next new one at the farthest.
    fn make_room(&mut self, block: usize, room: usize) -> &mut Block<V> {
        if self.blocks.len() == block {
            self.blocks.push(Block {
                entries: Vec::new(),
                values: Vec::new(),
            });
        }
        let block = &mut self.blocks[block];
        let more = room.saturating_sub(block.entries.len());
        block.entries.reserve_exact(more);
        block.values.reserve_exact(more);
        block
    }

    /// Gives the armed timers the indices from zero on, in the order of `rank`, and has no room for
    /// more. Returns the slots to be filed, earliest first; all others are void.
    ///
    /// No entry may be held back.
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) -> Vec<Slot> {
        debug_assert_eq!(self.held, (NONE, NONE), "entries that are held back");
        let blocks = std::mem::take(&mut self.blocks).into_iter();
        let both = blocks.flat_map(|block| block.entries.into_iter().zip(block.values));
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
            let block = &mut self.blocks[index / BLOCK];
            block.entries.push(entry);
            block.values.push(Some(value));
        }
        slots
    }
}
