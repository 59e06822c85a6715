//! The worker loop: run tasks, fire timers, steal, park.
//!
//! In each pass a worker runs one task: one of its own (out of the LIFO slot, its queue, or the
//! local tasks of the thread) or, if there is none, one of the shared queue, or of another worker.
//! Every few tasks it *polls*: timers that are due fire, before the tasks that wait, and one task
//! out of the shared queue, or now and then out of another worker's, has its turn. A worker without
//! a task fires the timers of all workers, looks for I/O, and then *searches* (see `idle::notify`):
//! it steals half of the tasks of another one, 32 at most. If it finds nothing, it parks (see
//! `idle`).
//!
//! How many tasks run between two polls depends on how long they take, so that timers are polled
//! every 20 µs or so: after each task if tasks are long, after 16 if they are short (see
//! [`interval`]). If the main future was woken, the loop returns to `block_on`, which polls that
//! future. In that case it returns just before the next poll of the timers, or as soon as the
//! worker's core has no ready task.

mod interval;
mod park;

use std::sync::Arc;

use crate::instant::LATEST_DEADLINE;
use crate::rt::core::{Core, LoopState, Phase};
use crate::rt::inner::Hooks;
use crate::rt::pool::Pool;
use crate::rt::scopes::Scope;
use crate::rt::task::Runnable;

/// One poll in this many fires the timers of all workers. The others fire those of the polling
/// worker and of external threads.
const GLOBAL_INTERVAL: u32 = 8;

/// After one poll in this many a task of another worker's queue has its turn. With 8 instead of 64,
/// busy workers run more of each other's tasks, and messages over TCP took 3 % more CPU.
const STEAL_INTERVAL: u32 = 8 * GLOBAL_INTERVAL;

/// About how many timers fire before the tasks that they woke have their turn: in all shards
/// together when all are fired, otherwise in each of two (the worker's and that of external
/// threads).
const TIMERS_PER_PASS: usize = 1024;

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    WithTasks,
    /// It fires timers, collects I/O, and runs only the local tasks of its scope: the runtime is
    /// ending, or the worker waits in a destructor.
    WithoutTasks,
}

pub(super) struct Worker<'a> {
    pool: &'a Arc<Pool>,
    scope: &'a Scope,
    core: &'a Core,
    hooks: &'a Hooks,
    mode: Mode,
    state: LoopState,
    /// It counts as searching.
    searching: bool,
    /// The timers of all workers were fired in this pass. So that the tasks that these woke run
    /// first, `fire_all_once` does nothing until the next pass, or until the worker parks.
    has_fired_all: bool,
    /// The last firing ended before all timers that were due had fired: there were more than one
    /// firing takes, or too many stale slots before them.
    more_timers_due: bool,
    /// It has collected I/O when it left its parker, so the first `find_work` after that need not
    /// look for it.
    skips_next_io_look: bool,
    /// Its last look for I/O in `find_work` has found some, or its last park ended at once,
    /// probably for I/O. So it looks once more before it parks, in any case.
    expects_io: bool,
    /// It was unparked to check the LIFO slots.
    must_check_lifo_slots: bool,
    /// When it was last unparked, on the parkers' clock, and how many tasks it has run since.
    unparked_at: u64,
    ran: u64,
    /// It has parked, and has dropped the hold on time that its scope has while futures run.
    has_dropped_hold: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(scope: &'a Scope, core: &'a Core, mode: Mode) -> Self {
        let inner = scope.inner();
        core.phase.set(Phase::Tasks);
        if mode == Mode::WithoutTasks {
            inner.pool.make_stealable(core);
        }
        Self {
            pool: &inner.pool,
            scope,
            core,
            hooks: &inner.hooks,
            mode,
            state: core.state.get(),
            searching: false,
            has_fired_all: false,
            more_timers_due: false,
            skips_next_io_look: false,
            expects_io: false,
            must_check_lifo_slots: false,
            unparked_at: 0,
            ran: 0,
            has_dropped_hold: false,
        }
    }

    /// Runs the loop, for one pass at least, until `should_return` and `may_return` are both true.
    ///
    /// Before it returns, it leaves its ready tasks where other workers find them, and the I/O to
    /// another worker: it may take long until the caller comes back.
    pub(super) fn run(mut self, should_return: &impl Fn() -> bool) {
        loop {
            self.has_fired_all = false;
            let task = match self.next_task() {
                Some(task) => Some(task),
                None => self.find_work(),
            };
            match task {
                Some(task) => self.run_task(task),
                None => self.park(should_return),
            }
            if should_return() && self.may_return() {
                break;
            }
        }
        self.end_search();
        if self.must_check_lifo_slots {
            self.take_stuck();
        }
        self.pool.make_stealable(self.core);
        if self.pool.reactor.has_registrations() {
            self.pool.idle.end_io_absence(self.core.index);
        }
    }

    /// Returns whether the loop may return now. Otherwise a few tasks of this worker run first.
    fn may_return(&self) -> bool {
        !self.takes_tasks() || self.state.until_poll == 0 || self.core.is_empty()
    }

    fn takes_tasks(&self) -> bool {
        self.mode == Mode::WithTasks
    }

    /// Runs a task.
    ///
    /// All between this loop and the task's future is inlined, and all between the future and its
    /// system calls. A system call makes the processor forget where the calls under way return to,
    /// with the usual protection against Spectre, so that each return after it is predicted wrongly.
    // `inline(always)`: the compiler takes these functions for too long.
    #[inline(always)]
    fn run_task(&mut self, task: Runnable) {
        self.end_search();
        if self.has_dropped_hold {
            self.hold_time();
        }
        if self.core.take_must_notify() {
            self.pool.idle.notify_one();
        }
        // If this task blocks, the one in the slot would wait for ever.
        self.report_full_slot();
        self.ran += 1;
        self.scope.run(task);
    }

    /// Reports that there is a task in the LIFO slot, if that has to be reported.
    #[inline]
    fn report_full_slot(&self) {
        if self.core.must_report() {
            self.pool.idle.report_full_slot(self.core.index);
        }
    }

    /// Takes this worker's next task, one from the shared queue or, now and then, one of another
    /// worker. Polls the timers before that, if it is time for it.
    #[inline]
    fn next_task(&mut self) -> Option<Runnable> {
        if self.state.until_poll == 0 {
            self.poll();
            self.state.until_poll = self.state.interval;
            // A task of others that is returned here is not counted in `until_poll`. Otherwise, if
            // the interval is one task, only such tasks would run, and none of this worker's own.
            if self.takes_tasks()
                && let Some(task) = self.next_task_of_others()
            {
                return Some(task);
            }
        }
        self.state.until_poll -= 1;
        if !self.takes_tasks() {
            // The local tasks of the `block_on` that waits on this thread: nobody else runs them.
            return self.scope.local()?.pop();
        }
        self.next_own_task().or_else(|| self.next_shared_task())
    }

    /// Takes a single task out of the shared queue or, now and then, out of another worker's.
    /// That worker may be blocked, or have no thread, and this one may never run out of tasks of
    /// its own.
    fn next_task_of_others(&self) -> Option<Runnable> {
        let stolen = match self.state.tick {
            0 => self.pool.steal_one(self.core),
            _ => None,
        };
        stolen.or_else(|| self.pool.pop())
    }

    /// Takes a task out of the core, or a local one; the two kinds take turns.
    #[inline]
    fn next_own_task(&mut self) -> Option<Runnable> {
        let Some(local) = self.scope.local() else {
            return self.core.pop();
        };
        self.state.local_first = !self.state.local_first;
        if self.state.local_first {
            local.pop().or_else(|| self.core.pop())
        } else {
            self.core.pop().or_else(|| local.pop())
        }
    }

    /// Moves a batch of tasks out of the shared queue, and returns one. For a moment the batch is
    /// in no queue, and a worker that is about to park does not see it. So a worker is unparked for
    /// the rest.
    fn next_shared_task(&self) -> Option<Runnable> {
        let task = self.pool.pop_into(self.core)?;
        self.notify_if_stealable();
        Some(task)
    }

    /// Fires timers that are due. Every few times it does so for all workers, and sees to LIFO
    /// slots and I/O, too.
    fn poll(&mut self) {
        self.state.tick = (self.state.tick + 1) % STEAL_INTERVAL;
        let all = self.state.tick.is_multiple_of(GLOBAL_INTERVAL);
        let me = self.core.index;
        let may_be_due = |now| match all {
            true => self.pool.may_be_due(now),
            false => self.pool.may_be_due_for(me, now),
        };
        // The clock is read only if there are timers or descriptors.
        let has_timers = may_be_due(LATEST_DEADLINE);
        if has_timers {
            let now = self.pool.idle.now_or_zero();
            if may_be_due(now) {
                if all {
                    self.fire_all_shards(now);
                } else {
                    self.fire_own_and_external(now);
                }
                self.adapt_interval(now);
                // The time that the firing has taken is no task's.
                self.state.last_poll = self.pool.idle.now_or_zero();
            } else {
                self.adapt_interval(now);
            }
        } else if self.pool.reactor.has_registrations() {
            self.adapt_interval_to_io();
        }
        if all {
            self.take_stuck();
        }
        if all && self.pool.reactor.has_registrations() {
            self.look_for_io();
        }
    }

    /// Looks for I/O between two tasks, if no worker is parked, or if this one is away for I/O.
    fn look_for_io(&mut self) {
        let (idle, me) = (&self.pool.idle, self.core.index);
        if !idle.has_parked() {
            self.collect_io();
            self.notify_if_stealable();
        } else if idle.is_away_for_io(me) {
            self.collect_io();
            idle.note_io_look(me);
            self.notify_for_io();
        }
        // Otherwise the driver owner waits for it, the worker that is away looks, or its deputy
        // does soon (see `idle::absence`).
    }

    /// Fires the due timers of this worker and of external threads.
    fn fire_own_and_external(&mut self, now: u64) {
        let me = self.core.index;
        let more = self.while_waking(|| self.pool.fire_for(me, now, TIMERS_PER_PASS));
        self.after_firing(more);
    }

    /// Fires the due timers of all shards. Returns about how many fired.
    fn fire_all_shards(&mut self, now: u64) -> usize {
        self.has_fired_all = true;
        let driver = self.pool.idle.sharded_driver();
        let (fired, more) = self.while_waking(|| driver.fire(now, TIMERS_PER_PASS));
        self.after_firing(more);
        fired
    }

    fn after_firing(&mut self, more: bool) {
        self.more_timers_due = more;
        // Replans even if nothing was due, because firing has cleared the announcement of each
        // shard in which something might have been due.
        if self.pool.idle.has_parked() {
            self.pool.idle.sharded_driver().replan();
        }
        if self.core.has_stealable() && !self.leaves_tasks_to_timer_deputy() {
            self.pool.idle.notify_one();
        }
    }

    /// Fires the due timers of all shards, unless that was done in this pass. Returns
    /// about how many fired.
    fn fire_all_once(&mut self) -> usize {
        if self.has_fired_all || !self.pool.may_have_timers() {
            return 0;
        }
        let now = self.pool.idle.now_or_zero();
        match self.pool.may_be_due(now) {
            true => self.fire_all_shards(now),
            false => 0,
        }
    }

    /// Wakes the tasks whose I/O is ready. Another worker has to be unparked for them afterwards.
    /// Returns whether there were any.
    fn collect_io(&self) -> bool {
        let collect = || self.while_waking(|| self.pool.reactor.poll());
        match self.expects_short_tasks() {
            true => self.pool.idle.while_collecting(self.core.index, collect),
            false => collect(),
        }
    }

    /// Calls a function that may make many tasks ready, in the [phase](Phase::Waking) for that.
    fn while_waking<T>(&self, wake: impl FnOnce() -> T) -> T {
        self.core.phase.set(Phase::Waking);
        let result = wake();
        self.core.phase.set(Phase::Tasks);
        result
    }

    /// Looks for a task everywhere: in timers, I/O, and the queues of others.
    fn find_work(&mut self) -> Option<Runnable> {
        self.fire_all_once();
        let skips_next_io_look = std::mem::take(&mut self.skips_next_io_look);
        if (self.expects_io || !skips_next_io_look) && self.pool.reactor.has_registrations() {
            self.expects_io = self.collect_io();
            self.pool.idle.note_io_look(self.core.index);
            self.notify_for_io();
        }
        if !self.takes_tasks() {
            // Other workers run the tasks. This one may have been unparked for a task, or to check
            // the LIFO slots, in place of another worker.
            self.take_stuck();
            self.end_search();
            return None;
        }
        if let Some(task) = self.next_own_task() {
            return Some(task);
        }
        if !self.searching {
            self.searching = self.pool.idle.try_start_search();
        }
        if self.searching {
            let stolen = self.pool.steal_into(self.core);
            let found = stolen.or_else(|| self.pool.pop_into(self.core));
            if found.is_some() {
                return found;
            }
        }
        self.take_stuck();
        self.core.pop()
    }

    /// Takes the tasks that have lain in other workers' LIFO slots for too long.
    fn take_stuck(&mut self) {
        let must_check_lifo_slots = std::mem::take(&mut self.must_check_lifo_slots);
        if must_check_lifo_slots || self.pool.idle.checks_slots() {
            self.pool.take_stuck(self.core, must_check_lifo_slots);
        }
    }

    /// Counts this worker no longer as searching, and hands on what it may have been unparked for.
    #[inline]
    fn end_search(&mut self) {
        if self.searching {
            self.searching = false;
            self.pool.end_search_and_notify();
        }
    }

    /// Unparks another worker if there is a task for it to steal.
    fn notify_if_stealable(&self) {
        if self.core.has_stealable() {
            self.pool.idle.notify_one();
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.end_search();
        self.core.state.set(self.state);
    }
}
