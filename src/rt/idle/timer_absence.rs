//! The timeouts of the parked workers: that of the driver owner, and that of the timer deputy,
//! which takes over if the driver owner takes long to fire timers.
//!
//! Timers are often dense and their tasks short. If the driver owner handed its timeout to another
//! worker each time that it wakes, the two would take turns: each finds its caches cold, and a
//! third of the CPU time is lost. So when each worker that has a thread is parked, and the last
//! timeout has fired several timers, one of the others, the *timer deputy*, has a timeout as well,
//! at the *relief*, [`timer_relief_after`](Idle::timer_relief_after) later than that of the driver
//! owner. When the driver owner's timeout ends, it goes *away*: it leaves the parked workers,
//! fires, runs what it has woken, and parks again as the driver owner. As a rule that is before the
//! relief, and the timer deputy does not run. Otherwise the absence ends at the relief: the timer
//! deputy fires what is due, and searches for tasks. The next driver owner is another parked worker
//! or, if there is none, the first one that parks.
//!
//! The alternative, to set the deputy's timeout only when the driver owner wakes, and to cancel it
//! when the driver owner parks, costs more than it saves: to program a timer that is due in 50 µs
//! into the hardware, and to cancel it, takes 10 µs on a virtual machine. The timer deputy's
//! timeout is set together with the driver owner's, and is later. So it is rarely the next timer of
//! its processor, the one that is programmed into the hardware.
//!
//! # What holds during an absence
//!
//! - The timer deputy is the keeper. But it waits for the relief alone (or the next check of the
//!   LIFO slots): neither for I/O, nor for a timer that is due before the relief.
//! - The worker that is away sees to timers between its tasks, and to I/O when it has run them all.
//!   If it does not get to them, they wait for the relief at most. To set the deputy's timeout for
//!   the next deadline would cost system calls in each absence in which a deadline comes before the
//!   relief.
//! - The worker that is away unparks no other for the tasks that it has woken, as long as they are
//!   expected to be short, all together: at the relief the timer deputy searches for them
//!   ([`is_away_for_timers`](Idle::is_away_for_timers)).
//! - If no worker is parked, none waits for the relief, and the absence ends. (An absence for I/O
//!   goes on, see [`io_absence`](super::io_absence).)
//!
//! If tasks of the driver owner have taken long lately, it hands its timeout over at once, and
//! another worker is unparked for the tasks in its queue.

use super::absence::{Away, Timed};
use super::{Idle, Parked};
use crate::instant::NEVER;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering::Relaxed;

/// If the ready tasks of a worker are expected to take less than this, in nanoseconds, it runs all
/// of them itself, and its deputy comes if they take longer. With another worker they take 25 to
/// 50 % more CPU, and that worker begins some 75 µs later.
pub(crate) const SHORT_WORK: u64 = 150_000;

/// The upper limit of [`timer_work_limit`](Idle::timer_work_limit): with the longest slack that is
/// chosen.
const LONGEST_TIMER_WORK: u64 = 500_000;

/// What [`timer_relief_after`](Idle::timer_relief_after) adds to
/// [`timer_work_limit`](Idle::timer_work_limit), in nanoseconds: the driver
/// owner may be scheduled 20 to 60 µs late, and its tasks may take longer than those before.
const RESERVE: u64 = 100_000;

impl Idle {
    /// Prepares the parker of a worker that is about to block: the timeout, and whether it waits
    /// for I/O.
    pub(crate) fn prepare_parker(&self, worker: usize) {
        let mut parked = self.lock();
        self.prepared[worker].store(true, Relaxed);
        let deputy = self.end_own_absence(&mut parked, worker);
        // The results of `set_timeout` and `set_io` say whether the worker has to be unparked. They
        // are ignored: it is not blocked yet.
        if parked.keeper == Some(worker) {
            self.leave_io_to_worker_that_looks(&mut parked, worker);
            self.parkers[worker].set_timeout(self.timeout(&parked));
            self.parkers[worker].set_io(!parked.away.is_any());
        } else {
            self.prepare_other(&mut parked, worker);
        }
        // The deputy's timeout is set after the keeper's, which ends earlier. So the kernel programs
        // the hardware once; in the other order it would do so twice.
        if let Some(deputy) = deputy {
            self.make_timer_deputy_if_useful(&mut parked, deputy);
        }
    }

    /// Returns when the keeper has to wake by itself: see the table in `absence`.
    pub(super) fn timeout(&self, parked: &Parked) -> u64 {
        let until = match parked.away {
            Away::Nobody => parked.until,
            Away::ForTimers { relief_at, .. } => relief_at,
            Away::ForIo { relief_at, .. } => relief_at.min(parked.until),
        };
        until.min(self.lifo_watch.due())
    }

    /// Returns the limit, in nanoseconds, below which a worker keeps all the work that timers have
    /// brought it.
    ///
    /// It is higher where wake-ups are far apart: each brings more tasks then. The slack has
    /// delayed these already, by more than they wait in the queue of one worker. A thousand tasks
    /// that sleep 1 to 10 ms bring 100 to 300 µs of work at once if wake-ups are a millisecond
    /// apart.
    pub(crate) fn timer_work_limit(&self) -> u64 {
        (self.sharded_driver.slack() / 2).clamp(SHORT_WORK, LONGEST_TIMER_WORK)
    }

    /// Returns by how many nanoseconds the timer deputy's timeout is later than the driver owner's.
    pub(super) fn timer_relief_after(&self) -> u64 {
        self.timer_work_limit() + RESERVE
    }

    /// Returns whether this worker is away for timers and its deputy takes tasks: then the deputy
    /// searches for tasks before long, and finds those that the caller has pushed before.
    pub(crate) fn is_away_for_timers(&self, worker: usize) -> bool {
        if !self.counts.has_parked() {
            return false;
        }
        let parked = self.lock();
        let takes_tasks = |keeper: usize| self.takes_tasks[keeper].load(Relaxed);
        parked.away.is_for_timers(worker) && parked.keeper.is_some_and(takes_tasks)
    }

    /// Notes how many timers a keeper has fired after its timeout had ended.
    pub(crate) fn note_fired_by_timeout(&self, fired: usize) {
        let fired_several = fired > 1;
        if self.fired_several.load(Relaxed) != fired_several {
            self.fired_several.store(fired_several, Relaxed);
        }
    }

    /// If there is a timer deputy whose timeout ends soon, begins the absence of a driver owner.
    /// The driver owner's timeout has ended; it is about to fire, and is expected back soon.
    pub(super) fn try_begin_timer_absence(&self, parked: &mut Parked, owner: usize, now: u64) {
        let soon = now..=now.saturating_add(self.timer_relief_after());
        let deputy = &mut parked.deputies.for_timers;
        let Some(Timed { worker, at }) = deputy.take_if(|it| soon.contains(&it.at)) else {
            return;
        };
        parked.away = Away::ForTimers {
            worker: owner,
            relief_at: at,
        };
        parked.keeper = Some(worker);
        // It has this timeout already, unless the LIFO slots are to be checked before that.
        self.set_timeout(parked, worker);
    }

    /// Sets the timeout of the keeper. Returns whether it has to be unparked for that.
    pub(super) fn set_timeout(&self, parked: &Parked, keeper: usize) -> bool {
        // A worker whose parker is not prepared yet does that itself before it blocks.
        self.is_prepared(keeper) && self.parkers[keeper].set_timeout(self.timeout(parked))
    }

    /// Sets the timeout of the keeper, if there is one, and unparks it if it has to be.
    pub(super) fn update_timeout(&self, parked: MutexGuard<'_, Parked>) {
        let to_unpark = parked
            .keeper
            .filter(|&keeper| self.set_timeout(&parked, keeper));
        drop(parked);
        self.unpark(to_unpark);
    }

    /// If a worker was away, and is about to block, ends the absence, and makes that worker
    /// the keeper.
    /// After an absence for timers, returns the worker that was the keeper meanwhile, as a rule the
    /// timer deputy (`None` if its parker is not prepared). The caller makes it the timer deputy
    /// again, if a timer deputy is of use.
    fn end_own_absence(&self, parked: &mut Parked, worker: usize) -> Option<usize> {
        // It is not in the list if another thread has unparked it meanwhile.
        if !parked.away.is(worker) || parked.position(worker).is_none() {
            return None;
        }
        let was_away = std::mem::take(&mut parked.away);
        let deputy = parked.keeper.replace(worker);
        // A worker that is about to block prepares its parker itself.
        let prepared = |&deputy: &usize| deputy != worker && self.is_prepared(deputy);
        let deputy = deputy.filter(prepared)?;
        if let Away::ForIo { relief_at, .. } = was_away {
            self.keep_ready_for_io(parked, deputy, relief_at);
            return None;
        }
        Some(deputy)
    }

    /// Prepares the parker of a worker that is not the keeper.
    fn prepare_other(&self, parked: &mut Parked, worker: usize) {
        parked.deputies.forget(worker);
        if parked.deputies.for_timers.is_none() && !parked.away.is_any() {
            self.make_timer_deputy_if_useful(parked, worker);
        } else {
            self.parkers[worker].set_timeout(NEVER);
            self.parkers[worker].set_io(false);
        }
    }

    /// Turns a worker that is not the keeper into the timer deputy, if one is of use. If none is,
    /// the worker has no timeout. Its parker is prepared, or about to be.
    fn make_timer_deputy_if_useful(&self, parked: &mut Parked, worker: usize) {
        // If a worker runs, it may set the keeper's timeout at any time, and would have to set that
        // of the timer deputy as often. (A worker without a thread does not run: the first one,
        // while no thread is in `block_on`.) And one task that sleeps over and over would pay for
        // two timeouts, and gain nothing: no other worker is unparked for it.
        let no_worker_runs = parked.workers.len() == parked.threads;
        let fired_several = self.fired_several.load(Relaxed);
        let at = match no_worker_runs
            && fired_several
            && self.parkers[worker].sets_timeout_while_parked()
        {
            true => parked.until.saturating_add(self.timer_relief_after()),
            false => NEVER,
        };
        parked.deputies.for_timers = (at != NEVER).then_some(Timed { worker, at });
        // The results are ignored: the worker is not blocked, or the timeout is a later one and
        // takes effect without an unpark.
        self.parkers[worker].set_timeout(at);
        self.parkers[worker].set_io(false);
    }
}
