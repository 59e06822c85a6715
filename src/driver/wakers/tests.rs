//! Tests of the wakers: against a sorted map, and (in `effort`) of how many slots a call looks at.

mod effort;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Wake;

use proptest::prelude::*;

use super::chunks::{MOST_UNFILED, NO_DEADLINE, Removal};
use super::*;

impl Order {
    /// Checks W1 to W3, W5 and the invariants of the heap that do not depend on counts of stale
    /// slots.
    fn verify(&self, chunks: &Chunks) {
        let slots = self.heap.verify(|_| true);
        let mut of_entries = 0;
        chunks.verify(|entry, word| {
            of_entries += isize::from(entry.slot_when != NEVER);
            assert!(!entry.is_armed() || entry.slot_when <= word, "W2");
            assert!(
                !entry.is_armed() || word == NEVER || entry.slot_when != NEVER,
                "W1"
            );
        });
        let unfiled = |arming: &mut ArmingState| {
            let Unfiled { slots, replacing } = &arming.unfiled;
            assert!(slots.len() <= MOST_UNFILED);
            let mut slots_when = slots.iter().map(|slot| slot.when());
            assert!(slots_when.all(|when| when >= arming.unfiled_from), "P1");
            slots.len() as isize - *replacing as isize
        };
        let unfiled = chunks.with_current(&self.current, unfiled);
        assert_eq!(of_entries, self.counts.of_entries + unfiled.unwrap_or(0));
        assert_eq!(
            slots as isize,
            self.counts.of_entries + self.counts.stray,
            "W5"
        );
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
    chunks: Chunks,
    wakers: Order,
    model: BTreeMap<(u64, u32), (u32, *const ())>,
    order: u32,
    /// Nothing at or before it is armed.
    now: u64,
    keep: Vec<Waker>,
}

impl Pair {
    fn new() -> Self {
        Self {
            chunks: Chunks::new(),
            wakers: Order::new(),
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
        let index = self.arm(deadline, waker);
        self.model.insert((deadline, self.order), (index, data));
    }

    fn arm(&mut self, deadline: u64, waker: Waker) -> u32 {
        let mut waker = Some(waker);
        let armed = self.chunks.arm_unfiled(deadline, &mut waker, || false);
        let insert = || self.wakers.insert(&self.chunks, deadline, &mut waker);
        armed.or_else(insert).unwrap()
    }

    /// Puts a timer off without the lock: it keeps its place among equal deadlines.
    fn put_off(&mut self, n: usize, by: u64) {
        let Some(((deadline, order), timer)) = self.nth(n) else {
            return;
        };
        let later = deadline.saturating_add(by);
        assert!(self.chunks.put_off(timer.0, deadline, later));
        self.model.remove(&(deadline, order));
        self.model.insert((later, order), timer);
    }

    fn reset(&mut self, n: usize, wait: u64) {
        let Some(((deadline, order), timer)) = self.nth(n) else {
            return;
        };
        let to = self.now.saturating_add(wait.max(1));
        self.order += 1;
        assert!(self.wakers.reset(&self.chunks, timer.0, deadline, to));
        self.model.remove(&(deadline, order));
        self.model.insert((to, self.order), timer);
    }

    fn take(&mut self, n: usize) {
        let Some(((deadline, order), (index, data))) = self.nth(n) else {
            return;
        };
        let mut other = waker();
        assert!(self.chunks.replace_waker(index, deadline, &mut other));
        assert_eq!(other.data(), data);
        assert!(self.chunks.replace_waker(index, deadline, &mut other));
        let removal = Removal::Cancelled;
        let waker = self.chunks.take(index, deadline, removal, || false);
        assert_eq!(waker.as_ref().map(Waker::data), Some(data));
        assert!(!self.chunks.replace_waker(index, deadline, &mut other));
        self.model.remove(&(deadline, order));
    }

    /// Fires what is due in some time, with a small budget for each call.
    fn fire(&mut self, after: u64, budget: usize) {
        self.now = self.now.saturating_add(after).min(NEVER - 1);
        loop {
            let bound = self.wakers.bound(&self.chunks);
            let mut left = StaleBudget(budget);
            let mut popped = None;
            let each = |waker, _| popped = Some(waker);
            self.wakers.pop(&self.chunks, self.now, &mut left, 1, each);
            let Some(waker) = popped else {
                if left.0 > 0 {
                    break;
                }
                continue;
            };
            let (&(deadline, order), &(index, data)) = self.model.iter().next().unwrap();
            assert!(bound <= deadline && deadline <= self.now, "early, or late");
            assert_eq!(waker.data(), data);
            assert_eq!(self.chunks.load(index), NO_DEADLINE);
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
            assert!(self.wakers.bound(&self.chunks) <= next);
            if let Some(found) = self
                .wakers
                .next_deadline(&self.chunks, &mut StaleBudget(budget))
            {
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
        pair.wakers.verify(&pair.chunks);
    }
    pair.fire(NEVER, budget);
    pair.wakers.verify(&pair.chunks);
    assert!(pair.model.keys().all(|&(deadline, _)| deadline == NEVER));
    assert_eq!(pair.chunks.armed(), pair.model.len());
    let chunks = (0..).map_while(|chunk| pair.chunks.close(chunk));
    let left: usize = chunks.map(Iterator::count).sum();
    assert_eq!(left, pair.model.len());
    assert_eq!(pair.chunks.armed(), 0);
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
