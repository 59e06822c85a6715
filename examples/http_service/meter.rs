//! What the server did, how late its timers were, and whether one was early.
//!
//! All its tasks share one meter, on all threads. A wait is recorded when the task that waited runs
//! again, relative to the instant that it waited for. A wait that ends before that instant is not
//! recorded as a lateness of zero: it is counted as early, and fails the program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;

/// An hour in nanoseconds. A longer time counts as that.
const HIGHEST: u64 = 3600 * 1_000_000_000;

/// The reason of a wait.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// The work of a handler.
    Sleep,
    /// The deadline of a request.
    Deadline,
    /// The next sample.
    Tick,
    /// A silent client.
    Idle,
}

/// A counter. It is not ordered with anything else.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Meter {
    pub(crate) accepted: Count,
    /// Connections that ended in an error.
    pub(crate) broken: Count,
    /// Requests that could not be parsed.
    pub(crate) refused: Count,
    pub(crate) begun: Count,
    pub(crate) answered: Count,
    pub(crate) early: Count,
    /// Lateness in nanoseconds, for each kind of wait.
    late: [Mutex<Histogram<u64>>; 4],
    /// The number of requests being served, at each sample.
    load: Mutex<Histogram<u64>>,
}

/// A request that is being served, until it is dropped.
pub(crate) struct Served<'a>(&'a Meter);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.answered.add(1);
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        let histogram = || {
            let histogram = Histogram::new_with_max(HIGHEST, 3);
            Mutex::new(histogram.expect("3 digits up to an hour are possible"))
        };
        Self {
            accepted: Count::default(),
            broken: Count::default(),
            refused: Count::default(),
            begun: Count::default(),
            answered: Count::default(),
            early: Count::default(),
            late: [histogram(), histogram(), histogram(), histogram()],
            load: histogram(),
        }
    }

    pub(crate) fn serve(&self) -> Served<'_> {
        self.begun.add(1);
        Served(self)
    }

    /// Records a wait until `due`, which has just ended.
    pub(crate) fn waited(&self, wait: Wait, due: Instant) {
        match Instant::now().checked_duration_since(due) {
            Some(late) => self.late(wait).saturating_record(late.as_nanos() as u64),
            None => self.early.add(1),
        }
    }

    pub(crate) fn sample(&self) {
        let answered = self.answered.get();
        // The two counters are read one after the other: requests that begin and end in between
        // count in the one that is read last.
        let serving = self.begun.get().saturating_sub(answered);
        lock(&self.load).saturating_record(serving);
    }

    /// Returns how late the waits of one kind were, in nanoseconds.
    pub(crate) fn late(&self, wait: Wait) -> MutexGuard<'_, Histogram<u64>> {
        lock(&self.late[wait as usize])
    }

    /// Returns how many requests were served at once.
    pub(crate) fn load(&self) -> MutexGuard<'_, Histogram<u64>> {
        lock(&self.load)
    }
}

fn lock(histogram: &Mutex<Histogram<u64>>) -> MutexGuard<'_, Histogram<u64>> {
    histogram.lock().unwrap_or_else(PoisonError::into_inner)
}
