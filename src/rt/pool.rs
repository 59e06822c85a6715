//! What the workers of a runtime share: the queues of tasks, the I/O, and the parked workers.
//!
//! There is one queue for tasks that are readied on external threads, and the other ends of the workers'
//! own queues and LIFO slots. The pool does not own the lists of tasks: a list owns the pool, as the way to
//! where its tasks are run.

use std::sync::Arc;

use crossbeam_deque::{Injector, Stealer};

use crate::clock::Clock;
use crate::driver::Handle;
use crate::rt::Reactor;
use crate::rt::core::{Core, retry};
use crate::rt::idle::Idle;
use crate::rt::task::{Route, Runnable};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

pub(super) struct Pool {
    injector: Injector<Runnable>,
    stealers: Box<[Stealer<Runnable>]>,
    /// The workers' LIFO slots.
    slots: Box<[Stealer<Runnable>]>,
    idle: Arc<Idle>,
    reactor: Arc<Reactor>,
    stopping: AtomicBool,
}

impl Pool {
    pub(super) fn new(
        idle: Arc<Idle>,
        reactor: Arc<Reactor>,
        stealers: Box<[Stealer<Runnable>]>,
        slots: Box<[Stealer<Runnable>]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            injector: Injector::new(),
            stealers,
            slots,
            idle,
            reactor,
            stopping: AtomicBool::new(false),
        })
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn clock(&self) -> &Clock {
        self.idle.clock()
    }

    pub(super) fn workers(&self) -> usize {
        self.stealers.len()
    }

    /// Returns the driver of a worker or, with the number of workers, that of all external threads.
    pub(super) fn timers(&self, place: usize) -> Handle {
        Handle {
            shared: self.idle.drivers().shards()[place].clone(),
        }
    }

    /// Returns how many timers are armed in all drivers.
    pub(super) fn armed(&self) -> usize {
        let places = 0..=self.workers();
        places.map(|place| self.timers(place).armed()).sum()
    }

    /// Takes a share of the queue that all workers share, and one task out of it.
    pub(super) fn pop_into(&self, core: &Core) -> Option<Runnable> {
        core.take_shared(&self.injector)
    }

    /// Takes a single task out of the queue that all workers share.
    pub(super) fn pop(&self) -> Option<Runnable> {
        if self.injector.is_empty() {
            return None;
        }
        retry(|| self.injector.steal())
    }

    /// Leaves the tasks that are ready on a core where other workers find them.
    pub(super) fn release(&self, core: &Core) {
        core.release(&self.injector);
    }

    /// Takes half of the tasks of another worker, and one task out of them.
    pub(super) fn steal_into(&self, core: &Core) -> Option<Runnable> {
        let count = self.stealers.len();
        let from = core.random();
        (0..count)
            .map(|offset| (from % count + offset) % count)
            .filter(|&other| other != core.index() || core.is_spare())
            .find_map(|other| core.steal(&self.stealers[other]))
    }

    /// Moves tasks that have lain in other workers' LIFO slots for too long into this worker's queue. It
    /// looks at the slots only if it is about time, or `must_look`; the worker runs no task at the moment.
    pub(super) fn take_stuck(&self, core: &Core, must_look: bool) {
        let is_full = |worker: usize| !self.slots[worker].is_empty();
        let stuck = self.idle.look_at_slots(core.index(), must_look, is_full);
        for &worker in &stuck {
            core.take_stuck(&self.slots[worker]);
        }
        // In between they were in no queue.
        if !stuck.is_empty() && core.has_spare() {
            self.idle.notify_one();
        }
    }

    /// Returns whether there is a task that any worker may take.
    pub(super) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    /// Takes one task out of any queue that has one.
    pub(super) fn drain(&self) -> Option<Runnable> {
        let shared = retry(|| self.injector.steal());
        shared.or_else(|| {
            let mut queues = self.stealers.iter();
            queues.find_map(|queue| retry(|| queue.steal()))
        })
    }

    /// Notes that a worker that searched has found a task, and unparks another worker if there is more.
    #[cold]
    pub(super) fn end_search(&self) {
        if self.idle.end_search() && self.has_work() {
            self.idle.notify_one();
        }
    }

    /// Notes that a thread stops running a worker.
    pub(super) fn remove_present(&self) {
        self.idle.remove_present(self.is_stopping());
    }

    /// Returns `false` if no timer is due at `now`, `true` if one may be.
    pub(super) fn may_be_due(&self, now: u64) -> bool {
        let drivers = self.idle.drivers().shards();
        drivers.iter().any(|driver| driver.may_be_due(now))
    }

    /// Like [`may_be_due`](Self::may_be_due), for the timers of a worker and those of external threads.
    pub(super) fn may_be_due_at(&self, worker: usize, now: u64) -> bool {
        let drivers = self.idle.drivers().shards();
        drivers[worker].may_be_due(now) || drivers[self.workers()].may_be_due(now)
    }

    /// Fires what is due of the timers of a worker and of external threads. Returns how many fired.
    pub(super) fn fire_at(&self, worker: usize, now: u64, budget: usize) -> usize {
        let drivers = self.idle.drivers();
        drivers.fire_shard(worker, now, budget) + drivers.fire_shard(self.workers(), now, budget)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells all workers to leave.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Pairs with the fence of a worker that is about to park, which reads `stopping` after that.
        fence(Ordering::SeqCst);
        for worker in 0..self.workers() {
            self.idle.notify(worker);
        }
    }

    /// Closes the drivers and the I/O. The tasks of the timers are woken, and the timers move to another
    /// driver; the tasks that wait for I/O are woken, and their waits fail.
    ///
    /// Wakers and handles may keep the pool for as long as the process lives, but not its descriptors. To
    /// be called when every worker has left.
    pub(super) fn close(&self) {
        self.idle.drivers().close();
        self.reactor.close();
        self.idle.close_parkers();
    }
}

impl Route for Pool {
    /// Puts the task into the queue that all workers share.
    fn ready(&self, task: Runnable) {
        self.injector.push(task);
        self.idle.notify_one();
    }
}
