//! What do the workers of a runtime share?
//!
//! A queue for what is readied outside of them, the other ends of their own queues, the drivers of
//! their timers, and who of them sleeps. Nothing here owns the lists of tasks: a list holds the pool,
//! as the route to where its tasks are run.

use std::sync::{Arc, Weak};

use crossbeam_deque::{Injector, Stealer};

use crate::clock::{Clock, Follower};
use crate::driver::Handle;
use crate::driver::sharded::{Liveness, ShardedDriver, WakeSource};
use crate::driver::shared::{Notifier, Shared as Driver};
use crate::driver::slack::Limit;
use crate::instant::NEVER;
use crate::rt::Reactor;
use crate::rt::core::{Core, retry};
use crate::rt::idle::Idle;
use crate::rt::task::{Route, Runnable};
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::system;

pub(super) struct Pool {
    injector: Injector<Runnable>,
    stealers: Box<[Stealer<Runnable>]>,
    /// The workers' LIFO slots.
    slots: Box<[Stealer<Runnable>]>,
    /// A driver for each worker, and the last for all other threads.
    alarm: ShardedDriver<Waiter>,
    idle: Arc<Idle>,
    reactor: Arc<Reactor>,
    clock: Clock,
    stopping: AtomicBool,
}

impl Pool {
    pub(super) fn new(
        clock: Clock,
        slack: u64,
        idle: Arc<Idle>,
        reactor: Arc<Reactor>,
        stealers: Box<[Stealer<Runnable>]>,
        slots: Box<[Stealer<Runnable>]>,
    ) -> Arc<Self> {
        let slack = Limit::new(slack);
        let pool = Arc::new_cyclic(|pool: &Weak<Self>| {
            let exact = clock.is_frozen();
            let call = || Box::new(Call(pool.clone()));
            let driver = |_| Driver::new(clock.clone(), call(), exact, slack.clone());
            let waiter = Waiter {
                pool: pool.clone(),
                clock: clock.clone(),
            };
            Self {
                injector: Injector::new(),
                alarm: ShardedDriver::new(
                    waiter,
                    clock.clone(),
                    slack.clone(),
                    (0..=stealers.len()).map(driver).collect(),
                ),
                stealers,
                slots,
                idle,
                reactor,
                clock: clock.clone(),
                stopping: AtomicBool::new(false),
            }
        });
        let follower: Weak<Self> = Arc::downgrade(&pool);
        clock.follow(follower);
        pool
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn workers(&self) -> usize {
        self.stealers.len()
    }

    /// The driver of a worker, or with their number that of all other threads.
    pub(super) fn timers(&self, place: usize) -> Handle {
        Handle {
            shared: self.alarm.shards()[place].clone(),
        }
    }

    /// How many timers are armed, everywhere.
    pub(super) fn armed(&self) -> usize {
        let places = 0..=self.workers();
        places.map(|place| self.timers(place).armed()).sum()
    }

    /// Takes a share of that queue.
    pub(super) fn pop_into(&self, core: &Core) -> Option<Runnable> {
        core.take_shared(&self.injector)
    }

    /// Takes a single task out of that queue.
    pub(super) fn pop(&self) -> Option<Runnable> {
        if self.injector.is_empty() {
            return None;
        }
        retry(|| self.injector.steal())
    }

    /// Leaves what is ready on a core where other threads find it.
    pub(super) fn release(&self, core: &Core) {
        core.release(&self.injector);
    }

    /// Takes half of what some other worker has.
    pub(super) fn steal_into(&self, core: &Core) -> Option<Runnable> {
        let count = self.stealers.len();
        let from = core.random();
        (0..count)
            .map(|offset| (from % count + offset) % count)
            .filter(|&other| other != core.index() || core.is_spare())
            .find_map(|other| core.steal(&self.stealers[other]))
    }

    /// Takes the tasks that have lain in other workers' LIFO slots for a moment into this worker's
    /// queue; it runs no task just now. Looks at the slots only if it is about time, or `must_look`.
    pub(super) fn take_stuck(&self, core: &Core, must_look: bool) {
        let now = system::monotonic().cast_unsigned();
        let is_full = |worker: usize| !self.slots[worker].is_empty();
        let stuck = self
            .idle
            .look_at_slots(core.index(), now, must_look, is_full);
        for &worker in &stuck {
            core.take_stuck(&self.slots[worker]);
        }
        // In between they were in no queue.
        if !stuck.is_empty() && core.has_spare() {
            self.wake_one();
        }
    }

    /// Notes that a worker's LIFO slot is full while it runs a task.
    pub(super) fn report_full_slot(&self, worker: usize) {
        let now = system::monotonic().cast_unsigned();
        self.idle.report_full_slot(worker, now);
    }

    /// Whether there is a task for anybody who comes.
    pub(super) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    /// Takes one task out of whichever queue has one.
    pub(super) fn drain(&self) -> Option<Runnable> {
        let shared = retry(|| self.injector.steal());
        shared.or_else(|| {
            let mut queues = self.stealers.iter();
            queues.find_map(|queue| retry(|| queue.steal()))
        })
    }

    /// Wakes a worker for new work, unless one is searching or none sleeps.
    #[inline]
    pub(super) fn wake_one(&self) {
        self.idle.wake_one(|| self.calm());
    }

    /// Notes that a worker that searched has found something, and wakes another one if there is more.
    #[cold]
    pub(super) fn end_search(&self) {
        if self.idle.end_search() && self.has_work() {
            self.wake_one();
        }
    }

    /// Counts a worker as absent: its thread stops running it.
    pub(super) fn depart(&self) {
        self.idle.depart(self.is_stopping());
    }

    /// Wakes a certain worker, if it sleeps.
    pub(super) fn wake(&self, worker: usize) {
        self.idle.wake(worker, || self.calm());
    }

    /// Tells the drivers that nobody waits for them, and nobody needs to be told of new timers.
    pub(super) fn calm(&self) {
        self.alarm
            .shards()
            .iter()
            .for_each(|driver| driver.clear_announcement());
    }

    /// Whether a timer may be due somewhere; `false` is sure.
    pub(super) fn may_be_due(&self, now: u64) -> bool {
        let drivers = self.alarm.shards();
        drivers.iter().any(|driver| driver.may_be_due(now))
    }

    /// Whether a timer of this worker may be due, or one of those that no worker looks after.
    pub(super) fn may_be_due_at(&self, worker: usize, now: u64) -> bool {
        let drivers = self.alarm.shards();
        drivers[worker].may_be_due(now) || drivers[self.workers()].may_be_due(now)
    }

    /// Fires what is due everywhere, at most about `budget` timers; how many fired.
    pub(super) fn fire(&self, now: u64, budget: usize) -> usize {
        self.alarm.fire(now, budget)
    }

    /// Fires what is due of this worker's timers, and of those that no worker looks after; how many
    /// fired.
    pub(super) fn fire_at(&self, worker: usize, now: u64, budget: usize) -> usize {
        self.alarm.fire_shard(worker, now, budget)
            + self.alarm.fire_shard(self.workers(), now, budget)
    }

    /// Has the waiter's alarm set for what comes next.
    pub(super) fn attend(&self) {
        self.alarm.rearm();
    }

    /// Takes note that the waiter's alarm has rung; [`attend`](Self::attend) has to follow.
    pub(super) fn rang(&self) {
        self.alarm.note_expired();
    }

    /// Whether time stands still and nothing keeps it from being moved to a next deadline.
    pub(super) fn can_advance(&self) -> bool {
        self.clock.can_advance()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells all workers to leave.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Pairs with the fence of a worker that is about to park, which then looks at this.
        fence(Ordering::SeqCst);
        for worker in 0..self.workers() {
            self.wake(worker);
        }
    }

    /// Ends the drivers and the I/O: the tasks of their timers are woken, and the timers move
    /// elsewhere; the tasks that wait for I/O are woken, and their waits fail.
    ///
    /// Wakers and handles may keep the pool for as long as the process lives, but not its
    /// descriptors. To be called when every worker has left.
    pub(super) fn close(&self) {
        self.alarm.close();
        self.reactor.close();
        for worker in 0..self.workers() {
            self.idle.bed(worker).close();
        }
    }
}

impl Route for Pool {
    /// Puts the task into the queue that all share.
    fn ready(&self, task: Runnable) {
        self.injector.push(task);
        self.wake_one();
    }
}

/// What is heard of changes on a clock that is moved by hand.
impl Follower for Pool {
    fn earliest(&self) -> u64 {
        NEVER
    }

    /// The drivers have fired by themselves: what they announced is past, and would be taken for the
    /// next deadline.
    fn expire(&self) {
        self.calm();
        self.alarm.rearm();
    }

    fn interrupt(&self) {
        // Whatever the alarm was set for, it means something else now; and who sleeps may have to
        // move time. While no alarm rings, nothing else corrects what was announced for a timer that
        // is gone.
        let exact = self.clock.is_frozen();
        let drivers = self.alarm.shards().iter();
        drivers.for_each(|driver| driver.set_notify_on_cancel(exact));
        self.alarm.rearm_anew();
        self.idle.wake_waiter();
    }
}

/// The worker that waits for all: what the drivers' alarm rings.
struct Waiter {
    pool: Weak<Pool>,
    clock: Clock,
}

impl WakeSource for Waiter {
    fn note_expired(&mut self) -> Liveness {
        Liveness::Alive
    }

    fn set(&mut self, at: u64) -> Liveness {
        let Some(pool) = self.pool.upgrade() else {
            return Liveness::Gone;
        };
        if self.clock.is_frozen() {
            // No wait makes a timer due; but who sleeps is to see that there is one.
            pool.idle.set_until(NEVER);
            if at != NEVER {
                pool.idle.wake_waiter();
            }
            return Liveness::Alive;
        }
        pool.idle.set_until(on_system(&self.clock, at));
        Liveness::Alive
    }

    fn set_soon(&mut self, _now: u64) -> Liveness {
        let Some(pool) = self.pool.upgrade() else {
            return Liveness::Gone;
        };
        // Whatever the drivers' clock shows, and if it stands still, too: long ago.
        pool.idle.set_until(0);
        Liveness::Alive
    }
}

/// When a clock shows `at`, on the system's monotonic clock.
fn on_system(clock: &Clock, at: u64) -> u64 {
    if at == NEVER {
        return NEVER;
    }
    let wait = at.saturating_sub(clock.nanos());
    system::monotonic().cast_unsigned().saturating_add(wait)
}

/// What a driver calls when a timer is armed that is earlier than announced.
struct Call(Weak<Pool>);

impl Notifier for Call {
    fn rearm(&self) {
        if let Some(pool) = self.0.upgrade() {
            pool.alarm.rearm();
        }
    }

    fn interrupt(&self) {
        if let Some(pool) = self.0.upgrade() {
            pool.alarm.rearm_anew();
        }
    }
}
