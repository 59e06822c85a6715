//! The timers of a store, and which slot of the heap stands for each.
//!
//! It is a table of entries that knows nothing of order. An entry outlives its timer, because the
//! slot that was filed for it does: removing a timer frees the entry and leaves the slot in the
//! heap. The free list is last in, first out, so the next timer takes that same entry, and *adopts*
//! its slot if the slot is no later than the new deadline. A timeout that is set, and removed
//! before it is due, usually touches nothing but its entry.
//!
//! - T1 an entry has at most one slot: the one with its `slot_when` and `slot_seq`. If `slot_when`
//!   is [`NEVER`], it has none. Any other slot with its key is dead.
//! - T2 while armed, `slot_when <= when`: the heap gets to the slot no later than its timer is due.
//! - T3 a free entry keeps `slot_when` and `slot_seq`: its slot may still be in the heap.
//!
//! A slot is *live* while its entry is armed for the deadline and the sequence number that the slot
//! was filed with. The method that ends this returns the slot, exactly once, so that the heap can
//! count it as stale.
//!
//! Sequence numbers have 32 bits and wrap. A dead slot that matches its entry by accident counts as
//! moved, or as live, the latter only if its deadline is that of the timer: no timer is lost or
//! early. Two equal deadlines may leave in the wrong order if one was set before the wrap and one
//! after it.
//!
//! Values are kept apart from entries, so that an entry takes 24 bytes, and not 40 with its value.
//! With a hundred thousand timers, an entry is rarely in the cache, and the heap asks for entries
//! alone: it reads fewer cache lines and pages. Firing a timer needs both, and so does a reset of a
//! `TimerQueue`, which compares the number in the value with that in the key: each pays with one
//! more cache line.
//!
//! Both are kept in blocks of [`BLOCK`]. Only the first block, which grows as it fills, and a last
//! one that was reserved shorter are ever copied.
//!
//! See `store` for how the table and the heap work together.

use std::mem;

use crate::heap::{OnMove, Slot, SlotState, Timers};
use crate::instant::NEVER;

/// The end of a list of free entries.
const NONE: u32 = u32::MAX;

/// The sequence number of an entry that is not armed.
const UNARMED: u32 = 0;

/// How many entries a block holds: 24 KiB of entries.
const BLOCK: usize = 1024;

/// A timer without its value.
struct Entry {
    /// The deadline; the next free entry while not armed.
    when: u64,
    /// The time of the entry's slot, or [`NEVER`] if it has none.
    slot_when: u64,
    slot_seq: u32,
    /// The sequence number of this arming, [`UNARMED`] while not armed.
    seq: u32,
}

impl Entry {
    #[inline]
    fn is_armed(&self) -> bool {
        self.seq != UNARMED
    }

    /// Returns the slot of an armed entry if it is live.
    #[inline]
    fn live_slot(&self, index: u32) -> Option<Slot> {
        let is_live =
            self.slot_seq == self.seq && self.slot_when == self.when && self.slot_when != NEVER;
        is_live.then(|| Slot::new(self.slot_when, self.slot_seq, index))
    }

    /// Sets the deadline of an armed entry. Returns the slot to be filed, or `None` if the entry's
    /// own slot is early enough.
    #[inline]
    fn set(&mut self, index: u32, when: u64, seq: u32) -> Option<Slot> {
        self.when = when;
        self.seq = seq;
        if self.slot_when <= when {
            return None;
        }
        self.slot_when = when;
        self.slot_seq = seq;
        Some(Slot::new(when, seq, index))
    }

    /// Ends the timer, and puts the entry before `next` in the list of free entries.
    #[inline]
    fn end(&mut self, next: u32) {
        self.when = u64::from(next);
        self.seq = UNARMED;
    }

    /// Returns the next free entry.
    #[inline]
    fn next(&self) -> u32 {
        self.when as u32
    }
}

/// Some entries and their values. A value is `None` while its entry is not armed.
struct Block<V> {
    entries: Vec<Entry>,
    values: Vec<Option<V>>,
}

/// The timers. See the head of this file.
pub(crate) struct Table<V> {
    blocks: Vec<Block<V>>,
    /// How many entries there are, free ones included.
    len: u32,
    free: u32,
    seq: u32,
    armed: usize,
}

impl<V> Table<V> {
    pub(crate) fn new(seq: u32) -> Self {
        let (blocks, len, free, armed) = (Vec::new(), 0, NONE, 0);
        Self {
            blocks,
            len,
            free,
            seq,
            armed,
        }
    }

    /// Returns how many timers are armed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Arms a timer. Returns its index, and the slot to be filed unless one was adopted.
    #[inline]
    pub(crate) fn arm(&mut self, when: u64, value: V) -> (u32, Option<Slot>) {
        let seq = self.next_seq();
        self.armed += 1;
        if self.free == NONE {
            return self.grow(when, seq, value);
        }
        let index = self.free;
        let (entry, empty) = self.entry_and_value(index);
        let next = entry.next();
        *empty = Some(value);
        let slot = entry.set(index, when, seq);
        self.free = next;
        (index, slot)
    }

    #[cold]
    fn grow(&mut self, when: u64, seq: u32, value: V) -> (u32, Option<Slot>) {
        let index = self.len;
        assert!(
            index < NONE,
            "a timer store holds at most {NONE} timers at once"
        );
        let block = self.grow_block(index as usize / BLOCK);
        let mut entry = Entry {
            when,
            slot_when: NEVER,
            slot_seq: UNARMED,
            seq,
        };
        let slot = entry.set(index, when, seq);
        block.entries.push(entry);
        block.values.push(Some(value));
        self.len += 1;
        (index, slot)
    }

    /// Moves an armed timer's deadline. Returns the slot that was live until now and the slot to be
    /// filed, each if there is one; returns `None` if the timer is not armed.
    #[inline]
    pub(crate) fn reset(&mut self, index: u32, when: u64) -> Option<(Option<Slot>, Option<Slot>)> {
        let seq = self.next_seq();
        let entry = self.entry_mut(index);
        if !entry.is_armed() {
            return None;
        }
        let stale = entry.live_slot(index);
        Some((stale, entry.set(index, when, seq)))
    }

    /// Disarms a timer. Returns its value, and the slot that was live until now, if any; returns
    /// `None` if the timer is not armed.
    #[inline]
    pub(crate) fn disarm(&mut self, index: u32) -> Option<(V, Option<Slot>)> {
        let free = self.free;
        let (entry, value) = self.entry_and_value(index);
        let value = value.take()?;
        let stale = entry.live_slot(index);
        entry.end(free);
        self.free = index;
        self.armed -= 1;
        Some((value, stale))
    }

    /// Disarms a timer whose slot has left the heap, and returns its value.
    #[inline]
    pub(crate) fn fire(&mut self, index: u32) -> Option<V> {
        let free = self.free;
        let (entry, value) = self.entry_and_value(index);
        let value = value.take();
        entry.slot_when = NEVER;
        entry.end(free);
        self.free = index;
        self.armed -= 1;
        value
    }

    /// Returns an armed timer's deadline and value.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<(u64, &V)> {
        let block = self.blocks.get(index as usize / BLOCK)?;
        let at = index as usize % BLOCK;
        let value = block.values.get(at)?.as_ref()?;
        Some((block.entries[at].when, value))
    }

    /// Returns an armed timer's value.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut V> {
        let block = self.blocks.get_mut(index as usize / BLOCK)?;
        block.values.get_mut(index as usize % BLOCK)?.as_mut()
    }

    /// Returns the armed timers, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64, &V)> {
        let entries = self.blocks.iter().flat_map(|block| &block.entries);
        let values = self.blocks.iter().flat_map(|block| &block.values);
        (0..)
            .zip(entries.zip(values))
            .filter_map(|(index, (entry, value))| {
                value.as_ref().map(|value| (index, entry.when, value))
            })
    }

    /// Returns for how many timers there is memory, the armed ones included.
    pub(crate) fn capacity(&self) -> usize {
        let capacity = |block: &Block<V>| block.entries.capacity().min(block.values.capacity());
        self.blocks
            .iter()
            .map(|block| capacity(block).min(BLOCK))
            .sum()
    }

    /// Reserves memory for `more` timers.
    #[track_caller]
    pub(crate) fn reserve(&mut self, more: usize) {
        let free = self.len as usize - self.armed;
        let total = (self.len as usize).saturating_add(more.saturating_sub(free));
        assert!(
            total <= NONE as usize,
            "a timer store holds at most {NONE} timers at once, not {total}"
        );
        for (at, start) in (0..total).step_by(BLOCK).enumerate() {
            self.reserve_block(at, (total - start).min(BLOCK));
        }
    }

    /// Reserves memory for one more entry in the block that the next entry goes to, and returns the
    /// block.
    fn grow_block(&mut self, block: usize) -> &mut Block<V> {
        // The first block grows as it fills.
        self.reserve_block(block, if block > 0 { BLOCK } else { 0 })
    }

    /// Reserves memory for `len` entries in a block and returns it. The block exists, or is the
    /// next one.
    fn reserve_block(&mut self, block: usize, len: usize) -> &mut Block<V> {
        if self.blocks.len() == block {
            self.blocks.push(Block {
                entries: Vec::new(),
                values: Vec::new(),
            });
        }
        let block = &mut self.blocks[block];
        let more = len.saturating_sub(block.entries.len());
        block.entries.reserve_exact(more);
        block.values.reserve_exact(more);
        block
    }

    /// Gives the armed timers the indices from zero on, in the order of `rank`, and frees all
    /// memory that they do not need. Returns the slots to be filed, earliest first; the caller
    /// drops all others.
    pub(crate) fn compact<K: Ord>(&mut self, rank: impl Fn(&V) -> K) -> Vec<Slot> {
        let blocks = mem::take(&mut self.blocks).into_iter();
        let both = blocks.flat_map(|block| block.entries.into_iter().zip(block.values));
        let mut armed: Vec<(Entry, V)> = both
            .filter_map(|(entry, value)| value.map(|value| (entry, value)))
            .collect();
        armed.sort_unstable_by_key(|(_, value)| rank(value));
        self.len = armed.len() as u32;
        self.free = NONE;

        let mut slots = Vec::with_capacity(armed.len());
        for (index, (entry, _)) in (0..).zip(&mut armed) {
            (entry.slot_when, entry.slot_seq) = (entry.when, entry.seq);
            slots.extend(entry.live_slot(index));
        }
        slots.sort_unstable();

        for (at, start) in (0..armed.len()).step_by(BLOCK).enumerate() {
            self.reserve_block(at, (armed.len() - start).min(BLOCK));
        }
        for (index, (entry, value)) in armed.into_iter().enumerate() {
            let block = &mut self.blocks[index / BLOCK];
            block.entries.push(entry);
            block.values.push(Some(value));
        }
        slots
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.blocks[index as usize / BLOCK].entries[index as usize % BLOCK]
    }

    #[inline]
    fn entry_and_value(&mut self, index: u32) -> (&mut Entry, &mut Option<V>) {
        let block = &mut self.blocks[index as usize / BLOCK];
        let at = index as usize % BLOCK;
        (&mut block.entries[at], &mut block.values[at])
    }

    #[inline]
    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(UNARMED + 1);
        self.seq
    }
}

impl<V> Timers for Table<V> {
    #[inline]
    fn resolve(&mut self, slot: Slot, on_move: OnMove) -> SlotState {
        let index = slot.key();
        let entry = self.entry_mut(index);
        if entry.slot_seq != slot.seq() || entry.slot_when != slot.when() {
            return SlotState::Dead;
        }
        if !entry.is_armed() {
            entry.slot_when = NEVER;
            return SlotState::Dead;
        }
        if entry.seq == entry.slot_seq && entry.when == entry.slot_when {
            return SlotState::Live;
        }
        let moved = Slot::new(entry.when, entry.seq, index);
        if entry.when == NEVER || on_move == OnMove::Refile {
            entry.slot_when = entry.when;
            entry.slot_seq = entry.seq;
        }
        if entry.when == NEVER {
            SlotState::Dead
        } else {
            SlotState::Moved(moved)
        }
    }

    #[inline]
    fn are_mostly_gone(&self) -> bool {
        self.armed < self.len as usize / 2
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
