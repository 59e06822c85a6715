//! Who are the timers, and which slot stands for each?
//!
//! A table of entries that knows nothing of order. An entry outlives its timer, because the slot
//! that was filed for it does: removing a timer frees the entry and leaves the slot where it is.
//! The free list is last in, first out, so the next timer takes that very entry, and *adopts* its
//! slot if that is filed no later than the new deadline. The usual life of a timeout, to be set and
//! removed before it is due, touches nothing but its entry.
//!
//! - T1 an entry owns at most one slot: that with its `tag`, filed under `filed`. With `filed` of
//!   [`NEVER`] it owns none. Any other slot with its key is dead.
//! - T2 while armed, `filed <= when`: the slot surfaces no later than its timer is due.
//! - T3 a free entry keeps `tag` and `filed`: its slot may still be in the heap.
//!
//! A slot is *true* while its entry is armed, for the deadline and the sequence number that the
//! slot was filed with. Whatever ends that reports the slot, once, so that the heap can count.
//!
//! Sequence numbers have 32 bits and wrap. A dead slot that matches by accident is only taken for
//! stale or for what it says, never for an earlier time, so no timer is lost or early; two equal
//! deadlines may leave in the wrong order if one was set before the wrap and one after it.
//!
//! Entries lie in blocks of one size, so that the table grows without copying more than one: the
//! first, which grows as it fills, or the last, if it was made to measure. The story goes on in
//! `table/room.rs` (how many entries there is room for), then in `store`.

mod room;

use crate::heap::{Asked, Fate, Slot};
use crate::instant::NEVER;

/// The end of a list of free entries.
const NONE: u32 = u32::MAX;

/// How many entries a block holds: 20 KiB of wakers.
const BLOCK: usize = 512;

struct Entry<V> {
    /// The timer's value; `None` while the entry is free.
    value: Option<V>,
    when: u64,
    filed: u64,
    tag: u32,
    /// The sequence number of this arming; the next free entry while free.
    seq: u32,
}

impl<V> Entry<V> {
    /// Returns the slot of an armed entry if that is true.
    #[inline]
    fn true_slot(&self, index: u32) -> Option<Slot> {
        let is_true = self.tag == self.seq && self.filed == self.when && self.filed != NEVER;
        is_true.then(|| Slot::new(self.filed, self.tag, index))
    }

    /// Sets the deadline of an armed entry, and returns the slot to be filed if there is need.
    #[inline]
    fn set(&mut self, index: u32, when: u64, seq: u32) -> Option<Slot> {
        self.when = when;
        self.seq = seq;
        if self.filed <= when {
            return None;
        }
        self.filed = when;
        self.tag = seq;
        Some(Slot::new(when, seq, index))
    }
}

/// The timers. See the head of this file.
pub(crate) struct Table<V> {
    blocks: Vec<Vec<Entry<V>>>,
    /// How many entries there are, free ones included.
    entries: u32,
    free: u32,
    /// The entries that have fired and are not to be used again yet, newest and oldest.
    fired: (u32, u32),
    seq: u32,
    armed: usize,
}

impl<V> Table<V> {
    pub(crate) fn new(seq: u32) -> Self {
        let (blocks, entries, free, fired, armed) = (Vec::new(), 0, NONE, (NONE, NONE), 0);
        Self {
            blocks,
            entries,
            free,
            fired,
            seq,
            armed,
        }
    }

    /// Returns how many timers are armed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Returns whether most entries wait for a timer: many have gone, and their slots should.
    #[inline]
    pub(crate) fn is_mostly_free(&self) -> bool {
        self.armed < self.entries as usize / 2
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
        let entry = self.entry_mut(index);
        let next = entry.seq;
        entry.value = Some(value);
        let slot = entry.set(index, when, seq);
        self.free = next;
        (index, slot)
    }

    #[cold]
    fn grow(&mut self, when: u64, seq: u32, value: V) -> (u32, Option<Slot>) {
        let index = self.entries;
        assert!(
            index < NONE,
            "a timer store holds at most {NONE} timers at once"
        );
        let block = index as usize / BLOCK;
        self.make_room_in(block);
        let mut entry = Entry {
            value: Some(value),
            when,
            filed: NEVER,
            tag: 0,
            seq,
        };
        let slot = entry.set(index, when, seq);
        self.blocks[block].push(entry);
        self.entries += 1;
        (index, slot)
    }

    /// Moves an armed timer's deadline. Returns the slot that was true, if it is so no more, and
    /// the slot to be filed, if any; `None` if the timer is not armed.
    #[inline]
    pub(crate) fn rearm(&mut self, index: u32, when: u64) -> Option<(Option<Slot>, Option<Slot>)> {
        let seq = self.next_seq();
        let entry = self.entry_mut(index);
        entry.value.as_ref()?;
        let stale = entry.true_slot(index);
        Some((stale, entry.set(index, when, seq)))
    }

    /// Disarms a timer. Returns its value, and the slot that was true; `None` if it is not armed.
    #[inline]
    pub(crate) fn disarm(&mut self, index: u32) -> Option<(V, Option<Slot>)> {
        let free = self.free;
        let entry = self.entry_mut(index);
        let value = entry.value.take()?;
        let stale = entry.true_slot(index);
        entry.seq = free;
        self.free = index;
        self.armed -= 1;
        Some((value, stale))
    }

    /// Disarms a timer whose slot has left the heap; [`recycle`](Self::recycle) frees its entry.
    #[inline]
    pub(crate) fn fire(&mut self, index: u32) -> Option<V> {
        let newest = self.fired.0;
        let entry = self.entry_mut(index);
        let value = entry.value.take();
        entry.filed = NEVER;
        entry.seq = newest;
        self.fired.0 = index;
        if newest == NONE {
            self.fired.1 = index;
        }
        self.armed -= 1;
        value
    }

    /// Frees the entries of all timers that have fired, however many, at once.
    #[inline]
    pub(crate) fn recycle(&mut self) {
        let (newest, oldest) = self.fired;
        if newest == NONE {
            return;
        }
        let free = self.free;
        self.entry_mut(oldest).seq = free;
        self.free = newest;
        self.fired = (NONE, NONE);
    }

    /// Says what has become of the timer of a slot. A dead slot must leave the heap; so must one
    /// that has moved if it was asked to leave, and the one that it moved to must be filed.
    #[inline]
    pub(crate) fn fate(&mut self, slot: Slot, asked: Asked) -> Fate {
        let index = slot.key();
        let entry = self.entry_mut(index);
        if entry.tag != slot.seq() || entry.filed != slot.when() {
            return Fate::Dead;
        }
        if entry.value.is_none() {
            entry.filed = NEVER;
            return Fate::Dead;
        }
        if entry.seq == entry.tag && entry.when == entry.filed {
            return Fate::True;
        }
        let moved = Slot::new(entry.when, entry.seq, index);
        if entry.when == NEVER || asked == Asked::ToLeave {
            entry.filed = entry.when;
            entry.tag = entry.seq;
        }
        if entry.when == NEVER {
            Fate::Dead
        } else {
            Fate::Moved(moved)
        }
    }

    /// Returns an armed timer's deadline and value.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<(u64, &V)> {
        let entry = self
            .blocks
            .get(index as usize / BLOCK)?
            .get(index as usize % BLOCK)?;
        entry.value.as_ref().map(|value| (entry.when, value))
    }

    /// Returns an armed timer's value.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut V> {
        let block = self.blocks.get_mut(index as usize / BLOCK)?;
        block.get_mut(index as usize % BLOCK)?.value.as_mut()
    }

    /// Returns the armed timers, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64, &V)> {
        let entries = self.blocks.iter().flatten();
        (0..).zip(entries).filter_map(|(index, entry)| {
            entry.value.as_ref().map(|value| (index, entry.when, value))
        })
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> &mut Entry<V> {
        &mut self.blocks[index as usize / BLOCK][index as usize % BLOCK]
    }

    #[inline]
    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }
}

#[cfg(test)]
mod tests;
