//! Measures what it costs to wake a tokio runtime for its timers, for the slack that adapts.
//!
//! Tokio parks by itself, so a sample goes from the moment after the timers have fired to the next
//! time that the wake source expires: the CPU time of the thread, without the time in which its
//! worker ran tasks. The runtime's metrics count that, and the parks of the worker: a sample in
//! which it has not parked just once, on this thread, is thrown away.
//!
//! Tokio unparks other workers for the tasks that a wake-up has made ready, and each of them parks
//! again. That is as dear as the first park, so the sample counts once for each park of any worker,
//! at most [`MOST_PARKS`] times: I/O unparks workers, too.

use std::cell::Cell;

use tokio::runtime::{self, Id, worker_index};

use crate::driver::sharded::{ShardedDriver, WakeSource};
use crate::driver::slack::Sample;
use crate::instant::nanos;

/// A sample of less, in nanoseconds, is thrown away: there was no wait, or the thread was preempted
/// in a task. Tokio counts wall time as busy, so too much was subtracted then.
const LEAST: u64 = 1_000;

/// For how many parks a sample counts at most.
const MOST_PARKS: u64 = 3;

thread_local! {
    /// The wait of this thread that is measured.
    static BEGUN: Cell<Option<Begun>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Begun {
    runtime: Id,
    sample: Sample,
    worker: Worker,
}

/// What tokio has counted for a worker up to its latest park.
#[derive(Clone, Copy)]
struct Worker {
    index: usize,
    parks: u64,
    busy: u64,
    /// The parks of all workers.
    all_parks: u64,
}

impl Worker {
    /// Returns the worker that this thread is, `None` if it is none.
    fn current() -> Option<Self> {
        let index = worker_index()?;
        let metrics = runtime::Handle::try_current().ok()?.metrics();
        let workers = metrics.num_workers();
        (index < workers).then(|| Self {
            index,
            parks: metrics.worker_park_count(index),
            busy: nanos(metrics.worker_total_busy_duration(index)),
            all_parks: (0..workers).map(|it| metrics.worker_park_count(it)).sum(),
        })
    }
}

/// Begins to measure the wait of this thread, if one is due.
pub(super) fn begin_sample<W: WakeSource>(runtime: Id, driver: &ShardedDriver<W>) {
    let Some(sample) = driver.begin_sample() else {
        return;
    };
    let begun = Worker::current().map(|worker| Begun {
        runtime,
        sample,
        worker,
    });
    // A thread that is ending waits no more.
    let _ = BEGUN.try_with(|it| it.set(begun));
}

/// Ends the sample of this thread, if there is one. To be called when the source has expired.
pub(super) fn end_sample<W: WakeSource>(runtime: Id, driver: &ShardedDriver<W>) {
    let Ok(Some(begun)) = BEGUN.try_with(Cell::take) else {
        return;
    };
    let spent = begun.sample.spent();
    let Some(worker) = Worker::current().filter(|_| begun.runtime == runtime) else {
        return;
    };
    let before = begun.worker;
    if worker.index != before.index || worker.parks != before.parks + 1 {
        return;
    }
    let cost = spent.saturating_sub(worker.busy.saturating_sub(before.busy));
    if cost >= LEAST {
        let parks = worker.all_parks.saturating_sub(before.all_parks);
        driver.note_cost(cost.saturating_mul(parks.clamp(1, MOST_PARKS)));
    }
}
