//! Where does a slot lie that is not near?
//!
//! The runs of the heap, nearest first, in groups: a tree of two levels over the blocks of slots,
//! so that neither a search nor a run that comes or goes moves more than some kilobytes.
//!
//! - R1 lows rise from run to run; a run's slots lie from its low to below the next one's.
//! - R2 a group has 1 to GROUP runs, and the low of its first.
//!
//! What the slots mean is `heap`'s business.

use std::ops::{Index, IndexMut};

use super::Slot;

/// How many runs a group holds: as many as are the size of one run's buffer, for the allocator's
/// sake. Few in tests, which are to see groups part.
const GROUP: usize = if cfg!(test) { 4 } else { 80 };

/// A block of slots that lies wholly before the next.
pub(super) struct Run {
    pub(super) low: Slot,
    pub(super) slots: Vec<Slot>,
    /// How many of the slots are stale.
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

struct Group {
    low: Slot,
    runs: Vec<Run>,
}

/// The place of a run, good until one is removed or comes before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    group: usize,
    run: usize,
}

/// All runs. See the head of this file.
pub(super) struct Runs {
    groups: Vec<Group>,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self { groups: Vec::new() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns the low of the nearest run.
    #[inline]
    pub(super) fn low(&self) -> Option<Slot> {
        self.groups.first().map(|group| group.low)
    }

    /// Makes the nearest run begin earlier.
    pub(super) fn set_low(&mut self, low: Slot) {
        if let Some(group) = self.groups.first_mut() {
            group.low = low;
            group.runs[0].low = low;
        }
    }

    /// Returns the place of the run that a slot at or above the lowest low lies in.
    #[inline]
    pub(super) fn find(&self, slot: Slot) -> At {
        let mut group = self.groups.len() - 1;
        // The usual case: a timeout is farther off than most of what waits.
        if slot < self.groups[group].low {
            group = self.groups.partition_point(|group| group.low <= slot) - 1;
        }
        let runs = &self.groups[group].runs;
        let mut run = runs.len() - 1;
        if slot < runs[run].low {
            run = runs.partition_point(|run| run.low <= slot) - 1;
        }
        At { group, run }
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

    fn insert(
        &mut self,
        At {
            group: at,
            run: mut to,
        }: At,
        run: Run,
    ) {
        let last = self.groups.len().saturating_sub(1);
        let Some(group) = self.groups.get_mut(at) else {
            return self.groups.push(Group {
                low: run.low,
                runs: vec![run],
            });
        };
        let mut group = group;
        if group.runs.len() == GROUP {
            // At the far end the full group stays full: deadlines that come in order fill them.
            let half = if at == last && to == GROUP {
                GROUP
            } else {
                GROUP / 2
            };
            let mut runs = Vec::with_capacity(GROUP);
            runs.extend(group.runs.drain(half..));
            if to > half || half == GROUP {
                runs.insert(to - half, run);
                let low = runs[0].low;
                return self.groups.insert(at + 1, Group { low, runs });
            }
            let low = runs[0].low;
            self.groups.insert(at + 1, Group { low, runs });
            group = &mut self.groups[at];
            to = to.min(half);
        }
        group.runs.insert(to, run);
        group.low = group.runs[0].low;
    }

    pub(super) fn remove(&mut self, at: At) -> Run {
        let group = &mut self.groups[at.group];
        let run = group.runs.remove(at.run);
        match group.runs.first() {
            Some(first) => group.low = first.low,
            None => drop(self.groups.remove(at.group)),
        }
        run
    }

    /// Takes out the nearest run.
    pub(super) fn pop_first(&mut self) -> Option<Run> {
        (!self.is_empty()).then(|| self.remove(At { group: 0, run: 0 }))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.groups.iter().flat_map(|group| &group.runs)
    }

    /// Checks R1, that of lows, and R2.
    #[cfg(test)]
    pub(super) fn verify(&self) {
        assert!(
            self.iter().map(|run| run.low).is_sorted_by(|a, b| a < b),
            "R1"
        );
        for group in &self.groups {
            assert!(
                (1..=GROUP).contains(&group.runs.len()),
                "R2: {}",
                group.runs.len()
            );
            assert!(group.low == group.runs[0].low, "R2: {:?}", group.low);
        }
    }
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
        &mut self.groups[at.group].runs[at.run]
    }
}
