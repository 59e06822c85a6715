//! In what order does a worker run tasks, fire timers, look for work and sleep?
//!
//! Each pass: a task out of the next slot, the own queue, or the queue that all share. Every few
//! tasks, timers that are due fire, before the tasks that wait, and one task out of the shared queue
//! gets its turn. Without a task, a worker *searches*: it takes half of what another has, and fires
//! the timers of workers that do not get to it. With nothing to be found, it sleeps (see `idle`).
//!
//! How many tasks "every few" is follows from how long they take, so that timers are looked at
//! every [`PERIOD`] or so: after each task if they are long, after [`MOST`] if they are short. Then,
//! or when the queue is empty, the main future has its turn, if it was woken.

use std::sync::Arc;

use crate::instant::NEVER;
use crate::rt::core::{Core, Phase};
use crate::rt::here::Here;
use crate::rt::hooks::Hooks;
use crate::rt::locals::Locals;
use crate::rt::pool::Pool;
use crate::rt::task::{self, Runnable};
use crate::system;

/// How long tasks run between two looks at the timers, in nanoseconds, if they are short.
const PERIOD: u64 = 20_000;

/// How many tasks at most run between two looks at the timers.
const MOST: u32 = 16;

/// How many looks at the own timers come to one at those of all.
const ROUND: u32 = 8;

/// How many timers fire before what they readied gets to run.
const BUDGET: usize = 1024;

/// What a worker does besides running tasks: on the caller's thread of `block_on`, poll its future.
pub(super) trait Main {
    /// Goes on with it; whether the worker may leave.
    fn run(&mut self) -> bool;

    /// Whether there is something to go on with.
    fn is_woken(&self) -> bool;
}

pub(super) struct Worker<'a> {
    pool: &'a Arc<Pool>,
    here: &'a Here,
    core: &'a Core,
    hooks: &'a Hooks,
    /// Counted among those that search.
    searching: bool,
    /// There was something to be found, when it was about to sleep.
    insists: bool,
    /// How many tasks may run until the next look at the timers.
    left: u32,
    /// How many tasks run from one look to the next.
    stride: u32,
    /// When the last look was, zero for never.
    looked: u64,
    round: u32,
    /// Timers have fired in this pass, and what they readied is to run first.
    has_fired: bool,
    /// The budget was spent when timers last fired: more of them may be due.
    is_cut: bool,
    /// I/O was collected just now.
    has_collected: bool,
    /// Whose turn it is between local and other tasks.
    local_first: bool,
    seed: u64,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        pool: &'a Arc<Pool>,
        here: &'a Here,
        core: &'a Core,
        hooks: &'a Hooks,
    ) -> Self {
        // A main future that panicked may have left it otherwise.
        core.set_phase(Phase::Task);
        let seed = core.index() as u64 + 1;
        Self {
            pool,
            here,
            core,
            hooks,
            searching: false,
            insists: false,
            left: 0,
            stride: MOST,
            looked: 0,
            round: 0,
            has_fired: false,
            is_cut: false,
            has_collected: false,
            local_first: false,
            seed,
        }
    }

    /// Works until `main` says that it may leave.
    pub(super) fn work(mut self, main: &mut impl Main) {
        loop {
            if main.is_woken() && (self.left == 0 || self.core.is_empty()) {
                // It may run for long, and is found work as any other.
                self.found();
                self.core.release();
                if self.core.has_spare() {
                    self.pool.wake_one();
                }
                self.core.set_phase(Phase::Main);
                let done = main.run();
                self.core.set_phase(Phase::Task);
                if done {
                    return;
                }
            }
            self.has_fired = false;
            let task = match self.next() {
                Some(task) => Some(task),
                None => self.search(),
            };
            match task {
                Some(task) => self.run(task),
                None => self.rest(main),
            }
        }
    }

    fn run(&mut self, task: Runnable) {
        self.found();
        self.offer();
        task::run(task);
    }

    /// The next task of this worker's own, or out of the queue that all share.
    fn next(&mut self) -> Option<Runnable> {
        if self.left == 0
            && let Some(task) = self.look()
        {
            return Some(task);
        }
        self.left -= 1;
        self.own().or_else(|| self.share())
    }

    /// Takes a share of the shared queue. For a moment it is in no queue, and a worker that lies down
    /// just then does not see it: so one is woken for what is left of it.
    fn share(&self) -> Option<Runnable> {
        let task = self.pool.pop_into(self.core)?;
        if self.core.has_spare() {
            self.pool.wake_one();
        }
        Some(task)
    }

    /// Local tasks and others take turns.
    fn own(&mut self) -> Option<Runnable> {
        let Some(locals) = self.here.locals() else {
            return self.core.pop();
        };
        self.local_first = !self.local_first;
        if self.local_first {
            locals.pop().or_else(|| self.core.pop())
        } else {
            self.core.pop().or_else(|| locals.pop())
        }
    }

    /// Fires timers that are due, and has a task of the shared queue take its turn.
    fn look(&mut self) -> Option<Runnable> {
        self.round = (self.round + 1) % ROUND;
        // A worker without timers is spared the look at the clock.
        let at_all = self.round == 0;
        let me = self.core.index();
        let may_be_due = |now| {
            if at_all {
                self.pool.may_be_due(now)
            } else {
                self.pool.may_be_due_at(me, now)
            }
        };
        if may_be_due(NEVER - 1) {
            let now = self.pool.clock().nanos();
            if may_be_due(now) {
                self.fire(now, at_all);
            }
            self.pace(now);
        }
        // Who sleeps watches.
        if at_all && self.pool.reactor().has_sources() && !self.pool.idle().anybody_sleeps() {
            self.collect();
        }
        self.left = self.stride;
        self.pool.pop()
    }

    /// Sets how many tasks run until the next look, by how long the last ones took.
    fn pace(&mut self, now: u64) {
        let each = now.saturating_sub(self.looked) / u64::from(self.stride);
        let fit = PERIOD / each.max(1);
        self.stride = fit.clamp(1, u64::from(MOST)) as u32;
        self.looked = now;
    }

    /// Fires what is due, if anything, of this worker's timers or of all.
    fn fire(&mut self, now: u64, all: bool) {
        self.has_fired = true;
        self.core.set_phase(Phase::Firing);
        let fired = if all {
            self.pool.fire(now, BUDGET)
        } else {
            self.pool.fire_at(self.core.index(), now, BUDGET)
        };
        self.is_cut = fired >= BUDGET;
        self.core.set_phase(Phase::Task);
        // Also if nothing was due after all: the drivers' announcements have ended.
        if self.pool.idle().anybody_sleeps() {
            self.pool.attend();
        }
        if self.core.has_spare() {
            self.pool.wake_one();
        }
    }

    /// Readies the tasks whose I/O is ready.
    fn collect(&self) {
        self.core.set_phase(Phase::Firing);
        self.pool.reactor().poll();
        self.core.set_phase(Phase::Task);
        if self.core.has_spare() {
            self.pool.wake_one();
        }
    }

    /// Looks for a task everywhere.
    fn search(&mut self) -> Option<Runnable> {
        self.fire_for_all();
        if !std::mem::take(&mut self.has_collected) && self.pool.reactor().has_sources() {
            self.collect();
        }
        if let Some(task) = self.own() {
            return Some(task);
        }
        let insists = std::mem::take(&mut self.insists);
        if !self.searching {
            self.searching = self.pool.idle().start_search(insists);
        }
        if !self.searching {
            return None;
        }
        let from = self.random();
        let found = self.pool.steal_into(self.core, from);
        found.or_else(|| self.pool.pop_into(self.core))
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
    fn found(&mut self) {
        if std::mem::take(&mut self.searching)
            && self.pool.idle().end_search()
            && self.pool.has_work()
        {
            self.pool.wake_one();
        }
    }

    /// Wakes another worker if what runs next makes a task wait that has yielded.
    #[inline]
    fn offer(&self) {
        if self.core.must_offer() {
            self.pool.wake_one();
        }
    }

    /// Sleeps, unless something turns up while this worker lies down; or moves time, if that is
    /// done by hand and everybody else sleeps.
    fn rest(&mut self, main: &impl Main) {
        if std::mem::take(&mut self.is_cut) {
            // What is left is late, and would have to wait for the slack: another pass.
            return;
        }
        let idle = self.pool.idle();
        let me = self.core.index();
        let all = idle.lie_down(me, std::mem::take(&mut self.searching));
        self.pool.attend();
        if self.has_work(main) {
            self.insists = true;
            self.get_up();
            return;
        }
        if all && self.pool.can_advance() {
            if idle.get_up_last(me, || self.pool.calm()) {
                self.advance();
            } else {
                self.get_up();
            }
            return;
        }
        idle.settle(me);
        self.hooks.park();
        idle.bed(me).sleep();
        self.hooks.unpark();
        if self.pool.reactor().is_live() {
            // Before another one watches, who would be woken by the same.
            self.collect();
            self.has_collected = true;
        }
        self.get_up();
    }

    fn get_up(&mut self) {
        let now = system::monotonic().cast_unsigned();
        let idle = self.pool.idle();
        let up = idle.get_up(self.core.index(), now, || self.pool.calm());
        self.searching = up.called;
        if up.rang {
            self.pool.rang();
            self.fire_for_all();
            // Also if nothing was due after all.
            self.pool.attend();
        }
        // A while has passed: the clock is looked at soon, and says nothing about tasks.
        self.looked = 0;
        self.stride = MOST;
        self.left = self.left.min(1);
    }

    /// Moves time on to the next deadline, and fires what is due there.
    fn advance(&self) {
        self.core.set_phase(Phase::Firing);
        self.pool.clock().advance_when_idle();
        self.core.set_phase(Phase::Task);
        if self.core.has_spare() {
            self.pool.wake_one();
        }
    }

    fn has_work(&self, main: &impl Main) -> bool {
        main.is_woken()
            || !self.core.is_empty()
            || self.here.locals().is_some_and(Locals::has_mail)
            || self.pool.has_work()
    }

    /// Xorshift (Marsaglia, 2003): whom to steal from first.
    fn random(&mut self) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed as usize
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.found();
    }
}
