//! A heap of slots that sorts only those that are due soon, since most timers never come due.
//!
//! It orders [`Slot`]s and knows nothing of timers. Slots that are due soon are *near*; the others
//! wait in *runs*, blocks that each lie wholly before the next, and that are mostly unsorted. Here
//! the timers A = 200 ms, B = 100 ms and C = 150 ms are near, and some others are far off:
//!
//! ```text
//!            near: all slots below the edge           runs, nearest first, each of about RUN slots
//!  ┌────────────────────────────────────────┐   ┌──────────────┬────────────────┬───────────────┐
//!  │ front   [A200, C150, B100]   sorted,   │ e │ low = 30 s   │ low = 31.2 s   │ low = 33 s    │
//!  │                      ▲       latest    │ d │              │                │               │
//!  │                      root    first     │ g │ 30.9 30.1 31 │ 32 31.2 32.8   │ 33 33 33.1 40 │
//!  │ recent  binary heap of slots that      │ e │ not sorted   │ not sorted     │ sorted        │
//!  │         came after the front was made  │   │              │                │               │
//!  └────────────────────────────────────────┘   └──────────────┴────────────────┴───────────────┘
//! ```
//!
//! A textbook binary min-heap keeps those three as the array `[B100, A200, C150]`; after B has
//! fired, C is the root and the array is `[C150, A200]`. `recent` is such a heap: it takes the
//! slots that arrive one by one, out of order. The front is better for slots that are all known
//! beforehand: a sorted array is a heap whose root is removed without any sifting.
//!
//! A slot whose timer was removed or reset is *stale*: it stays in the heap, and when the heap gets
//! to it, the table of its timers says what it stands for (a [`SlotState`]). A long sequence of
//! stale slots would turn the search for the earliest live one into a pause. There are two kinds of
//! heap (`MARKS_STALE` of a [`RunHeap`]):
//!
//! - *With marks*, for a `TimerQueue`: the heap is told of each slot that turns stale, and counts
//!   those of each run.
//! - *Without marks*, for a driver: it is not told, so H4 and the bound of H5 do not hold. Its
//!   caller limits by a budget how many stale slots a call drops, and calls
//!   [`clean`](RunHeap::clean) if there are many. As no stale slots are counted, a run can be split
//!   without asking [`Timers`] about each slot.
//!
//! The invariants:
//!
//! - H1 near < edge = `runs[0].low` < `runs[1].low` < …; the slots of a run lie from its `low` to
//!   below the next one's. (Without runs, the edge is above all near slots.)
//! - H2 the front is sorted, latest first; a run with `sorted` is sorted, earliest first.
//! - H3 the front has at most RUN slots, `recent` fewer than RUN / 4, a run fewer than 4 RUN. A run
//!   that grows to RUN slots or beyond is noted in `full`, and a later call splits it, or
//!   `load_front` does when the run becomes the front. (Without marks it is split at once.)
//! - H4 no run is empty, and of each run at least one slot in 32 (2 STALENESS) is live, except for
//!   a first run that `near_into_run` made. Of the near slots, at most RUN are stale.
//! - H5 `to_place` holds at most 2 RUN slots, none of them below the edge. They are not counted as
//!   stale: the heap asks for their state again when it places them, before it opens the next run.
//!
//! Why a run stays below 4 RUN, in short (the tests check it after each call): a run that is made
//! of the near slots begins with 1.25 RUN. It may get slots of `to_place`, of which there are 2
//! RUN. Each call places up to 48 of those (1.5 [`STEP`]), as a rule more than it adds to
//! `to_place`. Once that is empty, each call splits a run.
//!
//! By H3 to H5 every call looks at a bounded number of slots, whatever the number of timers: a few
//! times RUN if it opens, splits or cleans a run, or turns the near slots into one or two,
//! otherwise a few times [`STEP`]. Each call does a share of the maintenance in proportion to what
//! it changes. There is no other clean-up pass than `clean`, which cleans one run a call.
//!
//! A slot is a deadline and the timer that it was filed for, in one integer. The timers themselves
//! are in `table`, which `store` combines with the heap; those of a driver are in `driver::wakers`.

mod maintenance;
mod runs;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::maintenance::{Effort, STEP};
use self::runs::{Position, Run, Runs};

/// How many slots a run holds: long enough that searching and splitting are rare, short enough that
/// sorting one (4 KiB, an eighth of an L1 cache) takes microseconds.
pub(crate) const RUN_LEN: usize = 256;

/// When a slot is taken out, the table is told of the one that comes so many places later. To take
/// out those in between takes about as long as to fetch memory.
const LOOK_AHEAD: usize = 8;

/// One place in the order: deadline, then sequence number, then the key of its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u128);

impl Slot {
    const MIN: Slot = Slot(0);
    const MAX: Slot = Slot(u128::MAX);

    #[inline]
    pub(crate) fn new(when: u64, seq: u32, key: u32) -> Self {
        // One integer, so that a comparison has no branches: that saves a fifth of the cost of a
        // pop.
        Slot(u128::from(when) << 64 | u128::from(seq) << 32 | u128::from(key))
    }

    #[inline]
    pub(crate) fn when(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[inline]
    pub(crate) fn seq(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) fn key(self) -> u32 {
        self.0 as u32
    }

    /// Returns the least slot after this one.
    fn next(self) -> Slot {
        Slot(self.0.saturating_add(1))
    }
}

/// What a slot stands for. A slot that is not live is *stale*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    /// Its timer is armed for the slot's deadline.
    Live,
    /// No timer needs it.
    Dead,
    /// Its timer is armed for the slot given here, which has a later deadline, or the same one and
    /// a newer sequence number.
    Moved(Slot),
}

/// What the heap does with a slot whose timer has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnMove {
    /// It takes the slot out, and files the one that the timer has moved to.
    Refile,
    /// It leaves the slot where it is, to ask again later.
    Keep,
}

/// The table of the timers that the slots of a heap stand for.
pub(crate) trait Timers {
    /// Returns what a slot stands for.
    ///
    /// The heap takes the slot out if it is dead, or if it has moved and `on_move` is
    /// [`OnMove::Refile`]; in the latter case the heap files the slot that the timer has moved to.
    /// The table records this.
    fn resolve(&mut self, slot: Slot, on_move: OnMove) -> SlotState;

    /// Returns whether most of the timers that were ever armed at the same time are gone, so that
    /// the heap should give memory back sooner.
    fn are_mostly_gone(&self) -> bool {
        false
    }

    /// Returns whether a slot is live, and changes nothing. The heap asks it if stale slots are not
    /// marked.
    fn is_live(&mut self, _slot: Slot) -> bool {
        true
    }

    /// Is told of a slot that [`resolve`](Self::resolve), or the caller of the heap, will need
    /// soon.
    fn prefetch(&self, _slot: Slot) {}

    /// Returns whether the heap may go on to look for the earliest live slot. If not, it leaves the
    /// rest to later calls.
    fn has_budget(&self) -> bool {
        true
    }
}

/// The slots, sorted as far as needed. See the head of this file.
///
/// With `MARKS_STALE`, [`mark_stale`](Self::mark_stale) is called for each slot that turns stale.
/// Without it the heap finds out when it gets to the slot, or to the run that it lies in.
pub(crate) struct RunHeap<const RUN: usize, const MARKS_STALE: bool = true> {
    front: Vec<Slot>,
    recent: BinaryHeap<Reverse<Slot>>,
    edge: Slot,
    /// How many slots of `front` and `recent` are stale.
    stale: usize,
    runs: Runs<MARKS_STALE>,
    /// Which runs have grown to RUN: one or more slots of each, by which the run is found again.
    full: Vec<Slot>,
    /// Slots that left their run because their timers moved, to be placed in other runs.
    to_place: Vec<Slot>,
    /// The low of the run that [`clean`](Self::clean) cleans next.
    cleaned: Slot,
    effort: Effort,
}

impl<const RUN: usize, const MARKS_STALE: bool> RunHeap<RUN, MARKS_STALE> {
    const RECENT: usize = RUN / 4;
    /// The capacity of a run's buffer. The buffers of full runs have the same size, because the
    /// allocator can then reuse a freed one without a search. A run that is not split at once needs
    /// room beyond RUN, as do all near slots if they become one run.
    const CAPACITY: usize = match MARKS_STALE {
        true => RUN + Self::RECENT,
        false => RUN,
    };
    /// How many slots the front takes if they come in decreasing order. Without marks a run is
    /// split right after the push that fills it, so a run that is made of the front must not be
    /// full.
    const FRONT: usize = match MARKS_STALE {
        true => RUN,
        false => RUN - 1,
    };

    pub(crate) fn new() -> Self {
        Self {
            front: Vec::new(),
            recent: BinaryHeap::new(),
            edge: Slot::MIN,
            stale: 0,
            runs: Runs::new(),
            full: Vec::new(),
            to_place: Vec::new(),
            cleaned: Slot::MIN,
            effort: Effort::default(),
        }
    }

    /// Returns a time no later than that of any slot, without any work.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        match self.root() {
            Some(root) => root.when(),
            None if self.to_place.is_empty() => self.runs.low().map_or(u64::MAX, Slot::when),
            None => self.edge.when(),
        }
    }

    /// Adds a slot. With `MARKS_STALE`, it must be live.
    #[inline]
    pub(crate) fn push(&mut self, slot: Slot, timers: &mut impl Timers) {
        self.place(slot);
        if self.has_deferred() {
            self.run_deferred(timers);
        }
    }

    /// Adds slots. With `MARKS_STALE`, all of them must be live. Slots that come in decreasing
    /// order cost little.
    pub(crate) fn extend(&mut self, slots: impl Iterator<Item = Slot>, timers: &mut impl Timers) {
        for slot in slots {
            // As `place` does, but without a call.
            let is_next = self.front.last().is_some_and(|&root| slot < root);
            match is_next && slot < self.edge && self.front.len() < Self::FRONT {
                true => self.front.push(slot),
                false => self.push(slot, timers),
            }
        }
    }

    /// Marks a slot as stale: its timer was removed or moved. Does a share of the maintenance.
    ///
    /// `timers` must reflect the change already.
    // Always inlined, as is `peek`: the calls would cost 3 to 20 instructions of a few hundred.
    #[inline(always)]
    pub(crate) fn mark_stale(&mut self, slot: Slot, timers: &mut impl Timers) {
        if slot < self.edge {
            self.stale += 1;
            // Without the constant, a handful of timers would be moved back and forth all the time.
            if self.stale > self.near() / 2 + STEP {
                self.near_into_run();
            }
        } else if self.to_place.is_empty() || !self.to_place.contains(&slot) {
            let at = self.runs.find(slot);
            if self.runs.mark_stale(at, timers.are_mostly_gone()) {
                self.filter_some(at, timers);
            }
        }
        if self.has_deferred() {
            self.run_deferred(timers);
        }
    }

    /// Returns the earliest live slot, or `None` if all slots up to `limit` are stale, or if
    /// [`Timers::has_budget`] says no.
    ///
    /// The slot leaves only if the caller calls [`pop`](Self::pop) next.
    #[inline(always)]
    pub(crate) fn peek(&mut self, limit: u64, timers: &mut impl Timers) -> Option<Slot> {
        let mut loaded = false;
        loop {
            let Some(root) = self.root() else {
                if self.bound() > limit || !timers.has_budget() || !self.load_front(timers) {
                    return None;
                }
                loaded = true;
                continue;
            };
            if root.when() > limit || !timers.has_budget() {
                return None;
            }
            match timers.resolve(root, OnMove::Refile) {
                SlotState::Live => break,
                SlotState::Dead => self.drop_root(),
                SlotState::Moved(slot) => {
                    self.drop_root();
                    self.place_or_defer(slot);
                }
            }
        }
        // A call that has opened a run has done enough work; the next call that opens one places
        // all moved slots first.
        if !loaded && self.has_deferred() {
            self.run_deferred(timers);
        }
        self.root()
    }

    /// Takes out the earliest slot, whatever it stands for, if it is at or before `limit`. Returns
    /// `None` if there is none, or if the table's budget is used up.
    #[inline]
    pub(crate) fn pop_until(&mut self, limit: u64, timers: &mut impl Timers) -> Option<Slot> {
        if !timers.has_budget() {
            return None;
        }
        if self.has_deferred() {
            self.run_deferred(timers);
        }
        loop {
            let (front, recent) = (self.front.last(), self.recent.peek());
            let root = match (front, recent) {
                (Some(front), None) => front,
                (Some(front), Some(Reverse(recent))) if front < recent => front,
                (_, Some(Reverse(recent))) => {
                    let is_due = recent.when() <= limit;
                    return is_due.then(|| self.recent.pop())?.map(|Reverse(slot)| slot);
                }
                (None, None) => {
                    let may_load = self.bound() <= limit && timers.has_budget();
                    if !may_load || !self.load_front(timers) {
                        return None;
                    }
                    continue;
                }
            };
            if root.when() > limit {
                return None;
            }
            let slot = self.front.pop();
            if let Some(at) = self.front.len().checked_sub(LOOK_AHEAD) {
                timers.prefetch(self.front[at]);
            }
            return slot;
        }
    }

    /// Takes out the root, which the last [`peek`](Self::peek) returned.
    #[inline]
    pub(crate) fn pop(&mut self) {
        match (self.front.last(), self.recent.peek()) {
            (Some(front), Some(Reverse(recent))) if recent < front => drop(self.recent.pop()),
            (None, Some(_)) => drop(self.recent.pop()),
            (_, _) => drop(self.front.pop()),
        }
    }

    #[inline]
    fn root(&self) -> Option<Slot> {
        match (self.front.last(), self.recent.peek()) {
            (Some(&front), Some(&Reverse(recent))) => Some(front.min(recent)),
            (Some(&front), None) => Some(front),
            (None, recent) => recent.map(|&Reverse(recent)| recent),
        }
    }

    fn drop_root(&mut self) {
        self.pop();
        self.stale = self.stale.saturating_sub(1);
        self.effort.add(1);
    }

    /// Returns how many slots are near.
    #[inline]
    fn near(&self) -> usize {
        self.front.len() + self.recent.len()
    }

    /// Puts a slot where it belongs.
    #[inline]
    fn place(&mut self, slot: Slot) {
        if slot < self.edge {
            return self.place_near(slot);
        }
        if self.runs.is_empty() {
            return self.place_farthest(slot);
        }
        let at = self.runs.find(slot);
        if self.runs.push(at, slot) >= RUN {
            self.split_or_mark_full(at, slot);
        }
    }

    /// Places a slot at or above the edge while there are no runs.
    fn place_farthest(&mut self, slot: Slot) {
        if self.near() == 0 && self.to_place.is_empty() {
            self.edge = slot.next();
            self.front.push(slot);
            return;
        }
        // As large as the front, so that a small heap stays small, and a large one does not have to
        // grow the buffer.
        let slots = Vec::with_capacity(self.front.capacity());
        self.append_run(self.edge, slots, slot);
    }

    fn append_run(&mut self, low: Slot, mut slots: Vec<Slot>, slot: Slot) {
        slots.push(slot);
        self.runs.push_last(Run::new(low, slots, 0, true));
    }

    #[inline]
    fn place_near(&mut self, slot: Slot) {
        if self.front.last().is_none_or(|&root| slot < root) {
            // Slots that arrive in decreasing order keep the front sorted.
            if self.front.len() < Self::FRONT {
                return self.front.push(slot);
            }
            self.front_into_run();
            return self.place(slot);
        }
        self.recent.push(Reverse(slot));
        if self.recent.len() >= Self::RECENT {
            self.near_into_run();
        }
    }

    /// Splits a run that has just become full, or notes that a later call has to, after `slot` has
    /// filled it.
    #[cold]
    fn split_or_mark_full(&mut self, at: Position, slot: Slot) {
        let last = self.runs.is_last(at);
        let run = &mut self.runs[at];
        if last && run.sorted {
            // In order at the far end: the next run starts here, and no slot has to move.
            run.slots.pop();
            return self.append_run(slot, Self::buffer(), slot);
        }
        if !MARKS_STALE {
            let far = self.split_in_half(at);
            return self.runs.insert_after(at, far);
        }
        // Not for every slot beyond RUN: one entry per run is enough, and should it be lost,
        // another one follows after a few more slots.
        if run.slots.len().is_multiple_of(RUN / 8) {
            self.full.push(slot);
        }
    }

    /// Places a slot that was moved: now if it is near, which is cheap, otherwise in a later call.
    pub(crate) fn place_or_defer(&mut self, slot: Slot) {
        if slot < self.edge {
            self.place_near(slot);
        } else {
            self.to_place.push(slot);
        }
    }

    #[inline]
    fn has_deferred(&self) -> bool {
        !(self.to_place.is_empty() && self.full.is_empty())
    }

    fn buffer() -> Vec<Slot> {
        Vec::with_capacity(Self::CAPACITY)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
