//! The worker loop: run tasks, fire timers, look for work, park.
//!
//! Each pass: a task out of the LIFO slot, the own queue, or the queue that all share. Every few
//! tasks, timers that are due fire, before the tasks that wait, and one task out of the shared queue
//! gets its turn. Without a task, a worker *searches*: it takes half of what another has, and fires
//! the timers of workers that do not get to it. With nothing to be found, it parks (see `idle`).
//!
//! How many tasks "every few" is follows from how long they take, so that timers are polled every
//! [`PERIOD`] or so: after each task if they are long, after [`LONGEST_INTERVAL`] if they are short.
//! Then, or when the queue is empty, the main future has its turn, if it was woken.

use std::sync::Arc;

use crate::instant::NEVER;
use crate::rt::context::Scope;
use crate::rt::core::{Core, LONGEST_INTERVAL, Pace, Phase};
use crate::rt::idle::ParkContext;
use crate::rt::inner::Hooks;
use crate::rt::local::LocalQueue;
use crate::rt::pool::Pool;
use crate::rt::task::Runnable;

/// How long tasks run between two polls of the timers, in nanoseconds, if they are short.
const PERIOD: u64 = 20_000;

/// How many polls of the own timers come to one of those of all.
const GLOBAL_INTERVAL: u32 = 8;

/// How many timers fire before what they readied gets to run.
const BUDGET: usize = 1024;

/// What a worker is there for besides tasks: on the caller's thread of `block_on` its future, on a
/// thread of the runtime the end.
pub(super) trait Wanted {
    /// Returns whether the worker is to leave its loop for it.
    fn is_wanted(&self) -> bool;
}

pub(super) struct Worker<'a> {
    pool: &'a Arc<Pool>,
    scope: &'a Scope,
    core: &'a Core,
    hooks: &'a Hooks,
    /// It fires timers and no more: the tasks are to be dropped, or are run by a caller further out.
    only_timers: bool,
    pace: Pace,
    /// Counted among the workers that search.
    searching: bool,
    /// Timers have fired in this pass, and what they readied is to run first.
    has_fired: bool,
    /// The budget was spent when timers last fired: more of them may be due.
    budget_spent: bool,
    /// I/O was collected just now.
    has_collected: bool,
    /// It was unparked to look at the LIFO slots.
    must_look: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(scope: &'a Scope, core: &'a Core, only_timers: bool) -> Self {
        let inner = scope.inner();
        core.set_phase(Phase::Task);
        Self {
            pool: inner.pool(),
            scope,
            core,
            hooks: inner.hooks(),
            only_timers,
            pace: core.pace(),
            searching: false,
            has_fired: false,
            budget_spent: false,
            has_collected: false,
            must_look: false,
        }
    }

    /// Works until the worker is wanted elsewhere and its turn is over, for one pass at least.
    ///
    /// What is ready here is left where others find it: the worker may be away for long.
    pub(super) fn work(mut self, wanted: &impl Wanted) {
        loop {
            self.has_fired = false;
            let task = match self.next() {
                Some(task) => Some(task),
                None => self.search(),
            };
            match task {
                Some(task) => self.run(task),
                None => self.rest(wanted),
            }
            if wanted.is_wanted() && self.is_turn_over() {
                break;
            }
        }
        self.found();
        self.pool.release(self.core);
        self.offer_spare();
    }

    /// Returns whether what the worker is wanted for comes before the next task.
    fn is_turn_over(&self) -> bool {
        self.only_timers || self.pace.left == 0 || self.core.is_empty()
    }

    #[inline]
    fn run(&mut self, task: Runnable) {
        self.found();
        self.offer();
        self.scope.run(task);
    }

    /// Takes the next task of this worker's own, or out of the queue that all share.
    #[inline]
    fn next(&mut self) -> Option<Runnable> {
        if self.pace.left == 0 {
            self.poll_timers();
            self.pace.left = self.pace.interval;
            if !self.only_timers
                && let Some(task) = self.pool.pop()
            {
                return Some(task);
            }
        }
        self.pace.left -= 1;
        if self.only_timers {
            return None;
        }
        self.own().or_else(|| self.share())
    }

    /// Takes a share of the shared queue. For a moment it is in no queue, and a worker that is about to
    /// park does not see it: so one is unparked for what is left of it.
    fn share(&self) -> Option<Runnable> {
        let task = self.pool.pop_into(self.core)?;
        self.offer_spare();
        Some(task)
    }

    /// Local tasks and others take turns.
    #[inline]
    fn own(&mut self) -> Option<Runnable> {
        let Some(local) = self.scope.local() else {
            return self.core.pop();
        };
        self.pace.local_first = !self.pace.local_first;
        if self.pace.local_first {
            local.pop().or_else(|| self.core.pop())
        } else {
            self.core.pop().or_else(|| local.pop())
        }
    }

    /// Fires timers that are due.
    fn poll_timers(&mut self) {
        self.pace.tick = (self.pace.tick + 1) % GLOBAL_INTERVAL;
        // A worker without timers is spared the look at the clock.
        let all = self.pace.tick == 0;
        let me = self.core.index();
        let may_be_due = |now| {
            if all {
                self.pool.may_be_due(now)
            } else {
                self.pool.may_be_due_at(me, now)
            }
        };
        if may_be_due(NEVER - 1) {
            let now = self.pool.clock().nanos();
            if may_be_due(now) {
                self.fire(now, all);
            }
            self.adapt_interval(now);
        }
        if all && !self.only_timers {
            self.take_stuck();
        }
        // A parked worker already polls I/O, so this one need not.
        if all && self.pool.reactor().has_sources() && !self.pool.idle().has_parked() {
            self.collect();
        }
    }

    /// Sets how many tasks run until timers are polled again, by how long the last ones took.
    fn adapt_interval(&mut self, now: u64) {
        let each = now.saturating_sub(self.pace.polled) / u64::from(self.pace.interval);
        let fit = PERIOD / each.max(1);
        self.pace.interval = fit.clamp(1, u64::from(LONGEST_INTERVAL)) as u32;
        self.pace.polled = now;
    }

    /// Fires what is due, if anything, of this worker's timers or of all.
    fn fire(&mut self, now: u64, all: bool) {
        self.has_fired = true;
        self.core.set_phase(Phase::Firing);
        let fired = if all {
            self.pool.idle().drivers().fire(now, BUDGET)
        } else {
            self.pool.fire_at(self.core.index(), now, BUDGET)
        };
        self.budget_spent = fired >= BUDGET;
        self.core.set_phase(Phase::Task);
        // Also if nothing was due after all: the drivers' announcements have ended.
        if self.pool.idle().has_parked() {
            self.pool.idle().drivers().rearm();
        }
        self.offer_spare();
    }

    /// Readies the tasks whose I/O is ready.
    fn collect(&self) {
        self.core.set_phase(Phase::Firing);
        self.pool.reactor().poll();
        self.core.set_phase(Phase::Task);
        self.offer_spare();
    }

    /// Looks for a task everywhere.
    fn search(&mut self) -> Option<Runnable> {
        self.fire_for_all();
        if !std::mem::take(&mut self.has_collected) && self.pool.reactor().has_sources() {
            self.collect();
        }
        if self.only_timers {
            return None;
        }
        if let Some(task) = self.own() {
            return Some(task);
        }
        if !self.searching {
            self.searching = self.pool.idle().start_search(false);
        }
        if self.searching {
            let found = self.pool.steal_into(self.core);
            let found = found.or_else(|| self.pool.pop_into(self.core));
            if found.is_some() {
                return found;
            }
        }
        self.take_stuck();
        self.core.pop()
    }

    /// Takes what has lain in other workers' LIFO slots for a moment.
    fn take_stuck(&mut self) {
        let must_look = std::mem::take(&mut self.must_look);
        if must_look || self.pool.idle().has_looks() {
            self.pool.take_stuck(self.core, must_look);
        }
    }

    /// Fires what is due, whoever ought to.
    fn fire_for_all(&mut self) {
        if self.has_fired || !self.pool.may_be_due(NEVER - 1) {
            return;
        }
        let now = self.pool.clock().nanos();
        if self.pool.may_be_due(now) {
            self.fire(now, true);
        }
    }

    /// Counts this worker no longer among those that search, once it has found something.
    #[inline]
    fn found(&mut self) {
        if self.searching {
            self.searching = false;
            self.pool.end_search();
        }
    }

    /// Wakes another worker if there is a task for it.
    fn offer_spare(&self) {
        if self.core.has_spare() {
            self.pool.idle().notify_one();
        }
    }

    /// Sees to the tasks that wait while the next one runs: one that has yielded, and the one in the
    /// slot, which would wait for ever if the next one blocks.
    #[inline]
    fn offer(&self) {
        if self.core.must_offer() {
            self.pool.idle().notify_one();
        }
        if self.core.must_report() {
            self.pool.idle().report_full_slot(self.core.index());
        }
    }

    /// Parks, unless something turns up before that.
    fn rest(&mut self, wanted: &impl Wanted) {
        if std::mem::take(&mut self.budget_spent) {
            // The timers that are left are late, and would have to wait for the slack: another pass.
            return;
        }
        // The hook may wake tasks and arm timers: so it runs before the last look at them. It may take long,
        // or block: so others do not count on this worker to search meanwhile.
        if self.hooks.has_park() {
            self.found();
        }
        self.hooks.park();
        let was_searching = std::mem::take(&mut self.searching);
        let (idle, me) = (self.pool.idle(), self.core.index());
        let context = &mut Parking {
            worker: self,
            wanted,
        };
        let unparked = idle.park(me, was_searching, context);
        self.searching = unparked.searching;
        self.must_look |= unparked.must_look;
        // A while has passed: the clock is read soon, and says nothing about tasks.
        self.pace.polled = 0;
        self.pace.interval = LONGEST_INTERVAL;
        self.pace.left = self.pace.left.min(1);
        self.hooks.unpark();
    }
}

/// A worker that parks, and what it is wanted for.
struct Parking<'p, 'a, W> {
    worker: &'p mut Worker<'a>,
    wanted: &'p W,
}

impl<W: Wanted> ParkContext for Parking<'_, '_, W> {
    fn is_stopping(&self) -> bool {
        self.worker.pool.is_stopping()
    }

    fn has_lent(&self) -> bool {
        self.worker.scope.inner().has_lent()
    }

    fn has_work(&self) -> bool {
        let worker = &*self.worker;
        let has_task = || {
            !worker.core.is_empty()
                || worker.scope.local().is_some_and(LocalQueue::is_ready)
                || worker.pool.has_work()
        };
        self.wanted.is_wanted() || !worker.only_timers && has_task()
    }

    fn collect_io(&mut self) {
        if self.worker.pool.reactor().is_live() {
            self.worker.collect();
            self.worker.has_collected = true;
        }
    }

    fn fire(&mut self) {
        self.worker.fire_for_all();
    }

    fn advance(&mut self) {
        let worker = &mut *self.worker;
        worker.core.set_phase(Phase::Firing);
        worker.pool.clock().advance_when_idle();
        worker.core.set_phase(Phase::Task);
        worker.offer_spare();
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.found();
        self.core.set_pace(self.pace);
    }
}
