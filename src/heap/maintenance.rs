//! The maintenance of the heap: each call does a bounded part of it.
//!
//! This is everything that moves slots other than the one that a call is about: opening the nearest
//! run, taking stale slots out of a run, splitting one in two, placing moved slots, making a run of
//! the near slots. Each step handles one run, or about [`STEP`] slots. The invariants
//! are at the head of `heap`.

use std::cmp::Reverse;
use std::mem;
use std::ops::Range;

use super::runs::{Position, Run, STALENESS};
use super::{OnMove, RunHeap, Slot, SlotState, Timers};

/// When a slot turns stale in a run that is mostly stale, this many slots of the run are looked at.
///
/// Twice STALENESS, for H4. The first call comes when about `len / STALENESS` slots are live (one
/// in 16). After `len / STEP` calls the whole run has been looked at. Each call comes with one more
/// stale slot, so at least half of the live slots stay live: one in 32.
pub(super) const STEP: usize = 2 * STALENESS;

/// Where stale slots are not counted, one slot in this many of a run is looked at, to guess whether
/// many are stale.
const SAMPLE: usize = 16;

impl<const RUN: usize, const MARKS_STALE: bool> RunHeap<RUN, MARKS_STALE> {
    /// Turns the first run into the front: takes stale slots out (where they are not marked, only
    /// if there is one in a sample), and sorts the rest.
    /// No slot is near when it is called. Returns `false` if the heap is empty. After `true` there
    /// may be no near slot either, because all slots of the run were stale: the caller tries again.
    #[cold]
    pub(super) fn load_front(&mut self, timers: &mut impl Timers) -> bool {
        // Some of the moved slots may belong to this run.
        while !self.to_place.is_empty() {
            self.place_moved(timers);
        }
        let Some(mut run) = self.runs.pop_first() else {
            return self.near() > 0;
        };
        self.edge = self.runs.low().unwrap_or(Slot::MAX);
        let has_stale = match MARKS_STALE {
            true => run.stale > 0,
            // To ask for each slot would cost as much as to find the stale ones one by one.
            false => run
                .slots
                .iter()
                .step_by(SAMPLE)
                .any(|&slot| !timers.is_live(slot)),
        };
        if has_stale {
            self.refile(&mut run, self.edge, timers);
        }
        if run.slots.len() > RUN {
            let far = self.split(&mut run);
            self.edge = far.low;
            self.runs.push_first(far);
        }
        let Run {
            mut slots, sorted, ..
        } = run;
        self.effort.add(slots.len());
        if sorted {
            slots.reverse();
        } else {
            slots.sort_unstable_by(|a, b| b.cmp(a));
        }
        if self.runs.is_empty() {
            self.edge = slots.first().map_or(Slot::MIN, |last| last.next());
        }
        self.front = slots;
        true
    }

    /// Turns a full front into the first run (together with `recent`, if that is not empty), to
    /// make way for a slot that comes before it.
    #[cold]
    pub(super) fn front_into_run(&mut self) {
        if !self.recent.is_empty() {
            return self.near_into_run();
        }
        let mut slots = mem::replace(&mut self.front, Self::buffer());
        slots.reverse();
        self.effort.add(slots.len());
        self.edge = slots[0];
        let stale = mem::take(&mut self.stale);
        self.runs
            .push_first(Run::new(self.edge, slots, stale, true));
    }

    /// Turns all near slots into the first run, or the first two, so that the next
    /// [`peek`](Self::peek) sorts them anew.
    #[cold]
    pub(super) fn near_into_run(&mut self) {
        // Without marks, a run that is made here must not be full: see `FRONT`.
        if !MARKS_STALE && self.near() >= Self::CAPACITY {
            self.far_half_into_run();
        }
        let mut slots = mem::take(&mut self.front);
        slots.reverse();
        let sorted = self.recent.is_empty();
        slots.extend(self.recent.drain().map(|Reverse(slot)| slot));
        self.effort.add(slots.len());
        self.edge = Slot::MIN;
        let stale = mem::take(&mut self.stale);
        self.runs
            .push_first(Run::new(self.edge, slots, stale, sorted));
    }

    /// Turns the farther half of the near slots into the first run. Their stale ones are not
    /// counted.
    fn far_half_into_run(&mut self) {
        // The front is sorted, latest first.
        let middle = self.front.len() / 2;
        let low = self.front[middle];
        let mut slots = Self::buffer();
        slots.extend(self.front.drain(..=middle).rev());
        let sorted = self.recent.is_empty();
        for Reverse(slot) in mem::take(&mut self.recent) {
            match slot < low {
                true => self.recent.push(Reverse(slot)),
                false => slots.push(slot),
            }
        }
        self.effort.add(slots.len());
        self.edge = low;
        self.runs.push_first(Run::new(low, slots, 0, sorted));
    }

    /// Takes all stale slots out of a run. Those whose timers have moved to below `end` are filed
    /// anew in the same run, the others go to `to_place`.
    fn refile(&mut self, run: &mut Run, end: Slot, timers: &mut impl Timers) {
        self.effort.add(run.slots.len());
        let (all, mut in_order) = (0..run.slots.len(), run.sorted);
        filter(run, all, timers, OnMove::Refile, |_, to| {
            if to < end {
                in_order = false;
                return Some(to);
            }
            if self.to_place.len() == self.to_place.capacity() {
                // The memory is reserved only where it is needed: when a program has freed many
                // small blocks, glibc merges all of them in the next allocation of a kilobyte or
                // more. For 400 000 of them, that takes 65 ms.
                self.to_place.reserve(Self::CAPACITY);
            }
            self.to_place.push(to);
            None
        });
        run.sorted = in_order;
        run.stale = 0;
        run.cursor = 0;
    }

    /// Takes the dead slots out of a run, and counts the stale ones that stay.
    ///
    /// Slots whose timers have moved stay for now, rather than being filed anew: if a timer is
    /// reset all the time, its new slot would turn stale at once.
    fn drop_dead(&mut self, run: &mut Run, timers: &mut impl Timers) {
        if run.stale == 0 {
            return;
        }
        self.effort.add(run.slots.len());
        let (all, mut stale) = (0..run.slots.len(), 0);
        filter(run, all, timers, OnMove::Keep, |slot, _| {
            stale += 1;
            Some(slot)
        });
        run.stale = stale;
    }

    /// Takes out the stale ones among the next few slots of a run.
    #[cold]
    pub(super) fn filter_some(&mut self, at: Position, timers: &mut impl Timers) {
        let run = &mut self.runs[at];
        let len = run.slots.len();
        // The last step is as long as the others, so that one call gets through a short run.
        let at_end = run.cursor as usize >= len;
        let start = if at_end {
            0
        } else {
            len.saturating_sub(STEP).min(run.cursor as usize)
        };
        let end = len.min(start + STEP);
        filter(run, start..end, timers, OnMove::Refile, |_, to| {
            self.to_place.push(to);
            None
        });
        let taken = len - run.slots.len();
        run.stale = run.stale.saturating_sub(taken as u32);
        run.cursor = (end - taken) as u32;
        self.effort.add(end - start);
        self.merge_small(at);
    }

    /// Takes the dead slots out of one run, and out of the next one when it is called again.
    #[cold]
    pub(crate) fn clean(&mut self, timers: &mut impl Timers) {
        let Some(low) = self.runs.low() else {
            return;
        };
        let at = self.runs.find(self.cleaned.max(low));
        self.cleaned = self.runs.low_after(at).unwrap_or(Slot::MIN);
        let run = &mut self.runs[at];
        let all = 0..run.slots.len();
        self.effort.add(run.slots.len());
        filter(run, all, timers, OnMove::Keep, |slot, _| Some(slot));
        self.merge_small(at);
    }

    /// Takes the farther half out of a run, stale slots included, and returns it.
    fn split(&mut self, run: &mut Run) -> Run {
        self.effort.add(run.slots.len() * 2);
        run.split(Self::buffer())
    }

    /// The same for the run at a position. The caller inserts the returned run behind that one.
    pub(super) fn split_in_half(&mut self, at: Position) -> Run {
        let run = &mut self.runs[at];
        self.effort.add(run.slots.len() * 2);
        run.split(Self::buffer())
    }

    /// Does a bounded part of the work that earlier calls have deferred.
    #[cold]
    pub(super) fn run_deferred(&mut self, timers: &mut impl Timers) {
        if !self.to_place.is_empty() {
            self.place_moved(timers);
        }
        // Splitting a run may add moved slots, and their number must stay bounded (H5).
        if self.to_place.is_empty() {
            self.split_one(timers);
        }
    }

    /// Places some of the moved slots, in the order in which they were found: so a run that was
    /// sorted, and whose timers were all moved by the same duration, becomes sorted runs again.
    fn place_moved(&mut self, timers: &mut impl Timers) {
        // More than `filter_some` adds in one call, so that their number does not grow.
        let some = self.to_place.len().min(STEP + STEP / 2);
        self.effort.add(some);
        for i in 0..some {
            // Its timer may have been removed or reset since; such a slot is not counted as stale.
            match timers.resolve(self.to_place[i], OnMove::Refile) {
                SlotState::Live => self.place(self.to_place[i]),
                SlotState::Dead => {}
                SlotState::Moved(slot) => self.place(slot),
            }
        }
        self.to_place.drain(..some);
    }

    /// Removes a run if it has become empty, or merges it with the one before it if it has become
    /// small, so that the capacity of runs stays in proportion to the slots in them.
    ///
    /// Giving back a part of each buffer instead would leave the allocator with free pieces of all
    /// sizes, and it would need a pause to sort those.
    fn merge_small(&mut self, at: Position) {
        let len = self.runs[at].slots.len();
        if len > RUN / 8 {
            return;
        }
        if len > 0 {
            let before = self.runs.before(at);
            let Some(before) = before.filter(|&at| self.runs[at].has_room(len)) else {
                return;
            };
            let run = self.runs.remove(at);
            self.effort.add(len);
            return self.runs[before].append(&run);
        }
        self.runs.remove(at);
        // What the run covered now belongs to the one before it; the first one begins at the edge.
        if at.is_first() {
            self.runs.set_low(self.edge);
        }
    }

    /// Splits one of the runs that are too long.
    ///
    /// It splits only one, to bound the call. One call may fill several runs; later calls, which
    /// place few slots, split the others.
    #[cold]
    fn split_one(&mut self, timers: &mut impl Timers) {
        let Some(slot) = self.full.pop() else {
            return;
        };
        if slot < self.edge || self.runs.is_empty() {
            return;
        }
        let at = self.runs.find(slot);
        if self.runs[at].slots.len() < RUN {
            return;
        }
        // An empty run takes its place meanwhile, because the code below borrows the whole heap.
        let low = self.runs[at].low;
        let mut run = mem::replace(&mut self.runs[at], Run::new(low, Vec::new(), 0, true));
        self.drop_dead(&mut run, timers);
        // If a quarter of RUN is free again, there is no need to split.
        if run.slots.len() <= RUN * 3 / 4 {
            self.runs[at] = run;
            return self.merge_small(at);
        }
        let mut far = self.split(&mut run);
        if run.stale > 0 {
            far.stale = run.stale;
            self.drop_dead(&mut far, timers);
            run.stale -= far.stale;
        }
        // If nearly all live slots are in one half, the other half breaks H4.
        for half in [&mut run, &mut far] {
            if half.is_stale(STALENESS) {
                self.refile(half, Slot::MIN, timers);
            }
        }
        self.runs[at] = run;
        if !far.slots.is_empty() {
            self.runs.insert_after(at, far);
        }
        self.merge_small(self.runs.find(low));
    }
}

/// Takes the dead slots in a range out of a run. For a slot whose timer has moved, calls `moved`
/// with the slot and the one that the timer has moved to; what `moved` returns replaces the slot.
///
/// One loop resolves all slots, so that the cache misses of looking up their timers overlap.
#[inline]
fn filter(
    run: &mut Run,
    range: Range<usize>,
    timers: &mut impl Timers,
    on_move: OnMove,
    mut moved: impl FnMut(Slot, Slot) -> Option<Slot>,
) {
    let slots = &mut run.slots[range.clone()];
    let mut kept = 0;
    for i in 0..slots.len() {
        let slot = slots[i];
        let stays = match timers.resolve(slot, on_move) {
            SlotState::Live => Some(slot),
            SlotState::Dead => None,
            SlotState::Moved(to) => moved(slot, to),
        };
        if let Some(stays) = stays {
            slots[kept] = stays;
            kept += 1;
        }
    }
    // The rest moves up, so that a sorted run stays sorted.
    run.slots.drain(range.start + kept..range.end);
}

/// How many slots were looked at or moved. The tests limit this number instead of measuring time.
#[derive(Debug, Default)]
pub(super) struct Effort {
    #[cfg(test)]
    pub(super) slots: usize,
}

#[cfg(test)]
impl Effort {
    pub(super) fn add(&mut self, slots: usize) {
        self.slots += slots;
    }
}

#[cfg(not(test))]
impl Effort {
    #[inline]
    pub(super) fn add(&mut self, _: usize) {}
}
