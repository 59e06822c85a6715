//! What keeps the heap in order, a little at a time?
//!
//! All that moves slots other than the one that a call is about: opening the nearest run, finding
//! the stale slots of a run, cutting one in two, placing what has moved. Each step is about one run
//! of LEN slots, or [`STEP`] of its slots. The invariants are told in `heap`.

use std::mem;

use super::runs::{At, LAZY, Run, Runs};
use super::{Asked, Fate, RunHeap, Slot};

/// How many slots of a run are looked at when one of them turns stale in a run that is mostly so.
///
/// More than LAZY, which makes H4 true: to go round the run takes `len / STEP` calls, and when
/// that starts `len / LAZY` slots are true, so all that was stale by then is found in time.
pub(super) const STEP: usize = 2 * LAZY;

/// How many emptied buffers are kept for the next run.
const SPARE: usize = 16;

impl<const LEN: usize> RunHeap<LEN> {
    /// Makes the first run the front: drops what is dead, sends on what has moved, sorts the rest.
    ///
    /// To be called when nothing is near.
    #[cold]
    pub(super) fn load(&mut self, fate: &mut impl FnMut(Slot, Asked) -> Fate) -> bool {
        // What waits to be placed may belong here.
        while !self.moved.is_empty() {
            self.place_moved(fate);
        }
        let Some(mut run) = self.runs.pop_first() else {
            return self.near() > 0;
        };
        self.edge = self.runs.low().unwrap_or(Slot::MAX);
        if run.stale > 0 {
            self.winnow(&mut run, self.edge, fate);
        }
        if run.slots.len() > LEN {
            let far = self.cut(&mut run);
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
        let emptied = mem::replace(&mut self.front, slots);
        self.keep(emptied);
        true
    }

    /// Drops the dead slots of a run. What has moved stays if below `end`, else it goes to `moved`.
    ///
    /// All fates are asked in one loop, so that the cache misses of looking them up overlap.
    fn winnow(&mut self, run: &mut Run, end: Slot, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        self.effort.add(run.slots.len());
        self.moved.reserve(Self::ROOM);
        run.slots
            .retain_mut(|slot| match fate(*slot, Asked::ToLeave) {
                Fate::True => true,
                Fate::Dead => false,
                Fate::Moved(to) if to < end => {
                    *slot = to;
                    run.sorted = false;
                    true
                }
                Fate::Moved(to) => {
                    self.moved.push(to);
                    false
                }
            });
        run.stale = 0;
        run.cursor = 0;
    }

    /// Takes the farther half out of a run, stale slots and all.
    fn cut(&mut self, run: &mut Run) -> Run {
        self.effort.add(run.slots.len() * 2);
        run.cut(self.buffer())
    }

    /// Does a bounded part of what earlier calls left to be done.
    #[cold]
    pub(super) fn repay(&mut self, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        if !self.moved.is_empty() {
            self.place_moved(fate);
        }
        // Cutting a run may add to what is moved, which is not to pile up.
        if self.moved.is_empty() {
            self.relieve(fate);
        }
    }

    /// Places some of what was moved, in the order it was found in: a run that was sorted, and
    /// whose timers were all moved by the same time, makes sorted runs again.
    fn place_moved(&mut self, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        // More than one sweep adds, so that they do not pile up.
        let some = self.moved.len().min(STEP + STEP / 2);
        self.effort.add(some);
        for i in 0..some {
            // Its timer may have been removed or reset since; that was not counted anywhere.
            match fate(self.moved[i], Asked::ToLeave) {
                Fate::True => self.place(self.moved[i]),
                Fate::Dead => {}
                Fate::Moved(slot) => self.place(slot),
            }
        }
        self.moved.drain(..some);
    }

    /// Looks at the next few slots of a run, drops those that are dead, sends on those moved.
    #[cold]
    pub(super) fn sweep(&mut self, at: At, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        let run = &mut self.runs[at];
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
        for i in start..end {
            let slot = run.slots[i];
            match fate(slot, Asked::ToLeave) {
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
        self.effort.add(end - start);
        self.tidy(at);
    }

    /// Removes a run that slots have left: one of few joins the one before it.
    ///
    /// So that the room of runs stays in proportion to what is in them. Giving back a part of each
    /// buffer instead would litter the allocator with pieces of all sizes, and to sort those is a
    /// pause of its own.
    fn tidy(&mut self, at: At) {
        let few = self.runs[at].slots.len();
        if few > LEN / 8 {
            return;
        }
        if few > 0 {
            let Some(before) = self
                .runs
                .before(at)
                .filter(|&at| self.runs[at].has_room(few))
            else {
                return;
            };
            let run = self.runs.remove(at);
            self.effort.add(few);
            self.runs[before].join(&run);
            return self.keep(run.slots);
        }
        let run = self.runs.remove(at);
        self.keep(run.slots);
        // What the run covered now belongs to the one before it; the first one begins at the edge.
        if Runs::is_first(at) {
            self.runs.set_low(self.edge);
        }
    }

    pub(super) fn buffer(&mut self) -> Vec<Slot> {
        self.spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(Self::ROOM))
    }

    pub(super) fn take_front(&mut self) -> Vec<Slot> {
        let buffer = self.spare.pop().unwrap_or_default();
        mem::replace(&mut self.front, buffer)
    }

    fn keep(&mut self, mut emptied: Vec<Slot>) {
        emptied.clear();
        if self.spare.len() < SPARE && emptied.capacity() >= LEN {
            self.spare.push(emptied);
        }
    }

    /// Cuts one run that has become too long: one, so that a call that moves many slots does not
    /// pay for many. More wait for the calls to come; each brings few slots, so they get there.
    #[cold]
    pub(super) fn relieve(&mut self, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        let Some(slot) = self.crowded.pop() else {
            return;
        };
        if slot < self.edge || self.runs.is_empty() {
            return;
        }
        let at = self.runs.find(slot);
        if self.runs[at].slots.len() < LEN {
            return;
        }
        // Out of its place while it is worked on: the rest of the heap is needed for that.
        let low = self.runs[at].low;
        let mut run = mem::replace(&mut self.runs[at], Run::new(low, Vec::new(), 0, true));
        self.drop_dead(&mut run, fate);
        // With a quarter of the room regained, the next cut is far enough.
        if run.slots.len() > LEN * 3 / 4 {
            let mut far = self.cut(&mut run);
            if run.stale > 0 {
                far.stale = run.stale;
                self.drop_dead(&mut far, fate);
                run.stale -= far.stale;
            }
            // A half may have got nearly none of what is true.
            for half in [&mut run, &mut far] {
                if half.is_stale(LAZY) {
                    self.winnow(half, Slot::MIN, fate);
                }
            }
            self.runs[at] = run;
            if far.slots.is_empty() {
                self.keep(far.slots);
            } else {
                return self.runs.insert_after(at, far);
            }
        } else {
            self.runs[at] = run;
        }
        self.tidy(at);
    }

    /// Drops the dead slots of a run, and counts the stale ones that stay.
    ///
    /// Those that have moved are not sent on as long as they do not have to leave: a timer that is
    /// reset all the time would at once make its new slot stale.
    fn drop_dead(&mut self, run: &mut Run, fate: &mut impl FnMut(Slot, Asked) -> Fate) {
        if run.stale == 0 {
            return;
        }
        self.effort.add(run.slots.len());
        run.stale = 0;
        run.slots.retain(|&slot| match fate(slot, Asked::ToStay) {
            Fate::True => true,
            Fate::Dead => false,
            Fate::Moved(_) => {
                run.stale += 1;
                true
            }
        });
    }
}

/// How many slots were looked at or moved: what the tests bound in place of time.
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
