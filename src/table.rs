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
//! The values lie apart. Of a hundred thousand timers that are put off at random each is cold, and
//! what that takes, the entry alone, is 24 bytes instead of 40: fewer cache lines and pages. Firing
//! takes both, and pays with a line more.
//!
//! Both lie in blocks of one size, so that the table grows without copying more than one: the first,
//! which grows as it fills, or the last, if it was made to measure. The story goes on in
//! `table/room.rs` (how many entries there is room for), then in `store`.

mod room;

use crate::heap::{Asked, Fate, Slot};
use crate::instant::NEVER;

/// The end of a list of free entries.
const NONE: u32 = u32::MAX;

/// What the sequence number of an entry says while nobody's timer has it.
const UNARMED: u32 = 0;

/// How many entries a block holds: 24 KiB of them, and 16 KiB of wakers.
const BLOCK: usize = 1024;

/// All of a timer but its value, so that moving a deadline touches no more memory than it must.
struct Entry {
    /// The deadline; the next free entry while not armed.
    when: u64,
    filed: u64,
    tag: u32,
    /// The sequence number of this arming, [`UNARMED`] while not armed.
    seq: u32,
}

impl Entry {
    #[inline]
    fn is_armed(&self) -> bool {
        self.seq != UNARMED
    }

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

    /// Ends the timer: the entry is free, or has fired, and so is `next`.
    #[inline]
    fn end(&mut self, next: u32) {
        self.when = u64::from(next);
        self.seq = UNARMED;
    }

    /// Returns the entry that is free, or has fired, next to this one.
    #[inline]
    fn next(&self) -> u32 {
        self.when as u32
    }
}

/// Entries, and their values: `None` while not armed.
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
    /// The entries that have fired and are held back from being used again, newest and oldest.
    held: (u32, u32),
    seq: u32,
    armed: usize,
}

impl<V> Table<V> {
    pub(crate) fn new(seq: u32) -> Self {
        let (blocks, len, free, held, armed) = (Vec::new(), 0, NONE, (NONE, NONE), 0);
        Self {
            blocks,
            len,
            free,
            held,
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
        self.armed < self.len as usize / 2
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
        let (entry, place) = self.both_mut(index);
        let next = entry.next();
        *place = Some(value);
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
        let block = self.make_room_in(index as usize / BLOCK);
        let mut entry = Entry {
            when,
            filed: NEVER,
            tag: UNARMED,
            seq,
        };
        let slot = entry.set(index, when, seq);
        block.entries.push(entry);
        block.values.push(Some(value));
        self.len += 1;
        (index, slot)
    }

    /// Moves an armed timer's deadline. Returns the slot that was true, if it is so no more, and
    /// the slot to be filed, if any; `None` if the timer is not armed.
    #[inline]
    pub(crate) fn rearm(&mut self, index: u32, when: u64) -> Option<(Option<Slot>, Option<Slot>)> {
        let seq = self.next_seq();
        let entry = self.entry_mut(index);
        if !entry.is_armed() {
            return None;
        }
        let stale = entry.true_slot(index);
        Some((stale, entry.set(index, when, seq)))
    }

    /// Disarms a timer. Returns its value, and the slot that was true; `None` if it is not armed.
    #[inline]
    pub(crate) fn disarm(&mut self, index: u32) -> Option<(V, Option<Slot>)> {
        let free = self.free;
        let (entry, value) = self.both_mut(index);
        let value = value.take()?;
        let stale = entry.true_slot(index);
        entry.end(free);
        self.free = index;
        self.armed -= 1;
        Some((value, stale))
    }

    /// Disarms a timer whose slot has left the heap, and returns its value.
    #[inline]
    pub(crate) fn fire(&mut self, index: u32) -> Option<V> {
        let free = self.free;
        let (entry, value) = self.both_mut(index);
        let value = value.take();
        entry.filed = NEVER;
        entry.end(free);
        self.free = index;
        self.armed -= 1;
        value
    }

    /// Holds back the entries that have fired since `oldest`, that one included: they are not used
    /// again before [`recycle`](Self::recycle). Those held back before are recycled now, unless this
    /// call is to `add` to them.
    ///
    /// Nothing else may have been called since `oldest` fired: the entries are the head of the free
    /// list.
    pub(crate) fn hold_back(&mut self, oldest: u32, add: bool) {
        let newest = self.free;
        self.free = self.entry_mut(oldest).next();
        if !add {
            self.recycle();
        }
        let (held_newest, held_oldest) = self.held;
        self.entry_mut(oldest).end(held_newest);
        let end = if held_newest == NONE {
            oldest
        } else {
            held_oldest
        };
        self.held = (newest, end);
    }

    /// Lets all entries that were held back be used again, however many, at once.
    #[inline]
    pub(crate) fn recycle(&mut self) {
        let (newest, oldest) = self.held;
        if newest == NONE {
            return;
        }
        let free = self.free;
        self.entry_mut(oldest).end(free);
        self.free = newest;
        self.held = (NONE, NONE);
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
        if !entry.is_armed() {
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

    #[inline]
    fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.blocks[index as usize / BLOCK].entries[index as usize % BLOCK]
    }

    #[inline]
    fn both_mut(&mut self, index: u32) -> (&mut Entry, &mut Option<V>) {
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

#[cfg(test)]
mod tests;
