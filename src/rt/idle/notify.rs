//! Which parked worker is unparked for new work, and when none is.
//!
//! Why no task is left lying is told in [`counts`](super::counts).

use super::counts::Leaving;
use super::{Idle, Parked};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

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
        // Preferably not the owner: its timeout would have to be handed on.
        let runs_tasks = |worker: usize| !self.timers_only[worker].load(Ordering::Relaxed);
        let mut workers = parked.workers.iter();
        let other = workers.rposition(|&w| runs_tasks(w) && Some(w) != parked.owner);
        let owner = || parked.workers.iter().rposition(|&w| runs_tasks(w));
        if let Some(at) = other.or_else(owner) {
            self.notify_at(parked, at);
        }
    }

    /// Unparks a certain worker, if it is parked, and counts it as searching. The caller must first
    /// write what that worker's [`has_work`](ParkContext::has_work) reads, and then fence.
    pub(crate) fn notify(&self, worker: usize) {
        if !self.counts.has_parked() {
            return;
        }
        let parked = self.lock();
        if let Some(at) = parked.position(worker) {
            self.notify_at(parked, at);
        }
    }

    /// Unparks the worker at an index of the list, which counts as searching from now on.
    fn notify_at(&self, mut parked: MutexGuard<'_, Parked>, at: usize) {
        let worker = parked.workers[at];
        let successor = self.remove(&mut parked, at, Leaving::ToSearch);
        drop(parked);
        self.unpark(successor);
        self.parkers[worker].unpark();
    }
}
