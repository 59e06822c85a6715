//! [`SharedSlack`]: the slack of one loop, which any thread may read or set.
//!
//! It is either set, or follows from what a wake-up costs. The loop measures that while timers are
//! dense or wake-ups come fast: at first in each wait, then in one of [`EVERY`]. The planner asks
//! for a sample, and the thread that waits takes it.

use std::sync::Arc;
// Not the model checkers' atomics: nothing but a figure depends on these.
use std::sync::atomic::{AtomicBool, AtomicU64 as StdAtomicU64};
use std::time::Duration;

use super::cost;
use crate::instant::nanos;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::system;

/// The longest slack that can be set, one second. In a storm nothing interrupts the wait: without a
/// bound, a slack of `Duration::MAX` would lose every timer.
pub(super) const LONGEST: u64 = 1_000_000_000;

/// What `set` holds while the slack follows from the cost of a wake-up.
const ADAPTS: u64 = u64::MAX;

/// One wait of so many is measured. To measure one takes two system calls, of half a microsecond
/// each. The 16 waits themselves take 50 µs, even on the fastest machines.
pub(super) const EVERY: u32 = 16;

/// So many samples come first, one wait after the other: then little of the first guess is left.
pub(super) const FIRST: u64 = 32;

/// How many waits are measured for the first samples at most. On a runtime of several threads most
/// samples may have to be thrown away.
pub(super) const MOST_TRIES: u32 = 128;

/// The slack, in nanoseconds. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedSlack(Option<Arc<Slack>>);

#[derive(Debug)]
struct Slack {
    /// The slack that was set, at most [`LONGEST`], or [`ADAPTS`].
    set: AtomicU64,
    /// What a wake-up is taken to cost.
    cost: StdAtomicU64,
    /// How many samples that follows from.
    samples: StdAtomicU64,
    /// Whether the next wait is to be measured.
    is_sample_due: AtomicBool,
}

/// The CPU time of the thread at the beginning of a wait that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample(u64);

impl Sample {
    /// Returns the CPU time that this thread has spent since, in nanoseconds.
    pub(crate) fn spent(self) -> u64 {
        system::thread_cpu().map_or(0, |now| now.saturating_sub(self.0))
    }
}

/// The wait of a loop: until when it is planned, and how it is measured, if it is. (It is set
/// through a shared reference to a driver, whose loop alone does that.)
#[derive(Debug)]
pub(crate) struct PlannedWait {
    /// When the plan wakes the loop, `u64::MAX` if there is no wait, or no plan ends it.
    wake_at: StdAtomicU64,
    /// The CPU time at the beginning of the wait, or zero.
    sample: StdAtomicU64,
}

impl PlannedWait {
    pub(crate) fn none() -> Self {
        Self {
            wake_at: StdAtomicU64::new(u64::MAX),
            sample: StdAtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, wake_at: u64, sample: Option<Sample>) {
        let sample = sample.map_or(0, |it| it.0);
        self.wake_at.store(wake_at, Ordering::Relaxed);
        self.sample.store(sample, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        *self.wake_at.get_mut() = u64::MAX;
        *self.sample.get_mut() = 0;
    }

    /// Ends the wait. Returns when the plan wakes the loop, and the sample.
    pub(crate) fn take(&mut self) -> (u64, Option<Sample>) {
        let sample = match *self.sample.get_mut() {
            0 => None,
            begun => Some(Sample(begun)),
        };
        let wake_at = *self.wake_at.get_mut();
        self.clear();
        (wake_at, sample)
    }
}

impl SharedSlack {
    fn make(set: u64) -> Self {
        Self(Some(Arc::new(Slack {
            set: AtomicU64::new(set),
            cost: StdAtomicU64::new(cost::GUESS),
            samples: StdAtomicU64::new(0),
            is_sample_due: AtomicBool::new(false),
        })))
    }

    /// Makes a slack that is set; zero turns it off.
    pub(crate) fn new(nanos: u64) -> Self {
        Self::make(nanos.min(LONGEST))
    }

    /// Makes a slack that follows from the cost of a wake-up.
    pub(crate) fn adaptive() -> Self {
        Self::make(ADAPTS)
    }

    /// Makes a slack that is set, or that adapts if there is none.
    pub(crate) fn of(slack: Option<Duration>) -> Self {
        slack.map_or_else(Self::adaptive, |slack| Self::new(nanos(slack)))
    }

    /// Makes a slack that stays zero, whatever it is set to.
    #[cfg(feature = "tokio")]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.get_with_kind().0
    }

    /// Returns the slack, and whether it was set.
    // Relaxed: nothing else is published with it. A loop that waits by the old slack is interrupted
    // by the thread that sets the new one.
    #[inline]
    pub(super) fn get_with_kind(&self) -> (u64, bool) {
        let Some(slack) = &self.0 else {
            return (0, true);
        };
        match slack.set.load(Ordering::Relaxed) {
            ADAPTS => (cost::slack_for(slack.cost.load(Ordering::Relaxed)), false),
            nanos => (nanos, true),
        }
    }

    /// Sets the slack; `None` has it follow from the cost of a wake-up.
    pub(crate) fn set(&self, nanos: Option<u64>) {
        if let Some(slack) = &self.0 {
            let nanos = nanos.map_or(ADAPTS, |nanos| nanos.min(LONGEST));
            slack.set.store(nanos, Ordering::Relaxed);
        }
    }

    /// Has the next wait measured.
    pub(super) fn request_sample(&self) {
        if let Some(slack) = &self.0 {
            slack.is_sample_due.store(true, Ordering::Relaxed);
        }
    }

    /// Returns how many waits have been measured.
    pub(super) fn samples(&self) -> u64 {
        let slack = self.0.as_ref();
        slack.map_or(0, |it| it.samples.load(Ordering::Relaxed))
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_sample_due(&self) -> bool {
        let slack = self.0.as_ref();
        slack.is_some_and(|it| it.is_sample_due.load(Ordering::Relaxed))
    }

    /// Begins to measure a wait of this thread, if one is due.
    #[inline]
    pub(crate) fn begin_sample(&self) -> Option<Sample> {
        let slack = self.0.as_ref()?;
        if !slack.is_sample_due.load(Ordering::Relaxed) {
            return None;
        }
        slack.is_sample_due.store(false, Ordering::Relaxed);
        // Zero is no sample, see `PlannedWait`.
        system::thread_cpu().map(|now| Sample(now.max(1)))
    }

    /// Notes that a wait has taken `spent` nanoseconds of CPU time.
    pub(crate) fn note_sample(&self, spent: u64) {
        if let Some(slack) = &self.0 {
            // Two threads of a runtime may do so at once. Then one of the samples is lost.
            let earlier = slack.samples.fetch_add(1, Ordering::Relaxed);
            let cost = cost::after_sample(slack.cost.load(Ordering::Relaxed), spent, earlier);
            slack.cost.store(cost, Ordering::Relaxed);
        }
    }
}
