//! Tests of the heap alone: its order and its invariants.

use super::runs::STALENESS;
use super::*;

impl<const RUN: usize, const MARKS_STALE: bool> RunHeap<RUN, MARKS_STALE> {
    /// Checks H1 to H5 and returns how many live slots there are.
    pub(crate) fn verify(&self, is_live: impl Fn(Slot) -> bool) -> usize {
        let count = |slots: &[Slot]| slots.iter().filter(|&&slot| is_live(slot)).count();
        let recent: Vec<_> = self.recent.iter().map(|&Reverse(slot)| slot).collect();
        let mut found = count(&self.front) + count(&recent);
        assert!(
            self.front
                .iter()
                .chain(&recent)
                .all(|&slot| slot < self.edge),
            "H1 near"
        );
        assert!(self.front.is_sorted_by(|a, b| a > b), "H2 front");
        assert!(self.front.len() <= RUN, "H3 front: {}", self.front.len());
        assert!(recent.len() <= Self::RECENT, "H3 recent: {}", recent.len());
        assert_eq!(self.stale, self.near() - found, "stale slots near");
        assert!(
            self.stale <= (RUN + Self::RECENT) / 2 + STEP + 1,
            "H4 near: {} of {}",
            self.stale,
            self.near()
        );
        assert!(
            self.runs.low().is_none_or(|low| low == self.edge),
            "H1 edge"
        );
        assert!(self.to_place.iter().all(|&slot| slot >= self.edge), "H5");
        assert!(
            self.to_place.len() <= RUN * 2,
            "H5: {}",
            self.to_place.len()
        );
        found += count(&self.to_place);
        self.runs.verify();
        let lows: Vec<_> = self.runs.iter().map(|(run, _)| run.low).collect();
        for (i, (run, stale)) in self.runs.iter().enumerate() {
            let end = lows.get(i + 1).copied().unwrap_or(Slot::MAX);
            assert!(run.low < end, "H1 run {i}");
            assert!(
                run.slots.iter().all(|&slot| run.low <= slot && slot < end),
                "H1 run {i}"
            );
            assert!(!run.sorted || run.slots.is_sorted(), "H2 run {i}");
            let len = run.slots.len();
            let most = if MARKS_STALE { RUN * 4 - 1 } else { RUN };
            assert!(len <= most, "H3 run {i}: {len}");
            let capacity = run.slots.capacity();
            // A small heap grows its buffers as a `Vec` does.
            let most = if MARKS_STALE {
                4 * len.max(RUN)
            } else {
                2 * RUN - 1
            };
            assert!(capacity <= most, "H3 run {i}: {len} in {capacity}");
            assert!(len > 0, "H4 run {i}");
            let live = count(&run.slots);
            assert_eq!(stale, len - live, "stale slots of run {i}");
            assert!(
                i == 0 && run.low == Slot::MIN || live * 2 * STALENESS >= len,
                "H4 {i}: {live} of {len}"
            );
            found += live;
        }
        found
    }

    /// Returns how many slots there are, stale ones included.
    pub(crate) fn slots(&self) -> usize {
        self.near()
            + self.to_place.len()
            + self
                .runs
                .iter()
                .map(|(run, _)| run.slots.len())
                .sum::<usize>()
    }

    /// Returns the capacity of all buffers, in slots.
    pub(crate) fn capacity(&self) -> usize {
        let runs = self
            .runs
            .iter()
            .map(|(run, _)| run.slots.capacity())
            .sum::<usize>();
        self.front.capacity() + self.recent.capacity() + self.to_place.capacity() + runs
    }

    /// Returns how many slots were looked at or moved since the last call.
    pub(crate) fn take_effort(&mut self) -> usize {
        std::mem::take(&mut self.effort.slots)
    }
}

/// Timers that are all armed for the deadlines of their slots.
struct AllLive;

impl Timers for AllLive {
    fn resolve(&mut self, _: Slot, _: OnMove) -> SlotState {
        SlotState::Live
    }

    fn are_mostly_gone(&self) -> bool {
        false
    }
}

/// Timers that were all removed.
struct AllDead;

impl Timers for AllDead {
    fn resolve(&mut self, _: Slot, _: OnMove) -> SlotState {
        SlotState::Dead
    }

    fn is_live(&mut self, _: Slot) -> bool {
        false
    }
}

fn slot(millis: u64, key: u32) -> Slot {
    Slot::new(millis * 1_000_000, key, key)
}

fn drain<const RUN: usize, const MARKS_STALE: bool>(
    heap: &mut RunHeap<RUN, MARKS_STALE>,
) -> Vec<Slot> {
    let mut all = Vec::new();
    while let Some(root) = heap.peek(u64::MAX, &mut AllLive) {
        heap.pop();
        heap.verify(|_| true);
        all.push(root);
    }
    all
}

#[test]
fn the_textbook_case_100_200_150() {
    let (a, b, c) = (slot(200, 0), slot(100, 1), slot(150, 2));
    let mut heap = RunHeap::<RUN_LEN, true>::new();
    for slot in [a, b, c] {
        heap.push(slot, &mut AllLive);
    }
    assert_eq!(heap.bound(), b.when());
    assert_eq!(heap.peek(u64::MAX, &mut AllLive), Some(b));
    heap.pop();
    assert_eq!(
        heap.peek(u64::MAX, &mut AllLive),
        Some(c),
        "after B fires, C is the root"
    );
    heap.pop();
    assert_eq!(drain(&mut heap), [a]);

    // `recent` is the textbook's array: [B100, A200, C150], then [C150, A200].
    let mut recent = BinaryHeap::from([Reverse(a), Reverse(b), Reverse(c)]);
    assert_eq!(recent.as_slice(), [Reverse(b), Reverse(a), Reverse(c)]);
    recent.pop();
    assert_eq!(recent.as_slice(), [Reverse(c), Reverse(a)]);
}

#[test]
fn slots_are_popped_in_order_whatever_order_they_are_pushed_in() {
    let shuffled = |n: u32| (0..n).map(move |i| slot(u64::from(i * 7919 % n), i));
    // A front that is full (with the far slot), and then slots between its own: together the near
    // slots are more than fit into a run.
    let downwards = (1..16).map(|i| slot(u64::from(200 - 10 * i), i));
    let between = (5..17).map(|i| slot(u64::from(5 + 10 * i), 100 + i));
    let orders: [Vec<Slot>; 5] = [
        (0..999).map(|i| slot(u64::from(i), i)).collect(),
        (0..999).map(|i| slot(u64::from(1000 - i), i)).collect(),
        (0..999).map(|i| slot(5, i)).collect(),
        shuffled(999).collect(),
        downwards.chain(between).collect(),
    ];
    for order in orders {
        pop_in_order(RunHeap::<16, true>::new(), &order);
        pop_in_order(RunHeap::<16, false>::new(), &order);
    }
}

fn pop_in_order<const MARKS_STALE: bool>(mut heap: RunHeap<16, MARKS_STALE>, order: &[Slot]) {
    let far = slot(10_000, 0);
    heap.push(far, &mut AllLive);
    for &slot in order {
        heap.push(slot, &mut AllLive);
        heap.verify(|_| true);
    }
    let mut sorted = order.to_vec();
    sorted.sort();
    sorted.push(far);
    assert_eq!(drain(&mut heap), sorted);
}

/// An allocation at that point would be a pause: a program that drops a million timers in boxes has
/// freed a million small blocks, and glibc merges them in the next large allocation.
#[test]
fn a_run_of_removed_timers_is_opened_without_an_allocation() {
    let mut heap = RunHeap::<16, false>::new();
    for i in 0..100 {
        heap.push(slot(u64::from(i * 37 % 100), i), &mut AllLive);
    }
    let before = heap.capacity();
    assert_eq!(heap.peek(u64::MAX, &mut AllDead), None);
    assert_eq!(heap.slots(), 0);
    assert!(heap.capacity() <= before);
    assert_eq!(heap.to_place.capacity(), 0, "nothing has moved");
}

#[test]
fn a_slot_returns_the_parts_that_it_was_made_from() {
    let slot = Slot::new(u64::MAX - 1, u32::MAX, 7);
    assert_eq!(
        (slot.when(), slot.seq(), slot.key()),
        (u64::MAX - 1, u32::MAX, 7)
    );
    assert!(Slot::new(1, u32::MAX, u32::MAX) < Slot::new(2, 0, 0));
    assert!(Slot::new(1, 1, u32::MAX) < Slot::new(1, 2, 0));
}
