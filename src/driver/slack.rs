//! The planner: turns the earliest deadline and the slack into when a loop wakes, and what it
//! announces.
//!
//! The *slack* is how late a wake-up may be made on purpose. While timers are sparse it is not
//! used: the loop wakes at the earliest deadline. When timers are dense, one wake-up for each would
//! cost more than the work that it brings, so wake-ups keep a distance of the slack, and each fires
//! all that came due in between. Network cards moderate interrupts in the same way (Mogul and
//! Ramakrishnan, "Eliminating receive livelock", 1996): the first timer is on time, only a storm is
//! batched, and no timer is late by more than the slack because of it.
//!
//! Timers are dense if [`DENSE`] or more are expected within one slack, by a moving average of the
//! time between firings. If a wait for the slack has brought fewer, it was in vain: one task that
//! sleeps for a few microseconds over and over looks dense, and waiting only makes it slower. Then
//! waits are suspended for some turns, and for more turns after each further wait in vain.
//!
//! The slack may be set while the loop runs, through a [`SharedSlack`].
//!
//! If each timer that is armed is due earlier than all others, each interrupts the loop. After
//! [`MANY`] interruptions in a row the loop announces an earlier time than it has to, by a
//! [`margin`], so that the next ones are late enough not to interrupt it. The price is one wake-up
//! that finds nothing due, after which the loop announces the deadline again.

use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};

/// The announcement of a loop that no timer interrupts, because it runs, or because it wakes at a
/// time that no timer changes.
pub(crate) const NO_INTERRUPT: u64 = 0;

/// How many firings within one slack make a storm.
const DENSE: usize = 2;

/// The longest slack, one second. In a storm nothing interrupts the wait: without a bound, a slack
/// of `Duration::MAX` would lose every timer.
const LONGEST: u64 = 1_000_000_000;

/// After how many interruptions in a row a loop announces an earlier time than it has to.
const MANY: u64 = 4;

/// The largest number of turns for which waits are suspended.
const MAX_SUSPENDED: u32 = 1023;

/// The slack in nanoseconds, at most [`LONGEST`]; zero turns it off. Clones share one value.
#[derive(Clone, Debug)]
pub(crate) struct SharedSlack(Option<Arc<AtomicU64>>);

impl SharedSlack {
    pub(crate) fn new(nanos: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(nanos.min(LONGEST)))))
    }

    /// Makes a slack that stays zero, whatever it is set to.
    #[cfg(feature = "tokio")]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    // Relaxed: nothing else is published with it. A loop that waits by the old slack is interrupted
    // by the thread that sets the new one.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |nanos| nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, nanos: u64) {
        if let Some(slack) = &self.0 {
            slack.store(nanos.min(LONGEST), Ordering::Relaxed);
        }
    }
}

/// Returns whether a loop that was interrupted this often in a row should announce an earlier time
/// than it has to.
#[inline]
pub(crate) fn needs_margin(interruptions: u64) -> bool {
    interruptions >= MANY
}

/// Returns by how much such a loop should wake before a deadline that is `left` nanoseconds away: a
/// thousandth of `left` at first, twice as much after each further interruption, half of `left` at
/// most.
pub(crate) fn margin(interruptions: u64, left: u64) -> u64 {
    left >> 10_u64
        .saturating_sub(interruptions.saturating_sub(MANY))
        .max(1)
}

/// Plans the wake-ups of one loop.
#[derive(Debug)]
pub(crate) struct Planner {
    slack: SharedSlack,
    /// Moving average of the nanoseconds between two firings, over the last dozen turns.
    gap: u64,
    /// When the last turn fired something.
    last: u64,
    /// For how many turns waits are suspended.
    suspended: u32,
    /// For how many turns they were suspended the last time, zero after a wait that was not in
    /// vain.
    last_suspension: u32,
}

impl Planner {
    pub(crate) fn new(slack: SharedSlack) -> Self {
        Self {
            slack,
            gap: u64::MAX,
            last: 0,
            suspended: 0,
            last_suspension: 0,
        }
    }

    /// Notes that `count` timers fired at `now`.
    pub(crate) fn fired(&mut self, now: u64, count: usize) {
        let slack = self.slack.get();
        if count == 0 || slack == 0 {
            return;
        }
        let since = now.saturating_sub(self.last);
        self.last = now;
        if self.suspended > 0 {
            self.suspended -= 1;
        } else if count >= DENSE {
            self.last_suspension = 0;
        } else if self.delays(slack) && since >= slack {
            self.last_suspension = (self.last_suspension * 2 + 1).min(MAX_SUSPENDED);
            self.suspended = self.last_suspension;
        }
        // A long gap between firings only means "sparse". Capped, it is forgotten within a few
        // turns.
        let gap = (since / count as u64).min(slack);
        self.gap = (self.gap.min(slack) * 3 + gap) / 4;
    }

    /// Plans the wake-up for a timer due at `next`: at that time, or up to the slack later in a
    /// storm.
    pub(crate) fn plan(&self, next: u64) -> Plan {
        let slack = self.slack.get();
        let earliest = match self.delays(slack) {
            true => self.last.saturating_add(slack),
            false => 0,
        };
        Plan {
            wake_at: next.max(earliest),
            earliest,
        }
    }

    /// Returns whether wake-ups are delayed now.
    fn delays(&self, slack: u64) -> bool {
        self.suspended == 0 && self.gap < slack / DENSE as u64
    }
}

/// When a loop wakes, and when the slack lets it wake at the earliest.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) wake_at: u64,
    /// Before this no timer wakes the loop, however early it is due; zero while the slack is not
    /// used.
    earliest: u64,
}

impl Plan {
    /// Wakes at `next`, whatever the slack.
    #[cfg(any(feature = "tokio", feature = "rt"))]
    pub(crate) fn on_time(next: u64) -> Self {
        Self {
            wake_at: next,
            earliest: 0,
        }
    }

    /// Wakes at `latest` at the latest.
    pub(crate) fn no_later_than(self, latest: u64) -> Self {
        Self {
            wake_at: self.wake_at.min(latest),
            ..self
        }
    }

    /// Returns the announcement: a timer that is due earlier interrupts the loop.
    ///
    /// If the slack rather than a deadline decides when the loop wakes, no timer changes that, and
    /// none interrupts it.
    pub(crate) fn announcement(self) -> u64 {
        match self.is_fixed() {
            true => NO_INTERRUPT,
            false => self.wake_at,
        }
    }

    /// Returns whether no timer that is armed from now on makes the loop wake earlier.
    pub(crate) fn is_fixed(self) -> bool {
        self.wake_at <= self.earliest
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn sparse_timers_are_on_time() {
        let mut planner = Planner::new(SharedSlack::new(100));
        for turn in 1..100 {
            planner.fired(turn * 60, 1);
            assert_eq!(planner.plan(turn * 60 + 60).wake_at, turn * 60 + 60);
        }
    }

    #[test]
    fn a_storm_is_batched_and_its_end_is_noticed() {
        let mut planner = Planner::new(SharedSlack::new(100));
        for turn in 1..20 {
            planner.fired(turn * 5, 1);
        }
        assert_eq!(planner.plan(101).wake_at, 95 + 100);
        for turn in 1..20 {
            planner.fired(95 + turn * 100, 20);
        }
        assert_eq!(
            planner.plan(2000).wake_at,
            1995 + 100,
            "batching does not look like calm"
        );
        for turn in 1..5 {
            planner.fired(1995 + turn * 1_000, 1);
        }
        assert_eq!(planner.plan(6000).wake_at, 6000);
    }

    #[test]
    fn a_timer_later_than_the_distance_is_not_delayed() {
        let mut planner = Planner::new(SharedSlack::new(100));
        for turn in 1..20 {
            planner.fired(turn, 1);
        }
        assert_eq!(planner.plan(500).wake_at, 500);
    }

    #[test]
    fn one_timer_over_and_over_is_on_time() {
        let mut planner = Planner::new(SharedSlack::new(100));
        let (mut now, mut late) = (0, 0);
        for _ in 0..10_000 {
            let due = now + 20;
            let woken = planner.plan(due).wake_at;
            late += usize::from(woken > due);
            now = woken + 5;
            planner.fired(now, 1);
        }
        assert!(late < 30, "{late} of 10000 kept waiting");
    }

    /// After a wait in vain the next ones are suspended, but only for some turns: a storm that comes
    /// afterwards is batched again.
    #[test]
    fn a_storm_after_a_wait_in_vain_is_batched() {
        let mut planner = Planner::new(SharedSlack::new(100));
        let mut now = 0;
        for _ in 0..20 {
            now += 5;
            planner.fired(now, 1);
        }
        assert_eq!(planner.plan(now + 1).wake_at, now + 100);
        // The wait for the slack brings one timer.
        now += 100;
        planner.fired(now, 1);
        assert_eq!(planner.plan(now + 1).wake_at, now + 1, "not suspended");
        for _ in 0..20 {
            now += 5;
            planner.fired(now, 1);
        }
        assert_eq!(planner.plan(now + 1).wake_at, now + 100);
    }

    #[test]
    fn the_longest_slack_is_a_second_and_leaves_a_lone_timer_alone() {
        let mut planner = Planner::new(SharedSlack::new(u64::MAX));
        assert_eq!(planner.plan(5).wake_at, 5);
        for turn in 1..40 {
            planner.fired(turn * 5, 10);
        }
        assert_eq!(planner.plan(200).wake_at, 195 + LONGEST);
        planner.fired(u64::MAX, usize::MAX);
    }

    #[test]
    fn no_slack_delays_nothing() {
        let mut planner = Planner::new(SharedSlack::new(0));
        for turn in 1..20 {
            planner.fired(turn, 100);
        }
        assert_eq!(planner.plan(20).wake_at, 20);
    }

    #[test]
    fn a_slack_that_is_set_in_a_storm_counts_from_the_next_wait_on() {
        let slack = SharedSlack::new(100);
        let mut planner = Planner::new(slack.clone());
        for turn in 1..20 {
            planner.fired(turn * 5, 10);
        }
        assert_eq!(planner.plan(96).wake_at, 95 + 100);
        slack.set(1_000);
        assert_eq!(planner.plan(96).wake_at, 95 + 1_000);
        slack.set(0);
        assert_eq!(planner.plan(96).wake_at, 96);
    }
}
