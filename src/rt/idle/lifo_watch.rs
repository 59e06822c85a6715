//! The watch over the workers' LIFO slots: notices a task that lies in one for too long.
//!
//! A task in a worker's LIFO slot runs next on that worker, at once as a rule, so no other worker
//! is unparked for it. But the task that runs there at the moment may block its thread, perhaps for
//! the answer of the very task in the slot. So while a worker uses its slot, others *check* all
//! slots now and then, as Go's `sysmon` checks its processors: a parked worker, whose parker then
//! has a timeout, or a busy one that gets to it a little earlier. The checks follow
//! the system's clock, also where the runtime's clock is moved by hand.
//!
//! Each worker has a [`ReportFlag`], which each check raises. When the worker puts a task into its
//! slot under a raised flag, it reports that (at once if it runs a task, otherwise before the next
//! one), and the flag is lowered. If a check finds the flag still raised, and the slot full, then
//! the task has lain there since the last check: its worker is stuck, and the checking worker takes
//! the task.
//!
//! If all flags are still raised and no task was found, no slot was used since the last check, and
//! the checks end. The next put under a raised flag starts them again, and then the flag stays
//! raised, so that the first check finds that very task. The checks also end when every worker is
//! parked, so an idle runtime has no wake-ups. A worker without a thread, or whose thread waits for
//! the runtime to end, does not count then: its slot was emptied before.
//!
//! Could a worker miss that its flag was raised, and so never start the checks again? No:
//!
//! - If a check has raised the flag, then a whole period has passed by the time that the checks can
//!   end, and the store has become visible.
//! - If the end of all checks has raised it, the worker was parked, or no thread that counts ran
//!   it. The same lock was taken when it was unparked, or when such a thread was added.
//!
//! A put costs the worker one load, except for the first one after each check.

use std::sync::Arc;

use super::{Idle, Parked};
use crate::instant::NEVER;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{CachePadded, TIME_PASSES};

/// How long a task lies in a slot, in nanoseconds, until the first check.
///
/// Longer than the kernel's own tick of 4 ms: a timer that is the next event of its processor is
/// programmed into the hardware, which takes 5 µs and more in a virtual machine, when it is set and
/// again when it is set back. With 1 ms a runtime that wakes up for one message and parks again
/// took 36 µs of CPU each time; with 5 ms it takes 26, as it does without any check.
const FIRST_CHECK: u64 = if TIME_PASSES { 5_000_000 } else { 0 };

/// The longest time from one check to the next, to which it grows while slots are in use.
const LONGEST: u64 = 2 * FIRST_CHECK;

/// How much earlier a busy worker checks, so that no parked one has to be unparked for it.
const BUSY_LEAD: u64 = FIRST_CHECK / 2;

/// Whether a worker has to report that its slot is full.
pub(crate) struct ReportFlag(CachePadded<AtomicBool>);

impl ReportFlag {
    // Relaxed, as everywhere in this file: writers hold the lock of the parked workers.
    #[inline]
    pub(crate) fn is_raised(&self) -> bool {
        self.0.0.load(Relaxed)
    }

    fn raise(&self) {
        self.0.0.store(true, Relaxed);
    }

    fn lower(&self) {
        self.0.0.store(false, Relaxed);
    }
}

/// Written under the lock of the parked workers, read by all threads.
pub(super) struct LifoWatch {
    flags: Box<[Arc<ReportFlag>]>,
    /// When the next check is due, on the parkers' clock, or [`NEVER`].
    due: AtomicU64,
    /// The time from the last check to the next.
    period: AtomicU64,
}

impl LifoWatch {
    pub(super) fn new(workers: usize) -> Self {
        // A single worker never reports: no other could take its task.
        let flag = || ReportFlag(CachePadded(AtomicBool::new(workers > 1)));
        Self {
            flags: (0..workers).map(|_| Arc::new(flag())).collect(),
            due: AtomicU64::new(NEVER),
            period: AtomicU64::new(FIRST_CHECK),
        }
    }

    fn flag(&self, worker: usize) -> &Arc<ReportFlag> {
        &self.flags[worker]
    }

    /// Returns when the next check is due.
    pub(super) fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// Returns the time from the last check to the next.
    #[cfg(all(test, not(loom)))]
    pub(super) fn period(&self) -> u64 {
        self.period.load(Relaxed)
    }

    /// Notes that a worker has used its slot. Returns whether this starts the checks.
    fn note_full(&self, worker: usize, now: u64) -> bool {
        if self.due() != NEVER {
            self.flags[worker].lower();
            return false;
        }
        // The flag stays raised: the first check finds this very task.
        self.plan(now, FIRST_CHECK);
        true
    }

    /// Puts the next check off, because one is about to be made.
    pub(super) fn put_off(&self, now: u64) {
        self.plan(now, self.period.load(Relaxed));
    }

    /// Checks the slots for a worker that runs no task at the moment: its own is not taken.
    /// Returns the workers whose task it should take.
    fn check(&self, checking: usize, now: u64, is_full: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut used = false;
        let mut stuck = Vec::new();
        for (worker, flag) in self.flags.iter().enumerate() {
            if !flag.is_raised() {
                used = true;
                flag.raise();
            } else if worker != checking && is_full(worker) {
                stuck.push(worker);
            }
        }
        if !stuck.is_empty() {
            self.plan(now, FIRST_CHECK);
        } else if used {
            let period = self.period.load(Relaxed);
            self.plan(now, (period * 2).min(LONGEST));
        } else {
            self.due.store(NEVER, Relaxed);
        }
        stuck
    }

    /// Ends the checks, because each worker is parked, or no thread runs it that counts (see
    /// `Parked::threads`): the last one that did has emptied the slot. Returns whether there were
    /// any.
    fn stop(&self) -> bool {
        if self.due() == NEVER {
            return false;
        }
        self.due.store(NEVER, Relaxed);
        self.flags.iter().for_each(|flag| flag.raise());
        true
    }

    fn plan(&self, now: u64, period: u64) {
        self.period.store(period, Relaxed);
        self.due.store(now.saturating_add(period), Relaxed);
    }
}

impl Idle {
    /// Returns the flag that tells a worker to report that its LIFO slot is full.
    pub(crate) fn report_flag(&self, worker: usize) -> &Arc<ReportFlag> {
        self.lifo_watch.flag(worker)
    }

    /// Notes that a worker's LIFO slot is full while it runs a task, so that another worker checks
    /// the slots before long.
    #[cold]
    pub(crate) fn report_full_slot(&self, worker: usize) {
        let now = self.parkers[worker].now();
        let parked = self.lock();
        if self.lifo_watch.note_full(worker, now) {
            self.update_timeout(parked);
        }
    }

    /// Returns whether the LIFO slots are checked now and then.
    #[inline]
    pub(crate) fn checks_slots(&self) -> bool {
        self.lifo_watch.due() != NEVER
    }

    /// Checks the LIFO slots, if it is about time or `must_check_lifo_slots`, for a worker that
    /// runs no task at the moment. Returns the workers from whose slot it should take the task.
    pub(crate) fn check_slots(
        &self,
        worker: usize,
        must_check_lifo_slots: bool,
        is_full: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let now = self.parkers[worker].now();
        let is_due =
            || must_check_lifo_slots || self.lifo_watch.due() <= now.saturating_add(BUSY_LEAD);
        if !is_due() {
            return Vec::new();
        }
        let parked = self.lock();
        if !is_due() {
            return Vec::new();
        }
        let stuck = self.lifo_watch.check(worker, now, is_full);
        self.update_timeout(parked);
        stuck
    }

    /// Ends the checks of the LIFO slots if every worker is parked, or has no thread that counts
    /// (see [`Parked::threads`]).
    pub(super) fn stop_slot_checks(&self, parked: &Parked) {
        if parked.workers.len() == parked.threads
            && self.lifo_watch.stop()
            && let Some(keeper) = parked.keeper
        {
            // A later timeout: no unpark is needed.
            self.set_timeout(parked, keeper);
        }
    }
}
