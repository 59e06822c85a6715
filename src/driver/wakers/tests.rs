//! Tests of the wakers: against a sorted map, and of how many slots a call looks at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

impl Wakers {
    /// Checks W1 to W3, W5 and the invariants of the heap that do not depend on counts of stale
    /// slots.
    fn verify(&self, words: &Words) {
        let table = &self.table;
        let all = |index: u32| {
            let block = &table.blocks[index as usize / BLOCK];
            let at = index as usize % BLOCK;
            (&block.entries[at], &block.places[at])
        };
        let slots = self.heap.verify(|_| true);
        let mut owned = 0;
        let mut armed = 0;
        for index in 0..table.len {
            let (entry, place) = all(index);
            let word = words.load(index);
            assert_eq!(word != FREE, matches!(place, Place::Armed(_)), "{index}");
            armed += usize::from(word != FREE);
            owned += usize::from(entry.filed != NEVER);
            assert!(word == FREE || entry.filed <= word, "W2");
            assert!(word == FREE || word == NEVER || entry.filed != NEVER, "W1");
        }
        assert_eq!((armed, owned), (table.armed, table.owned_slots));
        assert_eq!(slots, table.owned_slots + table.orphans, "W5");
        let (mut free, mut at) = (0, table.free);
        while at != NONE {
            let Place::Free(next) = all(at).1 else {
                panic!("entry {at} is armed and free");
            };
            (at, free) = (*next, free + 1);
            assert!(free <= table.len, "a circle of free entries");
        }
        assert_eq!(free as usize + armed, table.len as usize);
    }

    /// Returns how many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.table.len as usize
    }
}

struct Noop;

impl Wake for Noop {
    fn wake(self: Arc<Self>) {}
}

/// Makes a waker that is told from the others by its data.
fn waker() -> Waker {
    Waker::from(Arc::new(Noop))
}

/// The deadline and order of a timer, its index and the data of its waker.
type Timer = ((u64, u32), (u32, *const ()));

/// Wakers beside a sorted map of (deadline, order) to (index, data of the waker).
struct Pair {
    words: Words,
    wakers: Wakers,
    model: BTreeMap<(u64, u32), (u32, *const ())>,
    order: u32,
    /// Nothing at or before it is armed.
    now: u64,
    keep: Vec<Waker>,
}

impl Pair {
    fn new() -> Self {
        Self {
            words: Words::new(),
            wakers: Wakers::new(),
            model: BTreeMap::new(),
            order: 0,
            now: 0,
            keep: Vec::new(),
        }
    }

    fn nth(&self, n: usize) -> Option<Timer> {
        let at = n.checked_rem(self.model.len())?;
        self.model.iter().nth(at).map(|(&key, &timer)| (key, timer))
    }

    fn insert(&mut self, wait: u64) {
        let deadline = self.now.saturating_add(wait.max(1));
        self.order += 1;
        let waker = waker();
        let data = waker.data();
        // Kept, so that no other waker gets its address.
        self.keep.push(waker.clone());
        let index = self.wakers.insert(&self.words, deadline, waker);
        self.model.insert((deadline, self.order), (index, data));
    }

    /// Puts a timer off without the lock: it keeps its place among equal deadlines.
    fn put_off(&mut self, n: usize, by: u64) {
        let Some(((deadline, order), timer)) = self.nth(n) else {
            return;
        };
        let later = deadline.saturating_add(by);
        assert!(self.words.put_off(timer.0, deadline, later));
        self.model.remove(&(deadline, order));
        self.model.insert((later, order), timer);
    }

    fn reset(&mut self, n: usize, wait: u64) {
        let Some(((deadline, order), timer)) = self.nth(n) else {
            return;
        };
        let to = self.now.saturating_add(wait.max(1));
        self.order += 1;
        assert!(self.wakers.reset(timer.0, deadline, to));
        self.model.remove(&(deadline, order));
        self.model.insert((to, self.order), timer);
    }

    fn take(&mut self, n: usize) {
        let Some(((deadline, order), (index, data))) = self.nth(n) else {
            return;
        };
        let armed = self.wakers.waker_mut(index, deadline);
        assert_eq!(armed.map(|waker| waker.data()), Some(data));
        let waker = self.wakers.take(index, deadline);
        assert_eq!(waker.as_ref().map(Waker::data), Some(data));
        assert!(self.wakers.take(index, deadline).is_none());
        self.model.remove(&(deadline, order));
    }

    /// Fires what is due in some time, with a small budget for each call.
    fn fire(&mut self, after: u64, budget: usize) {
        self.now = self.now.saturating_add(after).min(NEVER - 1);
        loop {
            let bound = self.wakers.bound();
            let mut left = Budget(budget);
            let Some(waker) = self.wakers.pop(self.now, &mut left) else {
                if left.0 > 0 {
                    break;
                }
                continue;
            };
            let (&(deadline, order), &(index, data)) = self.model.iter().next().unwrap();
            assert!(bound <= deadline && deadline <= self.now, "early, or late");
            assert_eq!(waker.data(), data);
            assert_eq!(self.words.load(index), FREE);
            self.model.remove(&(deadline, order));
        }
        let next = self.model.keys().next();
        assert!(
            next.is_none_or(|&(deadline, _)| deadline > self.now),
            "late"
        );
    }

    fn next_deadline(&mut self, budget: usize) {
        let next = self.model.keys().next().map_or(NEVER, |&(at, _)| at);
        loop {
            assert!(self.wakers.bound() <= next);
            if let Some(found) = self.wakers.next_deadline(&mut Budget(budget)) {
                return assert_eq!(found, next);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    InsertMany(u64, u64, u8),
    PutOff(usize, u64),
    PutOffAll(u64),
    Reset(usize, u64),
    EverEarlier(usize, u8),
    Take(usize),
    TakeMany(usize, u8),
    Fire(u64),
    NextDeadline,
}

fn ops(range: u64) -> impl Strategy<Value = Vec<Op>> {
    let wait = move || {
        prop_oneof![
            30 => 0..range,
            1 => Just(NEVER),
            1 => Just(NEVER - 1),
        ]
    };
    let op = prop_oneof![
        6 => wait().prop_map(Op::Insert),
        3 => (wait(), 0..3_u64, 1..250_u8).prop_map(|(at, by, n)| Op::InsertMany(at, by, n)),
        6 => (any::<usize>(), wait()).prop_map(|(n, by)| Op::PutOff(n, by)),
        2 => (0..range).prop_map(Op::PutOffAll),
        4 => (any::<usize>(), wait()).prop_map(|(n, wait)| Op::Reset(n, wait)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(n, times)| Op::EverEarlier(n, times)),
        4 => any::<usize>().prop_map(Op::Take),
        2 => (any::<usize>(), 1..200_u8).prop_map(|(at, n)| Op::TakeMany(at, n)),
        4 => (0..range).prop_map(Op::Fire),
        3 => Just(Op::NextDeadline),
    ];
    prop::collection::vec(op, 0..100)
}

/// Applies the same operations to the wakers and the map, and checks both after each one.
fn run(ops: Vec<Op>, budget: usize) {
    let mut pair = Pair::new();
    for op in ops {
        match op {
            Op::Insert(wait) => pair.insert(wait),
            Op::InsertMany(at, by, n) => {
                for i in 0..u64::from(n) {
                    pair.insert(at.saturating_add(by * i));
                }
            }
            Op::PutOff(n, by) => pair.put_off(n, by),
            Op::PutOffAll(by) => {
                for n in (0..pair.model.len()).rev() {
                    pair.put_off(n, by);
                }
            }
            Op::Reset(n, wait) => pair.reset(n, wait),
            Op::EverEarlier(n, times) => {
                for i in (0..u64::from(times)).rev() {
                    pair.reset(n, i);
                }
            }
            Op::Take(n) => pair.take(n),
            Op::TakeMany(at, n) => (0..n).for_each(|_| pair.take(at)),
            Op::Fire(after) => pair.fire(after, budget),
            Op::NextDeadline => pair.next_deadline(budget),
        }
        pair.wakers.verify(&pair.words);
    }
    pair.fire(NEVER, budget);
    pair.wakers.verify(&pair.words);
    assert!(pair.model.keys().all(|&(deadline, _)| deadline == NEVER));
    let blocks = (0..).map_while(|block| pair.wakers.take_block(block));
    let left: usize = blocks.map(|wakers| wakers.len()).sum();
    assert_eq!(left, pair.model.len());
    assert_eq!(pair.wakers.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn agree_with_a_sorted_map(ops in ops(1000)) {
        run(ops, 256);
    }

    #[test]
    fn agree_with_a_sorted_map_when_the_budget_is_small(ops in ops(1000)) {
        run(ops, 3);
    }

    #[test]
    fn agree_with_a_sorted_map_when_most_deadlines_are_equal(ops in ops(5)) {
        run(ops, 256);
    }
}

/// The most slots that a call with a budget of a run may look at or move: it places all that
/// earlier calls have moved, and splits the runs that those fill.
const LIMIT: usize = 16 * RUN_LEN;

#[test]
fn a_place_is_as_large_as_a_waker_and_an_entry_is_sixteen_bytes() {
    assert_eq!(size_of::<Place>(), size_of::<Waker>());
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn each_index_has_a_word_of_its_own() {
    let words = Words::new();
    let far = [1 << 22, (1 << 23) - 1];
    for piece in (0..200).chain(far.map(|index| index / PIECE)) {
        for (at, word) in words.add(piece).iter().enumerate() {
            word.store((piece * PIECE + at) as u64 + 1);
        }
    }
    for index in (0..200 * PIECE).chain(far) {
        assert_eq!(words.load(index as u32), index as u64 + 1);
    }
    for index in [200 * PIECE as u32, 1 << 24, u32::MAX - 1, u32::MAX] {
        assert_eq!(words.load(index), FREE, "one that was never made");
    }
}

#[test]
fn a_timeout_armed_and_removed_over_and_over_files_one_slot() {
    let mut pair = Pair::new();
    for _ in 0..10_000 {
        pair.now += 1;
        pair.insert(30_000);
        pair.take(0);
    }
    assert_eq!((pair.wakers.heap.slots(), pair.wakers.entries()), (1, 1));
}

/// Each move leaves a slot behind, for which no other call looks.
#[test]
fn timers_that_are_moved_to_earlier_over_and_over_leave_few_slots() {
    for timers in [1, 100, 5_000] {
        let mut pair = Pair::new();
        (0..timers).for_each(|_| pair.insert(1 << 40));
        for i in 0..100_000 {
            let index = i % timers as u32;
            let word = pair.words.load(index);
            assert!(pair.wakers.reset(index, word, (1 << 40) - u64::from(i)));
        }
        let slots = pair.wakers.heap.slots();
        assert!(
            slots < 4 * timers + 1024,
            "{slots} slots for {timers} timers"
        );
    }
}

/// A hundred thousand timers that were all put off come to the front of the heap at once. Each call
/// files a bounded number of their slots anew.
#[test]
fn many_timers_that_were_put_off_are_filed_anew_in_small_steps() {
    const N: u64 = 100_000;
    let mut pair = Pair::new();
    for i in 0..N {
        let index = pair.wakers.insert(&pair.words, 1000 + i % 7, waker());
        assert!(pair.words.put_off(index, 1000 + i % 7, 1 << 40 | i));
    }
    pair.wakers.heap.take_effort();
    let (mut calls, mut longest) = (0, 0);
    loop {
        let mut budget = Budget(256);
        assert!(pair.wakers.pop(2000, &mut budget).is_none());
        longest = longest.max(pair.wakers.heap.take_effort());
        calls += 1;
        if budget.0 > 0 {
            break;
        }
    }
    assert!(longest <= LIMIT, "{longest} slots in a call");
    assert!(calls as u64 <= N / 128, "{calls} calls");
    assert_eq!(pair.wakers.len(), N as usize);
    pair.wakers.verify(&pair.words);
}

#[test]
fn slots_of_removed_timers_are_dropped_in_small_steps() {
    let mut pair = Pair::new();
    for i in 0..100_000 {
        let at = 1000 + i * 7919 % 100_000;
        let index = pair.wakers.insert(&pair.words, at, waker());
        assert!(pair.wakers.take(index, at).is_some() || i == 0);
        let _ = pair.wakers.insert(&pair.words, at, waker());
    }
    for index in 0..pair.wakers.entries() as u32 {
        let at = pair.words.load(index);
        assert!(pair.wakers.take(index, at).is_some());
    }
    pair.wakers.heap.take_effort();
    let count = AtomicUsize::new(0);
    while pair.wakers.next_deadline(&mut Budget(256)).is_none() {
        let effort = pair.wakers.heap.take_effort();
        assert!(effort <= LIMIT, "{effort} slots in a call");
        count.fetch_add(1, Ordering::Relaxed);
    }
    assert!(count.into_inner() < 1000);
    assert_eq!((pair.wakers.heap.slots(), pair.wakers.bound()), (0, NEVER));
}
