//! Tests of the store: against a sorted map, case by case, and of the work of each call.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod effort;
mod named;

impl<V, const RUN: usize> Store<V, RUN> {
    /// Returns a time at or before the earliest deadline, without any work.
    fn bound(&self) -> u64 {
        self.heap.bound()
    }

    /// Checks the invariants of the heap, the table and S1.
    pub(crate) fn verify(&self) {
        let armed = self.table.verify();
        assert_eq!(
            self.heap.verify(|slot| self.table.is_live(slot)),
            armed,
            "S1: live slots"
        );
    }
}

/// A store beside a sorted map of (deadline, order) to (index, value).
struct Pair<const RUN: usize> {
    store: Store<u32, RUN>,
    model: BTreeMap<(u64, u32), (u32, u32)>,
    order: u32,
}

impl<const RUN: usize> Pair<RUN> {
    fn starting_at(seq: u32) -> Self {
        Self {
            store: Store::starting_at(seq),
            model: BTreeMap::new(),
            order: 0,
        }
    }

    fn nth(&self, n: usize) -> Option<((u64, u32), (u32, u32))> {
        let at = n.checked_rem(self.model.len())?;
        self.model
            .iter()
            .nth(at)
            .map(|(&order, &timer)| (order, timer))
    }

    fn insert(&mut self, deadline: u64) {
        self.order += 1;
        let index = self.store.insert(deadline, self.order);
        self.model
            .insert((deadline, self.order), (index, self.order));
    }

    fn remove(&mut self, n: usize) {
        let Some((order, (index, value))) = self.nth(n) else {
            return;
        };
        self.model.remove(&order);
        assert_eq!(self.store.take(index), Some(value));
        assert_eq!(self.store.take(index), None);
    }

    fn reset(&mut self, n: usize, deadline: u64) {
        let Some((order, timer)) = self.nth(n) else {
            return;
        };
        self.model.remove(&order);
        self.order += 1;
        assert!(self.store.reset(timer.0, deadline));
        self.model.insert((deadline, self.order), timer);
        assert_eq!(self.store.get(timer.0), Some((deadline, &timer.1)));
    }

    fn peek(&mut self) {
        let earliest = self
            .model
            .keys()
            .next()
            .map_or(NEVER, |&(deadline, _)| deadline);
        assert!(self.store.bound() <= earliest);
        assert_eq!(self.store.next_deadline(), earliest);
        let first = self
            .model
            .first_key_value()
            .filter(|&(&(deadline, _), _)| deadline != NEVER)
            .map(|(&(deadline, _), (index, value))| (*index, deadline, value));
        assert_eq!(self.store.peek(), first);
        assert_eq!(
            self.store.bound(),
            earliest,
            "a slot before the earliest timer is left"
        );
    }

    /// Pops the earliest timer if it is due.
    fn pop(&mut self, now: u64) -> bool {
        let first = self
            .model
            .iter()
            .next()
            .map(|(&order, &timer)| (order, timer));
        let due = first.filter(|((deadline, _), _)| *deadline <= now && *deadline != NEVER);
        let expected = due.map(|(order, (index, value))| {
            self.model.remove(&order);
            (index, order.0, value)
        });
        assert_eq!(self.store.pop(now), expected);
        expected.is_some()
    }

    fn compact(&mut self) {
        self.store.compact(|&value| value);
        assert_eq!(self.store.capacity(), self.model.len());
        let mut timers: Vec<_> = self.model.values_mut().collect();
        timers.sort_by_key(|&&mut (_, value)| value);
        for (at, (index, _)) in (0..).zip(timers) {
            *index = at;
        }
    }

    fn verify(&self) {
        self.store.verify();
        assert_eq!(self.store.len(), self.model.len());
        assert!(self.store.capacity() >= self.model.len());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    InsertMany(u64, i64, u8),
    Remove(usize),
    RemoveMany(usize, usize, u8),
    Reset(usize, u64),
    ResetAll(u64),
    Peek,
    Pop(u64),
    Compact,
}

fn ops(range: u64) -> impl Strategy<Value = Vec<Op>> {
    let when = move || {
        prop_oneof![
            30 => 0..range,
            1 => Just(NEVER),
            1 => Just(NEVER - 1),
            1 => Just(0),
        ]
    };
    let op = prop_oneof![
        6 => when().prop_map(Op::Insert),
        3 => (when(), -3..3_i64, 1..200_u8).prop_map(|(at, by, n)| Op::InsertMany(at, by, n)),
        6 => any::<usize>().prop_map(Op::Remove),
        3 => (any::<usize>(), 0..5_usize, 1..200_u8).prop_map(|(at, by, n)| Op::RemoveMany(at, by, n)),
        6 => (any::<usize>(), when()).prop_map(|(at, to)| Op::Reset(at, to)),
        1 => when().prop_map(Op::ResetAll),
        3 => Just(Op::Peek),
        6 => (0..range).prop_map(Op::Pop),
        1 => Just(Op::Compact),
    ];
    prop::collection::vec(op, 0..200)
}

/// Applies the same operations to the store and the map, and checks both after each one.
fn run<const RUN: usize>(seq: u32, ops: Vec<Op>) {
    let mut pair = Pair::<RUN>::starting_at(seq);
    for op in ops {
        match op {
            Op::Insert(deadline) => pair.insert(deadline),
            Op::InsertMany(at, by, n) => {
                for i in 0..i64::from(n) {
                    pair.insert(at.saturating_add_signed(by * i));
                }
            }
            Op::Remove(n) => pair.remove(n),
            Op::RemoveMany(at, by, n) => {
                let at = at % pair.model.len().max(1);
                for i in 0..usize::from(n) {
                    pair.remove(at + by * i);
                    pair.verify();
                }
            }
            Op::Reset(n, deadline) => pair.reset(n, deadline),
            Op::ResetAll(later) => {
                for _ in 0..pair.model.len() {
                    let deadline = pair.nth(0).map_or(0, |((deadline, _), _)| deadline);
                    pair.reset(0, deadline.saturating_add(later));
                    pair.verify();
                }
            }
            Op::Peek => pair.peek(),
            Op::Pop(now) => {
                pair.pop(now);
            }
            Op::Compact => pair.compact(),
        }
        pair.verify();
    }
    while pair.pop(NEVER) {}
    pair.verify();
    assert!(
        pair.model.keys().all(|&(deadline, _)| deadline == NEVER),
        "lost {:?}",
        pair.model
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees_with_a_sorted_map(ops in ops(1000)) {
        run::<128>(0, ops);
    }

    #[test]
    fn agrees_with_a_sorted_map_when_most_deadlines_are_equal(ops in ops(5)) {
        run::<128>(0, ops);
    }

    #[test]
    fn agrees_with_a_sorted_map_when_runs_are_long(ops in ops(1_000_000)) {
        run::<256>(0, ops);
    }
}
