//! Whether every worker is parked, so that one of them moves time on a frozen clock.
//!
//! A worker in the list of parked workers may still run: it looks for work for the last time, or
//! has left its parker and collects I/O. So time is moved only if all workers are in the list and
//! all parkers are prepared. The last worker that prepares its parker finds that, and moves time.
//!
//! # I/O that is ready comes first
//!
//! When all parkers are prepared, no worker makes I/O ready any more. But there may be some that is
//! ready already: it has ended the park of the keeper, whose thread was not scheduled since. So the
//! worker that is about to move time asks the reactor, and then checks once more that all parkers
//! are prepared. A worker that leaves its parker marks it as not prepared, and only then collects
//! the I/O. So either the reactor still has that I/O when it is asked, or the second check finds
//! the mark.

use super::notify::Leaving;
use super::{Idle, ParkContext, Parked};
use crate::sync::atomic::{Ordering, fence};

/// What a worker does after its last look, on a frozen clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is marked as running, and moves time.
    Advance,
    Park,
    /// It does not park, because I/O is ready: it collects that itself. If it left that to the
    /// keeper, another thread might read or remove the descriptor before the keeper's park ends:
    /// then that park would go on, and no worker would move time.
    CollectIo,
}

impl Idle {
    /// Returns what a worker does next, after it has prepared its parker. The last worker to do so
    /// sees that all others have.
    pub(super) fn after_last_look(
        &self,
        worker: usize,
        is_stopping: bool,
        context: &impl ParkContext,
    ) -> Next {
        if !self.all_parked(&self.lock(), is_stopping) {
            Next::Park
        } else if context.has_io() {
            Next::CollectIo
        } else if self.remove_if_all_parked(worker, is_stopping) {
            Next::Advance
        } else {
            Next::Park
        }
    }

    /// Notes that a worker, which is still in the list, has left its parker: no other worker moves
    /// time until this one has parked again.
    ///
    /// To be called on a clock that runs, too: it may be paused before the worker leaves the list.
    pub(super) fn note_left_parker(&self, worker: usize) {
        self.prepared[worker].store(false, Ordering::Relaxed);
        // Pairs with the fence in `remove_if_all_parked`: either the other worker sees this store,
        // or it has asked for I/O before this one collects it.
        fence(Ordering::SeqCst);
    }

    /// Marks a worker as running if all workers are parked and have looked for the last time, so
    /// that it can move time while no other has anything to do. Returns whether it did.
    fn remove_if_all_parked(&self, worker: usize, is_stopping: bool) -> bool {
        let mut parked = self.lock();
        // Pairs with the fence in `note_left_parker`.
        fence(Ordering::SeqCst);
        let position = parked.position(worker);
        let Some(position) = position.filter(|_| self.all_parked(&parked, is_stopping)) else {
            return false;
        };
        let to_unpark = self.remove(&mut parked, position, Leaving::ToRun);
        drop(parked);
        self.unpark(to_unpark);
        true
    }

    /// Returns whether no worker runs. In a runtime that is ending, only the workers that have a
    /// thread have to be parked. In any other, all have to be: the first worker counts as busy
    /// while no thread runs it.
    fn all_parked(&self, parked: &Parked, is_stopping: bool) -> bool {
        // A worker whose parker is not prepared may find something in its last look that no other
        // worker sees, such as its main future.
        let mut workers = parked.workers.iter();
        parked.workers.len() == self.expected(parked, is_stopping)
            && workers.all(|&worker| self.is_prepared(worker))
    }

    /// Returns how many workers have to be parked for time to be moved.
    pub(super) fn expected(&self, parked: &Parked, is_stopping: bool) -> usize {
        if is_stopping {
            parked.threads
        } else {
            self.parkers.len()
        }
    }

    /// Unparks the keeper, if there is one, and each worker that is about to block, to look at
    /// everything again: what they have learned about the clock may have changed.
    pub(super) fn unpark_to_look_again(&self, parked: &Parked) {
        for &worker in &parked.workers {
            if parked.keeper == Some(worker) || !self.is_prepared(worker) {
                self.unpark(Some(worker));
            }
        }
    }
}
