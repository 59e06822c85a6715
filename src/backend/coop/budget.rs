//! [`Budget`]: counts the ready results of timers on one thread, and says when there are too many
//! in a row.
//!
//! The budget is *exhausted* after 128 ready results, which is tokio's number, or after 5 ms, so
//! that a timeout around a loop whose every iteration works for a while ends near its limit. From
//! then on each timer that is due yields, until the budget is reset:
//!
//! - In a task of `rt`, or in `ManualClock::simulate`, when the next poll of a task begins. A timer
//!   that has yielded is let through although the budget is exhausted. Otherwise a timer that is
//!   polled after a greedy one (`join!`) would yield for ever. A poll inside of another one, as by
//!   `block_on`, has a budget of its own; that of the outer poll goes on after it.
//! - On other executors nothing tells where a poll begins. But if a timer that has yielded is
//!   polled again, its task has been scheduled again, and the budget is reset.
//!
//! # On other executors
//!
//! There the budget goes across polls. A timer that is pending does not reset it, since `select!`
//! polls a timer that is far off beside one that is due. These rules apply instead:
//!
//! - A ready result for which the task has waited is not counted, because the task has returned
//!   `Pending` before it. (A loop that does not let other tasks run is found all the same: it has
//!   results for which it has not waited, and these are counted.)
//! - If the waker is not that of the last result, the budget is reset: the waker belongs to another
//!   task, as a rule. But the futures of a `FuturesUnordered` have a waker each, inside one task,
//!   so the results under earlier wakers are added up, and at 1024 the budget is exhausted for all
//!   wakers. A thousand separate tasks that run in turn cannot be told from that, so only sixteen
//!   timers yield then: enough to make such a collection yield, and it disturbs those tasks little.
//! - The 5 ms exhaust the budget only if there have been sixteen results, because the first of them
//!   may have been long ago, in another poll.
//!
//! After 128 timers have yielded, and none of them was polled again, the budget is reset in any
//! case: a hand-written loop that keeps polling new timers, each of them once, must not go on for
//! ever.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use crate::backend::coop::{Snapshot, tokio_budget};
use crate::clock::Clock;
use crate::instant::NEVER;
use crate::panic::catch_panic;

/// After how many ready results the budget is exhausted.
const LIMIT: u32 = 128;

/// After how many results the clock is read for the first time. After that it is read each time
/// that their number has doubled, so that the budget is exhausted not much later than it should be,
/// at little cost.
const FIRST_CHECK: u32 = 8;

/// If the budget goes across polls, time exhausts it only after this many results.
const MIN_RESULTS_FOR_TIME: u32 = 16;

/// After how many results under other wakers the budget is exhausted.
const OTHER_WAKERS_LIMIT: u32 = 1024;

/// For how many nanoseconds the budget lasts, from the first result for which the clock was read.
const TIME_LIMIT: u64 = 5_000_000;

/// How many timers yield at most before the budget is reset.
const MAX_YIELDS: u32 = 128;

/// The same, if the budget is exhausted for all wakers.
const MAX_YIELDS_ALL_WAKERS: u32 = 16;

/// What a budget is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One poll of a task, of which something says where it begins and ends.
    OnePoll,
    /// All polls on this thread.
    AcrossPolls,
}

/// What [`Budget::end_poll`] restores, if nothing was counted before the poll.
pub(super) struct Outer {
    scope: Scope,
    generation: u32,
}

#[derive(Clone)]
pub(super) struct Budget {
    /// The identity of the waker of the last result, the address of its data; zero at first.
    waker: Cell<usize>,
    /// How many results were counted.
    used: Cell<u32>,
    /// At how many results the clock is read next; zero if the budget is exhausted.
    next_check: Cell<u32>,
    scope: Cell<Scope>,
    /// How many results were counted under other wakers before.
    used_before: Cell<u32>,
    /// When time is up; `NEVER` before the clock is first read.
    until: Cell<u64>,
    /// Changes with each reset.
    generation: Cell<u32>,
    /// How many timers have yielded since the budget was exhausted.
    yields: Cell<u32>,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            waker: Cell::new(0),
            used: Cell::new(0),
            next_check: Cell::new(FIRST_CHECK),
            scope: Cell::new(Scope::AcrossPolls),
            used_before: Cell::new(0),
            until: Cell::new(NEVER),
            generation: Cell::new(0),
            yields: Cell::new(0),
        }
    }

    #[inline]
    pub(super) fn reset(&self, scope: Scope) {
        self.scope.set(scope);
        self.waker.set(0);
        self.used_before.set(0);
        self.refill();
    }

    /// Begins one poll of a task, and returns what [`end_poll`](Self::end_poll) restores. Nothing
    /// [is used](Self::is_used).
    ///
    /// That is done for each task that a worker runs, and most tasks poll no timer that is due:
    /// then there is little to do.
    #[inline]
    pub(super) fn begin_poll(&self) -> Outer {
        let outer = Outer {
            scope: self.scope.get(),
            generation: self.generation.get(),
        };
        self.scope.set(Scope::OnePoll);
        outer
    }

    /// Ends one poll of a task.
    #[inline]
    pub(super) fn end_poll(&self, outer: &Outer) {
        self.scope.set(outer.scope);
        if self.is_used() {
            self.refill();
            // A snapshot that was taken in the outer poll must find that nothing was counted since.
            self.generation.set(outer.generation);
        }
    }

    /// Begins one poll of a task inside of another poll, or after others if the budget goes across
    /// polls. Returns the budget that [`restore`](Self::restore) is called with after the poll.
    pub(super) fn begin_inner_poll(&self) -> Self {
        let outer = self.clone();
        self.reset(Scope::OnePoll);
        outer
    }

    /// Returns whether [`refill`](Self::refill) would change more than the generation.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.used.get() > 0 || self.next_check.get() != FIRST_CHECK || self.until.get() != NEVER
    }

    #[inline]
    fn refill(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
        self.used.set(0);
        self.next_check.set(FIRST_CHECK);
        self.until.set(NEVER);
        self.yields.set(0);
    }

    /// Sets the budget back to what `other` was.
    pub(super) fn restore(&self, other: &Self) {
        self.waker.set(other.waker.get());
        self.used.set(other.used.get());
        self.next_check.set(other.next_check.get());
        self.scope.set(other.scope.get());
        self.used_before.set(other.used_before.get());
        self.until.set(other.until.get());
        self.generation.set(other.generation.get());
        self.yields.set(other.yields.get());
    }

    #[inline]
    pub(super) fn scope(&self) -> Scope {
        self.scope.get()
    }

    /// Returns whether the budget is that of one poll of a task.
    #[inline]
    pub(super) fn is_per_poll(&self) -> bool {
        self.scope.get() == Scope::OnePoll
    }

    #[inline]
    fn is_exhausted(&self) -> bool {
        self.next_check.get() == 0
    }

    fn is_exhausted_for_all_wakers(&self) -> bool {
        self.is_exhausted() && self.used_before.get() >= OTHER_WAKERS_LIMIT
    }

    /// See [`count_or_yield`](super::count_or_yield).
    #[inline]
    pub(super) fn count_or_yield(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        clock: Option<&Clock>,
    ) -> Poll<()> {
        if self.try_count(cx.waker()) {
            *yielded = false;
            return Poll::Ready(());
        }
        self.count_or_yield_slow(cx, yielded, clock)
    }

    #[cold]
    #[inline(never)]
    fn count_or_yield_slow(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        clock: Option<&Clock>,
    ) -> Poll<()> {
        if self.consume_slow(cx.waker(), clock) {
            *yielded = false;
            return Poll::Ready(());
        }
        self.poll_yield(cx, yielded)
    }

    /// Returns whether results for which the task has waited are not counted.
    #[inline]
    pub(super) fn ignores_results_after_wait(&self) -> bool {
        !self.is_per_poll()
    }

    /// Counts a result, unless the budget is exhausted, the clock has to be read, or (if the budget
    /// goes across polls) the waker is another one. Returns whether it was counted.
    #[inline]
    fn try_count(&self, waker: &Waker) -> bool {
        let used = self.used.get() + 1;
        let counts = used < self.next_check.get() && self.is_for(waker);
        if counts {
            self.used.set(used);
        }
        counts
    }

    /// Counts a result after another waker's, or one at which the clock is to be read. Returns
    /// `false` if the budget is exhausted.
    #[inline]
    fn consume_slow(&self, waker: &Waker, clock: Option<&Clock>) -> bool {
        self.note_waker(waker);
        self.try_count(waker) || self.leave_to_tokio() || self.count_and_check(clock)
    }

    /// Returns whether a result under this waker is counted without a reset.
    #[inline]
    fn is_for(&self, waker: &Waker) -> bool {
        waker.data().addr() == self.waker.get() || self.is_per_poll()
    }

    /// Resets the budget if the waker is another one, or exhausts it after many results under other
    /// wakers.
    #[inline]
    fn note_waker(&self, waker: &Waker) {
        if self.is_for(waker) {
            return;
        }
        self.waker.set(waker.data().addr());
        let used_before = self.used_before.get().saturating_add(self.used.get());
        self.used_before.set(used_before);
        if used_before < OTHER_WAKERS_LIMIT {
            self.refill();
        } else {
            self.next_check.set(0);
        }
    }

    /// Resets the budget if the thread is in a tokio runtime, whose own budget applies. Returns
    /// whether it is.
    fn leave_to_tokio(&self) -> bool {
        let is_left = !self.is_per_poll() && tokio_budget::is_in_runtime();
        if is_left {
            self.reset(Scope::AcrossPolls);
        }
        is_left
    }

    /// Counts a result and reads the clock, if there is one. Returns `false` if the budget was
    /// exhausted before the result, or is by the time that has passed.
    fn count_and_check(&self, clock: Option<&Clock>) -> bool {
        if self.is_exhausted() {
            return false;
        }
        self.used.set(self.used.get() + 1);
        if let Some(clock) = clock {
            self.note_time(clock.nanos());
        }
        if self.is_exhausted() {
            return false;
        }
        let used = self.used.get();
        self.next_check.set(if used < LIMIT { 2 * used } else { 0 });
        true
    }

    /// See [`note_time`](super::note_time).
    #[inline]
    pub(super) fn note_time(&self, now: u64) {
        let until = self.until.get();
        if until == NEVER {
            self.until.set(now.saturating_add(TIME_LIMIT));
        } else if now >= until && (self.is_per_poll() || self.used.get() >= MIN_RESULTS_FOR_TIME) {
            self.next_check.set(0);
        }
    }

    /// Makes a timer yield, because the budget is exhausted, unless the timer has just done so.
    fn poll_yield(&self, cx: &mut Context<'_>, yielded: &mut bool) -> Poll<()> {
        if std::mem::take(yielded) {
            if !self.is_per_poll() {
                self.reset(Scope::AcrossPolls);
            }
            return Poll::Ready(());
        }
        let max_yields = if self.is_exhausted_for_all_wakers() {
            MAX_YIELDS_ALL_WAKERS
        } else {
            MAX_YIELDS
        };
        if self.yields.get() >= max_yields {
            self.reset(self.scope.get());
            return Poll::Ready(());
        }
        self.yields.set(self.yields.get() + 1);
        *yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// See [`poll_start_item`](super::poll_start_item).
    #[inline]
    pub(super) fn poll_start_item(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        must_not_yield: impl FnOnce() -> bool,
    ) -> Poll<Snapshot> {
        if self.is_exhausted()
            && !must_not_yield()
            && self.poll_yield_item(cx, yielded).is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(Snapshot {
            generation: self.generation.get(),
            used: self.used.get(),
            exhausted: self.is_exhausted(),
            tokio_remains: tokio_budget::has_budget_remaining(),
        })
    }

    #[cold]
    #[inline(never)]
    fn poll_yield_item(&self, cx: &mut Context<'_>, yielded: &mut bool) -> Poll<()> {
        let applies = self.is_for(cx.waker()) || self.is_exhausted_for_all_wakers();
        if applies && !self.leave_to_tokio() {
            return self.poll_yield(cx, yielded);
        }
        Poll::Ready(())
    }

    /// See [`count_item`](super::count_item).
    #[inline]
    pub(super) fn count_item(
        &self,
        before: Snapshot,
        cx: &mut Context<'_>,
        waited: bool,
        clock: Option<&Clock>,
    ) {
        let was_counted_inside =
            (before.generation, before.used) != (self.generation.get(), self.used.get());
        let is_ignored = waited && self.ignores_results_after_wait();
        if !was_counted_inside && !is_ignored && !self.try_count(cx.waker()) {
            self.count_item_slow(cx.waker(), clock);
        }
    }

    #[inline(never)]
    fn count_item_slow(&self, waker: &Waker, clock: Option<&Clock>) {
        // The caller has taken the item already, which must not be lost if the clock panics. The
        // next result reads the clock again.
        catch_panic(|| _ = self.consume_slow(waker, clock));
    }

    /// Returns whether the budget became exhausted after `before`.
    #[inline]
    pub(super) fn was_exhausted_since(&self, before: Snapshot) -> bool {
        self.is_exhausted() && !(before.exhausted && before.generation == self.generation.get())
    }
}
