//! Who is in a runtime?
//!
//! Each worker has a core. All but one have a thread, too; the first core is for whoever waits in
//! `block_on`, and is handed from one to the next of those. The owner, the threads and those in
//! `block_on` are counted: how a runtime ends when the last of them leaves is told in `leave`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_deque::Worker as Queue;

use crate::clock::Clock;
use crate::rt::Reactor;
use crate::rt::bed::Bed;
use crate::rt::core::Core;
use crate::rt::hooks::Hooks;
use crate::rt::idle::Idle;
use crate::rt::pool::Pool;
use crate::rt::seat::Seat;
use crate::rt::task::List;
use crate::sync::{Condvar, Mutex, MutexGuard};

pub(super) struct Shared {
    pool: Arc<Pool>,
    /// The tasks, by where they were spawned: on each worker, and last by all other threads.
    lists: Box<[Arc<List>]>,
    hooks: Hooks,
    first: Mutex<First>,
    left: Mutex<Left>,
    ended: Condvar,
}

/// The core for who waits in `block_on`.
struct First {
    core: Option<Core>,
    /// Those who wait without it.
    waiting: Vec<Arc<Seat>>,
}

struct Left {
    /// The owner, each thread, and who is in `block_on`.
    inside: usize,
    ended: bool,
}

impl Shared {
    /// The parts of a runtime with a worker for each bed: what is shared, and the cores of the workers
    /// that get a thread.
    pub(super) fn new(
        reactor: Arc<Reactor>,
        beds: Box<[Bed]>,
        clock: Clock,
        slack: u64,
        hooks: Hooks,
    ) -> (Arc<Self>, Vec<Core>) {
        let workers = beds.len();
        let queues: Vec<_> = (0..workers).map(|_| Queue::new_fifo()).collect();
        let stealers = queues.iter().map(Queue::stealer).collect();
        let idle = Idle::new(beds);
        let pool = Pool::new(clock, slack, idle, reactor, stealers);
        let lists: Box<[_]> = (0..=workers).map(|_| List::new(pool.clone())).collect();
        let mut cores = queues
            .into_iter()
            .enumerate()
            .map(|(index, queue)| Core::new(index, queue, lists[index].clone()));
        let first = First {
            core: cores.next(),
            waiting: Vec::new(),
        };
        let cores: Vec<_> = cores.collect();
        let left = Left {
            inside: 1,
            ended: false,
        };
        let shared = Self {
            pool,
            lists,
            hooks,
            first: Mutex::new(first),
            left: Mutex::new(left),
            ended: Condvar::new(),
        };
        (Arc::new(shared), cores)
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// The tasks that were spawned by threads that are no workers.
    pub(super) fn guests(&self) -> &Arc<List> {
        &self.lists[self.lists.len() - 1]
    }

    pub(super) fn tasks(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// The first core, if nobody else has it.
    pub(super) fn take_core(&self) -> Option<Core> {
        self.first().core.take()
    }

    /// The first core, or a place among those that wait for it.
    pub(super) fn take_core_or_wait(&self, seat: &Arc<Seat>) -> Option<Core> {
        let mut first = self.first();
        let waits = |known: &Arc<Seat>| Arc::ptr_eq(known, seat);
        if first.core.is_none() && !first.waiting.iter().any(waits) {
            first.waiting.push(seat.clone());
        }
        first.core.take()
    }

    /// Strikes off who waited for the core and goes without.
    pub(super) fn forget(&self, seat: &Arc<Seat>) {
        let mut first = self.first();
        first.waiting.retain(|known| !Arc::ptr_eq(known, seat));
    }

    /// Gives the first core back, for the next one who waits.
    pub(super) fn return_core(&self, core: Core) {
        let waiting = {
            let mut first = self.first();
            first.core = Some(core);
            std::mem::take(&mut first.waiting)
        };
        // All of them: some may have what they waited for by now, and take no interest.
        waiting.iter().for_each(|seat| seat.call());
    }

    /// A thread joins, unless all have left; whether it has to leave.
    pub(super) fn join(&self) -> bool {
        let mut left = self.left();
        let some = left.inside > 0;
        left.inside += usize::from(some);
        some
    }

    /// Tells all workers to leave and all tasks to end.
    pub(super) fn stop(&self) {
        self.pool.stop();
        self.close();
    }

    /// Makes every task ready, so that it can be ended; how many there are. From now on none can be
    /// spawned.
    pub(super) fn close(&self) -> usize {
        self.lists.iter().map(|list| list.close()).sum()
    }

    /// One of those that joined is no longer there; whether it was the last.
    pub(super) fn count_out(&self) -> bool {
        let mut left = self.left();
        left.inside -= 1;
        left.inside == 0
    }

    /// Notes that nothing is left of the runtime.
    pub(super) fn set_ended(&self) {
        self.left().ended = true;
        self.ended.notify_all();
    }

    /// Waits until the runtime has ended; whether it has within `timeout`.
    pub(super) fn wait_until_ended(&self, timeout: Duration) -> bool {
        let left = self.left();
        let result = self
            .ended
            .wait_timeout_while(left, timeout, |left| !left.ended);
        result.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
