//! The end of a park: what has ended it, and what the worker does then.
//!
//! A worker whose park has ended takes itself out of the list of parked workers, if no other thread
//! has ([`leave_parked_and_fire`](Idle::leave_parked_and_fire)). If it is the keeper, it first
//! finds out, under the lock, why the park has ended. Several of these may be true:
//!
//! - *Timers*: `until` has passed. It fires them after it has left the list, and may be away for
//!   that ([`timer_absence`](super::timer_absence)).
//! - *A check of the LIFO slots* is due. The worker makes it.
//! - *The relief* has come: this worker was the deputy of one that is not back. The deputy then
//!   searches for tasks.
//! - None of these: probably I/O (for which it may be away, see [`io_absence`](super::io_absence)),
//!   or an unpark; or the relief came, and the absence was extended; or it did not block at all,
//!   because it had found work.

use super::absence::Away;
use super::notify::Leaving;
use super::{Idle, ParkContext, Parked};
use crate::instant::NEVER;

/// What a worker learns when it is no longer parked.
#[derive(Default)]
pub(crate) struct Unparked {
    /// It counts as searching.
    pub(crate) searching: bool,
    /// It is to check the LIFO slots.
    pub(crate) must_check_lifo_slots: bool,
    /// When it was about to leave the list of parked workers, on the parkers' clock; zero if it has
    /// moved time.
    pub(crate) at: u64,
}

/// Why the park of the keeper has ended. For another worker all flags are false.
#[derive(Clone, Copy, Default)]
struct Ended {
    by_timers: bool,
    by_lifo_check: bool,
    by_relief: bool,
    /// None of the others is true: probably I/O, otherwise the cases at the head of this file.
    by_io: bool,
}

impl Idle {
    /// Marks a worker as running. If timers have ended its park, makes `context` fire what is due,
    /// and replans if a worker is parked.
    pub(crate) fn leave_parked_and_fire(
        &self,
        worker: usize,
        context: &mut impl ParkContext,
    ) -> Unparked {
        let now = self.parkers[worker].now();
        let mut parked = self.lock();
        let ended = self.note_end(&mut parked, worker, now);
        if context.expects_short_tasks() {
            if ended.by_timers {
                self.try_begin_timer_absence(&mut parked, worker, now);
            }
            if ended.by_io && context.has_collected_io() {
                self.try_begin_io_absence(&mut parked, worker, now);
            }
        }
        let leaving = match ended.by_relief {
            true => Leaving::ToSearch,
            false => Leaving::ToRun,
        };
        let position = parked.position(worker);
        let to_unpark = position.and_then(|position| self.remove(&mut parked, position, leaving));
        drop(parked);
        self.unpark(to_unpark);
        if ended.by_timers {
            self.sharded_driver.note_expired();
            self.note_fired_by_timeout(context.fire());
            // If something may have been due, `Worker::after_firing` has replanned, and this
            // changes nothing. Otherwise the successor has no timeout yet. If none is parked, the
            // next worker to park replans.
            if self.has_parked() {
                self.sharded_driver.replan();
            }
        }
        Unparked {
            // A worker that relieves another one was counted as searching when it left the list. If
            // another thread has removed this worker, that thread has counted it as searching.
            searching: ended.by_relief || position.is_none(),
            must_check_lifo_slots: ended.by_lifo_check,
            at: now,
        }
    }

    /// Finds out what has ended the park of a worker, and updates `until`, the slot check and the
    /// absence accordingly.
    fn note_end(&self, parked: &mut Parked, worker: usize, now: u64) -> Ended {
        if parked.until <= now && parked.deputies.is_timer_deputy_due(worker, now) {
            // The driver owner's timeout has ended, but the kernel has not run its thread yet. So
            // the timer deputy becomes the keeper, and fires.
            parked.keeper = Some(worker);
            parked.deputies.forget(worker);
        }
        if parked.keeper != Some(worker) {
            return Ended::default();
        }
        let by_timers = parked.until <= now;
        if by_timers {
            parked.until = NEVER;
        }
        let by_lifo_check = self.lifo_watch.due() <= now;
        if by_lifo_check {
            self.lifo_watch.put_off(now);
        }
        let by_relief = self.end_absence_if_over(parked, now);
        let by_io = !by_timers && !by_lifo_check && !by_relief;
        if by_io {
            self.count_toward_io_review(parked, worker, 1);
        }
        Ended {
            by_timers,
            by_lifo_check,
            by_relief,
            by_io,
        }
    }

    /// Removes the worker at a position of the list of parked workers. If it was the keeper,
    /// another one becomes the keeper. Returns that successor if its parker cannot be changed while
    /// it blocks: the caller unparks it, and it parks again with the new timeout.
    pub(super) fn remove(
        &self,
        parked: &mut Parked,
        position: usize,
        leaving: Leaving,
    ) -> Option<usize> {
        let worker = parked.workers.remove(position);
        self.counts.remove_parked(leaving);
        parked.deputies.forget(worker);
        if parked.workers.is_empty() {
            parked.keeper = None;
            // An absence for timers ends: the worker that was away polls the timers, as all do. One
            // for I/O goes on: the next worker that parks is the deputy.
            if let Away::ForTimers { .. } = parked.away {
                parked.away = Away::Nobody;
            }
            self.sharded_driver.clear_announcements();
            return None;
        }
        if parked.keeper != Some(worker) {
            return None;
        }
        let successor = self.choose_successor(parked, |_| true)?;
        parked.keeper = Some(successor);
        parked.deputies.forget(successor);
        if !self.is_prepared(successor) {
            // It prepares its parker itself before it blocks.
            return None;
        }
        let timeout_needs_unpark = self.set_timeout(parked, successor);
        let io_needs_unpark = self.parkers[successor].set_io(!parked.away.is_any());
        (timeout_needs_unpark || io_needs_unpark).then_some(successor)
    }

    /// Returns whether a worker has left its parker because timers are due.
    #[cold]
    pub(super) fn was_ended_by_timers(&self, worker: usize) -> bool {
        let now = self.parkers[worker].now();
        let parked = self.lock();
        parked.keeper == Some(worker) && parked.until <= now
    }
}
