//! In which order do timers come due, when most of them never do?
//!
//! A heap of [`Slot`]s that knows nothing of timers. It orders only what is about to come due; the
//! rest waits in *runs*, each an unsorted block that lies wholly before the next. Here the timers
//! A = 200 ms, B = 100 ms and C = 150 ms are near, and some others far off:
//!
//! ```text
//!            near: what is below the edge             runs, nearest first, each of about LEN slots
//!  ┌────────────────────────────────────────┐   ┌──────────────┬────────────────┬───────────────┐
//!  │ front   [A200, C150, B100]   sorted,   │ e │ low = 30 s   │ low = 31.2 s   │ low = 33 s    │
//!  │                      ▲       latest    │ d │              │                │               │
//!  │                      root    first     │ g │ 30.9 30.1 31 │ 32 31.2 32.8   │ 33 33 33.1 40 │
//!  │ strays  binary heap of slots that      │ e │ not sorted   │ not sorted     │ sorted        │
//!  │         came after the front was made  │   │              │                │               │
//!  └────────────────────────────────────────┘   └──────────────┴────────────────┴───────────────┘
//! ```
//!
//! The textbook keeps those three as the array `[B100, A200, C150]`, a binary min-heap; after B has
//! fired, C is the root and the array is `[C150, A200]`. `strays` is exactly that heap, and holds
//! them so when they arrive out of order. The front is the better form of it for slots that are
//! known together: a sorted array is a heap whose root leaves without any sifting.
//!
//! A slot whose timer was removed or reset is *stale*: it stays, and its timer's owner says what
//! became of it (a [`Fate`]) when it surfaces. How many are stale is counted run by run, because a
//! stretch of them must never be so long that looking for the earliest true slot is a pause:
//!
//! - H1 near < edge <= `runs[0].low` < `runs[1].low` < …; the slots of a run lie from its `low` to
//!   below the next one's, and `runs[0].low` is the edge.
//! - H2 the front is sorted, latest first; a run with `sorted` is sorted, earliest first.
//! - H3 the front has at most LEN slots, `strays` fewer than LEN / 4. A run has LEN at most, and
//!   beyond that only what bulk moves added; it is then listed in `crowded` for a later call to
//!   cut.
//! - H4 a run has a slot, and one in 2 LAZY of its slots or more is true, except for a first run
//!   that a `spill` made. Near, at most LEN are stale.
//! - H5 `moved` slots are not below the edge, no more than LEN and a constant, and not counted as
//!   stale: their fate is asked again when they are placed, before the next run is opened.
//!
//! By H3 to H5 every call looks at a bounded number of slots, whatever the number of timers: some
//! times LEN when it opens or cuts a run, some times STEP else. Everything is paid for in
//! proportion to what callers do; nothing is put off to a great clean-up.
//!
//! The story goes on in `table`, which gives slots their meaning, and in `store`, which pairs both.

mod runs;
mod slot;
mod upkeep;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

pub(crate) use self::slot::{Asked, Fate, Slot};

use self::runs::{At, Run, Runs};
use self::upkeep::{Effort, STEP};

/// How many slots a run holds: long enough that searching and cutting are rare, short enough that
/// sorting one (4 KiB, an eighth of an L1 cache) takes microseconds.
pub(crate) const LEN: usize = 256;

/// The slots, in order where it matters. See the head of this file.
pub(crate) struct RunHeap<const LEN: usize> {
    front: Vec<Slot>,
    strays: BinaryHeap<Reverse<Slot>>,
    edge: Slot,
    /// How many slots of the front and the strays are stale.
    stale: usize,
    runs: Runs,
    /// A slot of each run that has grown to LEN and was not cut since.
    crowded: Vec<Slot>,
    /// Slots on their way to other runs.
    moved: Vec<Slot>,
    /// Empty buffers.
    spare: Vec<Vec<Slot>>,
    effort: Effort,
}

impl<const LEN: usize> RunHeap<LEN> {
    const STRAYS: usize = LEN / 4;
    /// The room of a run's buffer, enough for what is near, too. All have the same: an allocator
    /// finds a place for a buffer at once where another one of its size was.
    const ROOM: usize = LEN + Self::STRAYS;

    pub(crate) fn new() -> Self {
        Self {
            front: Vec::new(),
            strays: BinaryHeap::new(),
            edge: Slot::MIN,
            stale: 0,
            runs: Runs::new(),
            crowded: Vec::new(),
            moved: Vec::new(),
            spare: Vec::new(),
            effort: Effort::default(),
        }
    }

    /// Returns a time no later than that of any slot, without any work.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        match self.root() {
            Some(root) => root.when(),
            None if self.moved.is_empty() => self.runs.low().map_or(u64::MAX, Slot::when),
            None => self.edge.when(),
        }
    }

    /// Adds a slot that says the truth.
    #[inline]
    pub(crate) fn push(&mut self, slot: Slot, mut fate: impl FnMut(Slot, Asked) -> Fate) {
        self.place(slot);
        if self.owes() {
            self.repay(&mut fate);
        }
    }

    /// Notes that a slot, true until now, is so no more, and pays for cleaning up.
    ///
    /// `fate` must know already. A heap that is to be `lean` lets fewer stale slots stay.
    #[inline]
    pub(crate) fn forsake(
        &mut self,
        slot: Slot,
        lean: bool,
        mut fate: impl FnMut(Slot, Asked) -> Fate,
    ) {
        if slot < self.edge {
            self.stale += 1;
            // The constant keeps a handful of timers from being moved about.
            if self.stale > self.near() / 2 + STEP {
                self.spill();
            }
        } else if self.moved.is_empty() || !self.moved.contains(&slot) {
            let at = self.runs.find(slot);
            if self.runs.forsake(at, lean) {
                self.sweep(at, &mut fate);
            }
        }
        if self.owes() {
            self.repay(&mut fate);
        }
    }

    /// Returns the earliest true slot, unless all slots up to `limit` turn out stale.
    ///
    /// Must be followed by [`pop`](Self::pop) for the slot to leave.
    #[inline]
    pub(crate) fn peek(
        &mut self,
        limit: u64,
        mut fate: impl FnMut(Slot, Asked) -> Fate,
    ) -> Option<Slot> {
        let mut loaded = false;
        loop {
            let Some(root) = self.root() else {
                if self.bound() > limit || !self.load(&mut fate) {
                    return None;
                }
                loaded = true;
                continue;
            };
            if root.when() > limit {
                return None;
            }
            match fate(root, Asked::ToLeave) {
                Fate::True => break,
                Fate::Dead => self.drop_root(),
                Fate::Moved(slot) => {
                    self.drop_root();
                    self.send(slot);
                }
            }
        }
        // A call that has opened a run has done enough; the next one that does pays all first.
        if !loaded && self.owes() {
            self.repay(&mut fate);
        }
        self.root()
    }

    /// Takes out the root, that the last [`peek`](Self::peek) returned.
    #[inline]
    pub(crate) fn pop(&mut self) {
        match (self.front.last(), self.strays.peek()) {
            (Some(front), Some(Reverse(stray))) if stray < front => drop(self.strays.pop()),
            (None, Some(_)) => drop(self.strays.pop()),
            (_, _) => drop(self.front.pop()),
        }
    }

    #[inline]
    fn root(&self) -> Option<Slot> {
        match (self.front.last(), self.strays.peek()) {
            (Some(&front), Some(&Reverse(stray))) => Some(front.min(stray)),
            (Some(&front), None) => Some(front),
            (None, stray) => stray.map(|&Reverse(stray)| stray),
        }
    }

    fn drop_root(&mut self) {
        self.pop();
        self.stale = self.stale.saturating_sub(1);
        self.effort.add(1);
    }

    #[inline]
    fn near(&self) -> usize {
        self.front.len() + self.strays.len()
    }

    #[inline]
    fn place(&mut self, slot: Slot) {
        if slot < self.edge {
            return self.place_near(slot);
        }
        if self.runs.is_empty() {
            return self.open(slot);
        }
        let at = self.runs.find(slot);
        if self.runs.push(at, slot) >= LEN {
            self.crowd(at, slot);
        }
    }

    /// Places the first slot at or above the edge.
    fn open(&mut self, slot: Slot) {
        if self.near() == 0 && self.moved.is_empty() {
            self.edge = slot.next();
            self.front.push(slot);
            return;
        }
        let slots = self.spare.pop().unwrap_or_default();
        self.append(self.edge, slots, slot);
    }

    fn append(&mut self, low: Slot, mut slots: Vec<Slot>, slot: Slot) {
        slots.push(slot);
        self.runs.push_last(Run::new(low, slots, 0, true));
    }

    #[inline]
    fn place_near(&mut self, slot: Slot) {
        if self.front.last().is_none_or(|&root| slot < root) {
            // Decreasing deadlines keep the front sorted for free.
            if self.front.len() < LEN {
                return self.front.push(slot);
            }
            self.retire_front();
            return self.place(slot);
        }
        self.strays.push(Reverse(slot));
        if self.strays.len() >= Self::STRAYS {
            self.spill();
        }
    }

    /// Makes a run of a full front, for a slot that comes before it.
    fn retire_front(&mut self) {
        if !self.strays.is_empty() {
            return self.spill();
        }
        let mut slots = self.take_front();
        slots.reverse();
        self.effort.add(slots.len());
        self.edge = slots[0];
        let stale = mem::take(&mut self.stale);
        self.runs
            .push_first(Run::new(self.edge, slots, stale, true));
    }

    /// Makes the first run of all that is near, so that the next look at the root sorts it anew.
    #[cold]
    fn spill(&mut self) {
        let mut slots = self.take_front();
        slots.reverse();
        let sorted = self.strays.is_empty();
        slots.extend(self.strays.drain().map(|Reverse(slot)| slot));
        self.effort.add(slots.len());
        self.edge = Slot::MIN;
        let stale = mem::take(&mut self.stale);
        self.runs
            .push_first(Run::new(self.edge, slots, stale, sorted));
    }

    /// Makes room for more after a slot that filled its run.
    #[cold]
    fn crowd(&mut self, at: At, slot: Slot) {
        let last = self.runs.is_last(at);
        let run = &mut self.runs[at];
        if last && run.sorted {
            // In order at the far end: the next run starts here, and no slot has to move.
            run.slots.pop();
            let slots = self.buffer();
            return self.append(slot, slots, slot);
        }
        // Not for every slot beyond LEN: one entry a run is enough, if another comes in time.
        if run.slots.len().is_multiple_of(LEN / 8) {
            self.crowded.push(slot);
        }
    }

    /// Has a slot that moved placed: now where that is cheap, else by and by.
    fn send(&mut self, slot: Slot) {
        if slot < self.edge {
            self.place_near(slot);
        } else {
            self.moved.push(slot);
        }
    }

    #[inline]
    fn owes(&self) -> bool {
        !(self.moved.is_empty() && self.crowded.is_empty())
    }
}

#[cfg(test)]
mod tests;
