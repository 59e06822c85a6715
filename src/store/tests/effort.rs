//! Tests of the work of each call: none looks at more than a few hundred slots, whatever came
//! before.

use super::*;

/// The most slots that a call may look at: to open a run it places all moved slots, filters the
/// run, splits it and sorts half of it, after it has dropped the stale slots that were near.
const LIMIT: usize = 6 * RUN_LEN;

/// How many timers the patterns have: enough for hundreds of runs.
const N: u64 = 40_000;

/// A store that checks the work of each call, and the indices of its timers in order of insertion.
struct Checked {
    store: Store<u64>,
    index: Vec<u32>,
    longest: usize,
    calls: usize,
    total: usize,
}

impl Checked {
    fn new(deadlines: impl IntoIterator<Item = u64>) -> Self {
        let mut all = Self {
            store: Store::new(),
            index: Vec::new(),
            longest: 0,
            calls: 0,
            total: 0,
        };
        for at in deadlines {
            all.insert(at);
        }
        all
    }

    fn note(&mut self) {
        let effort = self.store.heap.take_effort();
        assert!(effort <= LIMIT, "{effort} slots in call {}", self.calls);
        self.longest = self.longest.max(effort);
        self.total += effort;
        self.calls += 1;
    }

    fn insert(&mut self, at: u64) {
        self.index.push(self.store.insert(at, at));
        self.note();
    }

    fn remove(&mut self, i: u64) {
        assert!(self.store.take(self.index[i as usize]).is_some());
        self.note();
    }

    fn reset(&mut self, i: u64, at: u64) {
        assert!(self.store.reset(self.index[i as usize], at));
        self.note();
    }

    fn peek(&mut self) -> u64 {
        let next = self.store.next_deadline();
        self.note();
        next
    }

    fn fire(&mut self, now: u64) -> usize {
        let mut fired = 0;
        while self.store.pop(now).is_some() {
            self.note();
            fired += 1;
        }
        self.note();
        fired
    }

    /// Fires all timers that are left. Checks their number, and that calls are cheap on average.
    fn end(mut self, left: u64) {
        self.store.verify();
        assert_eq!(self.fire(NEVER) as u64, left);
        self.store.verify();
        assert!(
            self.total <= 40 * self.calls,
            "{} slots in {} calls",
            self.total,
            self.calls
        );
    }
}

/// Returns `0..N` in an order in which neighbours are far apart.
fn scattered() -> impl Iterator<Item = u64> {
    (0..N).map(|i| i * 7919 % N)
}

#[test]
fn deadlines_in_any_order_are_filed_and_fired_in_small_steps() {
    Checked::new(0..N).end(N);
    Checked::new((0..N).rev()).end(N);
    Checked::new((0..N).map(|_| 7)).end(N);
    Checked::new(scattered()).end(N);
}

#[test]
fn a_peek_after_each_insertion_costs_little() {
    for order in [(0..N).rev().collect::<Vec<_>>(), scattered().collect()] {
        let mut all = Checked::new([]);
        let mut least = NEVER;
        for at in order {
            all.insert(at);
            least = least.min(at);
            assert_eq!(all.peek(), least);
        }
        all.end(N);
    }
}

#[test]
fn after_all_timers_are_removed_a_peek_skips_few_slots() {
    for order in [
        (0..N).collect::<Vec<_>>(),
        (0..N).rev().collect(),
        scattered().collect(),
    ] {
        for in_order in [true, false] {
            let mut all = Checked::new(
                (0..N)
                    .zip(scattered())
                    .map(|(i, s)| if in_order { i } else { s }),
            );
            for &i in &order[1..] {
                all.remove(i);
            }
            all.peek();
            all.remove(order[0]);
            assert_eq!(all.peek(), NEVER);
            all.end(0);
        }
    }
}

#[test]
fn after_all_timers_are_reset_to_later_a_peek_skips_few_slots() {
    let targets: [fn(u64) -> u64; 3] = [|i| N + i, |i| 2 * N - i, |i| N + i * 7919 % N];
    for order in [
        (0..N).collect::<Vec<_>>(),
        (0..N).rev().collect(),
        scattered().collect(),
    ] {
        for to in targets {
            let mut all = Checked::new(0..N);
            for &i in &order[1..] {
                all.reset(i, to(i));
            }
            assert_eq!(all.peek(), order[0]);
            all.reset(order[0], 4 * N);
            assert!(all.peek() >= N);
            all.end(N);
        }
    }
}

#[test]
fn timers_reset_to_earlier_are_filed_anew_in_small_steps() {
    let mut all = Checked::new((0..N).map(|i| 2 * N + i));
    for i in scattered() {
        all.reset(i, i);
        all.peek();
    }
    all.end(N);
}

#[test]
fn runs_that_are_mostly_stale_come_due_in_small_steps() {
    for stale in 5..10 {
        let mut all = Checked::new((0..N).map(|i| i * 10));
        for i in (0..N).filter(|i| i % 10 < stale) {
            all.reset(i, i * 10 + i * 7919 % N * 20);
        }
        all.end(N);
    }
}

#[test]
fn timers_replaced_at_random_as_time_passes_cost_little() {
    let mut all = Checked::new(scattered().map(|i| i * 10));
    for (now, i) in (0..8).flat_map(|_| scattered()).enumerate() {
        let now = now as u64 * 7;
        if all.store.get(all.index[i as usize]).is_some() {
            all.reset(i, now + 20 * N);
        }
        all.fire(now);
    }
    let left = all.store.len() as u64;
    all.end(left);
}
