//! [`Away`], which worker is away, and [`Deputies`], which of the parked ones wait in its place.
//!
//! A driver owner whose park has ended leaves the parked workers. If its tasks are expected to be
//! short and there is a *deputy*, it is *away*: it does the work for which its park has ended, and
//! parks again as the driver owner. Meanwhile the deputy, which stays parked, is the keeper.
//! (Otherwise another worker becomes the driver owner.) If the driver owner has not parked by the
//! time of the *relief*, the absence ends: the deputy wakes and does what there is to do. (A worker
//! that is away for I/O and has looked for it often may stay away longer.)
//!
//! | the driver owner is | the keeper is | the keeper's park ends | the keeper waits for I/O |
//! |---|---|---|---|
//! | parked | the driver owner | at `until` | yes |
//! | away for timers | the timer deputy | at the relief | no |
//! | away for I/O | the I/O deputy | at the relief, or at `until` if that is earlier | no |
//! | not there: no worker is parked | none | | |
//!
//! (The park of the keeper also ends when the LIFO slots are to be checked.) The timer deputy has
//! its timeout before it is needed; the I/O deputy gets it at the first absence, and keeps it for
//! the next ones. All other workers park without a timeout. Absences for timers are in
//! [`timer_absence`](super::timer_absence), those for I/O in [`io_absence`](super::io_absence).

use crate::instant::NEVER;

/// Whether a worker is away from the parked ones for a while, and until when it may be.
#[derive(Clone, Copy, Default)]
pub(super) enum Away {
    /// No worker is away. The keeper is the driver owner.
    #[default]
    Nobody,
    /// The driver owner is away for timers. The keeper is the timer deputy.
    ForTimers { worker: usize, relief_at: u64 },
    /// A worker is away for I/O: the driver owner, or one that looks for I/O all the time. The
    /// keeper is the I/O deputy.
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
    /// The timer deputy, before it is needed. `None` while a worker is away: for timers, it has
    /// become the keeper; for I/O, it is of no use.
    pub(super) for_timers: Option<Timed>,
    /// The I/O deputy, while it is the keeper and after that: its timeout stays set, and the next
    /// absence for I/O uses it.
    pub(super) for_io: Option<Timed>,
}

impl Deputies {
    /// Notes that a worker is neither the timer deputy nor the I/O deputy.
    pub(super) fn forget(&mut self, worker: usize) {
        let is_other = |deputy: &Timed| deputy.worker != worker;
        self.for_timers = self.for_timers.filter(is_other);
        self.for_io = self.for_io.filter(is_other);
    }

    /// Returns whether a worker is the timer deputy and its timeout has ended.
    pub(super) fn is_timer_deputy_due(&self, worker: usize, now: u64) -> bool {
        let is_due = |deputy: Timed| deputy.worker == worker && deputy.at <= now;
        self.for_timers.is_some_and(is_due)
    }
}
