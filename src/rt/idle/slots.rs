//! The watch over the workers' LIFO slots: notices a task that lies in one for too long.
//!
//! A task in a worker's LIFO slot runs next on that worker, at once as a rule, so no other worker
//! is unparked for it. But the task that runs there at the moment may block its thread, perhaps for
//! the answer of the very task in the slot. So while a worker uses its slot, others *look* at the
//! slots now and then, as Go's `sysmon` looks at its processors: a parked worker, whose parker then
//! has a timeout, or a busy one that gets to it a little earlier. Time is the system's, also where
//! the runtime's clock is moved by hand: nothing but a look depends on it.
//!
//! Each worker has a [`ReportFlag`], which each look raises. When the worker puts a task into its
//! slot under a raised flag, it reports that, and the flag is lowered. If a look finds the flag
//! still raised, and the slot full, then the task has lain there since the last look: its worker is
//! stuck, and the looking worker takes the task.
//!
//! If all flags are still raised and no task was found, no slot was used since the last look, and
//! the looks end. The next put under a raised flag starts them again, and then the flag stays
//! raised, so that the first look finds that very task. The looks also end when every worker is
//! parked, so an idle runtime has no wake-ups.
//!
//! This relies on a worker seeing that its flag is raised:
//!
//! - If a look has raised the flag, then a whole period has passed by the time that the looks can
//!   end, and the store has become visible.
//! - If the end of all looks has raised it, the worker was parked, and was unparked under the same
//!   lock.
//!
//! A put costs the worker one load, except for the first one after each look.

use std::sync::Arc;

use super::{Idle, Parked};
use crate::instant::NEVER;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{CachePadded, TIME_PASSES};

/// How long a task lies in a slot, in nanoseconds, until the first look.
///
/// Longer than the kernel's own tick of 4 ms: a timer that is the next event of its processor is
/// programmed into the hardware, which takes 5 µs and more in a virtual machine, when it is set and
/// again when it is set back. With 1 ms a runtime that wakes up for one message and parks again
/// took 36 µs of CPU each time; with 5 ms it takes 26, as it does without any look.
const FIRST_LOOK: u64 = if TIME_PASSES { 5_000_000 } else { 0 };

/// The longest time from one look to the next, to which it grows while slots are in use.
const LONGEST: u64 = 2 * FIRST_LOOK;

/// How much earlier a busy worker looks, so that no parked one has to be unparked for it.
const BUSY_LEAD: u64 = FIRST_LOOK / 2;

/// Whether a worker has to report that its slot is full.
pub(crate) struct ReportFlag(CachePadded<AtomicBool>);

impl ReportFlag {
    // Relaxed, as everywhere in this file: writers hold the lock of the parked workers.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.0.load(Relaxed)
    }

    fn set(&self, wanted: bool) {
        self.0.0.store(wanted, Relaxed);
    }
}

/// Written under the lock of the parked workers, read by all threads.
pub(super) struct Slots {
    reports: Box<[Arc<ReportFlag>]>,
    /// When the next look is due, on the parkers' clock, or [`NEVER`].
    due: AtomicU64,
    /// The time from the last look to the next.
    period: AtomicU64,
}

impl Slots {
    pub(super) fn new(workers: usize) -> Self {
        // A single worker never reports: no other could take its task.
        let report = || ReportFlag(CachePadded(AtomicBool::new(workers > 1)));
        Self {
            reports: (0..workers).map(|_| Arc::new(report())).collect(),
            due: AtomicU64::new(NEVER),
            period: AtomicU64::new(FIRST_LOOK),
        }
    }

    fn report(&self, worker: usize) -> &Arc<ReportFlag> {
        &self.reports[worker]
    }

    /// Returns when the next look is due.
    pub(super) fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// Returns the time from the last look to the next.
    #[cfg(all(test, not(loom)))]
    pub(super) fn period(&self) -> u64 {
        self.period.load(Relaxed)
    }

    /// Notes that a worker has used its slot. Returns whether this starts the looks.
    fn note_full(&self, worker: usize, now: u64) -> bool {
        if self.due() != NEVER {
            self.reports[worker].set(false);
            return false;
        }
        // The flag stays raised: the first look finds this very task.
        self.plan(now, FIRST_LOOK);
        true
    }

    /// Puts the next look off, because one is about to be made.
    pub(super) fn put_off(&self, now: u64) {
        self.plan(now, self.period.load(Relaxed));
    }

    /// Looks at the slots for a worker that is between two tasks, and so is not stuck itself.
    /// Returns the workers whose task it should take.
    fn look(&self, looking: usize, now: u64, is_full: impl Fn(usize) -> bool) -> Vec<usize> {
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
            self.plan(now, FIRST_LOOK);
        } else if used {
            let period = self.period.load(Relaxed);
            self.plan(now, (period * 2).min(LONGEST));
        } else {
            self.due.store(NEVER, Relaxed);
        }
        stuck
    }

    /// Ends the looks, because every worker is parked and so all slots are empty. Returns whether
    /// there were any.
    fn stop(&self) -> bool {
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

impl Idle {
    /// Returns the flag that tells a worker to report that its LIFO slot is full.
    pub(crate) fn report(&self, worker: usize) -> &Arc<ReportFlag> {
        self.slots.report(worker)
    }

    /// Notes that a worker's LIFO slot is full while it runs a task, so that another worker looks
    /// at the slots before long.
    #[cold]
    pub(crate) fn report_full_slot(&self, worker: usize) {
        let now = self.parkers[worker].now();
        let parked = self.lock();
        if self.slots.note_full(worker, now) {
            self.update_timeout(parked);
        }
    }

    /// Returns whether the LIFO slots are looked at now and then.
    #[inline]
    pub(crate) fn has_looks(&self) -> bool {
        self.slots.due() != NEVER
    }

    /// Looks at the LIFO slots, if it is about time or `must_look`, for a worker that runs no task
    /// at the moment. Returns the workers from whose slot it should take the task.
    pub(crate) fn look_at_slots(
        &self,
        worker: usize,
        must_look: bool,
        is_full: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let now = self.parkers[worker].now();
        let is_due = || must_look || self.slots.due() <= now.saturating_add(BUSY_LEAD);
        if !is_due() {
            return Vec::new();
        }
        let parked = self.lock();
        if !is_due() {
            return Vec::new();
        }
        let stuck = self.slots.look(worker, now, is_full);
        self.update_timeout(parked);
        stuck
    }

    /// Ends the looks at the LIFO slots if every worker is parked, or has no thread.
    pub(super) fn stop_looks(&self, parked: &Parked) {
        if parked.workers.len() == parked.staffed
            && self.slots.stop()
            && let Some(owner) = parked.owner
        {
            // A later timeout: no unpark is needed.
            self.set_timeout(parked, owner);
        }
    }
}
