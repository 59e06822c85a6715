//! The wakers of a driver's timers, in order of deadline.
//!
//! It is a `heap` of slots and a table of entries, as `store` is, but a timer's owner reaches its
//! entry without the driver's lock: the entries lie in [`chunks`], each with a lock of its own, and
//! each timer's deadline is a *word* that takes no lock at all (see [`words`]). So a timer is put
//! off by one compare-and-exchange, and removing one, or arming one in the place of one that was
//! removed, takes the lock of its chunk alone. Nothing is told to the heap in any of these cases:
//! it learns of it when it gets to the slot. Then the slot of a timer that was put off is filed
//! anew at its deadline, and that of a free entry is dropped.
//!
//! - W1 an entry owns at most one slot: the one with its `slot_seq`, filed under `filed`. If
//!   `filed` is [`NEVER`], it owns none. Any other slot with its key is an orphan.
//! - W2 while armed, `filed` is at or before the word: the heap gets to the slot no later than its
//!   timer is due.
//! - W3 a free entry keeps `slot_seq` and `filed`: the next timer that gets it adopts the slot,
//!   unless that is filed too late for it. When the heap gets to the slot first, it notes in the
//!   entry, under the lock of its chunk, that it owns none any longer.
//! - W4 a call looks at a bounded number of slots. What it leaves undone, the next call does:
//!   until then [`bound`](Wakers::bound) may be earlier than the earliest deadline.
//! - W5 there are no more slots than entries, but for orphans. A slot becomes one only if its
//!   entry's timer is armed for, or reset to, an earlier time than it is filed under. While most
//!   slots are orphans, one run of the heap is cleaned for every [`CLEAN`] new orphans.
//!
//! Equal deadlines leave in the order in which they were armed, or reset under the lock, by the
//! sequence number; it has 32 bits, and `table` tells what happens when these wrap. A timer
//! that is put off without the lock keeps its number.

pub(crate) mod chunks;
mod words;

use std::task::Waker;

use self::chunks::{Chunks, Entry, Filed, Growth, Locked};
use self::words::FREE;
use crate::heap::{OnMove, RUN_LEN, RunHeap, Slot, SlotState, Timers};
use crate::instant::NEVER;

/// After how many new orphans it is decided whether to clean a run of the heap.
const CLEAN: usize = 64;

impl Entry {
    #[inline]
    fn owns(&self, slot: Slot) -> bool {
        self.slot_seq == slot.seq() && self.filed == slot.when()
    }

    /// Returns whether `slot` is live.
    #[inline]
    fn is_live(&self, slot: Slot, word: u64) -> bool {
        self.owns(slot) && self.seq == self.slot_seq && word == slot.when()
    }
}

/// How many slots there are.
#[derive(Default)]
struct Counts {
    /// How many are owned by an entry.
    owned: usize,
    /// How many are orphans.
    orphans: usize,
    /// How many orphans are new since it was last decided whether to clean a run.
    new_orphans: usize,
}

/// See the head of this file. The lock of the driver guards it.
pub(crate) struct Wakers {
    heap: RunHeap<RUN_LEN>,
    counts: Counts,
    growth: Growth,
}

/// How many more stale slots a call may come upon before it has to end.
pub(crate) struct StaleBudget(pub(crate) usize);

impl Wakers {
    /// Makes one without timers. Allocates nothing.
    pub(crate) fn new() -> Self {
        Self {
            heap: RunHeap::new(),
            counts: Counts::default(),
            growth: Growth::new(),
        }
    }

    /// Arms a timer and returns its index. The deadline has not elapsed.
    #[inline]
    pub(crate) fn insert(&mut self, chunks: &Chunks, deadline: u64, waker: Waker) -> Option<u32> {
        let (index, filed) = chunks.insert(&mut self.growth, deadline, waker)?;
        if let Some(filed) = filed {
            self.push(chunks, filed);
        }
        Some(index)
    }

    /// Moves a timer from the deadline `from`, under the lock, and returns whether it is armed. The
    /// new deadline has not elapsed.
    pub(crate) fn reset(&mut self, chunks: &Chunks, index: u32, from: u64, to: u64) -> bool {
        let seq = chunks.next_seq(&self.growth);
        let Some(mut locked) = chunks.lock(index) else {
            return false;
        };
        if locked.word().get() != from {
            return false;
        }
        locked.word().store(to);
        let Some(entry) = locked.entry() else {
            return false;
        };
        entry.seq = seq;
        let filed = entry.file(index, to);
        drop(locked);
        if let Some(filed) = filed {
            self.push(chunks, filed);
        }
        true
    }

    fn push(&mut self, chunks: &Chunks, Filed { slot, old }: Filed) {
        let counts = &mut self.counts;
        if old == NEVER {
            counts.owned += 1;
        } else {
            counts.orphans += 1;
            counts.new_orphans += 1;
        }
        // No budget is asked for: the work of `push` is bounded without one, as that of `clean`.
        let budget = &mut StaleBudget(0);
        let mut view = View::new(chunks, counts, budget);
        self.heap.push(slot, &mut view);
        if view.counts.new_orphans >= CLEAN {
            view.counts.new_orphans = 0;
            if view.counts.orphans > view.counts.owned {
                self.heap.clean(&mut view);
            }
        }
    }

    /// Takes out the earliest timers that are due at `now`, up to `most`, and calls `each` with the
    /// waker and the deadline of each.
    ///
    /// Fewer than `most` are taken out if no more are due, or if the budget is used up.
    #[inline]
    pub(crate) fn pop(
        &mut self,
        chunks: &Chunks,
        now: u64,
        budget: &mut StaleBudget,
        most: usize,
        mut each: impl FnMut(Waker, u64),
    ) {
        let mut view = View::new(chunks, &mut self.counts, budget);
        let mut popped = 0;
        while popped < most
            && let Some(slot) = self.heap.pop_until(now, &mut view)
        {
            if let Some(waker) = view.claim(slot) {
                each(waker, slot.when());
                popped += 1;
                continue;
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
    pub(crate) fn next_deadline(
        &mut self,
        chunks: &Chunks,
        budget: &mut StaleBudget,
    ) -> Option<u64> {
        let mut view = View::new(chunks, &mut self.counts, budget);
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

    /// Returns how many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.counts.owned + self.counts.orphans
    }
}

/// What the heap asks about its slots.
struct View<'a> {
    chunks: &'a Chunks,
    counts: &'a mut Counts,
    budget: &'a mut StaleBudget,
    /// The chunk of the last slot. It stays locked until a slot of another chunk comes: timers that
    /// were armed one after the other are in one chunk.
    locked: Option<Locked<'a>>,
}

impl<'a> View<'a> {
    #[inline]
    fn new(chunks: &'a Chunks, counts: &'a mut Counts, budget: &'a mut StaleBudget) -> Self {
        Self {
            chunks,
            counts,
            budget,
            locked: None,
        }
    }

    #[inline]
    fn lock(&mut self, slot: Slot) -> Option<&mut Locked<'a>> {
        let index = slot.key();
        if !self
            .locked
            .as_mut()
            .is_some_and(|locked| locked.go_to(index))
        {
            // First the one, then the other: see C3.
            self.locked = None;
            self.locked = self.chunks.lock(index);
        }
        self.locked.as_mut()
    }

    /// Frees the entry of a slot that has left the heap and returns the waker, if the slot is live.
    #[inline]
    fn claim(&mut self, slot: Slot) -> Option<Waker> {
        let chunks = self.chunks;
        let locked = self.lock(slot)?;
        let entry = locked.entry()?;
        // `seq == slot_seq`: an adopted slot has the number of an earlier timer. It is filed anew
        // with this timer's own, or it would leave before equal deadlines that were armed earlier.
        if !entry.owns(slot) || entry.seq != entry.slot_seq {
            return None;
        }
        if !locked.word().claim(slot.when()) {
            return None;
        }
        locked.entry()?.filed = NEVER;
        let waker = locked.free(chunks);
        self.counts.owned -= 1;
        waker
    }
}

impl Timers for View<'_> {
    const MARKS_STALE: bool = false;

    #[inline]
    fn resolve(&mut self, slot: Slot, on_move: OnMove) -> SlotState {
        let Some(locked) = self.lock(slot) else {
            return SlotState::Dead;
        };
        let word = locked.word().get();
        let Some(entry) = locked.entry() else {
            return SlotState::Dead;
        };
        if entry.is_live(slot, word) {
            return SlotState::Live;
        }
        let moved = Slot::new(word, entry.seq, slot.key());
        let owns = entry.owns(slot);
        let is_dead = !owns || word == FREE || word == NEVER;
        if owns && is_dead {
            // Under the lock of the chunk, so that no timer adopts the slot any longer.
            entry.filed = NEVER;
            self.counts.owned -= 1;
        } else if owns && on_move == OnMove::Refile {
            entry.filed = word;
            entry.slot_seq = entry.seq;
        } else if !owns {
            self.counts.orphans = self.counts.orphans.saturating_sub(1);
        }
        self.budget.0 = self.budget.0.saturating_sub(1);
        if is_dead {
            return SlotState::Dead;
        }
        SlotState::Moved(moved)
    }

    #[inline]
    fn is_live(&mut self, slot: Slot) -> bool {
        self.lock(slot).is_some_and(|locked| {
            let word = locked.word().get();
            let entry = locked.entry();
            entry.is_some_and(|entry| entry.is_live(slot, word))
        })
    }

    #[inline]
    fn has_budget(&self) -> bool {
        self.budget.0 > 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
