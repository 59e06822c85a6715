//! The workers of a runtime in a model: parked and unparked as they are in the executor.
//!
//! The idle protocol, the sharded driver and the notifiers are those that ship. Around them is what
//! the worker loop does with them; a task is a number here.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use super::parker::{Parker, Timeouts};
use crate::driver::slack::SharedSlack;
use crate::park::worker::WorkerPark;
use crate::rt::idle::{Idle, ParkContext, Unparked};
use crate::{Clock, Handle};

/// How many timers an owner seems to have fired: with one alone, no worker would stand by.
const SEVERAL: usize = 2;

/// What the workers of a runtime share.
pub(super) struct Pool {
    tasks: AtomicUsize,
    slots: Box<[Slot]>,
    idle: Arc<Idle>,
    parkers: Box<[Arc<Parker>]>,
    /// How much I/O there is to collect.
    io: AtomicUsize,
    time: Arc<AtomicU64>,
    stopping: AtomicBool,
}

/// A worker's LIFO slot, as the queue that it is: how many tasks were put there and taken out.
#[derive(Default)]
struct Slot {
    back: AtomicUsize,
    front: AtomicUsize,
}

impl Slot {
    /// Called by its worker alone.
    fn put(&self) {
        let back = self.back.load(Ordering::Relaxed);
        self.back.store(back + 1, Ordering::Release);
    }

    fn take(&self) -> bool {
        let front = self.front.load(Ordering::Acquire);
        let (success, failure) = (Ordering::SeqCst, Ordering::Relaxed);
        let next = front + 1;
        self.back.load(Ordering::Acquire) > front
            && self
                .front
                .compare_exchange(front, next, success, failure)
                .is_ok()
    }

    fn is_full(&self) -> bool {
        self.back.load(Ordering::Relaxed) > self.front.load(Ordering::Relaxed)
    }
}

/// A worker that parks, what it is wanted for besides tasks, and what it does with I/O.
struct Parking<'a, W, H, C> {
    pool: &'a Pool,
    is_wanted: W,
    has_io: H,
    collect: C,
}

impl<W: Fn() -> bool, H: Fn() -> bool, C: Fn()> ParkContext for Parking<'_, W, H, C> {
    fn is_stopping(&self) -> bool {
        self.pool.stopping.load(Ordering::Relaxed)
    }

    fn lender_polls(&self) -> bool {
        false
    }

    fn takes_tasks(&self) -> bool {
        true
    }

    fn has_work(&self) -> bool {
        self.pool.has_work() || (self.is_wanted)()
    }

    fn has_io(&self) -> bool {
        (self.has_io)()
    }

    fn collect_io(&mut self) {
        (self.collect)();
    }

    fn has_collected_io(&self) -> bool {
        true
    }

    fn expects_short_tasks(&self) -> bool {
        true
    }

    fn fire(&mut self) -> usize {
        self.pool.fire(usize::MAX);
        SEVERAL
    }

    fn advance(&mut self) {
        self.pool.idle.clock().advance_when_idle();
    }
}

impl Pool {
    /// Each worker has a thread. `timeouts`: of the parkers. `clock`: one that is moved by hand,
    /// `None` for one that runs.
    pub(super) fn new(workers: usize, timeouts: Timeouts, clock: Option<Clock>) -> Arc<Self> {
        let time = Arc::new(AtomicU64::new(0));
        let parkers = (0..workers).map(|_| Arc::new(Parker::new(timeouts, time.clone())));
        let parkers: Box<[_]> = parkers.collect();
        let shared = parkers.iter().cloned();
        let shared = shared.map(|parker| Box::new(parker) as Box<dyn WorkerPark>);
        let counter = time.clone();
        let running = move || std::time::Duration::from_nanos(counter.load(Ordering::Acquire));
        let clock = clock.unwrap_or_else(|| Clock::custom(running));
        let pool = Arc::new(Self {
            tasks: AtomicUsize::new(0),
            slots: (0..workers).map(|_| Slot::default()).collect(),
            // As many drivers as workers, and none for external threads: each has a lock to model.
            idle: Idle::new(shared.collect(), workers, clock, SharedSlack::new(0)),
            parkers,
            io: AtomicUsize::new(0),
            time,
            stopping: AtomicBool::new(false),
        });
        for _ in 0..workers {
            pool.idle.add_thread();
        }
        pool.idle.note_fired_by_timeout(SEVERAL);
        pool
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// Returns the timers of a worker.
    pub(super) fn timers(&self, worker: usize) -> Handle {
        Handle::new(self.idle.sharded_driver().shards()[worker].clone())
    }

    /// Lets time pass.
    pub(super) fn set_time(&self, nanos: u64) {
        self.time.store(nanos, Ordering::Release);
    }

    /// Puts a task into the queue that all workers share.
    pub(super) fn push(&self) {
        // Relaxed, both here and where it is looked for: the fences have to do.
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.idle.notify_one();
    }

    /// A worker puts a task into its queue, which it may leave to its deputy if it is away.
    pub(super) fn leave(&self, worker: usize) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        if !self.idle.is_away_for_timers(worker) {
            self.idle.notify_one();
        }
    }

    /// The same for tasks that I/O has woken, if it is away for that.
    pub(super) fn leave_for_io(&self, worker: usize) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        if !self.idle.is_away_for_io(worker) {
            self.idle.notify_one();
        }
    }

    /// Takes a task.
    pub(super) fn pop(&self) -> bool {
        let take = |tasks: usize| tasks.checked_sub(1);
        let order = Ordering::Relaxed;
        self.has_work() && self.tasks.fetch_update(order, order, take).is_ok()
    }

    fn has_work(&self) -> bool {
        self.tasks.load(Ordering::Relaxed) > 0
    }

    /// A worker puts a task into its LIFO slot, which must be empty.
    pub(super) fn put(&self, worker: usize) {
        self.slots[worker].put();
        if self.idle.report_flag(worker).is_raised() {
            self.idle.report_full_slot(worker);
        }
    }

    /// Takes the task out of a worker's slot.
    pub(super) fn take(&self, worker: usize) -> bool {
        self.slots[worker].take()
    }

    /// A worker that runs no task checks the slots of the others. Returns how many tasks it has
    /// taken.
    pub(super) fn take_stuck(&self, worker: usize, must_check_lifo_slots: bool) -> usize {
        if !must_check_lifo_slots && !self.idle.checks_slots() {
            return 0;
        }
        let is_full = |worker: usize| self.slots[worker].is_full();
        let stuck = self
            .idle
            .check_slots(worker, must_check_lifo_slots, is_full);
        stuck
            .into_iter()
            .filter(|&worker| self.take(worker))
            .count()
    }

    /// Unparks a certain worker, as a thread does that has put something there for it.
    pub(super) fn notify(&self, worker: usize) {
        fence(Ordering::SeqCst);
        self.idle.notify(worker);
    }

    /// A worker that was counted among those that search has found a task.
    pub(super) fn found(&self) {
        if self.idle.end_search() && self.has_work() {
            self.idle.notify_one();
        }
    }

    /// Ends the park of a worker as I/O does that is ready.
    pub(super) fn end_park_by_io(&self, worker: usize) {
        self.parkers[worker].unpark();
    }

    /// Makes I/O ready, for the worker that waits for it.
    pub(super) fn send(&self) {
        self.io.fetch_add(1, Ordering::Relaxed);
        self.parkers.iter().for_each(|it| it.set_io_ready(true));
    }

    /// Collects the I/O that is ready. Returns whether there was any.
    pub(super) fn collect(&self) -> bool {
        self.parkers.iter().for_each(|it| it.set_io_ready(false));
        self.io.swap(0, Ordering::Relaxed) > 0
    }

    /// Blocks a worker that has begun to park.
    pub(super) fn block(&self, worker: usize) {
        self.parkers[worker].park();
    }

    /// Does what a worker does before it blocks, up to that.
    pub(super) fn begin_park(&self, worker: usize) {
        self.idle.transition_to_parked(worker, false);
        self.idle.sharded_driver().replan();
        self.idle.prepare_parker(worker);
    }

    /// Does what a worker does after that.
    pub(super) fn end_park(&self, worker: usize) {
        let context = &mut self.parking(|| false, || false, || {});
        if self.idle.leave_parked_and_fire(worker, context).searching {
            self.found();
        }
    }

    /// A worker that has found nothing parks, unless it finds a task now, or `is_wanted`.
    pub(super) fn park(
        &self,
        worker: usize,
        was_searching: bool,
        is_wanted: impl Fn() -> bool,
    ) -> Unparked {
        self.park_and_collect(worker, was_searching, is_wanted, || false, || {})
    }

    /// Like [`park`](Self::park). `has_io` says whether there is I/O that no worker has begun to
    /// collect, and `collect` is called to collect it.
    pub(super) fn park_and_collect(
        &self,
        worker: usize,
        was_searching: bool,
        is_wanted: impl Fn() -> bool,
        has_io: impl Fn() -> bool,
        collect: impl Fn(),
    ) -> Unparked {
        let context = &mut self.parking(is_wanted, has_io, collect);
        self.idle.park(worker, was_searching, context)
    }

    fn parking<W: Fn() -> bool, H: Fn() -> bool, C: Fn()>(
        &self,
        is_wanted: W,
        has_io: H,
        collect: C,
    ) -> Parking<'_, W, H, C> {
        Parking {
            pool: self,
            is_wanted,
            has_io,
            collect,
        }
    }

    /// Does what a worker does between two tasks: fires at most about `budget` timers that are due,
    /// and replans the sharded driver if any worker is parked.
    pub(super) fn poll_timers(&self, budget: usize) {
        self.fire(budget);
        if self.idle.has_parked() {
            self.idle.sharded_driver().replan();
        }
    }

    fn fire(&self, budget: usize) {
        let now = self.idle.clock().nanos();
        self.idle.sharded_driver().fire(now, budget);
    }

    /// Begins to end the runtime, before any worker parks.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Stops the clock.
    pub(super) fn pause(&self) {
        assert!(self.idle.clock().freeze());
    }

    /// Returns the timeout of a worker's parker.
    pub(super) fn timeout(&self, worker: usize) -> u64 {
        self.parkers[worker].timeout()
    }

    /// Returns how often a worker was unparked.
    pub(super) fn unparks(&self, worker: usize) -> usize {
        self.parkers[worker].unparks()
    }
}
