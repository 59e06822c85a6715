//! Whether a task that is pushed to a queue unparks a parked worker, and which one. (A local task
//! that another thread wakes unparks the thread that it belongs to: by [`Idle::notify`], if that
//! thread runs a worker.)
//!
//! That depends on how many workers are parked and how many search: see [`Counts`].
//!
//! To *search* is to look through the queues of other workers. A thread that pushes a task unparks
//! a worker only if no worker searches: one push unparks one worker at most, and that worker, once
//! it has found a task, unparks the next if there is more. Both numbers are in one word, so that
//! the pushing thread reads them together.
//!
//! # No ready task is overlooked
//!
//! - The pushing thread pushes, fences, and reads the counts. The parking worker writes the counts,
//!   fences, and looks at every queue. One of the two sees the other (Dekker's argument; both
//!   fences are sequentially consistent): either the worker finds the task, or the pushing thread
//!   finds the worker.
//! - While a worker searches, no other is unparked for a task. If it finds nothing and parks, it
//!   first leaves the count of searching workers, and then looks at every queue for the last time.
//!   If it finds something then, there may be more: it is counted again, and searches.
//! - A searching worker that finds a task first leaves the count, and then looks whether there is
//!   more. If it was the last one that searched, it unparks the next.
//! - A batch of tasks that moves from one queue to another is in neither for a moment. A searching
//!   worker that moves one looks for more afterwards, as above. A worker that does not search
//!   unparks another one afterwards, as if it had pushed what is left.

use super::{Idle, Parked};
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

/// Searching workers are counted in ones, and parked workers in units of this.
const ONE_PARKED: usize = 1 << 16;

/// The counts of parked and of searching workers.
pub(super) struct Counts(AtomicUsize);

/// What a worker that is no longer parked does next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    ToRun,
    /// It looks for tasks in the queues of others, and is counted as searching.
    ToSearch,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Adds a parked worker and, if it was searching, subtracts a searching one. A look at all
    /// queues has to follow.
    pub(super) fn add_parked(&self, was_searching: bool) {
        let change = ONE_PARKED - usize::from(was_searching);
        self.0.fetch_add(change, Ordering::SeqCst);
        // Pairs with the fence in `wants_searcher_after_push`, and with those of threads that have
        // written something else that a parking worker looks at: in `Idle::has_parked`,
        // `Pool::stop` and `ThreadUnparker::notify`.
        fence(Ordering::SeqCst);
    }

    /// Subtracts a parked worker.
    pub(super) fn remove_parked(&self, leaving: Leaving) {
        // One step subtracts the parked worker and adds the searching one.
        let searching = usize::from(leaving == Leaving::ToSearch);
        self.0.fetch_sub(ONE_PARKED - searching, Ordering::SeqCst);
    }

    /// Returns whether a worker has to be unparked for what the caller has pushed.
    #[inline]
    pub(super) fn wants_searcher_after_push(&self) -> bool {
        // Pairs with the fences in `add_parked` and `end_search`.
        fence(Ordering::SeqCst);
        self.wants_searcher()
    }

    /// Returns whether a worker is parked and none searches.
    pub(super) fn wants_searcher(&self) -> bool {
        let counts = self.0.load(Ordering::Relaxed);
        counts >= ONE_PARKED && counts.is_multiple_of(ONE_PARKED)
    }

    /// Returns whether any worker is parked. If it returns `false`, and the caller has fenced since
    /// it wrote something, a worker that parks later sees that.
    pub(super) fn has_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ONE_PARKED
    }

    /// Adds a searching worker, unless half of all workers search already. Returns whether it did.
    pub(super) fn try_start_search(&self, workers: usize) -> bool {
        let counts = self.0.load(Ordering::Relaxed);
        let may_search = counts % ONE_PARKED * 2 < workers;
        if may_search {
            self.start_search();
        }
        may_search
    }

    /// Adds a searching worker.
    pub(super) fn start_search(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Subtracts a searching worker. Returns whether it was the last one: then the caller looks at
    /// all queues, and unparks a worker if it finds a task.
    pub(super) fn end_search(&self) -> bool {
        let before = self.0.fetch_sub(1, Ordering::SeqCst);
        // Pairs with the fence in `wants_searcher_after_push`.
        fence(Ordering::SeqCst);
        before % ONE_PARKED == 1
    }
}

impl Idle {
    /// Unparks a worker for new work, unless a worker searches.
    ///
    /// To be called after the push, on any thread.
    #[inline]
    pub(crate) fn notify_one(&self) {
        if self.counts.wants_searcher_after_push() {
            self.notify_one_parked();
        }
    }

    #[cold]
    fn notify_one_parked(&self) {
        let parked = self.lock();
        if !self.counts.wants_searcher() {
            return;
        }
        // Preferably not the keeper: its timeout would have to be handed on.
        let takes_tasks = |worker: usize| self.takes_tasks[worker].load(Ordering::Relaxed);
        let mut workers = parked.workers.iter();
        let other = workers.rposition(|&w| takes_tasks(w) && Some(w) != parked.keeper);
        let any = || parked.workers.iter().rposition(|&w| takes_tasks(w));
        if let Some(position) = other.or_else(any) {
            self.notify_at_position(parked, position);
        }
    }

    /// Unparks a certain worker, if it is parked, and counts it as searching. The caller must first
    /// write what that worker's [`has_work`](ParkContext::has_work) reads, and then fence.
    pub(crate) fn notify(&self, worker: usize) {
        if !self.counts.has_parked() {
            return;
        }
        let parked = self.lock();
        if let Some(position) = parked.position(worker) {
            self.notify_at_position(parked, position);
        }
    }

    /// Unparks the worker at a position of the list, which counts as searching from now on.
    fn notify_at_position(&self, mut parked: MutexGuard<'_, Parked>, position: usize) {
        let worker = parked.workers[position];
        let to_unpark = self.remove(&mut parked, position, Leaving::ToSearch);
        drop(parked);
        self.unpark(to_unpark);
        self.parkers[worker].unpark();
    }
}
