//! The mean cost of each call on a [`TimerQueue`].
//!
//! `cargo bench --bench queue [-- part of a name]`. The number in a name is how many timers wait.
//! The longest single call is measured in `longest_call`.

use std::hint::black_box;

use criterion::{Bencher, BenchmarkId, Criterion, criterion_group, criterion_main};
use reveille::time::{Duration, Instant};
use reveille::{Key, TimerQueue};

const SECOND: u64 = 1_000_000_000;

/// A queue of timers due between 29 and 31 s from the start, and a random number generator that
/// repeats its numbers in each run.
struct World {
    queue: TimerQueue<usize>,
    keys: Vec<Key>,
    start: Instant,
    seed: u64,
}

impl World {
    fn new(n: usize) -> Self {
        let mut world = Self {
            queue: TimerQueue::new(),
            keys: Vec::new(),
            start: Instant::now(),
            seed: 1,
        };
        for i in 0..n {
            let at = world.timeout();
            world.keys.push(world.queue.insert(at, i));
        }
        // A running loop has asked for the next deadline, too.
        world.queue.next_deadline();
        world
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn at(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    fn timeout(&mut self) -> Instant {
        let jitter = self.random(2 * SECOND);
        self.at(29 * SECOND + jitter)
    }
}

/// Sets a timeout and removes it before it is due.
fn insert_remove(bencher: &mut Bencher<'_>, &n: &usize) {
    let mut world = World::new(n);
    bencher.iter(|| {
        let at = world.timeout();
        let key = world.queue.insert(at, 0);
        world.queue.remove(black_box(key))
    });
}

/// Removes a random one of `n` timeouts and sets a new one.
fn replace_random(bencher: &mut Bencher<'_>, &n: &usize) {
    let mut world = World::new(n);
    bencher.iter(|| {
        let i = world.random(n as u64) as usize;
        world.queue.remove(world.keys[i]);
        let at = world.timeout();
        world.keys[i] = world.queue.insert(at, i);
    });
}

/// Moves the same timer later, again and again.
fn reset_one(bencher: &mut Bencher<'_>, &n: &usize) {
    let mut world = World::new(n);
    let key = world.queue.insert(world.at(30 * SECOND), 0);
    let mut now = 0;
    bencher.iter(|| {
        now += 100;
        world.queue.reset(key, world.at(30 * SECOND + now))
    });
}

/// Moves the timeout of a random one of `n` connections later, once every 100 ns.
fn reset_random(bencher: &mut Bencher<'_>, &n: &usize) {
    let mut world = World::new(n);
    let mut now = 0;
    bencher.iter(|| {
        now += 100;
        let i = world.random(n as u64) as usize;
        world
            .queue
            .reset(world.keys[i], world.at(30 * SECOND + now))
    });
}

/// Pops `n` timers, one by one. Inserting them is not measured.
fn pop(bencher: &mut Bencher<'_>, n: usize, mut at: impl FnMut(&mut World, u64) -> u64) {
    bencher.iter_custom(|iters| {
        let (mut popped, mut time) = (0, Duration::ZERO);
        let mut world = World::new(0);
        let late = world.at(2 * SECOND);
        // Always all of them, because the last ones cost less than the first.
        while popped < iters {
            for i in 0..n {
                let at = at(&mut world, i as u64);
                world.queue.insert(world.at(at), i);
            }
            let start = Instant::now();
            while world.queue.pop_due(late).is_some() {
                popped += 1;
            }
            time += start.elapsed();
        }
        time.mul_f64(iters as f64 / popped as f64)
    });
}

/// Pops one of `n` periodic timers and sets it again, a second later.
fn interval(bencher: &mut Bencher<'_>, &n: &usize) {
    let mut world = World::new(0);
    for i in 0..n {
        let at = world.random(SECOND);
        world.queue.insert(world.at(at), i);
    }
    let late = world.at(u64::MAX / 4);
    bencher.iter(|| {
        let due = world.queue.pop_due(late).expect("intervals never end");
        world
            .queue
            .insert(due.deadline + Duration::from_secs(1), due.value)
    });
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for n in [0, 1_000, 100_000, 1_000_000] {
        group.bench_with_input(BenchmarkId::new("insert_remove", n), &n, insert_remove);
        group.bench_with_input(BenchmarkId::new("reset_one", n), &n, reset_one);
        if n == 0 {
            continue;
        }
        group.bench_with_input(BenchmarkId::new("replace_random", n), &n, replace_random);
        group.bench_with_input(BenchmarkId::new("reset_random", n), &n, reset_random);
        group.bench_with_input(BenchmarkId::new("interval", n), &n, interval);
        group.bench_with_input(BenchmarkId::new("pop_random", n), &n, |bencher, &n| {
            pop(bencher, n, |world, _| world.random(SECOND));
        });
        group.bench_with_input(BenchmarkId::new("pop_in_order", n), &n, |bencher, &n| {
            pop(bencher, n, |_, i| i * 1000);
        });
        group.bench_with_input(BenchmarkId::new("pop_equal", n), &n, |bencher, &n| {
            pop(bencher, n, |_, _| SECOND);
        });
    }
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
