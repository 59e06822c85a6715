//! [`WakeUpBudget`], whether there are more wake-ups than there may be, and [`Waits`], whether one
//! of them can do for several: numbers in, numbers out.
//!
//! A loop that holds one timer at a time serves one task. That may be a task that sleeps over and
//! over, which is late by whatever its wake-up is late by, and gains nothing. Or it waits for the
//! next of many deadlines, as a cache does that removes key after key: a later wake-up then removes
//! several keys. Their waits tell the two apart. A task that sleeps over and over does so for one
//! duration, or for a few durations in turn. Waits for deadlines that come from elsewhere differ.

/// How many wake-ups may come at once before they count as too many.
const BURST: u64 = 8;

/// A token bucket (as a virtual schedule, the generic cell rate algorithm of ATM): wake-ups may
/// come once in an interval on average, and [`BURST`] of them at once.
///
/// It counts the waits that were asked for, not those that were made longer by the slack. So it
/// tells how many wake-ups there would be without it.
#[derive(Debug, Default)]
pub(super) struct WakeUpBudget {
    /// How far the wake-ups are ahead of their schedule, in nanoseconds.
    ahead: u64,
    is_spent: bool,
}

impl WakeUpBudget {
    /// Notes a wake-up that was asked for `wait` nanoseconds after the one before.
    pub(super) fn note(&mut self, wait: u64, interval: u64) {
        // Once it is spent, wake-ups have to become a third fewer than they may be. Otherwise a
        // load near the limit would be on time for a moment, then late, then on time again.
        let share = match self.is_spent {
            true => interval.saturating_add(interval / 2),
            false => interval,
        };
        let burst = interval.saturating_mul(BURST);
        // At twice the burst at most, so that it is soon noticed when they become fewer.
        let ahead = self.ahead.saturating_add(share).saturating_sub(wait);
        self.ahead = ahead.min(burst.saturating_mul(2));
        if self.ahead >= burst {
            self.is_spent = true;
        } else if self.ahead == 0 {
            self.is_spent = false;
        }
    }

    /// Notes that so many nanoseconds have passed without a wake-up.
    pub(super) fn pass(&mut self, nanos: u64) {
        self.ahead = self.ahead.saturating_sub(nanos);
        self.is_spent &= self.ahead > 0;
    }

    /// Returns whether there are more wake-ups than one in an interval.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }
}

/// With how many waits before it a wait is compared: a task may sleep for several durations in
/// turn.
const COMPARED: usize = 4;

/// Waits are alike if they differ by no more than an eighth of the longer one and this, in
/// nanoseconds: a wait begins when the task that was woken has come to it.
const TOLERANCE: u64 = 2_000;

/// The share of a wait among the recent ones: one in so many.
const WEIGHT: i32 = 16;

/// The share that is all waits.
const ALL: i32 = 1 << 12;

/// The waits between the wake-ups of a loop, each from a firing to the next deadline.
#[derive(Debug, Default)]
pub(super) struct Waits {
    recent: [u64; COMPARED],
    next: usize,
    /// Which share of the recent waits was like none of those before it, out of [`ALL`].
    different: i32,
}

impl Waits {
    pub(super) fn note(&mut self, wait: u64) {
        let is_like = |&other: &u64| wait.abs_diff(other) <= wait.max(other) / 8 + TOLERANCE;
        let different = match self.recent.iter().any(is_like) {
            true => 0,
            false => ALL,
        };
        self.different += (different - self.different) / WEIGHT;
        self.recent[self.next] = wait;
        self.next = (self.next + 1) % COMPARED;
    }

    /// Returns whether most recent waits were different from those before them.
    pub(super) fn differ(&self) -> bool {
        self.different > ALL / 2
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Notes `count` wake-ups that were asked for `wait` apart, where one in 100 is allowed.
    fn spend(budget: &mut WakeUpBudget, count: u32, wait: u64) -> bool {
        (0..count).for_each(|_| budget.note(wait, 100));
        budget.is_spent()
    }

    #[test]
    fn a_burst_is_within_the_budget_and_what_goes_on_is_not() {
        let mut budget = WakeUpBudget::default();
        assert!(!spend(&mut budget, 7, 1));
        assert!(!spend(&mut budget, 7, 1000), "a pause");
        assert!(!spend(&mut budget, 1000, 101));
        assert!(spend(&mut budget, 1000, 99));
    }

    /// A cache whose keys expire nearly as fast as the budget allows was now on time, now late.
    #[test]
    fn near_the_limit_a_budget_that_is_spent_stays_so() {
        let mut budget = WakeUpBudget::default();
        assert!(spend(&mut budget, 100, 50));
        assert!(spend(&mut budget, 1000, 130));
        assert!(!spend(&mut budget, 1000, 170));
        assert!(!spend(&mut budget, 1000, 130));
        assert!(spend(&mut budget, 1000, 50));
        assert!(!spend(&mut budget, 2, 5000), "a pause");
    }

    /// Returns whether waits differ, after a hundred of them in turn.
    fn differ(waits: &[u64]) -> bool {
        let mut all = Waits::default();
        waits.iter().cycle().take(100).for_each(|&it| all.note(it));
        all.differ()
    }

    #[test]
    fn waits_that_come_again_and_again_do_not_differ() {
        assert!(!differ(&[50_000]));
        assert!(!differ(&[50_000, 53_000, 48_000, 900_000]), "noise");
        assert!(!differ(&[50_000, 700_000, 200_000, 10_000]));
        assert!(!differ(&[0, 100, 1_900]), "too short to tell");
        assert!(differ(&[50_000, 700_000, 200_000, 10_000, 120_000]));
        assert!(differ(&[10_000, 20_000, 40_000, 80_000, 160_000, u64::MAX]));
    }
}
