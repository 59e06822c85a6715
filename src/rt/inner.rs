//! What all handles and threads of a runtime share: its pool and tasks, who runs the first worker,
//! and when the runtime ends.
//!
//! Each worker has a core. All workers but the first have a thread of their own. The first worker
//! is run by one of the threads in `block_on`, and by the next one when that leaves. The main
//! future may block its thread. In a runtime without other workers, its thread therefore *lends*
//! the first worker while it polls or drops the future: another thread in `block_on` may run it.
//! The lending thread keeps its core. As a rule that is the worker's own: the tasks that its future
//! wakes go there, and the borrowing thread gets a *spare core*, and steals from the own one. (If
//! the lending thread has a spare core, those tasks go to the shared queue.)
//!
//! When the runtime stops, the threads of the other workers end, and *abandon* their cores. The
//! thread that has the first worker may be blocked by its main future then, and somebody has to
//! fire the timers of other threads in `block_on`. So a thread that waits for the first worker
//! takes an abandoned core and runs its worker. It returns that core before it polls its own main
//! future, which may block, too.
//!
//! The *members* of a runtime are its `Runtime` value, the workers' threads and the threads in
//! `block_on`. Dropping the `Runtime` stops the runtime: workers with a thread of their own return
//! from their loops, a task that is spawned ends at once, and a worker drops a task instead of
//! running it. When the last member leaves, it drops the tasks that are left.
//!
//! The flags of a shutdown are set in this order:
//!
//! 1. `stopping` of the pool: workers with a thread of their own return from their loops.
//! 2. `closed` of each list of tasks: its tasks become ready, and end; no task is added.
//! 3. `Members::count` is zero: the last member has left, and there are no new ones.
//! 4. `SharedWorkers::closed`: all tasks are dropped, and no thread takes a core.
//! 5. `closed` of the pool: the drivers, the I/O and the parkers are closed, and a thread in
//!    `block_on` that runs a worker stops doing so.
//! 6. `Members::ended`: a thread that waits for the end goes on.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::Worker as Queue;

use crate::clock::Clock;
use crate::driver::slack::SharedSlack;
use crate::panic::catch_panic;
use crate::park::worker::Parkers;
use crate::rt::core::{Core, LifoSlot};
use crate::rt::idle::Idle;
use crate::rt::local::ThreadUnparker;
use crate::rt::pool::Pool;
use crate::rt::reactor::Reactor;
use crate::rt::task::OwnedTasks;
use crate::sync::{Condvar, Mutex, MutexGuard, lock, thread, wait_until};

pub(super) struct Inner {
    pub(super) pool: Arc<Pool>,
    /// The tasks that were spawned on each worker, and last those of all external threads.
    owned: Box<[Arc<OwnedTasks>]>,
    pub(super) hooks: Hooks,
    shared_workers: Mutex<SharedWorkers>,
    members: Mutex<Members>,
    ended: Condvar,
}

/// The workers that the threads in `block_on` share: the first one, which they run in turn, and
/// those that were abandoned.
struct SharedWorkers {
    /// A thread runs the first worker, and has not lent it.
    is_first_running: bool,
    /// How many threads have lent the first worker and poll or drop their main future, or drop
    /// local tasks. One does not count while a destructor in there waits, in another call of
    /// `block_on` or for the runtime to end.
    lent: usize,
    /// That of the first worker. `None` while a thread has it.
    first_core: Option<Core>,
    /// The cores of other workers, whose threads have ended because the runtime stops.
    abandoned: Vec<Core>,
    /// The threads that wait to run the first worker.
    waiting: Vec<Arc<ThreadUnparker>>,
    /// The tasks of the runtime, which ends, are dropped: no thread takes a core any more.
    closed: bool,
}

struct Members {
    count: usize,
    ended: bool,
}

impl Inner {
    /// Makes a runtime with a worker for each parker. Returns it and the cores of the workers that
    /// get a thread of their own.
    pub(super) fn new(
        reactor: Arc<Reactor>,
        parkers: Parkers,
        clock: Clock,
        slack: SharedSlack,
        hooks: Hooks,
    ) -> (Arc<Self>, Vec<Core>) {
        let workers = parkers.len();
        let queues: Vec<_> = (0..workers).map(|_| Queue::new_fifo()).collect();
        let stealers = queues.iter().map(Queue::stealer).collect();
        // The last one is that of external threads.
        let shards = workers + 1;
        let idle = Idle::new(parkers, shards, clock, slack);
        let slots: Vec<_> = (0..workers)
            .map(|worker| LifoSlot::new(idle.report_flag(worker).clone()))
            .collect();
        let slot_stealers = slots.iter().map(LifoSlot::stealer).collect();
        let pool = Pool::new(idle, reactor, stealers, slot_stealers);
        let owned: Box<[_]> = (0..=workers)
            .map(|_| OwnedTasks::new(pool.clone()))
            .collect();
        let mut cores = queues
            .into_iter()
            .zip(slots)
            .enumerate()
            .map(|(index, (queue, slot))| Core::new(index, queue, slot, owned[index].clone()));
        let shared_workers = SharedWorkers {
            is_first_running: false,
            lent: 0,
            first_core: cores.next(),
            abandoned: Vec::new(),
            waiting: Vec::new(),
            closed: false,
        };
        let cores: Vec<_> = cores.collect();
        let inner = Self {
            pool,
            owned,
            hooks,
            shared_workers: Mutex::new(shared_workers),
            members: Mutex::new(Members {
                count: 1,
                ended: false,
            }),
            ended: Condvar::new(),
        };
        (Arc::new(inner), cores)
    }

    /// Returns the list of the tasks that were spawned on external threads.
    pub(super) fn external(&self) -> &Arc<OwnedTasks> {
        &self.owned[self.owned.len() - 1]
    }

    /// Returns how many tasks have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.owned.iter().map(|owned| owned.len()).sum()
    }

    /// Makes the calling thread run the first worker, if no other thread does. Returns its core.
    pub(super) fn take_core(&self) -> Option<Core> {
        self.take_core_of(&mut lock(&self.shared_workers))
    }

    /// Like [`take_core`](Self::take_core). If another thread runs the worker, `thread` is notified
    /// when that may have changed, and gets an abandoned core, if there is one.
    pub(super) fn take_core_or_register(&self, thread: &Arc<ThreadUnparker>) -> Option<Core> {
        let mut workers = lock(&self.shared_workers);
        if workers.closed {
            return None;
        }
        let is_same = |waiting: &Arc<ThreadUnparker>| Arc::ptr_eq(waiting, thread);
        if workers.is_first_running && !workers.waiting.iter().any(is_same) {
            workers.waiting.push(thread.clone());
        }
        self.take_core_of(&mut workers).or_else(|| {
            let core = workers.abandoned.pop()?;
            self.pool.idle.add_thread();
            Some(core)
        })
    }

    fn take_core_of(&self, workers: &mut SharedWorkers) -> Option<Core> {
        if workers.closed || std::mem::replace(&mut workers.is_first_running, true) {
            return None;
        }
        self.pool.idle.add_thread();
        let spare = || {
            let slot = LifoSlot::new(self.pool.idle.report_flag(0).clone());
            Core::spare(slot, self.owned[0].clone())
        };
        Some(workers.first_core.take().unwrap_or_else(spare))
    }

    /// Removes a thread from those that wait to run the first worker.
    pub(super) fn stop_waiting(&self, thread: &Arc<ThreadUnparker>) {
        let mut workers = lock(&self.shared_workers);
        workers.waiting.retain(|known| !Arc::ptr_eq(known, thread));
    }

    /// Lets another thread run the first worker while this one, which keeps its core, polls or
    /// drops futures that may block.
    pub(super) fn lend(&self) {
        let mut workers = lock(&self.shared_workers);
        workers.lent += 1;
        workers.is_first_running = false;
        notify_waiting(workers);
    }

    /// Tries to end a [`lend`](Self::lend). Returns whether the calling thread runs the worker
    /// again. If not, another one does, and [`return_core`](Self::return_core) has to follow, which
    /// ends it.
    pub(super) fn reclaim(&self) -> bool {
        let mut workers = lock(&self.shared_workers);
        let is_free = !std::mem::replace(&mut workers.is_first_running, true);
        workers.lent -= usize::from(is_free);
        is_free
    }

    /// Notes that a thread that has lent the worker makes another call of `block_on` while it polls
    /// its future, or waits for the runtime to end. Time may move meanwhile.
    pub(super) fn begin_lent_wait(&self) {
        lock(&self.shared_workers).lent -= 1;
        self.pool.remove_thread();
    }

    /// Notes that this is over, and that the thread polls its future again.
    pub(super) fn end_lent_wait(&self) {
        self.pool.idle.add_thread();
        lock(&self.shared_workers).lent += 1;
    }

    /// Returns the core of a thread that has lent the worker, which another thread runs now.
    pub(super) fn return_core(&self, core: Core) {
        // Before workers are unparked to move time: they check that none is lent.
        lock(&self.shared_workers).lent -= 1;
        drop(self.put_core(core));
    }

    /// Stops running a worker, and returns its core. It may be another than the first worker only
    /// in a runtime that stops.
    pub(super) fn stop_worker(&self, core: Core) {
        let is_first = core.index == 0;
        let mut workers = self.put_core(core);
        workers.is_first_running &= !is_first;
        notify_waiting(workers);
    }

    fn put_core(&self, core: Core) -> MutexGuard<'_, SharedWorkers> {
        self.pool.make_stealable(&core);
        self.pool.remove_thread();
        let mut workers = lock(&self.shared_workers);
        if core.index > 0 {
            workers.abandoned.push(core);
        } else if !core.is_spare {
            workers.first_core = Some(core);
        }
        workers
    }

    /// Returns whether a thread that has lent the first worker polls or drops its main future, or
    /// drops local tasks.
    pub(super) fn lender_polls(&self) -> bool {
        lock(&self.shared_workers).lent > 0
    }

    /// Adds a member, unless all have left. Returns whether it did: then
    /// [`remove_member`](Self::remove_member) has to follow.
    pub(super) fn add_member(&self) -> bool {
        let mut members = lock(&self.members);
        let lives = members.count > 0;
        members.count += usize::from(lives);
        lives
    }

    /// Removes a member. If it was the last one, calls `shutdown`, in which the caller prepares its
    /// thread and calls [`Inner::shutdown`].
    pub(super) fn remove_member(&self, shutdown: impl FnOnce()) {
        let is_last = {
            let mut members = lock(&self.members);
            members.count -= 1;
            members.count == 0
        };
        if is_last {
            shutdown();
            lock(&self.members).ended = true;
            self.ended.notify_all();
        }
    }

    /// Makes the workers that have threads of their own return from their loops, and all tasks end.
    pub(super) fn stop(&self) {
        self.pool.stop();
        self.close_tasks();
    }

    /// Makes every task ready, so that it can be ended. Returns how many there are. From now on
    /// none can be spawned.
    fn close_tasks(&self) -> usize {
        self.owned.iter().map(|owned| owned.close()).sum()
    }

    /// Drops all tasks and closes the pool. Closing a list makes each of its tasks ready, and the
    /// loop drops ready tasks. Once a list is closed, a task that is spawned there ends at once.
    /// One that a destructor has spawned while the lists were being closed is dropped in the next
    /// round.
    ///
    /// A destructor may call `block_on`. It then runs the first worker, so that its timers fire.
    pub(super) fn shutdown(&self) {
        loop {
            let open = self.close_tasks();
            let mut dropped = false;
            while let Some(task) = self.pool.pop_any() {
                drop(task);
                dropped = true;
            }
            if open == 0 && !dropped {
                break;
            }
            if !dropped {
                // Another thread has made a task ready and pushes it next. It calls no foreign code
                // in between, so this does not take long. (A future that another thread drops
                // because it was spawned too late is in no list.)
                thread::yield_now();
            }
        }
        // From now on no thread takes a core. One that has it returns it when the pool is closed.
        let cores = {
            let mut workers = lock(&self.shared_workers);
            workers.closed = true;
            (
                workers.first_core.take(),
                std::mem::take(&mut workers.abandoned),
            )
        };
        drop(cores);
        self.pool.close();
    }

    /// Returns whether the runtime has ended.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.members).ended
    }

    /// Waits until the runtime has ended. Returns whether it has within `timeout`.
    pub(super) fn wait_until_ended(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let (mut members, mut is_over) = (lock(&self.members), false);
        while !members.ended && !is_over {
            (members, is_over) = wait_until(&self.ended, &self.members, members, deadline);
        }
        members.ended
    }
}

/// Notifies all threads that wait for a core: a single one may be about to return from `block_on`,
/// and would not take it.
fn notify_waiting(mut workers: MutexGuard<'_, SharedWorkers>) {
    if !workers.waiting.is_empty() {
        let waiting = std::mem::take(&mut workers.waiting);
        drop(workers);
        waiting.iter().for_each(|thread| thread.notify_core_free());
    }
}

/// The user's functions that the workers call.
#[derive(Clone, Debug, Default)]
pub(super) struct Hooks {
    pub(super) start: Hook,
    pub(super) stop: Hook,
    pub(super) park: Hook,
    pub(super) unpark: Hook,
}

#[derive(Clone, Default)]
pub(super) struct Hook(Option<Arc<dyn Fn() + Send + Sync>>);

impl Hook {
    pub(super) fn new(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Calls the function, if one was set.
    ///
    /// Its panic does not end the worker: other threads may count on that worker to be unparked.
    pub(super) fn call(&self) {
        if let Some(hook) = &self.0 {
            catch_panic(|| hook());
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.is_set().fmt(f)
    }
}
