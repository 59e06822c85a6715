//! The watch over the workers' LIFO slots: notices a task that lies in one for too long.
//!
//! A task in a slot runs next on the worker whose slot it is, at once as a rule, so nobody is woken
//! for it. But the task that runs there just now may block its thread, for the answer of the very
//! task in the slot even. So while a worker is parked, or comes by, and another one uses its slot,
//! somebody *looks* at the slots every now and then, as Go's `sysmon` looks at its processors: a
//! parked worker, whose parker then has a timeout, or a busy one that comes by a little earlier.
//! Time is the system's, also where the runtime's clock is moved by hand: nothing but a look depends
//! on it.
//!
//! For each worker there is a [`Report`], a flag that a look raises. The next time that the worker
//! puts a task into its slot it lowers the flag. If a look finds the flag as the last look has left
//! it, and the slot full, then the task has lain there all the time in between. Its worker is stuck,
//! and the one that looks takes the task.
//!
//! If all flags are still raised and no task was found, no slot was used since the last look, and the
//! looks end. The flags stay raised: the next put starts the looks again. So does the end of all looks
//! when every worker is parked, and so an idle runtime has no wake-ups. This relies on each put seeing
//! the flag, and it does: a put under a flag that was raised a whole period ago, or by the lock
//! under which this worker got up, cannot see it lowered.
//!
//! A put costs the worker one load, but for the first one after each look.

use std::sync::Arc;

use crate::instant::NEVER;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{Line, TIME_PASSES};

/// How long a task lies in a slot, in nanoseconds, until the first look.
///
/// Longer than the kernel's own tick of 4 ms: a timer that is the next event of its processor is
/// programmed into the hardware, which takes 5 µs and more in a virtual machine, when it is set and
/// again when it is set back. With 1 ms a runtime that wakes up for one message and parks again took
/// 36 µs of CPU each time; with 5 ms it takes 26, as it does without any look.
const MOMENT: u64 = if TIME_PASSES { 5_000_000 } else { 0 };

/// How long it is at most from one look to the next. It grows to this as long as slots are in use.
const LONGEST: u64 = 2 * MOMENT;

/// How much before its time a busy worker looks, so that no parked one has to get up for it.
pub(super) const EARLIER: u64 = MOMENT / 2;

/// Whether a worker has to report that its slot is full.
pub(crate) struct Report(Line<AtomicBool>);

impl Report {
    // Relaxed, here as in all of this file: writers hold the lock of the parked workers.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.0.load(Relaxed)
    }

    fn set(&self, wanted: bool) {
        self.0.0.store(wanted, Relaxed);
    }
}

/// Written under the lock of the parked workers, read by all.
pub(super) struct Slots {
    reports: Box<[Arc<Report>]>,
    /// When the next look is due, on the system's monotonic clock, or [`NEVER`].
    due: AtomicU64,
    /// How long it is from the last look to the next.
    period: AtomicU64,
}

impl Slots {
    pub(super) fn new(workers: usize) -> Self {
        // A single worker has nobody to take its task: it never reports.
        let report = || Report(Line(AtomicBool::new(workers > 1)));
        Self {
            reports: (0..workers).map(|_| Arc::new(report())).collect(),
            due: AtomicU64::new(NEVER),
            period: AtomicU64::new(MOMENT),
        }
    }

    pub(super) fn report(&self, worker: usize) -> &Arc<Report> {
        &self.reports[worker]
    }

    /// Returns when the next look is due.
    pub(super) fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// Notes that a worker has used its slot. Returns whether this starts the looks.
    pub(super) fn note_use(&self, worker: usize, now: u64) -> bool {
        if self.due() != NEVER {
            self.reports[worker].set(false);
            return false;
        }
        // The flag stays raised: the first look is to find this very task.
        self.plan(now, MOMENT);
        true
    }

    /// Puts the next look off, because one is about to be made.
    pub(super) fn put_off(&self, now: u64) {
        self.plan(now, self.period.load(Relaxed));
    }

    /// Looks at the slots on behalf of a worker that is between two tasks, and so not stuck. Returns
    /// the workers whose task it should take.
    pub(super) fn look(
        &self,
        looking: usize,
        now: u64,
        is_full: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut used = false;
        let mut stuck = Vec::new();
        for (worker, report) in self.reports.iter().enumerate() {
            if !report.is_wanted() {
                used = true;
                report.set(true);
            } else if worker != looking && is_full(worker) {
                stuck.push(worker);
            }
        }
        if !stuck.is_empty() {
            self.plan(now, MOMENT);
        } else if used {
            let period = self.period.load(Relaxed);
            self.plan(now, (period * 2).min(LONGEST));
        } else {
            self.due.store(NEVER, Relaxed);
        }
        stuck
    }

    /// Ends the looks: every worker is parked, so all slots are empty. Returns whether there were
    /// any.
    pub(super) fn stop(&self) -> bool {
        if self.due() == NEVER {
            return false;
        }
        self.due.store(NEVER, Relaxed);
        self.reports.iter().for_each(|report| report.set(true));
        true
    }

    fn plan(&self, now: u64, period: u64) {
        self.period.store(period, Relaxed);
        self.due.store(now.saturating_add(period), Relaxed);
    }
}
