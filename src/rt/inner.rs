//! The inner part of a runtime: its workers' cores, its tasks, its members, and its end.
//!
//! Each worker has a core. All but one have a thread, too; the first worker is one of the threads that
//! wait in `block_on`, and the next when that one leaves. A future in `block_on` may block its thread.
//! In a runtime that has no other worker, its thread therefore lets others be the first worker while it
//! polls the future. It keeps the core meanwhile, to which its future readies tasks; a thread that takes
//! its place gets a spare one, and steals from the other.
//!
//! The owner, the workers' threads and the threads in `block_on` are the runtime's *members*. Its owner
//! stops it: workers leave, no task can be spawned any more, and a worker that comes across a task drops
//! it instead of running it. It ends when the last member leaves, which drops what is left.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::Worker as Queue;

use crate::clock::Clock;
use crate::driver::shared::fire::shield;
use crate::park::worker::Parkers;
use crate::rt::Reactor;
use crate::rt::core::{Core, LifoSlot};
use crate::rt::idle::Idle;
use crate::rt::local::ThreadNotifier;
use crate::rt::pool::Pool;
use crate::rt::task::List;
use crate::sync::{Condvar, Mutex, MutexGuard, lock, thread, wait_until};

pub(super) struct Inner {
    pool: Arc<Pool>,
    /// The tasks, by where they were spawned: on each worker, and last by all other threads.
    lists: Box<[Arc<List>]>,
    hooks: Hooks,
    first: Mutex<FirstWorker>,
    members: Mutex<Members>,
    ended: Condvar,
}

/// What the threads in `block_on` share.
struct FirstWorker {
    /// One of them is the first worker, and does not poll its future just now.
    is_taken: bool,
    /// How many threads have lent their place, and not come back from polling their future.
    lent: usize,
    /// The core, unless such a thread has it.
    core: Option<Core>,
    /// The threads that wait to be it.
    waiting: Vec<Arc<ThreadNotifier>>,
}

impl FirstWorker {
    fn keep(&mut self, core: Core) {
        if !core.is_spare() {
            self.core = Some(core);
        }
    }

    /// Leaves the place to others, and returns the threads that wait for it.
    fn leave(&mut self) -> Vec<Arc<ThreadNotifier>> {
        self.is_taken = false;
        std::mem::take(&mut self.waiting)
    }
}

/// All of them are told: some may have what they waited for by now, and take no interest.
fn offer(waiting: &[Arc<ThreadNotifier>]) {
    waiting.iter().for_each(|thread| thread.offer_core());
}

struct Members {
    /// The owner, the workers' threads, and the threads in `block_on`.
    count: usize,
    ended: bool,
}

impl Inner {
    /// Makes the parts of a runtime with a worker for each parker: what is shared, and the cores of the
    /// workers that get a thread.
    pub(super) fn new(
        reactor: Arc<Reactor>,
        parkers: Parkers,
        clock: Clock,
        slack: u64,
        hooks: Hooks,
    ) -> (Arc<Self>, Vec<Core>) {
        let workers = parkers.len();
        let queues: Vec<_> = (0..workers).map(|_| Queue::new_fifo()).collect();
        let stealers = queues.iter().map(Queue::stealer).collect();
        let idle = Idle::new(parkers, workers + 1, clock, slack);
        let slots: Vec<_> = (0..workers)
            .map(|worker| LifoSlot::new(idle.report(worker).clone()))
            .collect();
        let ends = slots.iter().map(LifoSlot::stealer).collect();
        let pool = Pool::new(idle, reactor, stealers, ends);
        let lists: Box<[_]> = (0..=workers).map(|_| List::new(pool.clone())).collect();
        let mut cores = queues
            .into_iter()
            .zip(slots)
            .enumerate()
            .map(|(index, (queue, slot))| Core::new(index, queue, slot, lists[index].clone()));
        let first = FirstWorker {
            is_taken: false,
            lent: 0,
            core: cores.next(),
            waiting: Vec::new(),
        };
        let cores: Vec<_> = cores.collect();
        let members = Members {
            count: 1,
            ended: false,
        };
        let shared = Self {
            pool,
            lists,
            hooks,
            first: Mutex::new(first),
            members: Mutex::new(members),
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

    /// Returns the list of the tasks that were spawned by threads that are no workers.
    pub(super) fn external(&self) -> &Arc<List> {
        &self.lists[self.lists.len() - 1]
    }

    /// Returns how many tasks have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// Makes the calling thread the first worker, if no other thread is. Returns its core.
    pub(super) fn become_worker(&self) -> Option<Core> {
        self.take_place(&mut self.first())
    }

    /// Like [`become_worker`](Self::become_worker), or else enters the thread among those that wait.
    pub(super) fn become_worker_or_wait(&self, thread: &Arc<ThreadNotifier>) -> Option<Core> {
        let mut first = self.first();
        let is_it = |known: &Arc<ThreadNotifier>| Arc::ptr_eq(known, thread);
        if first.is_taken && !first.waiting.iter().any(is_it) {
            first.waiting.push(thread.clone());
        }
        self.take_place(&mut first)
    }

    fn take_place(&self, first: &mut FirstWorker) -> Option<Core> {
        if std::mem::replace(&mut first.is_taken, true) {
            return None;
        }
        self.pool.idle().add_present();
        let spare = || {
            let slot = LifoSlot::new(self.pool.idle().report(0).clone());
            Core::spare(slot, self.lists[0].clone())
        };
        Some(first.core.take().unwrap_or_else(spare))
    }

    /// Lets another thread be the first worker while this one, which keeps its core, polls its future.
    pub(super) fn lend_place(&self) {
        let waiting = {
            let mut first = self.first();
            first.lent += 1;
            first.leave()
        };
        offer(&waiting);
    }

    /// Makes the calling thread, which has lent its place, the first worker again. Returns whether no
    /// other thread is; otherwise [`return_core`](Self::return_core) has to follow.
    pub(super) fn take_place_back(&self) -> bool {
        let mut first = self.first();
        let is_free = !std::mem::replace(&mut first.is_taken, true);
        first.lent -= usize::from(is_free);
        is_free
    }

    /// Gives back the core of a thread whose place another one has taken.
    pub(super) fn return_core(&self, core: Core) {
        self.pool.release(&core);
        self.pool.remove_present();
        let mut first = self.first();
        first.lent -= 1;
        first.keep(core);
    }

    /// Gives back place and core.
    pub(super) fn leave_place(&self, core: Core) {
        self.pool.release(&core);
        self.pool.remove_present();
        let waiting = {
            let mut first = self.first();
            first.keep(core);
            first.leave()
        };
        offer(&waiting);
    }

    /// Returns whether a thread runs its future that has lent its place to the first worker.
    pub(super) fn has_lent(&self) -> bool {
        self.first().lent > 0
    }

    /// Strikes off a thread that waited to be the first worker and goes without.
    pub(super) fn stop_waiting(&self, thread: &Arc<ThreadNotifier>) {
        let mut first = self.first();
        first.waiting.retain(|known| !Arc::ptr_eq(known, thread));
    }

    /// Enters a member, unless all have left. Returns whether it has to [leave](Self::leave).
    pub(super) fn join(&self) -> bool {
        let mut members = self.members();
        let lives = members.count > 0;
        members.count += usize::from(lives);
        lives
    }

    /// Tells all workers to leave and all tasks to end.
    pub(super) fn stop(&self) {
        self.pool.stop();
        self.close();
    }

    /// Makes every task ready, so that it can be ended, and returns how many there are. From now on
    /// none can be spawned.
    fn close(&self) -> usize {
        self.lists.iter().map(|list| list.close()).sum()
    }

    /// A member leaves. The last one ends the runtime, in `end`, which is to call
    /// [`end`](Self::end).
    pub(super) fn leave(&self, end: impl FnOnce()) {
        let is_last = {
            let mut members = self.members();
            members.count -= 1;
            members.count == 0
        };
        if is_last {
            end();
            self.members().ended = true;
            self.ended.notify_all();
        }
    }

    /// Drops all tasks: waking makes each of them ready, and dropping one that is ready ends it. What a
    /// task spawns or wakes when it is dropped is ended in the next round.
    ///
    /// A destructor that calls `block_on` may be the first worker meanwhile, so that its timers fire.
    pub(super) fn end(&self) {
        if let Some(core) = &self.first().core {
            self.pool.release(core);
        }
        loop {
            let open = self.close();
            let mut dropped = false;
            while let Some(task) = self.pool.drain() {
                drop(task);
                dropped = true;
            }
            if open == 0 && !dropped {
                break;
            }
            if !dropped {
                // Another thread is waking one just now, and about to push it.
                thread::yield_now();
            }
        }
        drop(self.become_worker());
        self.pool.close();
    }

    /// Waits until the runtime has ended. Returns whether it has within `timeout`.
    pub(super) fn wait_until_ended(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let (mut members, mut is_over) = (self.members(), false);
        while !members.ended && !is_over {
            (members, is_over) = wait_until(&self.ended, &self.members, members, deadline);
        }
        members.ended
    }

    fn first(&self) -> MutexGuard<'_, FirstWorker> {
        lock(&self.first)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }
}

type Hook = Arc<dyn Fn() + Send + Sync>;

/// What the user is told of the workers' threads.
///
/// A hook that panics loses no worker: other threads may count on that worker to be unparked.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) start: Option<Hook>,
    pub(super) stop: Option<Hook>,
    pub(super) park: Option<Hook>,
    pub(super) unpark: Option<Hook>,
}

impl Hooks {
    pub(super) fn start(&self) {
        call(self.start.as_ref());
    }

    pub(super) fn stop(&self) {
        call(self.stop.as_ref());
    }

    pub(super) fn has_park(&self) -> bool {
        self.park.is_some()
    }

    pub(super) fn park(&self) {
        call(self.park.as_ref());
    }

    pub(super) fn unpark(&self) {
        call(self.unpark.as_ref());
    }
}

fn call(hook: Option<&Hook>) {
    if let Some(hook) = hook {
        shield(|| hook());
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("start", &self.start.is_some())
            .field("stop", &self.stop.is_some())
            .field("park", &self.park.is_some())
            .field("unpark", &self.unpark.is_some())
            .finish()
    }
}
