//! The idle protocol as the loom models reach it.
//!
//! `idle` and the drivers' alarm are those that ship. Around them, what `pool` and `worker` do with
//! them, step by step, but tasks are a number, and a bed is a model of one. The I/O is in `io`.

#[path = "model/bed.rs"]
pub(crate) mod bed;
mod idle;
#[allow(dead_code, reason = "the models use a part of it")]
mod notifier;
/// What `notifier` knows the model's pool by.
mod pool {
    pub(crate) use super::Pool;
}
#[path = "model/io.rs"]
pub mod io;

use std::sync::{Arc, Weak};

use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use self::bed::Bed;
use self::idle::Idle;
use self::notifier::ThreadNotifier;
use crate::clock::{Clock, Follower};
use crate::driver::sharded::{Liveness, ShardedDriver, WakeSource};
use crate::driver::slack::Limit;
use crate::driver::Handle;
use crate::driver::shared::{self, Shared as Driver};
use crate::instant::NEVER;

/// What the workers of a runtime share.
pub struct Pool {
    tasks: AtomicUsize,
    slots: Box<[Slot]>,
    alarm: ShardedDriver<Waiter>,
    idle: Arc<Idle>,
    clock: Clock,
    time: Arc<AtomicU64>,
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

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    /// `moves`: in beds whose alarm can be moved while somebody sleeps. `frozen`: on a clock that is
    /// moved by hand.
    #[must_use]
    pub fn new(workers: usize, moves: bool, clock: Option<Clock>) -> Arc<Self> {
        let time = Arc::new(AtomicU64::new(0));
        let beds = (0..workers).map(|_| Bed::new(moves, time.clone()));
        let idle = Idle::new(beds.collect());
        let counter = time.clone();
        let running = move || std::time::Duration::from_nanos(counter.load(Ordering::Acquire));
        let clock = clock.unwrap_or_else(|| Clock::custom(running));
        let pool = Arc::new_cyclic(|pool: &Weak<Self>| {
            let exact = clock.is_frozen();
            let slack = Limit::new(0);
            let call = || Box::new(Call(pool.clone()));
            let driver = |_| Driver::new(clock.clone(), call(), exact, slack.clone());
            // As many as workers, and none for guests: each more is one more lock to model.
            let drivers = (0..workers).map(driver).collect();
            Self {
                tasks: AtomicUsize::new(0),
                slots: (0..workers).map(|_| Slot::default()).collect(),
                alarm: ShardedDriver::new(Waiter(pool.clone()), clock.clone(), slack.clone(), drivers),
                idle,
                clock: clock.clone(),
                time,
            }
        });
        let follower: Weak<Self> = Arc::downgrade(&pool);
        clock.follow(follower);
        pool
    }

    /// The timers of a worker.
    #[must_use]
    pub fn timers(&self, worker: usize) -> Handle {
        Handle {
            shared: self.alarm.shards()[worker].clone(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the clock shows, if it runs.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time.load(Ordering::Acquire)
    }

    /// Lets time pass.
    pub fn set_time(&self, nanos: u64) {
        self.time.store(nanos, Ordering::Release);
    }

    /// Puts a task where everybody looks.
    pub fn push(&self) {
        // Relaxed, both here and where it is looked for: the fences have to do.
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.idle.wake_one(|| self.calm());
    }

    /// Takes a task.
    #[must_use]
    pub fn pop(&self) -> bool {
        let take = |tasks: usize| tasks.checked_sub(1);
        let order = Ordering::Relaxed;
        self.has_work() && self.tasks.fetch_update(order, order, take).is_ok()
    }

    fn has_work(&self) -> bool {
        self.tasks.load(Ordering::Relaxed) > 0
    }

    /// A thread begins to run a worker.
    pub fn arrive(&self) {
        self.idle.arrive();
    }

    /// A worker's thread is gone.
    pub fn depart(&self) {
        self.idle.depart(false);
    }

    /// A worker puts a task into its LIFO slot, which must be empty.
    pub fn put(&self, worker: usize) {
        self.slots[worker].put();
        if self.idle.report(worker).is_wanted() {
            self.idle.report_full_slot(worker, self.time());
        }
    }

    /// Takes the task out of a worker's slot.
    #[must_use]
    pub fn take(&self, worker: usize) -> bool {
        self.slots[worker].take()
    }

    /// A worker that runs no task looks at the slots of the others; how many tasks it has taken.
    #[must_use]
    pub fn take_stuck(&self, worker: usize, must_look: bool) -> usize {
        if !must_look && !self.idle.has_looks() {
            return 0;
        }
        let is_full = |worker: usize| self.slots[worker].is_full();
        let now = self.time();
        let stuck = self.idle.look_at_slots(worker, now, must_look, is_full);
        stuck
            .into_iter()
            .filter(|&worker| self.take(worker))
            .count()
    }

    /// A worker that looks at the slots and finds nothing sleeps. Returns whether it got up to look.
    #[must_use]
    pub fn rest_from_looks(&self, worker: usize) -> bool {
        self.lie_down(worker, false);
        self.settle(worker);
        self.idle.bed(worker).sleep();
        let up = self.idle.get_up(worker, self.time(), || self.calm());
        up.must_look
    }

    /// A notifier of the calling thread, which parks in what `unpark` unparks until it is a worker.
    #[must_use]
    pub fn notifier(unpark: crate::ThreadUnpark) -> Notifier {
        Notifier(ThreadNotifier::of_thread(unpark))
    }

    /// Wakes a certain worker.
    pub fn wake(&self, worker: usize) {
        fence(Ordering::SeqCst);
        self.idle.wake(worker, || self.calm());
    }

    /// A worker begins to search.
    #[must_use]
    pub fn start_search(&self) -> bool {
        self.idle.start_search(false)
    }

    /// A worker that was counted among those that search has found a task.
    pub fn found(&self) {
        if self.idle.end_search() && self.has_work() {
            self.idle.wake_one(|| self.calm());
        }
    }

    /// A worker enters those that sleep, and sees to the alarm; whether all do now.
    pub fn lie_down(&self, worker: usize, searched: bool) -> bool {
        self.idle.lie_down(worker, searched);
        self.alarm.rearm();
        self.idle.is_all_parked(false)
    }

    /// A worker is about to sleep.
    pub fn settle(&self, worker: usize) {
        self.idle.settle(worker);
    }

    /// A worker gets up; whether it was called.
    pub fn get_up(&self, worker: usize) -> bool {
        let up = self.idle.get_up(worker, self.time(), || self.calm());
        if up.rang {
            self.alarm.note_expired();
            self.fire();
            self.alarm.rearm();
        }
        up.called
    }

    /// A worker that has found nothing sleeps, unless it finds a task now, or `is_wanted`; whether it
    /// counts among those that search.
    pub fn rest(&self, worker: usize, searched: bool, is_wanted: impl Fn() -> bool) -> bool {
        let all = self.lie_down(worker, searched);
        let can_advance = all && self.clock.can_advance();
        if self.has_work() || is_wanted() {
            return self.get_up(worker);
        }
        if can_advance {
            if self.idle.get_up_last(worker, false, || self.calm()) {
                self.clock.advance_when_idle();
                return false;
            }
            return self.get_up(worker);
        }
        self.settle(worker);
        self.idle.bed(worker).sleep();
        self.get_up(worker)
    }

    /// What a worker does between tasks: fires what is due, and sees to the alarm if anybody sleeps.
    pub fn look(&self) {
        self.fire();
        if self.idle.anybody_sleeps() {
            self.alarm.rearm();
        }
    }

    /// Like [`look`](Self::look), but fires about `budget` timers at most: the rest is left to others.
    pub fn look_briefly(&self, budget: usize) {
        self.alarm.fire(self.clock.nanos(), budget);
        if self.idle.anybody_sleeps() {
            self.alarm.rearm();
        }
    }

    /// Stops the clock.
    pub fn pause(&self) {
        assert!(self.clock.freeze());
    }

    fn fire(&self) {
        self.alarm.fire(self.clock.nanos(), usize::MAX);
    }

    /// When the alarm of a worker's bed rings.
    #[must_use]
    pub fn alarm(&self, worker: usize) -> u64 {
        self.idle.bed(worker).alarm()
    }

    /// How often a worker's bed was told to wake up.
    #[must_use]
    pub fn wakes(&self, worker: usize) -> usize {
        self.idle.bed(worker).wakes()
    }

    fn calm(&self) {
        self.alarm.shards().iter().for_each(|driver| driver.clear_announcement());
    }
}

/// The notifier of one thread.
#[derive(Clone)]
pub struct Notifier(Arc<ThreadNotifier>);

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl Notifier {
    /// The thread becomes a worker, or is none any longer.
    pub fn set_worker(&self, worker: Option<usize>) {
        self.0.set_worker(worker);
        if worker.is_some() {
            drop(self.0.take_hold());
        }
    }

    /// Takes over the hold on time that was taken for the thread.
    #[must_use]
    pub fn take_hold(&self) -> Option<crate::Hold> {
        self.0.take_hold()
    }

    /// Unparks the thread, which finds what was put there before.
    pub fn notify(&self, pool: &Pool) {
        self.0.notify(pool);
    }
}

impl Follower for Pool {
    fn earliest(&self) -> u64 {
        NEVER
    }

    fn expire(&self) {
        self.calm();
        self.alarm.rearm();
    }

    fn interrupt(&self) {
        let exact = self.clock.is_frozen();
        let drivers = self.alarm.shards().iter();
        drivers.for_each(|driver| driver.set_notify_on_cancel(exact));
        self.alarm.rearm_anew();
        self.idle.wake_waiter();
    }
}

struct Waiter(Weak<Pool>);

impl WakeSource for Waiter {
    fn note_expired(&mut self) -> Liveness {
        Liveness::Alive
    }

    fn set(&mut self, at: u64) -> Liveness {
        let Some(pool) = self.0.upgrade() else {
            return Liveness::Gone;
        };
        if pool.clock.is_frozen() {
            pool.idle.set_until(NEVER);
            if at != NEVER {
                pool.idle.wake_waiter();
            }
            return Liveness::Alive;
        }
        pool.idle.set_until(at);
        Liveness::Alive
    }

    fn set_soon(&mut self, _now: u64) -> Liveness {
        let Some(pool) = self.0.upgrade() else {
            return Liveness::Gone;
        };
        pool.idle.set_until(0);
        Liveness::Alive
    }
}

struct Call(Weak<Pool>);

impl shared::Notifier for Call {
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
