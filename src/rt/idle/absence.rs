//! [`Absence`]: what is noted of a driver owner that is away, and of its deputy.
//!
//! A driver owner whose park has ended leaves the parked workers, does what it has woken for, and
//! parks again as the driver owner. Meanwhile it is *away*, and a *deputy*, which stays parked, is
//! the keeper. If the driver owner has not parked by the time of the *relief*, the absence ends:
//! the deputy wakes and does what there is to do.
//!
//! | the driver owner is | the keeper is | whose park ends | and which waits for I/O |
//! |---|---|---|---|
//! | parked | the driver owner | at `until` | yes |
//! | away for timers | the standby | at the relief | no |
//! | away for I/O | the stand-in | at the relief, or at `until` if that is earlier | no |
//! | not there: no worker is parked | none | | |
//!
//! (A park of the keeper also ends when the LIFO slots are to be checked.) Absences for timers are
//! in [`standby`](super::standby), those for I/O in [`io_absence`](super::io_absence).

use crate::instant::NEVER;

/// A parked worker that has a timeout of its own, and when that ends.
#[derive(Clone, Copy)]
pub(super) struct Timed {
    pub(super) worker: usize,
    pub(super) at: u64,
}

/// What is known of a worker that looks for I/O while it does not park.
#[derive(Clone, Copy, Default)]
pub(super) struct Looker {
    pub(super) worker: usize,
    /// Its count of looks, and when it was read.
    pub(super) looks: usize,
    pub(super) at: u64,
}

/// Part of what the lock of the parked workers guards.
#[derive(Default)]
pub(super) struct Absence {
    /// The standby, before it is needed. While a driver owner is away this is `None`: for timers,
    /// because the standby is the keeper then.
    pub(super) standby: Option<Timed>,
    /// The driver owner that is away, and the time of the relief.
    pub(super) away: Option<(usize, u64)>,
    /// Whether it is away for I/O, see `io_absence`.
    pub(super) is_for_io: bool,
    /// Its count of looks for I/O when `away` was set.
    pub(super) io_looks: usize,
    /// What a driver owner has noted of another worker that looks for I/O while it does not park.
    pub(super) looker: Looker,
    /// The stand-in. Between two absences it is not the keeper, but its timeout stays set: the next
    /// absence uses it.
    pub(super) stand_in: Option<Timed>,
}

impl Absence {
    /// Returns the time of the relief, [`NEVER`] if no worker is away.
    pub(super) fn relief_at(&self) -> u64 {
        self.away.map_or(NEVER, |(_, relief)| relief)
    }

    /// Returns whether a worker is away.
    pub(super) fn is_any_away(&self) -> bool {
        self.away.is_some()
    }

    /// Notes that a worker is neither the standby nor the stand-in.
    pub(super) fn forget_worker(&mut self, worker: usize) {
        if self.standby.is_some_and(|standby| standby.worker == worker) {
            self.standby = None;
        }
        if self.stand_in.is_some_and(|it| it.worker == worker) {
            self.stand_in = None;
        }
    }

    /// Notes that no worker is parked. An absence for timers ends: the worker that was away polls
    /// the timers, as all do. One for I/O goes on: the next worker that parks is the deputy.
    pub(super) fn end(&mut self) {
        let away = self.away.filter(|_| self.is_for_io);
        let (io_looks, looker) = (self.io_looks, self.looker);
        *self = Self::default();
        (self.away, self.is_for_io) = (away, away.is_some());
        (self.io_looks, self.looker) = (io_looks, looker);
    }

    /// Returns whether a worker is the standby and its timeout has ended.
    pub(super) fn is_standby_due(&self, worker: usize, now: u64) -> bool {
        let is_due = |standby: Timed| standby.worker == worker && standby.at <= now;
        self.standby.is_some_and(is_due)
    }

    /// Ends the absence if its relief has come. Returns whether it did.
    pub(super) fn end_if_over(&mut self, now: u64) -> bool {
        let is_over = self.relief_at() <= now;
        if is_over {
            self.away = None;
        }
        is_over
    }
}
