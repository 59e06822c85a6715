//! The planner: turns the earliest deadline and the slack into when a loop wakes, and what it
//! announces.
//!
//! The *slack* is how late a wake-up may be made on purpose. There are two kinds.
//!
//! A slack that *adapts*, the default, is not used while timers are sparse: the loop wakes at the
//! earliest deadline. When timers are dense, one wake-up for each would cost more than the work
//! that it brings, so wake-ups keep a distance of the slack, and each fires all that came due in
//! between. Network cards moderate interrupts in the same way (Mogul and Ramakrishnan, "Eliminating
//! receive livelock", 1996): the first timer is on time, only a storm is batched, and no timer is
//! late by more than the slack because of it. How long it is follows from what a wake-up costs (see
//! [`cost`]).
//!
//! Timers are dense in two cases:
//!
//! - [`DENSE`] or more are expected within one slack, by a moving average of the time between two
//!   timers that fire. If a delay has brought fewer, it has gained nothing: one task that sleeps
//!   for a few microseconds over and over looks dense, and a delay only makes it slower. Then some
//!   of the next turns are on time, and more of them after each further delay that gains nothing.
//! - Two things hold together. Timers ask for more than one wake-up per slack (see
//!   [`WakeUpBudget`]), which would use more CPU time than wake-ups may. And the waits between the
//!   wake-ups differ in length (see [`Waits`]). The lengths tell two programs apart. A cache whose
//!   keys expire wakes at irregular distances, and one wake-up can serve several keys. A task that
//!   sleeps over and over does so for one duration, or for a few in turn, and a delay only makes it
//!   slower.
//!
//! A slack that was *set* is a promise: timers wake the loop at most once per slack, whatever they
//! are, also if each is armed when the one before has fired. If there was no wake-up for as long as
//! the slack, the next one is on time. It may be set while the loop runs, through a
//! [`SharedSlack`].
//!
//! If each timer that is armed is due earlier than all others, each interrupts the loop. After
//! [`MANY`] interruptions in a row the loop announces a time somewhat before the deadline, by a
//! [`margin`]. The next timers, each a little earlier than the one before, are still due after that
//! time, and do not interrupt the loop. The price is one wake-up that finds nothing due, after
//! which the loop announces the deadline again. Under a slack that
//! was set, two wake-ups are at least a slack apart. So that the one for the deadline is not late,
//! the margin is at least the slack. If the deadline is nearer than two slacks, there is no margin.

mod budget;
mod cost;
mod shared;
#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::atomic::{AtomicU64 as StdAtomicU64, Ordering};

use self::budget::{Waits, WakeUpBudget};
use self::shared::{EVERY, FIRST, MOST_TRIES};
pub(crate) use self::shared::{PlannedWait, Sample, SharedSlack};
use crate::instant::NEVER;

/// The announcement of a loop that no timer interrupts, whatever its deadline: because the loop
/// runs, because a thread interrupts it already, or because the slack has fixed when it wakes.
pub(crate) const NO_INTERRUPT: u64 = 0;

/// How many timers that fire within one slack make a storm.
const DENSE: usize = 2;

/// After how many interruptions in a row a loop announces an earlier time than it has to.
const MANY: u64 = 4;

/// How many turns in a row are on time, at most, after a delay that gained nothing.
const MAX_ON_TIME: u32 = 1023;

/// Returns whether a loop that was interrupted this often in a row should announce an earlier time
/// than it has to.
#[inline]
pub(crate) fn needs_margin(interruptions: u64) -> bool {
    interruptions >= MANY
}

/// Returns by how much such a loop should wake before a deadline that is `left` nanoseconds away: a
/// thousandth of `left` at first, twice as much after each further interruption, half of `left` at
/// most.
///
/// Under a slack that was set it is at least the slack, or nothing if the deadline is too near for
/// that.
pub(crate) fn margin(slack: &SharedSlack, interruptions: u64, left: u64) -> u64 {
    let margin = left
        >> 10_u64
            .saturating_sub(interruptions.saturating_sub(MANY))
            .max(1);
    match slack.get_with_kind() {
        (slack, true) if slack > left / 2 => 0,
        (slack, true) => margin.max(slack),
        (_, false) => margin,
    }
}

/// Plans the wake-ups of one loop.
#[derive(Debug)]
pub(crate) struct Planner {
    slack: SharedSlack,
    /// Moving average of the nanoseconds between two timers that fire, over the last dozen turns.
    gap: u64,
    /// When a turn last fired something (while the slack was not zero) or, if the slack was set,
    /// when a plan last woke the loop in vain; `None` if neither has happened. A delayed wake-up
    /// comes a slack after that at the earliest.
    last: Option<u64>,
    /// How many of the next turns that fire something are on time, because a delay has gained
    /// nothing. (If wake-ups are over the budget, those are delayed, too.)
    on_time_left: u32,
    /// What `on_time_left` was set to after the last delay that gained nothing: 1, 3, 7 and so on,
    /// one more than twice as many each time. Zero again once a turn after these fires [`DENSE`]
    /// timers or more.
    back_off: u32,
    /// How many more waits may be measured one after the other, to get the first [`FIRST`] samples.
    /// Once there are so many, or no tries are left, one wait in [`EVERY`] is measured.
    first_tries: u32,
    /// How many turns have fired something since a sample was last requested. Only those count that
    /// come after a delay, or while timers ask for more than one wake-up per millisecond.
    unmeasured: u32,
    /// Whether more wake-ups are asked for than one per slack.
    budget: WakeUpBudget,
    /// The same for the longest slack that can be chosen, a millisecond. As long as timers ask for
    /// fewer wake-ups than one per millisecond, they are within any budget, so `budget` is set
    /// back, and `waits` is not updated.
    budget_of_longest: WakeUpBudget,
    waits: Waits,
    /// The deadline of the latest plan, [`NEVER`] if there was none since a turn last fired
    /// something. (Atomic because a loop plans through a shared reference to its driver. It is not
    /// the model checkers' atomic, because no two threads use a planner at once.)
    next: StdAtomicU64,
}

impl Planner {
    pub(crate) fn new(slack: SharedSlack) -> Self {
        Self {
            slack,
            gap: u64::MAX,
            last: None,
            on_time_left: 0,
            back_off: 0,
            first_tries: MOST_TRIES,
            unmeasured: 0,
            budget: WakeUpBudget::default(),
            budget_of_longest: WakeUpBudget::default(),
            waits: Waits::default(),
            next: StdAtomicU64::new(NEVER),
        }
    }

    /// Notes that `count` timers fired at `now`.
    pub(crate) fn note_fired(&mut self, now: u64, count: usize) {
        let (slack, is_set) = self.slack.get_with_kind();
        if count == 0 || slack == 0 {
            return;
        }
        let last = self.last.replace(now).unwrap_or(0);
        let since = now.saturating_sub(last);
        let next = std::mem::replace(self.next.get_mut(), NEVER);
        if is_set {
            return;
        }
        // If there was no plan since then, the loop has not waited at all: it was busy.
        let has_planned = next != NEVER;
        let has_waited = has_planned && self.delays(slack) && since >= slack;
        let is_over_budget = self.is_over_budget();
        if self.on_time_left > 0 {
            self.on_time_left -= 1;
        } else if count >= DENSE {
            self.back_off = 0;
        } else if has_waited && !is_over_budget {
            self.back_off = (self.back_off * 2 + 1).min(MAX_ON_TIME);
            self.on_time_left = self.back_off;
        }
        if has_planned {
            // Up to the deadline, not to now: the timers have not asked for the delay by the slack.
            self.note_wake_up(next.min(now).saturating_sub(last), slack);
        } else {
            self.budget_of_longest.pass(since);
            self.budget.pass(since);
        }
        if has_waited || self.budget_of_longest.is_spent() {
            self.unmeasured += 1;
            let is_cost_guessed = self.first_tries > 0 && self.slack.samples() < FIRST;
            if is_cost_guessed || self.unmeasured >= EVERY {
                self.first_tries = self.first_tries.saturating_sub(1);
                self.unmeasured = 0;
                self.slack.request_sample();
            }
        }
        // A long gap between firings only means "sparse". Capped, it is forgotten within a few
        // turns.
        let gap = (since / count as u64).min(slack);
        self.gap = (self.gap.min(slack) * 3 + gap) / 4;
    }

    /// Notes a wake-up. The timers asked for it to come `wait` nanoseconds after the one before.
    fn note_wake_up(&mut self, wait: u64, slack: u64) {
        self.budget_of_longest.note(wait, cost::LONGEST);
        if self.budget_of_longest.is_spent() {
            self.budget.note(wait, slack);
            self.waits.note(wait);
        } else {
            self.budget = WakeUpBudget::default();
        }
    }

    /// Notes that a plan has woken the loop at `now`, and nothing was due: the timer was dropped or
    /// put off, or it was a margin before the deadline. Under a slack that was set it counts like
    /// any other wake-up.
    pub(crate) fn woke_in_vain(&mut self, now: u64) {
        if let (1.., true) = self.slack.get_with_kind() {
            self.last = Some(now);
        }
    }

    /// Begins to measure a wait of this thread, if a sample is due.
    #[inline]
    pub(crate) fn begin_sample(&self) -> Option<Sample> {
        self.slack.begin_sample()
    }

    /// Notes the cost of a wait that [was measured](Self::begin_sample) and has reached its time.
    /// To be called before the timers fire.
    pub(crate) fn note_sample(&self, sample: Sample) {
        self.slack.note_sample(sample.spent());
    }

    /// Plans the wake-up for a timer due at `next`: at that time, or up to the slack later if the
    /// slack was set or timers are dense.
    pub(crate) fn plan(&self, next: u64) -> Plan {
        self.next.store(next, Ordering::Relaxed);
        let (slack, is_set) = self.slack.get_with_kind();
        let delays = slack > 0 && (is_set || self.delays(slack));
        let earliest = match self.last {
            Some(last) if delays => last.saturating_add(slack),
            _ => 0,
        };
        Plan {
            wake_at: next.max(earliest),
            earliest,
        }
    }

    /// Returns whether wake-ups are delayed now.
    fn delays(&self, slack: u64) -> bool {
        let is_storm = self.on_time_left == 0 && self.gap < slack / DENSE as u64;
        is_storm || self.is_over_budget()
    }

    /// Returns whether timers ask for more wake-ups than there may be, and one wake-up could serve
    /// several of them.
    fn is_over_budget(&self) -> bool {
        self.budget.is_spent() && self.waits.differ()
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
