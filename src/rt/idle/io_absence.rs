//! The worker that is away for I/O, and its deputy, which takes over if that takes long.
//!
//! I/O that is ready ends the park of the driver owner. If another parked worker became the driver
//! owner at once, the next I/O would end the park of that one. As a rule it is the answer to what
//! the first one has just written, and the first one would find it a moment later. The two would
//! take turns, and each turn is a switch between threads. So the first one stays the worker that
//! sees to I/O: it is *away*, runs the tasks that it has woken, looks for I/O, and is the driver
//! owner again when it parks.
//!
//! While it is away, another parked worker, the *I/O deputy*, is the keeper. It does not wait for
//! I/O. It waits for the earlier of two times: the next deadline of a timer, and the *relief*,
//! which comes [`IO_RELIEF_AFTER`] after the timeout of the deputy was set. At the relief the
//! absence ends: the I/O deputy collects the I/O, and searches for tasks. The next driver owner is
//! another parked worker or, if there is none, the first one that parks. But if the worker
//! that is away has looked for I/O at least 20 times since the absence began or was last extended
//! (in 2 ms that is once in 100 µs), the absence is extended by `IO_RELIEF_AFTER`.
//!
//! Since the I/O deputy searches for tasks at the relief, no worker is unparked at once for the
//! tasks that I/O has woken, if they are expected to be short
//! ([`is_away_for_io`](Idle::is_away_for_io)).
//!
//! No absence begins if a timer is due before the relief: the timeout of the I/O deputy would have
//! to be set for each absence, which costs as much as to hand the I/O over.
//!
//! # The timeout of the I/O deputy
//!
//! It is not cancelled when the driver owner is back. The next absence uses what is left of it, so
//! the relief may be near when that absence begins. While there is I/O, the timeout is set at most
//! once in 2 ms, so it ends the deputy's park at most that often. If it expires while no worker is
//! away, the deputy has woken for nothing, and parks again without this timeout.
//!
//! # When an absence begins and ends
//!
//! - It begins when I/O has ended the park of the driver owner. It also begins when worker A is
//!   about to park as the driver owner while worker B looks for I/O all the time, or is collecting
//!   some at that moment and has short tasks. (B need not have been the driver owner.) B would find
//!   each event first, and A's park would end for nothing. So B counts as away, and A is its
//!   deputy.
//! - It ends when the worker that is away parks, at the relief, or when that worker leaves its
//!   loop, because its thread is about to poll a main future or to end.
//!
//! A worker that is away and has many tasks looks for I/O between them, as a worker does while none
//! is parked: at every eighth poll of its timers, which is after 8 long tasks, or 128 short ones.
//! So I/O waits for the relief only if those tasks take longer than the time until the relief.

use super::absence::{Away, Timed};
use super::{Idle, Parked};
use crate::instant::NEVER;
use crate::sync::atomic::Ordering::Relaxed;

/// How long a driver owner may be away for I/O, in nanoseconds. While there is I/O, the relief ends
/// the deputy's park once in this time, at most. With 2 ms the round trip of a message takes 0.5 %
/// more CPU than with 5 ms, and with 1 ms 2 % more.
pub(super) const IO_RELIEF_AFTER: u64 = 2_000_000;

/// After how many looks for I/O it is decided whether a worker looks all the time.
const LOOKS: usize = 16;

/// A worker looks all the time if there are fewer nanoseconds than this between two looks, on
/// average.
const LOOK_PERIOD: u64 = 50_000;

/// After how many waits and looks for I/O the parkers are reviewed.
const REVIEW_PERIOD: usize = 1024;

/// How many looks a worker counts by itself before it adds them, which takes the lock.
const LOOKS_AT_ONCE: usize = 64;

/// What is known of a worker that looks for I/O without parking.
#[derive(Clone, Copy, Default)]
pub(super) struct Looker {
    worker: usize,
    /// Its count of looks, and when it was read.
    looks: usize,
    at: u64,
}

/// Stands for no worker.
pub(super) const NOBODY: usize = usize::MAX;

impl Idle {
    /// Begins the absence of the driver owner, whose park has probably ended for I/O, and which is
    /// expected back soon. Not if a worker is away already, if a timer is due before the relief, or
    /// if no parked worker can be the deputy.
    pub(super) fn try_begin_io_absence(&self, parked: &mut Parked, owner: usize, now: u64) {
        if parked.away.is_any() {
            return;
        }
        if parked.deputies.for_timers.is_some()
            && parked.until <= now.saturating_add(IO_RELIEF_AFTER)
        {
            return;
        }
        let soon = now.saturating_add(1)..=now.saturating_add(IO_RELIEF_AFTER);
        let serves = |it: &Timed| it.worker != owner && soon.contains(&it.at);
        let known = parked.deputies.for_io.filter(serves);
        let Some(deputy) = known.or_else(|| self.choose_io_deputy(parked, owner, now)) else {
            return;
        };
        if !self.is_prepared(deputy.worker) || parked.until <= deputy.at {
            return;
        }
        // No timer comes due for a long while, so the timer deputy is there for nothing.
        if let Some(unused) = parked.deputies.for_timers.take()
            && unused.worker != deputy.worker
        {
            // The result is ignored: a later timeout takes effect without an unpark.
            self.parkers[unused.worker].set_timeout(NEVER);
        }
        parked.deputies.for_io = Some(deputy);
        parked.away = Away::ForIo {
            worker: owner,
            relief_at: deputy.at,
            looks: self.io_looks[owner].0.load(Relaxed),
        };
        parked.keeper = Some(deputy.worker);
        self.set_timeout(parked, deputy.worker);
    }

    fn choose_io_deputy(&self, parked: &Parked, owner: usize, now: u64) -> Option<Timed> {
        let is_fit = |worker: usize| {
            worker != owner
                && self.parkers[worker].sets_timeout_while_parked()
                && self.takes_tasks[worker].load(Relaxed)
        };
        let at = now.saturating_add(IO_RELIEF_AFTER);
        let worker = self.choose_successor(parked, is_fit)?;
        Some(Timed { worker, at })
    }

    /// Returns a parked worker to be the next keeper, or the I/O deputy: of those that are fit the
    /// one that has parked last, but preferably one that can be made to wait for I/O while it is
    /// parked.
    pub(super) fn choose_successor(
        &self,
        parked: &Parked,
        is_fit: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let workers = parked.workers.iter().rev().copied();
        let mut fit = workers.filter(|&worker| is_fit(worker));
        let last = fit.clone().next();
        fit.find(|&worker| self.parkers[worker].sets_io_while_parked())
            .or(last)
    }

    /// Lets the I/O deputy, which is parked, keep its timeout for the next absence.
    pub(super) fn keep_ready_for_io(&self, parked: &mut Parked, worker: usize, at: u64) {
        parked.deputies.for_io = Some(Timed { worker, at });
        // The results are ignored: that timeout is not earlier.
        self.parkers[worker].set_timeout(at);
        self.parkers[worker].set_io(false);
    }

    /// Notes that a worker has looked for I/O while it did not park.
    pub(crate) fn note_io_look(&self, worker: usize) {
        let looks = &self.io_looks[worker].0;
        // No other thread writes it, so this need not be one step.
        let count = looks.load(Relaxed).wrapping_add(1);
        looks.store(count, Relaxed);
        if count.is_multiple_of(LOOKS_AT_ONCE) {
            self.count_toward_io_review(&mut self.lock(), worker, LOOKS_AT_ONCE);
        }
        if self.last_looker.load(Relaxed) != worker {
            self.last_looker.store(worker, Relaxed);
        }
    }

    /// Counts looks of a worker for I/O, or a park that I/O has ended. Now and then all parkers are
    /// reviewed: the I/O source is removed from those that were seldom made to wait for
    /// I/O while parked, since an event costs less if fewer parkers have the source.
    pub(super) fn count_toward_io_review(&self, parked: &mut Parked, worker: usize, count: usize) {
        parked.since_io_review += count;
        if parked.since_io_review < REVIEW_PERIOD {
            return;
        }
        parked.since_io_review = 0;
        for (index, parker) in self.parkers.iter().enumerate() {
            parker.review_io(index == worker);
        }
    }

    /// Calls a function that collects I/O, on a worker whose tasks are expected to be short. A
    /// worker that parks meanwhile leaves the I/O to this one. (If another one is collecting
    /// already, that one is left noted: `collect` finds nothing then.)
    pub(crate) fn while_collecting<T>(&self, worker: usize, collect: impl FnOnce() -> T) -> T {
        if self.collecting.load(Relaxed) != NOBODY {
            return collect();
        }
        self.collecting.store(worker, Relaxed);
        let result = collect();
        self.collecting.store(NOBODY, Relaxed);
        result
    }

    /// A worker that is about to park as the driver owner does not wait for I/O, if another one
    /// looks for it all the time, or is collecting some now: each event would end the park of this
    /// one, and the other one would be faster.
    pub(super) fn leave_io_to_worker_that_looks(&self, parked: &mut Parked, owner: usize) {
        if parked.away.is_any() || parked.deputies.for_timers.is_some() {
            return;
        }
        let worker = match self.collecting.load(Relaxed) {
            NOBODY => self.worker_that_looks_often(parked, owner),
            worker => Some(worker),
        };
        let is_running = |&worker: &usize| worker != owner && parked.position(worker).is_none();
        let Some(worker) = worker.filter(is_running) else {
            return;
        };
        let relief_at = self.parkers[owner].now().saturating_add(IO_RELIEF_AFTER);
        if self.parkers[owner].sets_timeout_while_parked() && parked.until > relief_at {
            parked.deputies.for_io = Some(Timed {
                worker: owner,
                at: relief_at,
            });
            parked.away = Away::ForIo {
                worker,
                relief_at,
                looks: self.io_looks[worker].0.load(Relaxed),
            };
        }
    }

    /// Returns the worker that has looked for I/O last, if it has done so often.
    fn worker_that_looks_often(&self, parked: &mut Parked, owner: usize) -> Option<usize> {
        let worker = self.last_looker.load(Relaxed);
        if worker == owner {
            return None;
        }
        let looks = self.io_looks.get(worker)?.0.load(Relaxed);
        let noted = parked.looker;
        let new = looks.wrapping_sub(noted.looks);
        if noted.worker == worker && new < LOOKS {
            return None;
        }
        let at = self.parkers[owner].now();
        parked.looker = Looker { worker, looks, at };
        let is_often = at.saturating_sub(noted.at) < LOOK_PERIOD.saturating_mul(new as u64);
        (noted.worker == worker && is_often).then_some(worker)
    }

    /// Ends the absence if its relief has come. Returns whether it did. If the worker
    /// that is away for I/O has looked for it often, the absence is extended instead.
    pub(super) fn end_absence_if_over(&self, parked: &mut Parked, now: u64) -> bool {
        if let Away::ForIo {
            worker,
            relief_at,
            looks: before,
        } = parked.away
            && relief_at <= now
        {
            let looks = self.io_looks[worker].0.load(Relaxed);
            let enough = (IO_RELIEF_AFTER / LOOK_PERIOD / 2) as usize;
            if looks.wrapping_sub(before) >= enough {
                parked.away = Away::ForIo {
                    worker,
                    relief_at: now.saturating_add(IO_RELIEF_AFTER),
                    looks,
                };
            } else {
                // How often it has looked before tells nothing of what it does now.
                let at = now;
                parked.looker = Looker { worker, looks, at };
            }
        }
        let is_over = parked.away.relief_at() <= now;
        if is_over {
            parked.away = Away::Nobody;
        }
        is_over
    }

    /// Ends the absence of a worker that is about to leave its loop: its I/O deputy waits for I/O
    /// from now on.
    pub(crate) fn end_io_absence(&self, worker: usize) {
        if self.last_looker.load(Relaxed) == worker {
            self.last_looker.store(NOBODY, Relaxed);
        }
        let mut parked = self.lock();
        if !parked.away.is_for_io(worker) {
            return;
        }
        parked.away = Away::Nobody;
        parked.deputies.for_io = None;
        let must_unpark = |&keeper: &usize| {
            let timeout_needs_unpark = self.set_timeout(&parked, keeper);
            let io_needs_unpark = self.is_prepared(keeper) && self.parkers[keeper].set_io(true);
            timeout_needs_unpark || io_needs_unpark
        };
        let to_unpark = parked.keeper.filter(must_unpark);
        drop(parked);
        self.unpark(to_unpark);
    }

    /// Returns whether a worker is away for I/O: then another one searches for tasks before long.
    pub(crate) fn is_away_for_io(&self, worker: usize) -> bool {
        if !self.counts.has_parked() {
            return false;
        }
        self.lock().away.is_for_io(worker)
    }
}
