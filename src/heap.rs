//! In which order do timers come due, when most of them never do?
//!
//! A heap of [`Slot`]s that knows nothing of timers. It orders only what is about to come due; the
//! rest waits in *runs*, each an unsorted block that lies wholly before the next. Here the timers
//! A = 200 ms, B = 100 ms, C = 150 ms, and a few that are far off:
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
//! - H3 the front has at most LEN slots, `strays` at most LEN / 4. A run has LEN at most, beyond
//!   that only what one bulk move added, and is then listed in `crowded` and cut by a later call.
//! - H4 a run has a slot, and more than one in eight of its slots is true, except for the first
//!   run right after a `spill`. Near, at most half and a constant are stale.
//!
//! By H3 and H4 every call looks at a bounded number of slots: about LEN when it opens or cuts a
//! run, [`STEP`] when it makes a slot stale, whatever the number of timers. All is paid in
//! proportion to what callers do, nothing is put off to a great clean-up.
//!
//! The story goes on in `table`, which gives slots their meaning, and in `store`, which pairs both.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;

/// How many slots a run holds: long enough that searching and cutting are rare, short enough that
/// sorting one (8 KiB, the size of an L1 cache's quarter) takes microseconds.
pub(crate) const LEN: usize = 512;

/// How many slots of a run are looked at when one of them turns stale in a run that is mostly so.
///
/// More than 4 makes H4 true: going round the run takes `len / STEP` calls, and when it starts
/// `len / 4` slots are true, so all stale ones are found before all true ones are gone.
const STEP: usize = 32;

/// How many emptied buffers are kept for the next run.
const SPARE: usize = 4;

/// One place in the order: deadline, then sequence number, then the key of its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u128);

impl Slot {
    const MIN: Slot = Slot(0);
    const MAX: Slot = Slot(u128::MAX);

    #[inline]
    pub(crate) fn new(when: u64, seq: u32, key: u32) -> Self {
        // One integer, so that comparing is branch-free: a fifth of the price of a pop.
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

    fn next(self) -> Slot {
        Slot(self.0.saturating_add(1))
    }
}

/// What has become of the timer that a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The slot says the truth.
    True,
    /// Nobody waits for it.
    Dead,
    /// The timer is due later, here.
    Moved(Slot),
}

struct Run {
    low: Slot,
    slots: Vec<Slot>,
    /// How many of the slots are stale.
    stale: u32,
    /// Where the next look for stale slots starts.
    cursor: u32,
    sorted: bool,
}

impl Run {
    #[inline]
    fn push(&mut self, slot: Slot) {
        self.sorted &= self.slots.last().is_none_or(|&last| last < slot);
        self.slots.push(slot);
    }

    /// Gives back room that slots have left, so that a run of few does not hold the room of many.
    fn shrink(&mut self) {
        if self.slots.len() * 4 < self.slots.capacity() && self.slots.capacity() > STEP {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }
}

/// The slots, in order where it matters. See the head of this file.
pub(crate) struct RunHeap<const LEN: usize> {
    front: Vec<Slot>,
    strays: BinaryHeap<Reverse<Slot>>,
    edge: Slot,
    /// How many slots of the front and the strays are stale.
    stale: usize,
    runs: VecDeque<Run>,
    /// A slot of each run that has grown to LEN and was not cut since.
    crowded: Vec<Slot>,
    /// Slots on their way to other runs, empty between calls.
    moved: Vec<Slot>,
    spare: Vec<Vec<Slot>>,
    effort: Effort,
}

impl<const LEN: usize> RunHeap<LEN> {
    const STRAYS: usize = LEN / 4;

    pub(crate) fn new() -> Self {
        Self {
            front: Vec::new(),
            strays: BinaryHeap::new(),
            edge: Slot::MIN,
            stale: 0,
            runs: VecDeque::new(),
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
            None => self.runs.front().map_or(u64::MAX, |run| run.low.when()),
        }
    }

    /// Adds a slot that says the truth.
    #[inline]
    pub(crate) fn push(&mut self, slot: Slot, fate: impl FnMut(Slot) -> Fate) {
        self.place(slot);
        if !self.crowded.is_empty() {
            self.relieve(fate);
        }
    }

    /// Notes that a slot, true until now, is so no more, and pays for cleaning up.
    ///
    /// `fate` must know already.
    #[inline]
    pub(crate) fn forsake(&mut self, slot: Slot, mut fate: impl FnMut(Slot) -> Fate) {
        if slot < self.edge {
            self.stale += 1;
            // The constant keeps a handful of timers from being moved about.
            if self.stale > self.near() / 2 + 16 {
                self.spill();
            }
            return;
        }
        let i = self.find(slot);
        let run = &mut self.runs[i];
        run.stale += 1;
        if run.stale as usize * 4 > run.slots.len() * 3 {
            self.sweep(i, &mut fate);
        }
        if !self.crowded.is_empty() {
            self.relieve(fate);
        }
    }

    /// Returns the earliest true slot, unless all slots up to `limit` turn out stale.
    ///
    /// Must be followed by [`pop`](Self::pop) for the slot to leave.
    #[inline]
    pub(crate) fn peek(&mut self, limit: u64, mut fate: impl FnMut(Slot) -> Fate) -> Option<Slot> {
        loop {
            let Some(root) = self.root() else {
                let within = self.runs.front().is_some_and(|run| run.low.when() <= limit);
                if within {
                    self.load(&mut fate);
                    continue;
                }
                return None;
            };
            if root.when() > limit {
                return None;
            }
            match fate(root) {
                Fate::True => return Some(root),
                Fate::Dead => self.drop_root(),
                Fate::Moved(slot) => {
                    self.drop_root();
                    self.place(slot);
                }
            }
        }
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

    /// Returns the run that a slot not below the edge lies in.
    #[inline]
    fn find(&self, slot: Slot) -> usize {
        let last = self.runs.len() - 1;
        // The usual case: a timeout is farther off than most of what waits.
        if slot >= self.runs[last].low {
            return last;
        }
        self.runs.partition_point(|run| run.low <= slot) - 1
    }

    #[inline]
    fn place(&mut self, slot: Slot) {
        if slot < self.edge {
            return self.place_near(slot);
        }
        if self.runs.is_empty() {
            return self.open(slot);
        }
        let i = self.find(slot);
        let run = &mut self.runs[i];
        run.push(slot);
        if run.slots.len() >= LEN {
            self.crowd(i, slot);
        }
    }

    /// Places the first slot at or above the edge.
    fn open(&mut self, slot: Slot) {
        if self.near() == 0 {
            self.edge = slot.next();
            self.front.push(slot);
            return;
        }
        let slots = self.spare.pop().unwrap_or_default();
        self.append(self.edge, slots, slot);
    }

    fn append(&mut self, low: Slot, mut slots: Vec<Slot>, slot: Slot) {
        slots.push(slot);
        self.runs.push_back(Run {
            low,
            slots,
            stale: 0,
            cursor: 0,
            sorted: true,
        });
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
        if self.strays.len() > Self::STRAYS {
            self.spill();
        }
    }

    /// Makes a run of a full front, for a slot that comes before it.
    fn retire_front(&mut self) {
        if !self.strays.is_empty() {
            return self.spill();
        }
        let mut slots = mem::replace(&mut self.front, self.spare.pop().unwrap_or_default());
        slots.reverse();
        self.effort.add(slots.len());
        let stale = mem::take(&mut self.stale) as u32;
        self.edge = slots[0];
        self.runs.push_front(Run {
            low: self.edge,
            slots,
            stale,
            cursor: 0,
            sorted: true,
        });
    }

    /// Makes the first run of all that is near, so that the next look at the root sorts it anew.
    #[cold]
    fn spill(&mut self) {
        let mut slots = mem::replace(&mut self.front, self.spare.pop().unwrap_or_default());
        slots.reverse();
        let sorted = self.strays.is_empty();
        slots.extend(self.strays.drain().map(|Reverse(slot)| slot));
        self.effort.add(slots.len());
        let stale = mem::take(&mut self.stale) as u32;
        self.edge = Slot::MIN;
        self.runs.push_front(Run {
            low: self.edge,
            slots,
            stale,
            cursor: 0,
            sorted,
        });
    }

    /// Makes the first run the front: drops what is dead, sends on what has moved, sorts the rest.
    ///
    /// To be called when nothing is near.
    #[cold]
    fn load(&mut self, fate: &mut impl FnMut(Slot) -> Fate) {
        let Some(Run {
            mut slots,
            stale,
            mut sorted,
            ..
        }) = self.runs.pop_front()
        else {
            return;
        };
        self.edge = self.runs.front().map_or(Slot::MAX, |run| run.low);
        if stale > 0 {
            sorted &= self.winnow(&mut slots, self.edge, fate);
        }
        if slots.len() > LEN {
            self.runs
                .push_front(self::cut(&mut slots, sorted, self.spare.pop()));
            self.effort.add(slots.len() * 2);
            self.edge = self.runs[0].low;
        }
        self.effort.add(slots.len());
        if sorted {
            slots.reverse();
        } else {
            slots.sort_unstable_by(|a, b| b.cmp(a));
        }
        if self.runs.is_empty() {
            self.edge = slots.first().map_or(Slot::MIN, |last| last.next());
        }
        let emptied = mem::replace(&mut self.front, slots);
        self.keep(emptied);
        self.place_moved();
        self.relieve(fate);
    }

    /// Drops the dead slots among `slots`. What has moved stays if below `end`, else it goes to
    /// `moved`. Returns whether the order of what is left is that of before.
    ///
    /// All fates are asked in one loop, so that the cache misses of looking them up overlap.
    fn winnow(
        &mut self,
        slots: &mut Vec<Slot>,
        end: Slot,
        fate: &mut impl FnMut(Slot) -> Fate,
    ) -> bool {
        self.effort.add(slots.len());
        let mut same = true;
        slots.retain_mut(|slot| match fate(*slot) {
            Fate::True => true,
            Fate::Dead => false,
            Fate::Moved(to) if to < end => {
                *slot = to;
                same = false;
                true
            }
            Fate::Moved(to) => {
                self.moved.push(to);
                false
            }
        });
        same
    }

    /// Places what was moved, in the order it was found in: a run that was sorted, and whose
    /// timers were all moved by the same time, makes sorted runs again.
    fn place_moved(&mut self) {
        let mut moved = mem::take(&mut self.moved);
        self.effort.add(moved.len());
        for slot in moved.drain(..) {
            self.place(slot);
        }
        self.moved = moved;
    }

    /// Looks at the next few slots of a run, drops those that are dead, sends on those moved.
    #[cold]
    fn sweep(&mut self, i: usize, fate: &mut impl FnMut(Slot) -> Fate) {
        let run = &mut self.runs[i];
        let len = run.slots.len();
        // The end is looked at in a whole step too, so that a short run is looked at in one.
        let at_end = run.cursor as usize >= len;
        let start = if at_end {
            0
        } else {
            len.saturating_sub(STEP).min(run.cursor as usize)
        };
        let end = len.min(start + STEP);
        let mut kept = start;
        for at in start..end {
            let slot = run.slots[at];
            match fate(slot) {
                Fate::True => {
                    run.slots[kept] = slot;
                    kept += 1;
                }
                Fate::Dead => {}
                Fate::Moved(to) => self.moved.push(to),
            }
        }
        // The rest moves up, at most one run's length, so that its order is not lost.
        run.slots.drain(kept..end);
        run.stale = run.stale.saturating_sub((end - kept) as u32);
        run.cursor = kept as u32;
        run.shrink();
        self.effort.add(end - start);
        self.place_moved();
        self.close_if_empty(i);
    }

    fn close_if_empty(&mut self, i: usize) {
        if !self.runs[i].slots.is_empty() {
            return;
        }
        if let Some(run) = self.runs.remove(i) {
            self.keep(run.slots);
        }
        // What the run covered now belongs to the one before it; the first one begins at the edge.
        if i == 0
            && let Some(run) = self.runs.front_mut()
        {
            run.low = self.edge;
        }
    }

    fn keep(&mut self, emptied: Vec<Slot>) {
        if self.spare.len() < SPARE && (1..=LEN * 2).contains(&emptied.capacity()) {
            self.spare.push(emptied);
        }
    }

    /// Makes room for more after a slot that filled its run.
    #[cold]
    fn crowd(&mut self, i: usize, slot: Slot) {
        let last = self.runs.len() - 1;
        let run = &mut self.runs[i];
        if i == last && run.sorted && run.slots.len() > 1 {
            // In order at the far end: the next run starts here, and no slot has to move.
            run.slots.pop();
            let slots = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(LEN));
            return self.append(slot, slots, slot);
        }
        // Not for every slot beyond LEN: one entry a run is enough, if another comes in time.
        if run.slots.len() % (LEN / 8) == 0 {
            self.crowded.push(slot);
        }
    }

    /// Cuts one run that has become too long: one, so that a call that moves many slots does not
    /// pay for many. More wait for the calls to come; each brings few slots, so they get there.
    #[cold]
    fn relieve(&mut self, mut fate: impl FnMut(Slot) -> Fate) {
        let Some(slot) = self.crowded.pop() else {
            return;
        };
        if slot < self.edge || self.runs.is_empty() {
            return;
        }
        let i = self.find(slot);
        let run = &mut self.runs[i];
        if run.slots.len() < LEN {
            return;
        }
        if mem::take(&mut run.stale) > 0 {
            let mut slots = mem::take(&mut run.slots);
            self.winnow(&mut slots, Slot::MIN, &mut fate);
            self.runs[i].slots = slots;
            self.runs[i].cursor = 0;
            self.place_moved();
            self.runs[i].shrink();
        }
        let run = &mut self.runs[i];
        // With a quarter of the room regained, the next cut is far enough.
        if run.slots.len() > LEN * 3 / 4 {
            let far = self::cut(&mut run.slots, run.sorted, self.spare.pop());
            self.effort.add(far.slots.len() * 2);
            self.runs.insert(i + 1, far);
        }
        self.close_if_empty(i);
    }
}

/// Takes the farther half of `slots` out as a run of its own. None of them may be stale.
fn cut(slots: &mut Vec<Slot>, sorted: bool, buffer: Option<Vec<Slot>>) -> Run {
    let middle = slots.len() / 2;
    if !sorted {
        // Guaranteed linear, whatever deadlines a hostile client has chosen.
        slots.select_nth_unstable(middle);
    }
    let mut far = buffer.unwrap_or_else(|| Vec::with_capacity(slots.len()));
    far.extend_from_slice(&slots[middle..]);
    slots.truncate(middle);
    Run {
        low: far[0],
        slots: far,
        stale: 0,
        cursor: 0,
        sorted,
    }
}

/// How many slots were looked at or moved: what the tests bound in place of time.
#[derive(Debug, Default)]
struct Effort {
    #[cfg(test)]
    slots: usize,
}

#[cfg(test)]
impl Effort {
    fn add(&mut self, slots: usize) {
        self.slots += slots;
    }
}

#[cfg(not(test))]
impl Effort {
    #[inline]
    fn add(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests;
