//! The ready answers in a row on one thread, and when they are too many.
//!
//! A row is *over* after 128 ready answers, tokio's number, or after 5 ms, so that a timeout around
//! a loop whose every turn works for a while ends near its limit. From then on each timer that is
//! due yields. What ends that state is that the executor has had its turn:
//!
//! - in a task of `rt`, the next poll of a task begins a new row. A timer that has yielded is let
//!   through although the row is over: one that is polled after a greedy one (`join!`) would
//!   yield for ever.
//! - on other executors nothing tells where a poll begins. But a timer that has yielded and is
//!   polled again shows that the task runs again, and begins a new row.
//!
//! # Rows on other executors
//!
//! Rows there go across polls. That some timer is pending does not end one, since `select!` asks a
//! timer that is far off beside one that is due. But these things can be seen:
//!
//! - An answer for which the task has waited is no reason to yield, and is not counted: a loop that
//!   never gives way consists of others.
//! - Another waker than the last one begins a new row: it is another task. Or it is a part of the
//!   same: `FuturesUnordered` and the like give each of their futures a waker of its own, by which
//!   each may be ready once. So what was spent in rows that ended this way adds up, and at 1024
//!   the row is over for all wakers. The executor may just as well have run a thousand tasks:
//!   therefore only sixteen timers yield then, more than such a collection needs to give way.
//! - Time counts from sixteen answers on, because the first may have been long ago, in another poll.
//!
//! After 128 timers have yielded and none of them was polled again a new row begins in any case: a
//! loop by hand that asks ever new timers once each must not go on for ever.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use crate::backend::coop::{Mark, host};
use crate::clock::Clock;
use crate::instant::NEVER;

/// How many ready answers make a row.
const LIMIT: u32 = 128;

/// After how many answers the clock is looked at for the first time; then each time that their number
/// has doubled, so that a row is not over much later than it should be and a look costs little.
const FIRST_LOOK: u32 = 8;

/// From how many answers on time counts where a row goes across polls.
const TIMED: u32 = 16;

/// How many answers there may be in rows that ended with another waker.
const ANY_LIMIT: u32 = 1024;

/// How long a row may last, in nanoseconds.
const SPAN: u64 = 5_000_000;

/// How many timers yield at most before a new row begins; and if the row is over for all wakers.
const MOST_YIELDS: u32 = 128;
const MOST_YIELDS_ANY: u32 = 16;

#[derive(Clone)]
pub(super) struct Row {
    /// Identity of the waker of the last answer, zero at first: the address of its data.
    waker: Cell<usize>,
    /// How many answers there were.
    spent: Cell<u32>,
    /// At how many answers to look at the clock again; zero when the row is over.
    next: Cell<u32>,
    /// Whether the row began with a poll of a task and ends with it.
    of_a_poll: Cell<bool>,
    /// How many answers there were in rows before, which ended because another waker came.
    any: Cell<u32>,
    /// When time is up, `NEVER` before the first look at a clock.
    until: Cell<u64>,
    /// Changes with each new row.
    number: Cell<u32>,
    /// How many timers have yielded since the row was over.
    yields: Cell<u32>,
}

impl Row {
    pub(super) const fn new() -> Self {
        Self {
            waker: Cell::new(0),
            spent: Cell::new(0),
            next: Cell::new(FIRST_LOOK),
            of_a_poll: Cell::new(false),
            any: Cell::new(0),
            until: Cell::new(NEVER),
            number: Cell::new(0),
            yields: Cell::new(0),
        }
    }

    /// Begins a row: that of a poll, which ends by another call, or one of whatever comes.
    #[inline]
    pub(super) fn begin(&self, of_a_poll: bool) {
        self.of_a_poll.set(of_a_poll);
        self.waker.set(0);
        self.any.set(0);
        self.restart();
    }

    /// Begins a row if there was anything in the last one.
    ///
    /// This is done twice for each task that a worker runs, and most tasks ask no timer that is due.
    #[cfg(feature = "rt")]
    #[inline]
    pub(super) fn begin_poll(&self, of_a_poll: bool) {
        self.of_a_poll.set(of_a_poll);
        if self.spent.get() > 0 || self.next.get() != FIRST_LOOK || self.until.get() != NEVER {
            self.restart();
        }
    }

    #[inline]
    fn restart(&self) {
        self.number.set(self.number.get().wrapping_add(1));
        self.spent.set(0);
        self.next.set(FIRST_LOOK);
        self.until.set(NEVER);
        self.yields.set(0);
    }

    pub(super) fn copy(&self, other: &Self) {
        self.waker.set(other.waker.get());
        self.spent.set(other.spent.get());
        self.next.set(other.next.get());
        self.of_a_poll.set(other.of_a_poll.get());
        self.any.set(other.any.get());
        self.until.set(other.until.get());
        self.number.set(other.number.get());
        self.yields.set(other.yields.get());
    }

    #[inline]
    pub(super) fn is_of_a_poll(&self) -> bool {
        self.of_a_poll.get()
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.next.get() == 0
    }

    fn is_over_for_all(&self) -> bool {
        self.is_over() && self.any.get() >= ANY_LIMIT
    }

    /// See [`spend`](super::spend).
    #[inline]
    pub(super) fn spend(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        clock: Option<&Clock>,
    ) -> Poll<()> {
        if self.count(cx.waker()) {
            *yielded = false;
            return Poll::Ready(());
        }
        self.spend_slow(cx, yielded, clock)
    }

    /// Whether an answer is not counted.
    #[inline]
    pub(super) fn is_free(&self, waited: bool) -> bool {
        waited && !self.of_a_poll.get()
    }

    /// Counts an answer, if there is nothing else to be decided.
    #[inline]
    fn count(&self, waker: &Waker) -> bool {
        let spent = self.spent.get() + 1;
        let goes_on = spent < self.next.get() && self.is_of(waker);
        if goes_on {
            self.spent.set(spent);
        }
        goes_on
    }

    /// Whether an answer to this waker belongs to the row.
    #[inline]
    fn is_of(&self, waker: &Waker) -> bool {
        waker.data().addr() == self.waker.get() || self.of_a_poll.get()
    }

    /// Begins a row if the waker is another one.
    #[inline]
    fn follow(&self, waker: &Waker) {
        if self.is_of(waker) {
            return;
        }
        self.waker.set(waker.data().addr());
        let any = self.any.get().saturating_add(self.spent.get());
        self.any.set(any);
        if any < ANY_LIMIT {
            self.restart();
        } else {
            self.next.set(0);
        }
    }

    /// Notes what a clock showed that was looked at for a timer which is due.
    #[inline]
    pub(super) fn note_time(&self, now: u64) {
        let until = self.until.get();
        if until == NEVER {
            self.until.set(now.saturating_add(SPAN));
        } else if now >= until && (self.of_a_poll.get() || self.spent.get() >= TIMED) {
            self.next.set(0);
        }
    }

    #[cold]
    #[inline(never)]
    fn spend_slow(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        clock: Option<&Clock>,
    ) -> Poll<()> {
        self.follow(cx.waker());
        if self.count(cx.waker()) {
            *yielded = false;
            return Poll::Ready(());
        }
        if self.is_left_to_the_host() || self.extend(clock) {
            *yielded = false;
            return Poll::Ready(());
        }
        self.yield_or_pass(cx, yielded)
    }

    /// Counts an answer and looks at the clock; `false` if the row was over before it.
    fn extend(&self, clock: Option<&Clock>) -> bool {
        if self.is_over() {
            return false;
        }
        self.spent.set(self.spent.get() + 1);
        if let Some(clock) = clock {
            self.note_time(clock.nanos());
        }
        if self.is_over() {
            return false;
        }
        let spent = self.spent.get();
        self.next.set(if spent < LIMIT { 2 * spent } else { 0 });
        true
    }

    /// Has a timer yield, the row being over, unless it has done so.
    fn yield_or_pass(&self, cx: &mut Context<'_>, yielded: &mut bool) -> Poll<()> {
        let of_a_poll = self.of_a_poll.get();
        if std::mem::take(yielded) {
            if !of_a_poll {
                self.begin(false);
            }
            return Poll::Ready(());
        }
        let most = if self.is_over_for_all() {
            MOST_YIELDS_ANY
        } else {
            MOST_YIELDS
        };
        if self.yields.get() >= most {
            self.begin(of_a_poll);
            return Poll::Ready(());
        }
        self.yields.set(self.yields.get() + 1);
        *yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Forgets the row if the thread is in a runtime that has a budget of its own.
    fn is_left_to_the_host(&self) -> bool {
        let left = !self.of_a_poll.get() && host::is_in_runtime();
        if left {
            self.begin(false);
        }
        left
    }

    /// See [`begin_item`](super::begin_item).
    #[inline]
    pub(super) fn begin_item(
        &self,
        cx: &mut Context<'_>,
        yielded: &mut bool,
        waits: bool,
    ) -> Poll<Mark> {
        if self.is_over() && !waits && self.begin_item_when_over(cx, yielded).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Mark {
            row: self.number.get(),
            spent: self.spent.get(),
            over: self.is_over(),
            host: host::has_budget_remaining(),
        })
    }

    #[cold]
    #[inline(never)]
    fn begin_item_when_over(&self, cx: &mut Context<'_>, yielded: &mut bool) -> Poll<()> {
        let is_ours = self.is_of(cx.waker()) || self.is_over_for_all();
        if is_ours && !self.is_left_to_the_host() {
            return self.yield_or_pass(cx, yielded);
        }
        Poll::Ready(())
    }

    /// See [`end_item`](super::end_item).
    #[inline]
    pub(super) fn end_item(
        &self,
        mark: Mark,
        cx: &mut Context<'_>,
        waited: bool,
        clock: Option<&Clock>,
    ) {
        let is_counted = (mark.row, mark.spent) != (self.number.get(), self.spent.get());
        if !is_counted && !self.is_free(waited) && !self.count(cx.waker()) {
            self.end_item_slow(cx.waker(), clock);
        }
    }

    #[inline(never)]
    fn end_item_slow(&self, waker: &Waker, clock: Option<&Clock>) {
        self.follow(waker);
        if !self.count(waker) && !self.is_left_to_the_host() {
            self.extend(clock);
        }
    }

    /// Returns whether the row is over, and was not when `mark` was taken, or is another one.
    #[inline]
    pub(super) fn has_ended_since(&self, mark: Mark) -> bool {
        self.is_over() && !(mark.over && mark.row == self.number.get())
    }
}
