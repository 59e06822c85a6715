//! Loops that hold one timer at a time: a task that sleeps over and over, or one that wakes for
//! what many others wait for.

use super::*;

const US: u64 = 1_000;
const SECOND: u64 = 1_000_000 * US;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns exponentially distributed numbers.
    fn exponential(&mut self, mean: u64) -> u64 {
        let unit = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-unit.ln() * mean as f64) as u64
    }
}

/// A planner that takes a wake-up to cost `cost` nanoseconds.
fn planner_at(cost: u64) -> Planner {
    let planner = planner();
    for _ in 0..100 {
        planner.slack.note_sample(cost);
    }
    planner
}

#[derive(Debug, Default)]
struct Seen {
    wakes: u64,
    /// How many wake-ups came later than their deadline.
    delayed: u64,
    /// Nanoseconds, of all deadlines.
    late: u64,
    deadlines: u64,
}

impl Seen {
    fn mean_late(&self) -> u64 {
        self.late / self.deadlines
    }
}

/// Runs for `seconds` a task that sleeps for one of `waits` after the other; it takes some
/// microseconds from the firing to the next sleep. Returns what has been seen after the first
/// twentieth of a second.
fn sleeps(planner: &mut Planner, seconds: u64, mut wait: impl FnMut() -> u64) -> Seen {
    let (mut rng, mut seen) = (Rng(1), Seen::default());
    let start = planner.last.unwrap_or(SECOND);
    let mut now = start;
    while now < start + seconds * SECOND {
        let due = now + rng.next() % (5 * US) + wait();
        let woken = planner.plan(due).wake_at;
        // The machine does something else now and then.
        let noise = if rng.next().is_multiple_of(50) {
            700 * US
        } else {
            20 * US
        };
        now = woken + noise;
        planner.note_fired(now, 1);
        if now >= start + SECOND / 20 {
            seen.wakes += 1;
            seen.deadlines += 1;
            seen.delayed += u64::from(woken > due);
            seen.late += woken - due;
        }
    }
    seen
}

/// Runs for `seconds` a task that removes keys which expire at random, `mean` nanoseconds apart on
/// average: it waits for the next one, and removes all that have expired.
fn keys(planner: &mut Planner, seconds: u64, mean: u64) -> Seen {
    let (mut rng, mut seen) = (Rng(7), Seen::default());
    let start = planner.last.unwrap_or(SECOND);
    let (mut now, mut key) = (start, start);
    while now < start + seconds * SECOND {
        while key <= now {
            key += rng.exponential(mean);
        }
        let woken = planner.plan(key).wake_at;
        let is_counted = key >= start + SECOND / 20;
        seen.wakes += u64::from(is_counted);
        seen.delayed += u64::from(is_counted && woken > key);
        now = woken + 20 * US;
        planner.note_fired(now, 1);
        while key <= now {
            seen.deadlines += u64::from(is_counted);
            seen.late += u64::from(is_counted) * woken.saturating_sub(key);
            key += rng.exponential(mean);
        }
    }
    seen
}

/// Each was woken for on time, at more than a sixtieth of a core: one timer at a time, which fires
/// once in half a millisecond, was taken for sparse, or for a task that sleeps.
#[test]
fn one_task_that_removes_what_expires_at_random_keeps_to_the_budget() {
    let mut planner = planner_at(15 * US);
    let slack = planner.slack.get();
    for mean in [100 * US, 300 * US, 550 * US] {
        let seen = keys(&mut planner, 4, mean);
        assert!(seen.wakes < 4 * SECOND / slack, "{mean} {seen:?}");
        let product = seen.mean_late() * (seen.wakes / 4);
        assert!(product < 6 * SECOND / 10, "{mean} {seen:?} {product}");
    }
}

#[test]
fn what_expires_at_random_is_removed_on_time_while_that_is_within_the_budget() {
    // On bare metal.
    let seen = keys(&mut planner_at(4 * US), 4, 550 * US);
    assert!(seen.delayed < seen.wakes / 50, "{seen:?}");
    let mut planner = planner_at(15 * US);
    let seen = keys(&mut planner, 4, 2_000 * US);
    assert!(seen.delayed < seen.wakes / 50, "{seen:?}");
    // And again after it was not.
    assert!(keys(&mut planner, 1, 300 * US).delayed > 0);
    let seen = keys(&mut planner, 4, 2_000 * US);
    assert!(seen.delayed < seen.wakes / 50, "{seen:?}");
}

#[test]
fn a_task_that_sleeps_for_the_same_time_over_and_over_is_on_time() {
    for wait in [20, 50, 100, 500, 900, 1000] {
        let mut planner = planner_at(15 * US);
        let seen = sleeps(&mut planner, 2, || wait * US);
        assert!(seen.delayed < seen.wakes / 100, "{wait} {seen:?}");
        // Also after keys that were not.
        let mut planner = planner_at(15 * US);
        keys(&mut planner, 1, 300 * US);
        let seen = sleeps(&mut planner, 2, || wait * US);
        assert!(seen.delayed < seen.wakes / 100, "{wait} {seen:?}");
    }
}

#[test]
fn a_task_that_sleeps_for_a_few_durations_in_turn_is_on_time() {
    let mut turn = 0;
    let mut planner = planner_at(15 * US);
    let seen = sleeps(&mut planner, 2, || {
        turn += 1;
        [50, 700, 200][turn % 3] * US
    });
    assert!(seen.delayed < seen.wakes / 100, "{seen:?}");
}

/// What a wake-up costs was measured in a storm only, and the budget of a chain has to know it.
#[test]
fn wake_ups_that_come_fast_are_measured_although_none_is_delayed() {
    let mut planner = planner();
    let mut samples = 0;
    for turn in 1..=100 {
        let due = turn * 500 * US;
        assert_eq!(planner.plan(due).wake_at, due);
        planner.note_fired(due, 1);
        samples += u64::from(planner.slack.is_sample_due());
        let _ = planner.slack.begin_sample();
    }
    assert!(samples > 80, "{samples}");
}

/// Each wait of such a chain brings one timer, and was taken for one that gains nothing.
#[test]
fn a_storm_after_a_task_that_removes_what_expires_at_random_is_batched() {
    let mut planner = planner_at(15 * US);
    keys(&mut planner, 1, 300 * US);
    let start = planner.last.unwrap();
    let now = storm(&mut planner, start, 40);
    assert!(!planner.waits.differ(), "a storm, and nothing else");
    let slack = planner.slack.get();
    assert_eq!(planner.plan(now + 1).wake_at, now + slack);
}
