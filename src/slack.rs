//! How late may a wake-up be made on purpose?
//!
//! Not at all while timers are sparse: the loop wakes at the earliest deadline. When they are dense
//! a wake-up for each would cost more than the work it brings, so wake-ups keep a distance of the
//! slack, and each fires all that came due in between. That is interrupt moderation as network
//! cards do it (Mogul and Ramakrishnan, "Eliminating receive livelock", 1996): the first is on
//! time, only a storm is batched, and nothing is ever later than the slack for it.
//!
//! Dense means that [`DENSE`] timers or more are expected within one slack, going by a moving
//! average of the time between firings. A wait that brings fewer was for nothing: one task that
//! sleeps for a few microseconds over and over looks dense, and only gets slower by being kept
//! waiting. Then waits stop for a while, the longer the more of them fail in a row.
//!
//! How long the slack is, its [`Limit`], may be set while the loop runs.

use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many firings within one slack make a storm.
const DENSE: usize = 2;

/// The longest slack, a second. In a storm nothing interrupts the wait: without a bound, a slack of
/// `Duration::MAX` would lose every timer.
const LONGEST: u64 = 1_000_000_000;

/// For how many turns at most waits stop.
const DOUBT: u32 = 1023;

/// The slack in nanoseconds, at most LONGEST; zero turns moderation off. Clones share one.
#[derive(Clone, Debug)]
pub(crate) struct Limit(Option<Arc<AtomicU64>>);

impl Limit {
    pub(crate) fn new(nanos: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(nanos.min(LONGEST)))))
    }

    /// Zero, whatever it is set to.
    #[cfg(feature = "tokio")]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    // Relaxed: the number stands for itself; who waits by the old one is interrupted besides.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |nanos| nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, nanos: u64) {
        if let Some(limit) = &self.0 {
            limit.store(nanos.min(LONGEST), Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Slack {
    limit: Limit,
    /// Moving average of the nanoseconds between two firings, over the last dozen turns.
    gap: u64,
    /// When the last turn fired something.
    last: u64,
    /// For how many turns waits stop.
    doubt: u32,
    /// For how many they stopped the last time, zero after a wait that was worth it.
    doubted: u32,
}

impl Slack {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            limit,
            gap: u64::MAX,
            last: 0,
            doubt: 0,
            doubted: 0,
        }
    }

    /// Notes that `count` timers fired at `now`.
    pub(crate) fn fired(&mut self, now: u64, count: usize) {
        let limit = self.limit.get();
        if count == 0 || limit == 0 {
            return;
        }
        let since = now.saturating_sub(self.last);
        self.last = now;
        if self.doubt > 0 {
            self.doubt -= 1;
        } else if count >= DENSE {
            self.doubted = 0;
        } else if self.waits(limit) && since >= limit {
            self.doubted = (self.doubted * 2 + 1).min(DOUBT);
            self.doubt = self.doubted;
        }
        // A pause says no more than "sparse": capped, it is forgotten within a few turns.
        let gap = (since / count as u64).min(limit);
        self.gap = (self.gap.min(limit) * 3 + gap) / 4;
    }

    /// When to wake for a timer due at `next`: then, or up to the slack later in a storm.
    pub(crate) fn wake_at(&self, next: u64) -> u64 {
        let limit = self.limit.get();
        if self.waits(limit) {
            next.max(self.last.saturating_add(limit))
        } else {
            next
        }
    }

    fn waits(&self, limit: u64) -> bool {
        self.doubt == 0 && self.gap < limit / DENSE as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_timers_are_on_time() {
        let mut slack = Slack::new(Limit::new(100));
        for turn in 1..100 {
            slack.fired(turn * 60, 1);
            assert_eq!(slack.wake_at(turn * 60 + 60), turn * 60 + 60);
        }
    }

    #[test]
    fn a_storm_is_batched_and_its_end_is_noticed() {
        let mut slack = Slack::new(Limit::new(100));
        for turn in 1..20 {
            slack.fired(turn * 5, 1);
        }
        assert_eq!(slack.wake_at(101), 95 + 100);
        for turn in 1..20 {
            slack.fired(95 + turn * 100, 20);
        }
        assert_eq!(
            slack.wake_at(2000),
            1995 + 100,
            "batching does not look like calm"
        );
        for turn in 1..5 {
            slack.fired(1995 + turn * 1_000, 1);
        }
        assert_eq!(slack.wake_at(6000), 6000);
    }

    #[test]
    fn a_timer_later_than_the_distance_is_not_delayed() {
        let mut slack = Slack::new(Limit::new(100));
        for turn in 1..20 {
            slack.fired(turn, 1);
        }
        assert_eq!(slack.wake_at(500), 500);
    }

    #[test]
    fn one_timer_over_and_over_is_on_time() {
        let mut slack = Slack::new(Limit::new(100));
        let (mut now, mut late) = (0, 0);
        for _ in 0..10_000 {
            let due = now + 20;
            let woken = slack.wake_at(due);
            late += usize::from(woken > due);
            now = woken + 5;
            slack.fired(now, 1);
        }
        assert!(late < 30, "{late} of 10000 kept waiting");
    }

    #[test]
    fn the_longest_slack_is_a_second_and_leaves_a_lone_timer_alone() {
        let mut slack = Slack::new(Limit::new(u64::MAX));
        assert_eq!(slack.wake_at(5), 5);
        for turn in 1..40 {
            slack.fired(turn * 5, 10);
        }
        assert_eq!(slack.wake_at(200), 195 + LONGEST);
        slack.fired(u64::MAX, usize::MAX);
    }

    #[test]
    fn no_slack_delays_nothing() {
        let mut slack = Slack::new(Limit::new(0));
        for turn in 1..20 {
            slack.fired(turn, 100);
        }
        assert_eq!(slack.wake_at(20), 20);
    }

    #[test]
    fn a_slack_that_is_set_in_a_storm_counts_from_the_next_wait_on() {
        let limit = Limit::new(100);
        let mut slack = Slack::new(limit.clone());
        for turn in 1..20 {
            slack.fired(turn * 5, 10);
        }
        assert_eq!(slack.wake_at(96), 95 + 100);
        limit.set(1_000);
        assert_eq!(slack.wake_at(96), 95 + 1_000);
        limit.set(0);
        assert_eq!(slack.wake_at(96), 96);
    }
}
