//! The runs of the heap: which run a slot lies in, and how many slots of each are stale.
//!
//! The runs, nearest first, are kept in groups: a tree of two levels, so that a search, an
//! insertion or a removal of a run reads or moves at most a few kilobytes.
//!
//! Resets make slots stale in all runs, and each stale slot is counted in the run that it lies in.
//! The lows of the runs and a count of newly stale slots ([`NewlyStale`]) for each are kept
//! together, a few kilobytes for a hundred thousand timers. Counting in the runs themselves would
//! touch one more cache line each time.
//!
//! - R1 lows rise from run to run; a run's slots lie from its low to below the next one's.
//! - R2 a group has 1 to `GROUP` runs, with the low and the `NewlyStale` of each; its own low is
//!   that of the first.
//! - R3 as many slots of a run are stale as the run and its `NewlyStale` count together.
//!   `IndexMut` first adds the latter to the run's own count.
//! - R4 while `NewlyStale` has not reached its `limit`, its run is not `is_stale(STALENESS)`: slots
//!   that are added in the meantime are live.

use std::ops::{Index, IndexMut};

use super::Slot;

/// When only one in this many slots of a run is live, the heap begins to take the stale ones out.
///
/// Looking at a live slot is wasted work, and a slot that is filed anew turns stale when its timer
/// is reset again. So of timers that are reset all the time, about one slot in STALENESS is looked
/// at, or filed anew, for nothing.
pub(super) const STALENESS: usize = 16;

/// The same for a heap most of whose timers are gone.
const STALENESS_WHEN_SHRINKING: usize = 4;

/// How many groups memory is reserved for as soon as there are two: enough for millions of timers.
/// If the lists grew after many runs have been freed, the allocator would sort the freed memory
/// first, a pause of a tenth of a millisecond.
const GROUPS: usize = 256;

/// A block of slots that all come before those of the next run.
pub(super) struct Run {
    pub(super) low: Slot,
    pub(super) slots: Vec<Slot>,
    /// How many of the slots are stale, not counting those in its `NewlyStale`.
    pub(super) stale: u32,
    /// Where the next search for stale slots starts.
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

    /// Takes the farther half out into `buffer` and returns it as a run. The caller counts again
    /// how many stale slots each half has.
    pub(super) fn split(&mut self, mut buffer: Vec<Slot>) -> Run {
        let middle = self.slots.len() / 2;
        if !self.sorted {
            // Linear in the worst case, even if a hostile client has chosen the deadlines.
            self.slots.select_nth_unstable(middle);
        }
        buffer.extend_from_slice(&self.slots[middle..]);
        self.slots.truncate(middle);
        Run::new(buffer[0], buffer, 0, self.sorted)
    }

    /// Returns whether less than one in `part` slots is live.
    #[inline]
    pub(super) fn is_stale(&self, part: usize) -> bool {
        (self.slots.len() - self.stale as usize) * part < self.slots.len()
    }

    /// Returns how many slots may turn stale before less than one in STALENESS is live.
    fn limit(&self) -> usize {
        let least = self.slots.len().div_ceil(STALENESS);
        (self.slots.len() - self.stale as usize).saturating_sub(least)
    }

    /// Returns whether `more` slots fit without filling more than half of the run's buffer.
    pub(super) fn has_room(&self, more: usize) -> bool {
        (self.slots.len() + more) * 2 <= self.slots.capacity()
    }

    /// Adds the slots of the next run.
    pub(super) fn append(&mut self, run: &Run) {
        self.slots.extend_from_slice(&run.slots);
        self.stale += run.stale;
        self.sorted &= run.sorted;
    }
}

/// How many slots of a run have turned stale since its own count was last brought up to date.
#[derive(Clone, Copy, Default)]
struct NewlyStale {
    stale: u16,
    /// How many slots may turn stale before the run itself has to be looked at.
    limit: u16,
}

struct Group {
    lows: Vec<Slot>,
    newly_stale: Vec<NewlyStale>,
    runs: Vec<Run>,
}

impl Group {
    fn new() -> Self {
        let (lows, newly_stale, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            lows,
            newly_stale,
            runs,
        }
    }

    fn insert(&mut self, to: usize, run: Run) {
        self.lows.insert(to, run.low);
        self.newly_stale.insert(to, NewlyStale::default());
        self.runs.insert(to, run);
    }

    fn remove(&mut self, at: usize) -> Run {
        self.flush_newly_stale(at);
        self.lows.remove(at);
        self.newly_stale.remove(at);
        self.runs.remove(at)
    }

    /// Takes out the runs from `at` on and returns them as a group, of at most `most` runs.
    fn split_off(&mut self, at: usize, most: usize) -> Self {
        Self {
            lows: split_off(&mut self.lows, at, most),
            newly_stale: split_off(&mut self.newly_stale, at, most),
            runs: split_off(&mut self.runs, at, most),
        }
    }

    /// Adds the newly stale slots of a run to the run's own count.
    #[inline]
    fn flush_newly_stale(&mut self, at: usize) -> &mut Run {
        let newly = std::mem::take(&mut self.newly_stale[at]);
        let run = &mut self.runs[at];
        run.stale += u32::from(newly.stale);
        run
    }
}

/// The position of a run, valid until a run is added or removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    group: usize,
    run: usize,
}

impl Position {
    /// Returns whether it is that of the nearest run.
    #[inline]
    pub(super) fn is_first(self) -> bool {
        self == Self { group: 0, run: 0 }
    }
}

/// All runs. See the head of this file.
///
/// With `MARKS_STALE`, each slot that turns stale is counted by [`mark_stale`](Self::mark_stale),
/// and a run's buffer is larger: see `RunHeap`.
pub(super) struct Runs<const MARKS_STALE: bool> {
    /// The lows of the groups.
    lows: Vec<Slot>,
    groups: Vec<Group>,
}

impl<const MARKS_STALE: bool> Runs<MARKS_STALE> {
    /// How many runs a group holds at most. A group's runs then take as much memory as the buffer
    /// of one run, so the allocator can reuse that. Tests use a small number, so that they split
    /// groups.
    const GROUP: usize = match MARKS_STALE {
        _ if cfg!(test) => 4,
        true => 80,
        false => 64,
    };

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

    /// Sets the low of the nearest run to an earlier one.
    pub(super) fn set_low(&mut self, low: Slot) {
        if let Some(group) = self.groups.first_mut() {
            self.lows[0] = low;
            group.lows[0] = low;
            group.runs[0].low = low;
        }
    }

    /// Returns the position of the run that a slot lies in. The slot must not be below the first
    /// low.
    #[inline]
    pub(super) fn find(&self, slot: Slot) -> Position {
        let group = last_at_or_below(&self.lows, slot);
        let run = last_at_or_below(&self.groups[group].lows, slot);
        Position { group, run }
    }

    /// Adds a live slot to the run that it lies in. Returns how many slots the run now has.
    #[inline]
    pub(super) fn push(&mut self, at: Position, slot: Slot) -> usize {
        let run = &mut self.groups[at.group].runs[at.run];
        run.push(slot);
        run.slots.len()
    }

    /// Counts a slot of a run as stale. Returns whether the heap should take stale slots out of the
    /// run, which is sooner if the heap is `shrinking`.
    #[inline]
    pub(super) fn mark_stale(&mut self, at: Position, shrinking: bool) -> bool {
        let newly = &mut self.groups[at.group].newly_stale[at.run];
        newly.stale += 1;
        (newly.stale > newly.limit || shrinking) && self.is_too_stale(at, shrinking)
    }

    fn is_too_stale(&mut self, at: Position, shrinking: bool) -> bool {
        let group = &mut self.groups[at.group];
        let run = group.flush_newly_stale(at.run);
        let is_stale = run.is_stale(if shrinking {
            STALENESS_WHEN_SHRINKING
        } else {
            STALENESS
        });
        group.newly_stale[at.run].limit = run.limit() as u16;
        is_stale
    }

    /// Returns whether a run is the farthest.
    #[inline]
    pub(super) fn is_last(&self, at: Position) -> bool {
        at.group == self.groups.len() - 1 && at.run == self.groups[at.group].runs.len() - 1
    }

    /// Returns the position of the run before another.
    pub(super) fn before(&self, Position { group, run }: Position) -> Option<Position> {
        if run > 0 {
            return Some(Position {
                group,
                run: run - 1,
            });
        }
        let group = group.checked_sub(1)?;
        Some(Position {
            group,
            run: self.groups[group].runs.len() - 1,
        })
    }

    /// Returns the low of the run after another.
    pub(super) fn low_after(&self, at: Position) -> Option<Slot> {
        let lows = &self.groups[at.group].lows;
        let next_group = self.lows.get(at.group + 1);
        lows.get(at.run + 1).or(next_group).copied()
    }

    /// Adds a run before all others.
    pub(super) fn push_first(&mut self, run: Run) {
        self.insert(Position { group: 0, run: 0 }, run);
    }

    /// Adds a run after all others.
    pub(super) fn push_last(&mut self, run: Run) {
        let group = self.groups.len().saturating_sub(1);
        let at = Position {
            group,
            run: self.groups.last().map_or(0, |group| group.runs.len()),
        };
        self.insert(at, run);
    }

    /// Adds a run right after another.
    pub(super) fn insert_after(&mut self, at: Position, run: Run) {
        self.insert(
            Position {
                run: at.run + 1,
                ..at
            },
            run,
        );
    }

    fn insert(&mut self, at: Position, run: Run) {
        let Position {
            group: mut at,
            run: mut to,
        } = at;
        if at == self.groups.len() {
            self.insert_group(at, Group::new(), run.low);
        } else if self.groups[at].runs.len() == Self::GROUP {
            // If this is the far end, the full group stays full: deadlines that come in order are
            // added to the next one.
            let is_last = at == self.groups.len() - 1;
            let half = if is_last && to == Self::GROUP {
                Self::GROUP
            } else {
                Self::GROUP / 2
            };
            let far = self.groups[at].split_off(half, Self::GROUP);
            let low = far.lows.first().map_or(run.low, |&low| low);
            self.insert_group(at + 1, far, low);
            if to > half || half == Self::GROUP {
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

    pub(super) fn remove(&mut self, at: Position) -> Run {
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

    /// Takes out the nearest run and returns it.
    pub(super) fn pop_first(&mut self) -> Option<Run> {
        (!self.is_empty()).then(|| self.remove(Position { group: 0, run: 0 }))
    }
}

/// Takes out the elements from `at` on. Returns them in a vector with as much memory as `most` runs
/// take: see [`Runs::GROUP`].
fn split_off<T>(all: &mut Vec<T>, at: usize, most: usize) -> Vec<T> {
    let mut far = Vec::with_capacity(most * size_of::<Run>() / size_of::<T>());
    far.extend(all.drain(at..));
    far
}

/// Returns the index of the last low that is not above a slot, or 0 if all are.
#[inline]
fn last_at_or_below(lows: &[Slot], slot: Slot) -> usize {
    let last = lows.len() - 1;
    // The usual case: a new timeout is farther off than most of the waiting timers.
    if slot >= lows[last] {
        return last;
    }
    lows.partition_point(|&low| low <= slot).saturating_sub(1)
}

impl<const MARKS_STALE: bool> Index<Position> for Runs<MARKS_STALE> {
    type Output = Run;

    #[inline]
    fn index(&self, at: Position) -> &Run {
        &self.groups[at.group].runs[at.run]
    }
}

impl<const MARKS_STALE: bool> IndexMut<Position> for Runs<MARKS_STALE> {
    #[inline]
    fn index_mut(&mut self, at: Position) -> &mut Run {
        self.groups[at.group].flush_newly_stale(at.run)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
