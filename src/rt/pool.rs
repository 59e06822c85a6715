//! What the workers of a runtime share: the queues of tasks, the I/O, and the parked workers.
//!
//! The *shared queue* holds tasks that became ready on a thread that has no core, or only a spare
//! one while it polls its main future, and those that were left in a spare core. The pool also has
//! the stealers of the workers' own queues and LIFO slots. It does not own the lists of tasks: each
//! list refers to the pool, which is where its tasks run.

use std::sync::Arc;

use crossbeam_deque::{Injector, Steal, Stealer};

use crate::clock::Clock;
use crate::driver::Handle;
use crate::instant::LATEST_DEADLINE;
use crate::rt::core::Core;
use crate::rt::idle::Idle;
use crate::rt::reactor::Reactor;
use crate::rt::task::{Runnable, Schedule};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

pub(super) struct Pool {
    shared: Injector<Runnable>,
    stealers: Box<[Stealer<Runnable>]>,
    slots: Box<[Stealer<Runnable>]>,
    pub(super) idle: Arc<Idle>,
    pub(super) reactor: Arc<Reactor>,
    stopping: AtomicBool,
    closed: AtomicBool,
}

impl Pool {
    pub(super) fn new(
        idle: Arc<Idle>,
        reactor: Arc<Reactor>,
        stealers: Box<[Stealer<Runnable>]>,
        slots: Box<[Stealer<Runnable>]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Injector::new(),
            stealers,
            slots,
            idle,
            reactor,
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    pub(super) fn clock(&self) -> &Clock {
        self.idle.clock()
    }

    pub(super) fn workers(&self) -> usize {
        self.stealers.len()
    }

    /// Returns the driver of a worker or, at the index after the last worker's, that of all
    /// external threads.
    pub(super) fn shard_handle(&self, shard: usize) -> Handle {
        Handle::new(self.idle.sharded_driver().shards()[shard].clone())
    }

    /// Returns how many timers are armed in all drivers.
    pub(super) fn armed(&self) -> usize {
        let shards = 0..=self.workers();
        shards.map(|shard| self.shard_handle(shard).armed()).sum()
    }

    /// Takes a single task out of the shared queue.
    pub(super) fn pop(&self) -> Option<Runnable> {
        if self.shared.is_empty() {
            return None;
        }
        retry(|| self.shared.steal())
    }

    /// Moves a batch of tasks from the shared queue to a core, and returns one of them.
    pub(super) fn pop_into(&self, core: &Core) -> Option<Runnable> {
        retry(|| self.shared.steal_batch_and_pop(&core.queue))
    }

    /// Takes a single task out of another worker's queue.
    pub(super) fn steal_one(&self, core: &Core) -> Option<Runnable> {
        let mut others = self.others(core);
        others.find_map(|other| retry(|| self.stealers[other].steal()))
    }

    /// Takes half of the tasks of another worker's queue, 32 at most: moves them to a core, and
    /// returns one of them.
    pub(super) fn steal_into(&self, core: &Core) -> Option<Runnable> {
        let mut others = self.others(core);
        others.find_map(|other| retry(|| self.stealers[other].steal_batch_and_pop(&core.queue)))
    }

    /// Returns the workers from which a core may steal, beginning with a random one.
    fn others(&self, core: &Core) -> impl Iterator<Item = usize> {
        let (index, is_spare) = (core.index, core.is_spare);
        let count = self.stealers.len();
        let from = core.random();
        (0..count)
            .map(move |offset| (from % count + offset) % count)
            .filter(move |&other| other != index || is_spare)
    }

    /// Moves tasks that have lain in other workers' LIFO slots for too long to a core. Checks the
    /// slots only if a check is due, or `must_check_lifo_slots`. The worker of that core must not
    /// be running a task.
    pub(super) fn take_stuck(&self, core: &Core, must_check_lifo_slots: bool) {
        let is_full = |worker: usize| !self.slots[worker].is_empty();
        let stuck = self
            .idle
            .check_slots(core.index, must_check_lifo_slots, is_full);
        for &worker in &stuck {
            if let Some(task) = retry(|| self.slots[worker].steal()) {
                core.queue.push(task);
            }
        }
        // The tasks were in no queue for a moment, so a worker that has parked may not have seen
        // them.
        if !stuck.is_empty() && core.has_stealable() {
            self.idle.notify_one();
        }
    }

    /// Moves the ready tasks of a core, which its thread stops running, or leaves while it waits, to
    /// where other workers find them, and unparks a worker for them.
    pub(super) fn make_stealable(&self, core: &Core) {
        core.flush_slot();
        let mut has_moved = false;
        while core.is_spare
            && let Some(task) = core.queue.pop()
        {
            self.shared.push(task);
            has_moved = true;
        }
        if has_moved || core.has_stealable() {
            self.idle.notify_one();
        }
    }

    /// Returns whether there is a task that any worker may take.
    pub(super) fn has_work(&self) -> bool {
        !self.shared.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    /// Takes a task out of the shared queue, or that of any worker. It does not look into LIFO
    /// slots and spare cores: [`make_stealable`](Self::make_stealable) has to empty those before.
    pub(super) fn pop_any(&self) -> Option<Runnable> {
        let mut queues = self.stealers.iter();
        self.pop()
            .or_else(|| queues.find_map(|queue| retry(|| queue.steal())))
    }

    /// Notes that a worker no longer searches. Unparks another one if it was the last and there is
    /// a task.
    #[cold]
    pub(super) fn end_search_and_notify(&self) {
        if self.idle.end_search() && self.has_work() {
            self.idle.notify_one();
        }
    }

    /// Notes that a thread stops running a worker, or waits for the runtime to end. Its LIFO slot
    /// has to be empty: see [`make_stealable`](Self::make_stealable).
    pub(super) fn remove_thread(&self) {
        self.idle.remove_thread(self.is_stopping());
    }

    /// Returns `false` if no timer is armed that would ever fire, `true` if one may be.
    pub(super) fn may_have_timers(&self) -> bool {
        self.may_be_due(LATEST_DEADLINE)
    }

    /// Returns `false` if no timer is due at `now`, `true` if one may be.
    pub(super) fn may_be_due(&self, now: u64) -> bool {
        let drivers = self.idle.sharded_driver().shards();
        drivers.iter().any(|driver| driver.may_be_due(now))
    }

    /// Like [`may_be_due`](Self::may_be_due), for the timers of a worker and those of external
    /// threads.
    pub(super) fn may_be_due_for(&self, worker: usize, now: u64) -> bool {
        let drivers = self.idle.sharded_driver().shards();
        drivers[worker].may_be_due(now) || drivers[self.workers()].may_be_due(now)
    }

    /// Fires what is due of the timers of a worker and of external threads. Returns whether more
    /// may be due.
    pub(super) fn fire_for(&self, worker: usize, now: u64, budget: usize) -> bool {
        let driver = self.idle.sharded_driver();
        let (_, more) = driver.fire_shard(worker, now, budget);
        let (_, more_external) = driver.fire_shard(self.workers(), now, budget);
        more || more_external
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Makes the workers that have threads of their own return from their loops.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Pairs with the fence in `Counts::add_parked`: a worker that is about to park reads
        // `stopping` after that.
        fence(Ordering::SeqCst);
        for worker in 0..self.workers() {
            self.idle.notify(worker);
        }
    }

    /// Returns whether the drivers, the I/O and the parkers are closed, or are being closed: no
    /// thread can run a worker any longer.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes the drivers, the I/O and the parkers. Tasks that wait for timers are woken, and their
    /// timers move to another driver; tasks that wait for I/O are woken, and get an error. A thread
    /// that runs the first worker stops doing so.
    ///
    /// Wakers and handles may keep the pool for as long as the process lives, but not its
    /// descriptors.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle.sharded_driver().close();
        self.reactor.close();
        self.idle.close_parkers();
    }
}

impl Schedule for Pool {
    /// Puts the task into the shared queue.
    fn schedule(&self, task: Runnable) {
        self.shared.push(task);
        self.idle.notify_one();
    }
}

/// Steals until it is clear whether there is a task.
fn retry(mut steal: impl FnMut() -> Steal<Runnable>) -> Option<Runnable> {
    loop {
        match steal() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}
