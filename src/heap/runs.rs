//! Where does a slot lie that is not near?
//!
//! The runs of the heap, nearest first, in groups: a tree of two levels over the blocks of slots,
//! so that neither a search nor a run that comes or goes moves more than some kilobytes.
//!
//! Timers that are put off over and over turn slots stale all over the place, and each is counted in
//! its run. What that takes, the lows and a [`Tally`] for each run, is kept together, some kilobytes
//! for a hundred thousand timers: the runs themselves would be another cache line each time.
//!
//! - R1 lows rise from run to run; a run's slots lie from its low to below the next one's.
//! - R2 a group has 1 to GROUP runs, with the low and the tally of each; its own low is that of the
//!   first.
//! - R3 as many slots of a run are stale as the run and its tally say together; whoever may change a
//!   run finds all of them in the run.
//! - R4 a tally that has not reached its `spare` has a run that is not `is_stale(LAZY)`: what a run
//!   is given in the meantime is true.
//!
//! What the slots mean is `heap`'s business.

use std::ops::{Index, IndexMut};

use super::Slot;

/// How rare the true slots of a run get before its stale ones are looked for.
///
/// Each look that finds true slots was in vain, and each slot that is sent on will be stale again
/// when its timer is reset again: of timers that are reset all the time, a 1 in LAZY pays.
pub(super) const LAZY: usize = 16;

/// How many runs a group holds: as many as are the size of one run's buffer, for the allocator's
/// sake. Few in tests, which are to see groups part.
const GROUP: usize = if cfg!(test) { 4 } else { 80 };

/// For how many groups there is room as soon as there are two: for millions of timers. To grow when
/// many runs have come and gone means to have the allocator sort what they have left behind, a pause
/// of a tenth of a millisecond.
const GROUPS: usize = 256;

/// A block of slots that lies wholly before the next.
pub(super) struct Run {
    pub(super) low: Slot,
    pub(super) slots: Vec<Slot>,
    /// How many of the slots are stale, but for those in the run's tally.
    pub(super) stale: u32,
    /// Where the next look for stale slots starts.
    pub(super) cursor: u32,
    /// Whether the slots are known to be in order, earliest first.
    pub(super) sorted: bool,
}

impl Run {
    pub(super) fn new(low: Slot, slots: Vec<Slot>, stale: usize, sorted: bool) -> Self {
        Self {
            low,
            slots,
            stale: stale as u32,
            cursor: 0,
            sorted,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, slot: Slot) {
        self.sorted &= self.slots.last().is_none_or(|&last| last < slot);
        self.slots.push(slot);
    }

    /// Takes the farther half out into `buffer`, as a run. Which half has what is stale is for the
    /// caller to find out.
    pub(super) fn cut(&mut self, mut buffer: Vec<Slot>) -> Run {
        let middle = self.slots.len() / 2;
        if !self.sorted {
            // Guaranteed linear, whatever deadlines a hostile client has chosen.
            self.slots.select_nth_unstable(middle);
        }
        buffer.extend_from_slice(&self.slots[middle..]);
        self.slots.truncate(middle);
        Run::new(buffer[0], buffer, 0, self.sorted)
    }

    /// Returns whether less than one in `part` slots is true.
    #[inline]
    pub(super) fn is_stale(&self, part: usize) -> bool {
        (self.slots.len() - self.stale as usize) * part < self.slots.len()
    }

    /// Returns how many slots may turn stale before less than one in LAZY is true.
    fn spare(&self) -> usize {
        let least = self.slots.len().div_ceil(LAZY);
        (self.slots.len() - self.stale as usize).saturating_sub(least)
    }

    /// Returns whether `more` slots fit without filling the run by more than half.
    pub(super) fn has_room(&self, more: usize) -> bool {
        (self.slots.len() + more) * 2 <= self.slots.capacity()
    }

    /// Takes in the slots of the run behind it.
    pub(super) fn join(&mut self, run: &Run) {
        self.slots.extend_from_slice(&run.slots);
        self.stale += run.stale;
        self.sorted &= run.sorted;
    }
}

/// How many slots have turned stale since a run was last looked at.
#[derive(Clone, Copy, Default)]
struct Tally {
    stale: u16,
    /// How many may, before the run has to be looked at.
    spare: u16,
}

struct Group {
    lows: Vec<Slot>,
    tallies: Vec<Tally>,
    runs: Vec<Run>,
}

impl Group {
    fn new() -> Self {
        let (lows, tallies, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            lows,
            tallies,
            runs,
        }
    }

    fn insert(&mut self, to: usize, run: Run) {
        self.lows.insert(to, run.low);
        self.tallies.insert(to, Tally::default());
        self.runs.insert(to, run);
    }

    fn remove(&mut self, at: usize) -> Run {
        self.settle(at);
        self.lows.remove(at);
        self.tallies.remove(at);
        self.runs.remove(at)
    }

    /// Takes the runs from `at` on out, as a group.
    fn split_off(&mut self, at: usize) -> Self {
        Self {
            lows: split_off(&mut self.lows, at),
            tallies: split_off(&mut self.tallies, at),
            runs: split_off(&mut self.runs, at),
        }
    }

    /// Makes a run itself say how many of its slots are stale.
    #[inline]
    fn settle(&mut self, at: usize) -> &mut Run {
        let tally = std::mem::take(&mut self.tallies[at]);
        let run = &mut self.runs[at];
        run.stale += u32::from(tally.stale);
        run
    }
}

/// The place of a run, good until one is removed or comes before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    group: usize,
    run: usize,
}

/// All runs. See the head of this file.
pub(super) struct Runs {
    /// The lows of the groups.
    lows: Vec<Slot>,
    groups: Vec<Group>,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self {
            lows: Vec::new(),
            groups: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lows.is_empty()
    }

    /// Returns the low of the nearest run.
    #[inline]
    pub(super) fn low(&self) -> Option<Slot> {
        self.lows.first().copied()
    }

    /// Makes the nearest run begin earlier.
    pub(super) fn set_low(&mut self, low: Slot) {
        if let Some(group) = self.groups.first_mut() {
            self.lows[0] = low;
            group.lows[0] = low;
            group.runs[0].low = low;
        }
    }

    /// Returns the place of the run that a slot at or above the lowest low lies in.
    #[inline]
    pub(super) fn find(&self, slot: Slot) -> At {
        let group = last_at_or_below(&self.lows, slot);
        let run = last_at_or_below(&self.groups[group].lows, slot);
        At { group, run }
    }

    /// Adds a true slot to the run that it lies in; how many that now has.
    #[inline]
    pub(super) fn push(&mut self, at: At, slot: Slot) -> usize {
        let run = &mut self.groups[at.group].runs[at.run];
        run.push(slot);
        run.slots.len()
    }

    /// Counts a slot of a run that has turned stale. Returns whether less than one in LAZY is true;
    /// if the heap is to be `lean`, less than one in 4.
    #[inline]
    pub(super) fn forsake(&mut self, at: At, lean: bool) -> bool {
        let tally = &mut self.groups[at.group].tallies[at.run];
        tally.stale += 1;
        (tally.stale > tally.spare || lean) && self.count(at, lean)
    }

    fn count(&mut self, at: At, lean: bool) -> bool {
        let group = &mut self.groups[at.group];
        let run = group.settle(at.run);
        let is_stale = run.is_stale(if lean { 4 } else { LAZY });
        group.tallies[at.run].spare = run.spare() as u16;
        is_stale
    }

    /// Returns whether no run is farther.
    #[inline]
    pub(super) fn is_last(&self, at: At) -> bool {
        at.group == self.groups.len() - 1 && at.run == self.groups[at.group].runs.len() - 1
    }

    #[inline]
    pub(super) fn is_first(at: At) -> bool {
        at == At { group: 0, run: 0 }
    }

    /// Returns the place of the run before another.
    pub(super) fn before(&self, At { group, run }: At) -> Option<At> {
        if run > 0 {
            return Some(At {
                group,
                run: run - 1,
            });
        }
        let group = group.checked_sub(1)?;
        Some(At {
            group,
            run: self.groups[group].runs.len() - 1,
        })
    }

    /// Adds a run before all others.
    pub(super) fn push_first(&mut self, run: Run) {
        self.insert(At { group: 0, run: 0 }, run);
    }

    /// Adds a run behind all others.
    pub(super) fn push_last(&mut self, run: Run) {
        let group = self.groups.len().saturating_sub(1);
        let at = At {
            group,
            run: self.groups.last().map_or(0, |group| group.runs.len()),
        };
        self.insert(at, run);
    }

    /// Adds a run right behind another.
    pub(super) fn insert_after(&mut self, at: At, run: Run) {
        self.insert(
            At {
                run: at.run + 1,
                ..at
            },
            run,
        );
    }

    fn insert(&mut self, at: At, run: Run) {
        let At {
            group: mut at,
            run: mut to,
        } = at;
        if at == self.groups.len() {
            self.insert_group(at, Group::new(), run.low);
        } else if self.groups[at].runs.len() == GROUP {
            // At the far end the full group stays full: deadlines that come in order fill them.
            let is_last = at == self.groups.len() - 1;
            let half = if is_last && to == GROUP {
                GROUP
            } else {
                GROUP / 2
            };
            let far = self.groups[at].split_off(half);
            let low = far.lows.first().map_or(run.low, |&low| low);
            self.insert_group(at + 1, far, low);
            if to > half || half == GROUP {
                (at, to) = (at + 1, to - half);
            }
        }
        let group = &mut self.groups[at];
        group.insert(to, run);
        self.lows[at] = group.lows[0];
    }

    fn insert_group(&mut self, at: usize, group: Group, low: Slot) {
        if self.groups.len() == 1 {
            self.lows.reserve_exact(GROUPS);
            self.groups.reserve_exact(GROUPS);
        }
        self.lows.insert(at, low);
        self.groups.insert(at, group);
    }

    pub(super) fn remove(&mut self, at: At) -> Run {
        let group = &mut self.groups[at.group];
        let run = group.remove(at.run);
        match group.lows.first() {
            Some(&low) => self.lows[at.group] = low,
            None => {
                self.lows.remove(at.group);
                self.groups.remove(at.group);
            }
        }
        run
    }

    /// Takes out the nearest run.
    pub(super) fn pop_first(&mut self) -> Option<Run> {
        (!self.is_empty()).then(|| self.remove(At { group: 0, run: 0 }))
    }
}

/// Takes the elements from `at` on out, into as much memory as GROUP runs take: see there.
fn split_off<T>(all: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut far = Vec::with_capacity(GROUP * size_of::<Run>() / size_of::<T>());
    far.extend(all.drain(at..));
    far
}

/// Returns the place of the last low that is not above a slot, in order of lows; the first one is
/// taken for low enough.
#[inline]
fn last_at_or_below(lows: &[Slot], slot: Slot) -> usize {
    let last = lows.len() - 1;
    // The usual case: a timeout is farther off than most of what waits.
    if slot >= lows[last] {
        return last;
    }
    lows.partition_point(|&low| low <= slot).saturating_sub(1)
}

impl Index<At> for Runs {
    type Output = Run;

    #[inline]
    fn index(&self, at: At) -> &Run {
        &self.groups[at.group].runs[at.run]
    }
}

impl IndexMut<At> for Runs {
    #[inline]
    fn index_mut(&mut self, at: At) -> &mut Run {
        self.groups[at.group].settle(at.run)
    }
}

#[cfg(test)]
mod tests;
