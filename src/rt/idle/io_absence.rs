//! The owner that is away for I/O, and the worker that takes over if that takes long.
//!
//! I/O that is ready ends the park of the driver owner. If another parked worker became the owner at
//! once, it would be unparked for the next I/O, which the first one has made itself as a rule, by
//! what it has written, and would have found a moment later. The two would take turns, and each turn
//! is a switch between threads. So the owner is *away*, as for timers (see
//! [`standby`](super::standby)): another parked worker is the owner meanwhile and waits for no I/O.
//! The first one collects it when it has run the tasks that it has woken, and is the owner again
//! when it parks.
//!
//! If it has neither parked nor looked for I/O for [`RELIEF`], or for twice as long, the other one
//! takes over: it collects the I/O, searches for tasks, and is the owner for good. So no worker is
//! unparked at once for the tasks that I/O has woken either, if they are expected to be short.
//!
//! # Timers
//!
//! The other worker's timeout is that for timers, too, if it is earlier. An absence for I/O that
//! would end after the next deadline does not begin: the timeout of the other worker would have to
//! be set each time, which costs as much as to make it the owner.
//!
//! # The timeout is not set each time
//!
//! It stays set when the owner is back, and serves the next absences until it ends. So one is set
//! each 5 ms at most, while there is I/O, and as often a worker is unparked. If the owner is not
//! away then, that was for nothing; and it has no timeout when it parks again.

use super::standby::Standby;
use super::{Idle, Parked};
use crate::sync::atomic::Ordering::Relaxed;

/// How long the owner may be away for I/O, in nanoseconds: longer than the kernel's tick, as for
/// the checks of the LIFO slots, since to program a timer that is due earlier into the hardware
/// costs more.
pub(super) const RELIEF: u64 = 5_000_000;

/// A worker that has looked this often for I/O, and about once in [`SHORT`] nanoseconds, looks again
/// soon.
const LOOKS: usize = 16;
const SHORT: u64 = 50_000;

/// A worker that looks for I/O between two parks: how often it had, and when.
#[derive(Clone, Copy, Default)]
pub(super) struct Looker {
    worker: usize,
    looks: usize,
    at: u64,
}

impl Idle {
    /// Notes that the owner, which has left its parker because of I/O, is expected back soon.
    pub(super) fn begin_io_absence(&self, parked: &mut Parked, owner: usize, now: u64) {
        if parked.absence.is_any_away() || parked.absence.standby.is_some() {
            return;
        }
        let soon = now.saturating_add(1)..=now.saturating_add(RELIEF);
        let serves = |it: &Standby| it.worker != owner && soon.contains(&it.at);
        let known = parked.absence.for_io.filter(serves);
        let Some(standby) = known.or_else(|| self.choose_for_io(parked, owner, now)) else {
            return;
        };
        if !self.is_prepared(standby.worker) || parked.until <= standby.at {
            return;
        }
        parked.absence.for_io = Some(standby);
        parked.absence.away = Some((owner, standby.at));
        parked.absence.is_for_io = true;
        parked.absence.io_looks = self.io_looks[owner].0.load(Relaxed);
        parked.owner = Some(standby.worker);
        self.set_timeout(parked, standby.worker);
    }

    fn choose_for_io(&self, parked: &Parked, owner: usize, now: u64) -> Option<Standby> {
        let mut workers = parked.workers.iter().rev().copied();
        let is_fit = |worker: &usize| {
            *worker != owner
                && self.parkers[*worker].moves_timeout()
                && !self.timers_only[*worker].load(Relaxed)
        };
        let at = now.saturating_add(RELIEF);
        workers.find(is_fit).map(|worker| Standby { worker, at })
    }

    /// Leaves the worker that was the owner during an absence its timeout, for the next absence. It
    /// is parked.
    pub(super) fn keep_ready_for_io(&self, parked: &mut Parked, worker: usize, at: u64) {
        parked.absence.for_io = Some(Standby { worker, at });
        // The results are ignored: that timeout is not earlier.
        self.parkers[worker].set_timeout(at);
        self.parkers[worker].set_io(false);
    }

    /// Notes that a worker has looked for I/O between two parks.
    pub(crate) fn note_io_look(&self, worker: usize) {
        let looks = &self.io_looks[worker].0;
        // No other thread writes it, so this need not be one step.
        looks.store(looks.load(Relaxed).wrapping_add(1), Relaxed);
        if self.last_looker.load(Relaxed) != worker {
            self.last_looker.store(worker, Relaxed);
        }
    }

    /// Has a worker that is about to park as the owner wait for no I/O if another one looks for it
    /// all the time: each event would unpark this one, and the other one would be faster.
    pub(super) fn leave_io_to_looker(&self, parked: &mut Parked, owner: usize) {
        let worker = self.last_looker.load(Relaxed);
        if worker == owner || parked.absence.is_any_away() || parked.absence.standby.is_some() {
            return;
        }
        let looks = self.io_looks[worker].0.load(Relaxed);
        let noted = parked.absence.looker;
        let new = looks.wrapping_sub(noted.looks);
        if noted.worker == worker && new < LOOKS {
            return;
        }
        let at = self.parkers[owner].now();
        parked.absence.looker = Looker { worker, looks, at };
        let is_often = at.saturating_sub(noted.at) < SHORT.saturating_mul(new as u64);
        let relief = at.saturating_add(RELIEF);
        let is_fit = self.parkers[owner].moves_timeout() && parked.until > relief;
        if noted.worker == worker && is_often && is_fit && parked.position(worker).is_none() {
            parked.absence.for_io = Some(Standby {
                worker: owner,
                at: relief,
            });
            parked.absence.away = Some((worker, relief));
            parked.absence.is_for_io = true;
            parked.absence.io_looks = looks;
        }
    }

    /// Ends the absence if it is time for that. Returns whether it did. An owner that is away for
    /// I/O and has looked for it since may stay away.
    pub(super) fn end_absence_if_over(&self, parked: &mut Parked, now: u64) -> bool {
        let absence = &mut parked.absence;
        if let Some((away, relief)) = absence.away
            && absence.is_for_io
            && relief <= now
        {
            let looks = self.io_looks[away].0.load(Relaxed);
            let enough = (RELIEF / SHORT / 2) as usize;
            if looks.wrapping_sub(absence.io_looks) >= enough {
                absence.io_looks = looks;
                absence.away = Some((away, now.saturating_add(RELIEF)));
            }
        }
        absence.end_if_over(now)
    }

    /// Returns whether a worker is away for I/O: then another one searches for tasks before long.
    pub(crate) fn is_away_for_io(&self, worker: usize) -> bool {
        if !self.counts.has_parked() {
            return false;
        }
        let absence = &self.lock().absence;
        absence.is_for_io && absence.away.is_some_and(|(away, _)| away == worker)
    }
}
