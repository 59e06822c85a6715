//! The longest single call on a [`TimerQueue`] of a million timers.
//!
//! A mean hides pauses, and the maximum of one run measures the machine rather than the queue. So
//! each pattern makes the same calls in the same order, in several runs. The bench takes the
//! shortest time of each call over all runs, and reports the longest of these. A call's time
//! includes the reading of the clock, some 25 ns, and the page faults of the memory that it
//! allocates: every run starts with an empty queue and frees everything at its end.
//!
//! `cargo bench --bench longest_call [-- [--timers N] [--runs N] [part of a pattern's name]]` fails
//! if a call takes longer than the limit.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use reveille::time::{Duration, Instant};
use reveille::{Key, TimerQueue};

/// The limit for a single call.
const LIMIT: Duration = Duration::from_micros(50);

fn main() -> ExitCode {
    let (mut timers, mut runs, mut part) = (1_000_000, 5, None);
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok()).expect("a number");
        match arg.as_str() {
            "--timers" => timers = number(),
            "--runs" => runs = number(),
            _ => part = Some(arg),
        }
    }
    if let Some(part) = part {
        return one(&part, timers, runs);
    }
    println!("{timers} timers, shortest of {runs} runs for each call, times in ns");
    println!(
        "{:44} {:>8} {:>7} {:>7} {:>8}",
        "", "calls", "mean", "p99.99", "longest"
    );
    // Each pattern has a process of its own: after another pattern has freed a million timers, the
    // allocator may return that memory to the system in the middle of a call of this one.
    let exe = std::env::current_exe().expect("this program");
    let (timers, runs) = (timers.to_string(), runs.to_string());
    let missed = PATTERNS
        .iter()
        .map(|(name, _)| {
            let args = ["--timers", &timers, "--runs", &runs, name];
            Command::new(&exe)
                .args(args)
                .status()
                .expect("this program")
        })
        .filter(|status| !status.success())
        .count();
    println!("patterns with a call over {LIMIT:?}: {missed}");
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the patterns with `part` in their names.
fn one(part: &str, timers: usize, runs: usize) -> ExitCode {
    let mut missed = 0;
    for (name, pattern) in PATTERNS {
        if !name.contains(part) {
            continue;
        }
        println!("{name}");
        let mut watch = Watch::default();
        for _ in 0..runs {
            watch.rewind();
            pattern(timers, &mut watch);
        }
        missed += watch.report();
    }
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The shortest time of each call over all runs, by kind of call and in order.
#[derive(Default)]
struct Watch {
    kinds: BTreeMap<&'static str, (usize, Vec<u32>)>,
}

impl Watch {
    fn rewind(&mut self) {
        self.kinds.values_mut().for_each(|(at, _)| *at = 0);
    }

    #[inline]
    fn time<R>(&mut self, kind: &'static str, call: impl FnOnce() -> R) -> R {
        let (at, times) = self.kinds.entry(kind).or_default();
        let start = Instant::now();
        let result = black_box(call());
        let time = start.elapsed().as_nanos() as u32;
        match times.get_mut(*at) {
            Some(shortest) => *shortest = time.min(*shortest),
            None => times.push(time),
        }
        *at += 1;
        result
    }

    /// Prints a line for each kind of call, and returns how many calls were too long.
    fn report(&mut self) -> usize {
        let mut missed = 0;
        for (kind, (_, times)) in &mut self.kinds {
            let longest_at = (0..times.len()).max_by_key(|&i| times[i]).unwrap_or(0);
            times.sort_unstable();
            let calls = times.len();
            let mean = times.iter().map(|&time| u64::from(time)).sum::<u64>() / calls as u64;
            let p9999 = times[(calls - 1) * 9999 / 10000];
            let longest = times[calls - 1];
            let over = times
                .iter()
                .filter(|&&time| u128::from(time) > LIMIT.as_nanos())
                .count();
            let verdict = if over == 0 {
                "ok".into()
            } else {
                format!("{over} TOO LONG")
            };
            print!("  {kind:42} {calls:8} {mean:7} {p9999:7} {longest:8}  {verdict}");
            println!("  (call {longest_at})");
            missed += over;
        }
        missed
    }
}

/// A pattern of calls on a queue of so many timers.
type Pattern = fn(usize, &mut Watch);

const PATTERNS: &[(&str, Pattern)] = &[
    ("random deadlines, then all come due", |n, watch| {
        let mut world = World::new();
        let times: Vec<_> = (0..n).map(|_| world.random(HOUR)).collect();
        world.fill_and_fire(watch, times);
    }),
    ("increasing deadlines, then all come due", |n, watch| {
        World::new().fill_and_fire(watch, (0..n as u64).map(|i| i * 1000));
    }),
    ("decreasing deadlines, then all come due", |n, watch| {
        World::new().fill_and_fire(watch, (0..n as u64).rev().map(|i| i * 1000));
    }),
    ("equal deadlines, then all come due", |n, watch| {
        World::new().fill_and_fire(watch, (0..n).map(|_| HOUR));
    }),
    ("decreasing deadlines, a peek after each", |n, watch| {
        World::new().fill_peeking(watch, (0..n as u64).rev().map(|i| i * 1000));
    }),
    ("random deadlines, a peek after each", |n, watch| {
        let mut world = World::new();
        let times: Vec<_> = (0..n).map(|_| world.random(HOUR)).collect();
        world.fill_peeking(watch, times);
    }),
    ("all removed, oldest first, then a peek", |n, watch| {
        let mut world = World::filled(n);
        for i in 0..n {
            world.remove(watch, i);
        }
        world.peek(watch);
    }),
    (
        "all but the earliest removed, latest first, then that one too",
        |n, watch| {
            let mut world = World::filled_in_order(n);
            for i in (1..n).rev() {
                world.remove(watch, i);
            }
            world.peek(watch);
            world.remove(watch, 0);
            world.peek(watch);
        },
    ),
    ("the nearer half removed, then a peek", |n, watch| {
        let mut world = World::filled_in_order(n);
        for i in (0..n / 2).rev() {
            world.remove(watch, i);
        }
        world.peek(watch);
    }),
    ("three of four removed, a peek after each", |n, watch| {
        let mut world = World::filled(n);
        for i in (0..n).filter(|i| i % 4 != 0) {
            world.remove(watch, i);
            world.peek(watch);
        }
    }),
    (
        "all reset to later, in order, then all come due",
        |n, watch| {
            let mut world = World::filled_in_order(n);
            for i in 0..n {
                world.reset(watch, i, 2 * HOUR + i as u64);
            }
            world.peek(watch);
            world.fire_all(watch);
        },
    ),
    (
        "all reset to later, in random order, then all come due",
        |n, watch| {
            let mut world = World::filled(n);
            for i in 0..n {
                let at = world.random(HOUR) + HOUR;
                world.reset(watch, i, at);
            }
            world.peek(watch);
            world.fire_all(watch);
        },
    ),
    (
        "all but the earliest reset to later, then that one too",
        |n, watch| {
            let mut world = World::filled_in_order(n);
            for i in (1..n).rev() {
                let at = world.random(HOUR) + HOUR;
                world.reset(watch, i, at);
            }
            world.peek(watch);
            world.reset(watch, 0, 3 * HOUR);
            world.peek(watch);
        },
    ),
    (
        "all reset to earlier, in random order, then a peek",
        |n, watch| {
            let mut world = World::filled(n);
            for i in 0..n {
                let at = world.random(HOUR) / 1000;
                world.reset(watch, i, at);
            }
            world.peek(watch);
        },
    ),
    (
        "most moved to the same few runs, then those come due",
        |n, watch| {
            let mut world = World::filled_in_order(n);
            for i in world.shuffled(n) {
                let at = HOUR / 2 + world.random(HOUR / 1000);
                if i < n / 2 && i % 8 != 0 {
                    world.reset(watch, i, at);
                }
            }
            world.fire_all(watch);
        },
    ),
    (
        "seven of ten moved anywhere later, unseen, then all come due",
        |n, watch| {
            let mut world = World::filled_in_order(n);
            for i in 0..n {
                if i % 10 < 7 {
                    let at = i as u64 * (HOUR / n as u64) + world.random(HOUR);
                    world.reset(watch, i, at);
                }
            }
            world.fire_all(watch);
        },
    ),
    (
        "random ones replaced, 30 s on, a peek after each",
        |n, watch| {
            let mut world = World::filled(n);
            for _ in 0..n {
                let i = world.random(n as u64) as usize;
                world.remove(watch, i);
                let at = world.random(HOUR);
                let key = watch.time("insert", || world.queue.insert(world.at(at), 0));
                world.keys[i] = key;
                world.peek(watch);
            }
        },
    ),
    (
        "random ones reset to an hour on as time passes",
        |n, watch| {
            let mut world = World::filled(n);
            let step = 4 * HOUR / n as u64;
            for now in 0..n as u64 {
                let i = world.random(n as u64) as usize;
                world.reset(watch, i, now * step + HOUR);
                world.fire(watch, now * step);
            }
        },
    ),
    ("intervals: what comes due is inserted again", |n, watch| {
        let mut world = World::filled(n);
        for _ in 0..n {
            let due = watch.time("pop_due", || world.queue.pop_due(world.at(10 * HOUR)));
            let Some(due) = due else { break };
            let again = due.deadline + Duration::from_nanos(HOUR);
            watch.time("insert", || world.queue.insert(again, 0));
            world.peek(watch);
        }
    }),
    (
        "those that come due are inserted again at random",
        |n, watch| {
            let mut world = World::filled(n);
            for _ in 0..n {
                let due = watch.time("pop_due", || world.queue.pop_due(world.at(10 * HOUR)));
                let Some(due) = due else { break };
                let again = due.deadline + Duration::from_nanos(world.random(HOUR));
                watch.time("insert", || world.queue.insert(again, 0));
            }
        },
    ),
];

/// An hour in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// A queue, the keys of its timers in order of insertion, and a random number generator that
/// repeats its numbers in each run.
struct World {
    queue: TimerQueue<u64>,
    keys: Vec<Key>,
    start: Instant,
    seed: u64,
}

impl World {
    fn new() -> Self {
        Self {
            queue: TimerQueue::new(),
            keys: Vec::new(),
            start: Instant::now(),
            seed: 1,
        }
    }

    /// Returns a queue with deadlines spread over an hour in random order.
    fn filled(n: usize) -> Self {
        let mut world = Self::new();
        for _ in 0..n {
            let at = world.random(HOUR);
            world.keys.push(world.queue.insert(world.at(at), 0));
        }
        world
    }

    /// Returns a queue with deadlines spread over an hour in order.
    fn filled_in_order(n: usize) -> Self {
        let mut world = Self::new();
        for i in 0..n as u64 {
            world
                .keys
                .push(world.queue.insert(world.at(i * (HOUR / n as u64)), 0));
        }
        world
    }

    fn at(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<_> = (0..n).collect();
        for i in (1..n).rev() {
            all.swap(i, self.random(i as u64 + 1) as usize);
        }
        all
    }

    fn fill_and_fire(&mut self, watch: &mut Watch, times: impl IntoIterator<Item = u64>) {
        for at in times {
            self.insert(watch, at);
        }
        self.peek(watch);
        self.fire_all(watch);
    }

    fn fill_peeking(&mut self, watch: &mut Watch, times: impl IntoIterator<Item = u64>) {
        for at in times {
            self.insert(watch, at);
            self.peek(watch);
        }
    }

    fn insert(&mut self, watch: &mut Watch, at: u64) {
        let at = self.at(at);
        let key = watch.time("insert", || self.queue.insert(at, 0));
        self.keys.push(key);
    }

    fn remove(&mut self, watch: &mut Watch, i: usize) {
        let key = self.keys[i];
        watch.time("remove", || self.queue.remove(key));
    }

    fn reset(&mut self, watch: &mut Watch, i: usize, at: u64) {
        let (key, at) = (self.keys[i], self.at(at));
        watch.time("reset", || self.queue.reset(key, at));
    }

    fn peek(&mut self, watch: &mut Watch) {
        watch.time("next_deadline", || self.queue.next_deadline());
    }

    fn fire(&mut self, watch: &mut Watch, now: u64) {
        let now = self.at(now);
        while watch.time("pop_due", || self.queue.pop_due(now)).is_some() {}
    }

    fn fire_all(&mut self, watch: &mut Watch) {
        self.fire(watch, 1000 * HOUR);
    }
}
