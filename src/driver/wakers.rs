//! The wakers of a driver's timers, in order of deadline.
//!
//! It is a `heap` of slots and a table of entries, as `store` is, but each timer's deadline is a
//! *word* that its owner reaches without the driver's lock (see [`words`]). So a timer is put off
//! by one compare-and-exchange, and removing one touches its word and its waker alone. Nothing is
//! told to the heap in either case: it learns of it when it gets to the slot. Then the slot of a
//! timer that was put off is filed anew at its deadline, and that of a free entry is dropped.
//!
//! - W1 an entry owns at most one slot: the one with its `tag`, filed under `filed`. If `filed` is
//!   [`NEVER`], it owns none. Any other slot with its key is an orphan.
//! - W2 while armed, `filed` is at or before the word: the heap gets to the slot no later than its
//!   timer is due.
//! - W3 a free entry keeps `tag` and `filed`: the next timer that gets it adopts the slot, unless
//!   that is filed too late for it.
//! - W4 a call looks at a bounded number of slots. What it leaves undone, the next call does:
//!   until then [`bound`](Wakers::bound) may be earlier than the earliest deadline.
//! - W5 there are no more slots than entries, but for orphans. A slot becomes one only if its
//!   entry's timer is armed for, or reset to, an earlier time than it is filed under. While more
//!   slots are orphans than not, each [`CLEAN`] new ones have one run of the heap cleaned.
//!
//! Equal deadlines leave in the order in which they were armed, or reset under the lock, by the
//! sequence number; it has 32 bits, of which `table` tells what happens when they wrap. A timer
//! that is put off without the lock keeps its number.

pub(crate) mod words;

use std::mem;
use std::task::Waker;

use self::words::{FREE, PIECE, Piece, Word, Words};
use crate::heap::{OnMove, RUN_LEN, RunHeap, Slot, SlotState, Timers};
use crate::instant::NEVER;

/// The end of the list of free entries.
const NONE: u32 = u32::MAX;

/// How many entries a block holds: as many as a piece has words.
const BLOCK: usize = PIECE;

/// How many new orphans have a run cleaned.
const CLEAN: usize = 64;

/// What the lock guards of a timer, other than its waker.
struct Entry {
    filed: u64,
    tag: u32,
    /// The sequence number of the timer that is armed, or was last.
    seq: u32,
}

impl Entry {
    #[inline]
    fn owns(&self, slot: Slot) -> bool {
        self.tag == slot.seq() && self.filed == slot.when()
    }

    /// Returns whether `slot` is live.
    #[inline]
    fn is_live(&self, slot: Slot, word: u64) -> bool {
        self.owns(slot) && self.seq == self.tag && word == slot.when()
    }
}

/// The waker of an armed timer, or the next free entry.
enum Place {
    Armed(Waker),
    Free(u32),
}

impl Place {
    /// Takes the waker out, and puts the entry at the head of the list that begins at `free`.
    #[inline]
    fn free(&mut self, index: u32, free: &mut u32) -> Option<Waker> {
        match mem::replace(self, Place::Free(mem::replace(free, index))) {
            Place::Armed(waker) => Some(waker),
            Place::Free(_) => {
                debug_assert!(false, "entry {index} has a deadline and no waker");
                None
            }
        }
    }
}

/// Some entries. What belongs to one is kept in three lists: to put a timer off or to remove it
/// needs the word, or the word and the place, and fewer cache lines have more of them.
struct Block {
    words: Piece,
    entries: Vec<Entry>,
    places: Vec<Place>,
}

/// What each call uses comes first, so that it shares a cache line with the lock: when a timer that
/// one thread has armed is dropped by another, each of these lines goes from core to core.
#[repr(C)]
struct Table {
    blocks: Vec<Block>,
    armed: usize,
    free: u32,
    seq: u32,
    /// How many entries there are, free ones included.
    len: u32,
    /// How many slots are owned by an entry.
    owned_slots: usize,
    /// How many slots are orphans.
    orphans: usize,
    /// How many of them are new since a run was cleaned.
    new_orphans: usize,
}

/// See the head of this file. The lock of the driver guards it.
#[repr(C)]
pub(crate) struct Wakers {
    /// First, as in [`Table`].
    table: Table,
    heap: RunHeap<RUN_LEN>,
}

/// How many more slots a call may find stale.
pub(crate) struct Budget(pub(crate) usize);

impl Wakers {
    /// Makes one without timers. Allocates nothing.
    pub(crate) fn new() -> Self {
        Self {
            heap: RunHeap::new(),
            table: Table {
                blocks: Vec::new(),
                len: 0,
                free: NONE,
                seq: 0,
                armed: 0,
                owned_slots: 0,
                orphans: 0,
                new_orphans: 0,
            },
        }
    }

    /// Arms a timer and returns its index. The deadline has not elapsed.
    #[inline]
    pub(crate) fn insert(&mut self, words: &Words, deadline: u64, waker: Waker) -> u32 {
        let table = &mut self.table;
        if table.free == NONE {
            table.grow(words);
        }
        let index = table.free;
        let (word, entry, place) = at(&mut table.blocks, index);
        table.free = match mem::replace(place, Place::Armed(waker)) {
            Place::Free(next) => next,
            Place::Armed(_) => NONE,
        };
        table.armed += 1;
        table.seq = table.seq.wrapping_add(1);
        word.store(deadline);
        entry.seq = table.seq;
        if entry.filed > deadline {
            self.file(index, deadline);
        }
        index
    }

    /// Moves a timer from the deadline `from`, under the lock, and returns whether it is armed. The
    /// new deadline has not elapsed.
    #[inline]
    pub(crate) fn reset(&mut self, index: u32, from: u64, to: u64) -> bool {
        let table = &mut self.table;
        let Some((word, entry, _)) = get(&mut table.blocks, index) else {
            return false;
        };
        if word.load() != from {
            return false;
        }
        word.store(to);
        table.seq = table.seq.wrapping_add(1);
        entry.seq = table.seq;
        if entry.filed > to {
            self.file(index, to);
        }
        true
    }

    /// Files a slot for a timer that has the last sequence number.
    fn file(&mut self, index: u32, deadline: u64) {
        let table = &mut self.table;
        let (_, entry, _) = at(&mut table.blocks, index);
        entry.tag = table.seq;
        let leaves_orphan = mem::replace(&mut entry.filed, deadline) != NEVER;
        if leaves_orphan {
            table.orphans += 1;
            table.new_orphans += 1;
        } else {
            table.owned_slots += 1;
        }
        let slot = Slot::new(deadline, table.seq, index);
        // No budget is asked for: the work of `push` is bounded without one, as that of `clean`.
        self.heap.push(slot, &mut self.table.view(&mut Budget(0)));
        if self.table.new_orphans >= CLEAN {
            self.clean();
        }
    }

    #[cold]
    fn clean(&mut self) {
        self.table.new_orphans = 0;
        if self.table.orphans > self.table.owned_slots {
            self.heap.clean(&mut self.table.view(&mut Budget(0)));
        }
    }

    /// Removes a timer and returns its waker, if it is armed for `deadline`.
    #[inline]
    pub(crate) fn take(&mut self, index: u32, deadline: u64) -> Option<Waker> {
        let (word, _, place) = get(&mut self.table.blocks, index)?;
        // Under the lock, only its owner writes the word of an armed timer, and that is the caller:
        // it need not be exchanged, so on x86 the cache misses of the word and of the waker
        // overlap.
        if word.load() != deadline {
            return None;
        }
        word.store(FREE);
        let waker = place.free(index, &mut self.table.free)?;
        self.table.armed -= 1;
        Some(waker)
    }

    /// Returns the waker of a timer, if it is armed for `deadline`.
    pub(crate) fn waker_mut(&mut self, index: u32, deadline: u64) -> Option<&mut Waker> {
        match get(&mut self.table.blocks, index)? {
            (word, _, Place::Armed(waker)) if word.load() == deadline => Some(waker),
            _ => None,
        }
    }

    /// Takes out the earliest timer that is due at `now`, and returns its waker.
    ///
    /// Returns `None` if no timer is due, or if the budget is used up.
    #[inline]
    pub(crate) fn pop(&mut self, now: u64, budget: &mut Budget) -> Option<Waker> {
        loop {
            let mut view = self.table.view(budget);
            let slot = self.heap.pop_until(now, &mut view)?;
            let index = slot.key();
            let (word, entry, place) = at(&mut view.table.blocks, index);
            // `seq == tag`: an adopted slot has the number of an earlier timer. It is filed anew
            // with this timer's own, or it would leave before equal deadlines that were armed
            // earlier.
            if entry.owns(slot) && entry.seq == entry.tag && word.claim(slot.when()) {
                entry.filed = NEVER;
                view.table.owned_slots -= 1;
                view.table.armed -= 1;
                return place.free(index, &mut view.table.free);
            }
            match view.resolve(slot, OnMove::Refile) {
                SlotState::Dead => {}
                SlotState::Moved(later) => self.heap.place_or_defer(later),
                // Cannot be: a word that was another deadline was a later one, and has not gone
                // back.
                SlotState::Live => self.heap.place_or_defer(slot),
            }
        }
    }

    /// Returns the earliest deadline, or [`NEVER`] if no timer can come due; `None` if the budget
    /// is used up before it is known.
    pub(crate) fn next_deadline(&mut self, budget: &mut Budget) -> Option<u64> {
        let mut view = self.table.view(budget);
        match self.heap.peek(NEVER, &mut view) {
            Some(slot) => Some(slot.when()),
            None => view.has_budget().then_some(NEVER),
        }
    }

    /// Returns a time at or before the earliest deadline, without any work.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        self.heap.bound()
    }

    /// Returns how many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.table.armed
    }

    /// Returns how many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.table.owned_slots + self.table.orphans
    }

    /// Takes all wakers out of a block of entries and returns them, `None` if there is no such
    /// block.
    pub(crate) fn take_block(&mut self, block: usize) -> Option<Vec<Waker>> {
        let len = self.table.blocks.get(block)?.places.len();
        let first = (block * BLOCK) as u32;
        let wakers = (first..first + len as u32).filter_map(|index| {
            let table = &mut self.table;
            let (word, _, place) = at(&mut table.blocks, index);
            if matches!(place, Place::Free(_)) {
                return None;
            }
            // Its owner may put it off at this moment, and finds at its next poll that the driver
            // is gone.
            word.store(FREE);
            table.armed -= 1;
            place.free(index, &mut table.free)
        });
        Some(wakers.collect())
    }
}

impl Table {
    #[inline]
    fn view<'a>(&'a mut self, budget: &'a mut Budget) -> View<'a> {
        View {
            table: self,
            budget,
        }
    }

    /// Adds an entry to the list of free ones, which is empty.
    #[cold]
    fn grow(&mut self, words: &Words) {
        let index = self.len;
        assert!(index < NONE, "a driver holds at most {NONE} timers at once");
        let block = index as usize / BLOCK;
        if block == self.blocks.len() {
            // The first block grows as it fills.
            let capacity = if block > 0 { BLOCK } else { 0 };
            self.blocks.push(Block {
                words: words.add(block),
                entries: Vec::with_capacity(capacity),
                places: Vec::with_capacity(capacity),
            });
        }
        let block = &mut self.blocks[block];
        let (filed, tag, seq) = (NEVER, 0, 0);
        block.entries.push(Entry { filed, tag, seq });
        block.places.push(Place::Free(NONE));
        self.len += 1;
        self.free = index;
    }
}

/// Returns what there is of an entry.
#[inline]
fn at(blocks: &mut [Block], index: u32) -> (&Word, &mut Entry, &mut Place) {
    let (block, at) = (index as usize / BLOCK, index as usize % BLOCK);
    let block = &mut blocks[block];
    (
        &block.words[at],
        &mut block.entries[at],
        &mut block.places[at],
    )
}

/// Does the same for an index of which there may be no entry: the driver may be gone.
#[inline]
fn get(blocks: &mut [Block], index: u32) -> Option<(&Word, &mut Entry, &mut Place)> {
    let (block, at) = (index as usize / BLOCK, index as usize % BLOCK);
    let block = blocks.get_mut(block)?;
    let (entry, place) = (block.entries.get_mut(at)?, block.places.get_mut(at)?);
    Some((&block.words[at], entry, place))
}

/// The table, for the heap to ask what its slots stand for.
struct View<'a> {
    table: &'a mut Table,
    budget: &'a mut Budget,
}

impl Timers for View<'_> {
    const MARKS_STALE: bool = false;

    #[inline]
    fn resolve(&mut self, slot: Slot, on_move: OnMove) -> SlotState {
        let (word, entry, _) = at(&mut self.table.blocks, slot.key());
        let word = word.load();
        if entry.is_live(slot, word) {
            return SlotState::Live;
        }
        self.budget.0 = self.budget.0.saturating_sub(1);
        if !entry.owns(slot) {
            self.table.orphans = self.table.orphans.saturating_sub(1);
            return SlotState::Dead;
        }
        if word == FREE || word == NEVER {
            entry.filed = NEVER;
            self.table.owned_slots -= 1;
            return SlotState::Dead;
        }
        let moved = Slot::new(word, entry.seq, slot.key());
        if on_move == OnMove::Refile {
            entry.filed = word;
            entry.tag = entry.seq;
        }
        SlotState::Moved(moved)
    }

    #[inline]
    fn is_live(&self, slot: Slot) -> bool {
        let (block, at) = (slot.key() as usize / BLOCK, slot.key() as usize % BLOCK);
        let block = &self.table.blocks[block];
        block.entries[at].is_live(slot, block.words[at].load())
    }

    #[inline]
    fn has_budget(&self) -> bool {
        self.budget.0 > 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
