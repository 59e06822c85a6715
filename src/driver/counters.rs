//! What a driver counts, always: the figures behind [`Stats`].
//!
//! Counting must cost next to nothing, so no count adds a read-modify-write for each timer (except
//! for resets on any thread but the one that made the first reset, and for timers that are found
//! due before a turn). As a rule each is written where a lock is held anyway, or by one thread
//! alone:
//!
//! | counted | where |
//! |---|---|
//! | armed, cancelled | for each chunk of timers, under its lock (`wakers/chunks.rs`) |
//! | fired, their lateness, the size of their batch | under the driver's lock, for each batch |
//! | turns, parks | by the thread of the driver's loop, or of the shard's worker; turns of a shard with `fetch_add` |
//! | how long a turn took | with `fetch_add` and `fetch_max`, once for each turn that fires |
//! | reset | by the thread that resets: see [`Tally`]; under the driver's lock, if that is held |
//!
//! What is rare (an interruption of the loop, a missed tick) is a `fetch_add`, too. All are read
//! without a lock, so reading them stops nothing. They are atomics of std even in a model:
//! nothing but a figure depends on them, and a model would only have more orders to try.

mod tally;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::driver::stats::{
    self, BATCH_BUCKETS, BUCKETS, Stats, batch_bucket, bucket_of, lower_bound,
};
use crate::instant::NEVER;
use crate::sync::CachePadded;

use self::tally::Tally;

/// Adds to a counter that no other thread writes at the same time.
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// See the head of this file.
pub(crate) struct Counters {
    /// Timers that were put off.
    pub(super) resets: Tally,
    /// Written under the driver's lock.
    firing: CachePadded<Firing>,
    looping: CachePadded<Looping>,
    rare: CachePadded<Rare>,
}

struct Firing {
    fired: AtomicU64,
    /// Resets that took the driver's lock.
    resets_locked: AtomicU64,
    batches: [AtomicU64; BATCH_BUCKETS],
    lateness: Histogram,
}

struct Looping {
    turns: AtomicU64,
    parks: AtomicU64,
}

/// Counted by any thread, at any time.
struct Rare {
    /// Timers that were found due before a turn took them out: by a poll, or by a reset.
    found_due: AtomicU64,
    /// Timers that were taken out in order of deadline because the driver ended. (Those with
    /// the deadline `NEVER` are counted with their chunks. In [`Stats`] both are cancelled.)
    orphaned: AtomicU64,
    rejected: AtomicU64,
    unparks: AtomicU64,
    missed_ticks: AtomicU64,
    /// How long turns took that have fired timers.
    durations: Histogram,
}

/// What a [`stats::Histogram`](crate::driver::stats::Histogram) is copied from.
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Adds what was counted to `to`.
    ///
    /// The buckets are read first, with Acquire. That pairs with the Release store that counts a
    /// duration in its bucket, after `sum` and `max` were written. So each duration that is found
    /// in a bucket is also in `sum`, and is at most `max`.
    fn add_to(&self, to: &mut stats::Histogram) {
        let load = |bucket: &AtomicU64| bucket.load(Ordering::Acquire);
        let buckets = self.buckets.each_ref().map(load);
        to.add(buckets, get(&self.sum), get(&self.max));
    }

    fn raise_max(&self, nanos: u64) {
        if nanos > get(&self.max) {
            self.max.store(nanos, Ordering::Relaxed);
        }
    }
}

/// Counts the timers of one batch, in order of deadline, under the driver's lock.
///
/// Timers of a batch are mostly late by about the same, so one comparison tells that a timer
/// belongs into the same bucket as the one before.
pub(super) struct Lateness<'a> {
    histogram: &'a Histogram,
    now: u64,
    /// The last deadline that belongs into the current bucket.
    until: u64,
    bucket: usize,
    /// How many belong there, and how many there were before.
    count: u64,
    counted: u64,
    /// The sum of the deadlines that belong there.
    sum: u64,
    /// The greatest lateness, that of the first timer.
    most_late: u64,
}

impl Lateness<'_> {
    #[inline]
    pub(super) fn record(&mut self, deadline: u64) {
        if deadline > self.until {
            self.next_bucket(deadline);
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(deadline);
    }

    #[cold]
    fn next_bucket(&mut self, deadline: u64) {
        self.flush();
        let late = self.now.saturating_sub(deadline);
        if late > self.most_late {
            self.most_late = late;
            self.histogram.raise_max(late);
        }
        self.bucket = bucket_of(late);
        self.until = self.now.saturating_sub(lower_bound(self.bucket));
    }

    fn flush(&mut self) {
        let late = self.now.wrapping_mul(self.count).wrapping_sub(self.sum);
        bump(&self.histogram.sum, late);
        // Release, and after the sum and the longest time: see `Histogram::add_to`.
        let bucket = &self.histogram.buckets[self.bucket];
        bucket.store(get(bucket).wrapping_add(self.count), Ordering::Release);
        self.counted += self.count;
        (self.count, self.sum) = (0, 0);
    }
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            resets: Tally::new(),
            firing: CachePadded(Firing {
                fired: AtomicU64::new(0),
                resets_locked: AtomicU64::new(0),
                batches: [const { AtomicU64::new(0) }; BATCH_BUCKETS],
                lateness: Histogram::new(),
            }),
            looping: CachePadded(Looping {
                turns: AtomicU64::new(0),
                parks: AtomicU64::new(0),
            }),
            rare: CachePadded(Rare {
                found_due: AtomicU64::new(0),
                orphaned: AtomicU64::new(0),
                rejected: AtomicU64::new(0),
                unparks: AtomicU64::new(0),
                missed_ticks: AtomicU64::new(0),
                durations: Histogram::new(),
            }),
        }
    }

    /// Begins a batch of timers that fire at `now`, under the driver's lock.
    #[inline]
    pub(super) fn begin_batch(&self, now: u64) -> Lateness<'_> {
        Lateness {
            histogram: &self.firing.0.lateness,
            now,
            // Zero, which is no deadline: so the first timer looks for its bucket. At the end of
            // the driver none needs one: a timer that is taken out then is not late.
            until: if now == NEVER { NEVER } else { 0 },
            bucket: 0,
            count: 0,
            counted: 0,
            sum: 0,
            most_late: 0,
        }
    }

    /// Ends a batch, under the driver's lock. Returns the lateness of the first timer, which is the
    /// greatest of the batch.
    pub(super) fn end_batch(&self, mut lateness: Lateness<'_>) -> u64 {
        lateness.flush();
        let count = lateness.counted;
        if count == 0 {
            return 0;
        }
        let firing = &self.firing.0;
        bump(&firing.fired, count);
        bump(&firing.batches[batch_bucket(count)], 1);
        lateness.most_late
    }

    /// Counts a reset, under the driver's lock.
    pub(super) fn count_locked_reset(&self) {
        bump(&self.firing.0.resets_locked, 1);
    }

    /// Counts a timer that a poll or a reset has found due before a turn took it out.
    #[cold]
    pub(super) fn count_found_due(&self) {
        self.rare.0.found_due.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts timers that were taken out because the driver ended.
    #[cold]
    pub(super) fn count_orphaned(&self, count: usize) {
        let orphaned = &self.rare.0.orphaned;
        orphaned.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts a turn, on the thread of the loop.
    #[inline]
    pub(super) fn count_turn(&self) {
        bump(&self.looping.0.turns, 1);
    }

    /// Counts a turn of a shard, on any thread.
    #[cfg(any(feature = "tokio", feature = "rt"))]
    pub(super) fn count_shard_turn(&self) {
        self.looping.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how long a turn that has fired timers took.
    pub(super) fn count_duration(&self, nanos: u64) {
        // Threads may fire timers of one shard at once.
        let durations = &self.rare.0.durations;
        durations.max.fetch_max(nanos, Ordering::Relaxed);
        durations.sum.fetch_add(nanos, Ordering::Relaxed);
        // Release, and last: see `Histogram::add_to`.
        durations.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Release);
    }

    /// Counts a park, on the thread of the loop or of the shard's worker.
    pub(crate) fn count_park(&self) {
        bump(&self.looping.0.parks, 1);
    }

    /// Counts a timer that was refused.
    #[cold]
    pub(super) fn count_rejected(&self) {
        self.rare.0.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an interruption of the loop: see [`Stats::unparks`].
    pub(super) fn count_interruption(&self) {
        self.rare.0.unparks.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn count_missed_ticks(&self, count: u64) {
        self.rare.0.missed_ticks.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds all counts to `stats`, except those of the chunks.
    pub(super) fn add_to(&self, stats: &mut Stats) {
        let Firing {
            fired,
            resets_locked,
            batches,
            lateness,
        } = &self.firing.0;
        let Looping { turns, parks } = &self.looping.0;
        let Rare {
            found_due,
            orphaned,
            rejected,
            unparks,
            missed_ticks,
            durations,
        } = &self.rare.0;
        stats.fired += get(fired) + get(found_due);
        stats.cancelled += get(orphaned);
        stats.reset += get(resets_locked) + self.resets.get();
        stats.turns += get(turns);
        stats.parks += get(parks);
        stats.rejected += get(rejected);
        stats.unparks += get(unparks);
        stats.missed_ticks += get(missed_ticks);
        stats.batch_sizes.add(batches.each_ref().map(get));
        lateness.add_to(&mut stats.lateness);
        durations.add_to(&mut stats.turn_duration);
    }
}
