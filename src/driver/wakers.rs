//! The timers of a driver: their order is here ([`Order`]), their wakers are in [`chunks`].
//!
//! They are a `heap` of slots and a table of entries, as `store` is. But a timer's owner reaches
//! its entry without the driver's lock: the entries lie in chunks, each with a lock of its own, and
//! each timer's deadline is a *word* that takes no lock at all (see `chunks::entries`). So a timer
//! is put off by one compare-and-exchange, and removing one, or arming one that the loop need not
//! be told of, takes the lock of its chunk alone. The heap is not told in any of these cases: it
//! finds out when it gets to the slot. Then the slot of a timer that was put off is filed anew at
//! its deadline, and the slot of a free entry is dropped. A new slot may be *unfiled* at first: it
//! waits in a list of [`chunks`], and is not in the heap yet.
//!
//! - W1 an entry has at most one slot, filed or unfiled: the one with its `slot_when` and
//!   `slot_seq`. If `slot_when` is [`NEVER`], it has none. Any other slot whose key is the index of
//!   this entry is *stray*: the entry has given it up. A slot that is stray, or whose entry is
//!   free, or whose timer was put off is *stale* (see `heap`).
//! - W2 while armed, `slot_when` is at or before the word: the heap gets to the slot no later than
//!   its timer is due.
//! - W3 a free entry keeps its slot: the next timer that gets the entry adopts the slot, unless
//!   the slot is later than its deadline. When the heap gets to the slot first, the entry's
//!   `slot_when` becomes `NEVER`, under the lock of its chunk.
//! - W4 a call looks at a bounded number of slots. What it leaves undone, the next call does:
//!   until then [`bound`](Order::bound) may be earlier than the earliest deadline.
//! - W5 apart from stray slots, there are no more slots than entries. A slot becomes stray only if
//!   the timer of its entry is armed for, or reset to, an earlier time than that of the slot. While
//!   most slots are stray, one run of the heap is cleaned for every [`CLEAN`] new stray ones.
//!
//! Equal deadlines leave in the order in which they were armed, or reset under the lock, by the
//! sequence number; it has 32 bits, and `table` tells what happens when these wrap. A timer
//! that is put off without the lock keeps its number.

pub(crate) mod chunks;

use std::task::Waker;

use self::chunks::{ArmingState, Chunks, CurrentChunk, Entry, Locked, Unfiled};
use crate::heap::{OnMove, RUN_LEN, RunHeap, Slot, SlotState, Timers};
use crate::instant::NEVER;

/// After how many new stray slots it is decided whether to clean a run of the heap.
const CLEAN: usize = 64;

impl Entry {
    #[inline]
    fn has_slot(&self, slot: Slot) -> bool {
        self.slot_seq == slot.seq() && self.slot_when == slot.when()
    }

    /// Returns whether `slot` is live.
    #[inline]
    fn is_live(&self, slot: Slot, word: u64) -> bool {
        self.has_slot(slot) && self.seq == slot.seq() && word == slot.when() && self.is_armed()
    }
}

/// How many slots are filed.
///
/// The sum of the two counts is always right. When a new slot is filed, the older slot of its entry
/// is counted in `stray` instead of `of_entries`, whether it is filed itself or not. So for each
/// entry whose older slot is still unfiled (only `Order::reset` files the new one first), `stray`
/// is one too high meanwhile, and `of_entries` one too low. For each entry whose new slot is
/// unfiled, and whose older one was filed before, it is the other way round. (Either may be
/// negative.)
#[derive(Default)]
struct Counts {
    /// How many belong to an entry.
    of_entries: isize,
    /// How many are stray.
    stray: isize,
    /// How many became stray since it was last decided whether to clean a run.
    new_stray: usize,
}

/// See the head of this file. The lock of the driver guards it.
pub(crate) struct Order {
    heap: RunHeap<RUN_LEN, false>,
    counts: Counts,
    current: CurrentChunk,
    /// Slots that this call is about to file. It is empty between two calls.
    buffer: Unfiled,
}

/// How many more stale slots a call may come upon before it has to end.
pub(crate) struct StaleBudget(pub(crate) usize);

impl Order {
    /// Makes one without timers. Allocates nothing.
    pub(crate) fn new() -> Self {
        Self {
            heap: RunHeap::new(),
            counts: Counts::default(),
            current: CurrentChunk::new(),
            buffer: Unfiled::default(),
        }
    }

    /// Arms a timer and returns its index. The caller has checked that the deadline has not
    /// elapsed, and has lowered the driver's `next` to it.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        chunks: &Chunks,
        deadline: u64,
        waker: &mut Option<Waker>,
    ) -> Option<u32> {
        let (current, buffer) = (&mut self.current, &mut self.buffer);
        let index = chunks.arm_locked(current, deadline, waker, buffer);
        self.file_buffer(chunks);
        index
    }

    /// Moves a timer from the deadline `from`, under the lock, and returns whether it is armed. The
    /// caller has checked the new deadline, and lowered `next`, as for [`insert`](Self::insert).
    pub(crate) fn reset(&mut self, chunks: &Chunks, index: u32, from: u64, to: u64) -> bool {
        let seq = chunks.with_current(&self.current, ArmingState::next_seq);
        let seq = seq.unwrap_or(0);
        let Some(mut locked) = chunks.lock(index) else {
            return false;
        };
        if locked.word().load_locked() != from {
            return false;
        }
        locked.word().store(to);
        let Some(entry) = locked.entry() else {
            return false;
        };
        entry.seq = seq;
        let slot = entry.renew_slot(index, to);
        drop(locked);
        if let Some(slot) = slot {
            self.buffer.add(slot);
            self.file_buffer(chunks);
        }
        true
    }

    /// Files the slots in `buffer`.
    fn file_buffer(&mut self, chunks: &Chunks) {
        let Unfiled { slots, replacing } = &mut self.buffer;
        let (replaced, counts) = (std::mem::take(replacing), &mut self.counts);
        counts.of_entries += slots.len() as isize - replaced as isize;
        counts.stray += replaced as isize;
        counts.new_stray += replaced;
        // The budget is not used here: `extend` and `clean` do bounded work in any case.
        let budget = &mut StaleBudget(0);
        let mut view = View::new(chunks, counts, budget);
        self.heap.extend(slots.drain(..), &mut view);
        while view.counts.new_stray >= CLEAN {
            view.counts.new_stray -= CLEAN;
            if view.counts.stray > view.counts.of_entries {
                self.heap.clean(&mut view);
            }
        }
    }

    /// Files what is unfiled. The caller has found that no slot in the heap is before `bound`.
    /// Returns the earlier of `bound` and the time of the earliest unfiled slot, and raises
    /// `unfiled_from` to what it returns. From now on a timer that is due earlier needs the
    /// driver's lock. The caller holds that lock, so none is armed before the caller has released
    /// it.
    #[inline]
    fn file_unfiled(&mut self, chunks: &Chunks, bound: u64) -> u64 {
        let (current, buffer) = (&self.current, &mut self.buffer);
        let take = |arming: &mut ArmingState| {
            arming.take_unfiled(buffer);
            let earliest = buffer.slots.iter().map(|slot| slot.when()).min();
            let earliest = earliest.map_or(bound, |earliest| earliest.min(bound));
            arming.unfiled_from = arming.unfiled_from.max(earliest);
            earliest
        };
        let earliest = chunks.with_current(current, take).unwrap_or(bound);
        if !self.buffer.slots.is_empty() {
            self.file_buffer(chunks);
        }
        earliest
    }

    /// Lowers `unfiled_from` to `time`, if `time` is earlier. The caller has seen to it that the
    /// loop wakes at `time` or earlier, and that the driver's `next` is not after `time`.
    pub(crate) fn lower_unfiled_from(&self, chunks: &Chunks, time: u64) {
        let lower = |arming: &mut ArmingState| arming.unfiled_from = arming.unfiled_from.min(time);
        chunks.with_current(&self.current, lower);
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
        // `elapsed` is published. This call takes the lock of the current chunk, under which a
        // thread that arms without the driver's lock reads `elapsed`. So after the call no thread
        // can arm a timer that is due at `now`.
        self.file_unfiled(chunks, self.heap.bound());
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
                // Cannot be: `claim` has found a word later than the slot, and no word becomes
                // earlier while its chunk is locked.
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
        loop {
            let mut view = View::new(chunks, &mut self.counts, budget);
            let earliest = match self.heap.peek(NEVER, &mut view) {
                Some(slot) => slot.when(),
                None if view.has_budget() => NEVER,
                None => return None,
            };
            drop(view);
            let before = self.slots();
            if self.file_unfiled(chunks, earliest) == earliest {
                return Some(earliest);
            }
            // One of the slots just filed is earlier, unless its timer was removed since. The
            // budget ends this, should other threads go on to arm earlier ones.
            let added = self.slots().saturating_sub(before);
            budget.0 = budget.0.saturating_sub(added.max(1));
        }
    }

    /// Returns a time at or before the earliest deadline, with little work.
    #[inline]
    pub(crate) fn bound(&mut self, chunks: &Chunks) -> u64 {
        self.file_unfiled(chunks, self.heap.bound())
    }

    /// Returns how many slots are filed.
    pub(crate) fn slots(&self) -> usize {
        (self.counts.of_entries + self.counts.stray).max(0) as usize
    }
}

/// Answers what the heap asks about its slots.
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
        let locked = self.locked.as_mut();
        if !locked.is_some_and(|locked| locked.go_to(index)) {
            self.lock_other(index);
        }
        self.locked.as_mut()
    }

    /// Unlocks the chunk that is locked, and locks that of another entry.
    #[inline(never)]
    fn lock_other(&mut self, index: u32) {
        // Unlocked first: no thread holds the locks of two chunks (C3 in `chunks`).
        self.locked = None;
        self.locked = self.chunks.lock(index);
    }

    /// Frees the entry of a slot that has left the heap and returns the waker, if the slot is live.
    #[inline]
    fn claim(&mut self, slot: Slot) -> Option<Waker> {
        let chunks = self.chunks;
        let waker = self.lock(slot)?.claim(chunks, slot)?;
        self.counts.of_entries -= 1;
        Some(waker)
    }
}

impl Timers for View<'_> {
    #[inline]
    fn resolve(&mut self, slot: Slot, on_move: OnMove) -> SlotState {
        let Some(locked) = self.lock(slot) else {
            return SlotState::Dead;
        };
        let word = locked.word().load_locked();
        let Some(entry) = locked.entry() else {
            return SlotState::Dead;
        };
        let state = if !entry.has_slot(slot) {
            self.counts.stray -= 1;
            SlotState::Dead
        } else if !entry.is_armed() || word == NEVER {
            // Under the lock of the chunk, so that no timer adopts the slot any longer.
            entry.slot_when = NEVER;
            self.counts.of_entries -= 1;
            SlotState::Dead
        } else if entry.seq == slot.seq() && word == slot.when() {
            return SlotState::Live;
        } else {
            if on_move == OnMove::Refile {
                entry.slot_when = word;
                entry.slot_seq = entry.seq;
            }
            SlotState::Moved(Slot::new(word, entry.seq, slot.key()))
        };
        self.budget.0 = self.budget.0.saturating_sub(1);
        state
    }

    #[inline]
    fn is_live(&mut self, slot: Slot) -> bool {
        self.lock(slot).is_some_and(|locked| {
            let word = locked.word().load_locked();
            let entry = locked.entry();
            entry.is_some_and(|entry| entry.is_live(slot, word))
        })
    }

    #[inline]
    fn prefetch(&self, slot: Slot) {
        if let Some(locked) = &self.locked {
            locked.prefetch(slot.key());
        }
    }

    #[inline]
    fn has_budget(&self) -> bool {
        self.budget.0 > 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
