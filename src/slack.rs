//! How late may a wake-up be made on purpose?
//!
//! Not at all while timers are sparse: the loop wakes at the earliest deadline. When they are dense
//! a wake-up for each would cost more than the work it brings, so wake-ups keep a distance of the
//! slack, and each fires all that came due in between. That is interrupt moderation as network
//! cards do it (Mogul and Ramakrishnan, "Eliminating receive livelock", 1996): the first is on
//! time, only a storm is batched, and nothing is ever later than the slack for it.
//!
//! Dense means that [`DENSE`] timers or more are expected within one slack, going by a moving
//! average of the time between firings.

/// How many firings within one slack make a storm.
const DENSE: u64 = 4;

#[derive(Debug)]
pub(crate) struct Slack {
    /// The slack, in nanoseconds; zero turns moderation off.
    limit: u64,
    /// Moving average of the nanoseconds between two firings, over the last dozen turns.
    gap: u64,
    /// When the last turn fired something.
    last: u64,
}

impl Slack {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            gap: u64::MAX / 8,
            last: 0,
        }
    }

    /// Notes that `count` timers fired at `now`.
    pub(crate) fn fired(&mut self, now: u64, count: usize) {
        if count == 0 || self.limit == 0 {
            return;
        }
        let since = now.saturating_sub(self.last);
        self.last = now;
        // A pause says no more than "sparse": capped, it is forgotten within a few turns.
        let gap = (since / count as u64).min(self.limit);
        self.gap = (self.gap.min(self.limit) * 3 + gap) / 4;
    }

    /// When to wake for a timer due at `next`: then, or up to the slack later in a storm.
    pub(crate) fn wake_at(&self, next: u64) -> u64 {
        if self.gap < self.limit / DENSE {
            next.max(self.last.saturating_add(self.limit))
        } else {
            next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_timers_are_on_time() {
        let mut slack = Slack::new(100);
        for turn in 1..100 {
            slack.fired(turn * 60, 1);
            assert_eq!(slack.wake_at(turn * 60 + 60), turn * 60 + 60);
        }
    }

    #[test]
    fn a_storm_is_batched_and_its_end_is_noticed() {
        let mut slack = Slack::new(100);
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
        let mut slack = Slack::new(100);
        for turn in 1..20 {
            slack.fired(turn, 1);
        }
        assert_eq!(slack.wake_at(500), 500);
    }

    #[test]
    fn no_slack_delays_nothing() {
        let mut slack = Slack::new(0);
        for turn in 1..20 {
            slack.fired(turn, 100);
        }
        assert_eq!(slack.wake_at(20), 20);
    }
}
