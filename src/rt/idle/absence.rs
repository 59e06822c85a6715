//! [`Away`], which worker is away, and [`Deputies`], which of the parked ones wait in its place.
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

/// Whether a worker is away from the parked ones for a while, and until when it may be.
#[derive(Clone, Copy, Default)]
pub(super) enum Away {
    /// None is. The keeper is the driver owner.
    #[default]
    Nobody,
    /// The driver owner is, for timers. The keeper is the standby.
    ForTimers { worker: usize, relief_at: u64 },
    /// A worker is, for I/O: the driver owner, or one that looks for I/O all the time. The keeper is
    /// the stand-in.
    ForIo {
        worker: usize,
        relief_at: u64,
        /// Its count of looks for I/O when this was set.
        looks: usize,
    },
}

impl Away {
    /// Returns whether a worker is away.
    pub(super) fn is_any(self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// Returns whether this worker is away, for whatever.
    pub(super) fn is(self, worker: usize) -> bool {
        self.is_for_timers(worker) || self.is_for_io(worker)
    }

    /// Returns whether this worker is away for timers.
    pub(super) fn is_for_timers(self, worker: usize) -> bool {
        matches!(self, Self::ForTimers { worker: away, .. } if away == worker)
    }

    /// Returns whether this worker is away for I/O.
    pub(super) fn is_for_io(self, worker: usize) -> bool {
        matches!(self, Self::ForIo { worker: away, .. } if away == worker)
    }

    /// Returns the time of the relief, [`NEVER`] if no worker is away.
    pub(super) fn relief_at(self) -> u64 {
        match self {
            Self::Nobody => NEVER,
            Self::ForTimers { relief_at, .. } | Self::ForIo { relief_at, .. } => relief_at,
        }
    }
}

/// A parked worker that has a timeout of its own, and when that ends.
#[derive(Clone, Copy)]
pub(super) struct Timed {
    pub(super) worker: usize,
    pub(super) at: u64,
}

/// The parked workers that are ready to be a deputy.
#[derive(Default)]
pub(super) struct Deputies {
    /// The standby, while no worker is away: its timeout is set already.
    pub(super) standby: Option<Timed>,
    /// The stand-in. It is the keeper while a worker is away for I/O, and its timeout stays set
    /// after that: the next such absence uses it.
    pub(super) stand_in: Option<Timed>,
}

impl Deputies {
    /// Notes that a worker is neither the standby nor the stand-in.
    pub(super) fn forget(&mut self, worker: usize) {
        let is_other = |deputy: &Timed| deputy.worker != worker;
        self.standby = self.standby.filter(is_other);
        self.stand_in = self.stand_in.filter(is_other);
    }

    /// Returns whether a worker is the standby and its timeout has ended.
    pub(super) fn is_standby_due(&self, worker: usize, now: u64) -> bool {
        let is_due = |standby: Timed| standby.worker == worker && standby.at <= now;
        self.standby.is_some_and(is_due)
    }
}
