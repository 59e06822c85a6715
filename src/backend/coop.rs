//! Cooperative scheduling: a timer yields when its task has had too many ready results in a row.
//!
//! A task whose timers are always due would never return `Pending`: an interval of 1 ms whose ticks
//! take 2 ms of work each, or `loop { sleep(Duration::ZERO).await }`. The other tasks of its thread
//! would not run, and a `timeout` around it would never be polled. So each ready result of a timer
//! uses up part of a budget, and when that is exhausted, the timer that is polled next *yields*: it
//! wakes its task, returns `Pending`, and is ready at its next poll. A timer that is not due uses
//! nothing, and is armed as usual.
//!
//! Which budget applies depends on what polls the task:
//!
//! - A worker of `rt` says when each poll of a task, or of the main future, begins ([`budget`]).
//!   `ManualClock::simulate` does so, too. The budget of that poll is in `coop/budget.rs`.
//! - In a tokio runtime (feature `tokio`) tokio's own budget applies, as for tokio's own timers
//!   (`coop/tokio_budget.rs`). It has no end outside of tokio's tasks, so in those of another
//!   executor, on a thread that has entered a tokio runtime, no timer yields.
//! - On any other executor nothing tells when a poll begins. `coop/budget.rs` tells how the budget
//!   is reset there.
//!
//! Futures and streams that have a timer only as a limit ([`Timeout`](crate::time::Timeout), the
//! adapters of streams) count each of their own results (an *item*: the output of the future, the
//! next item of the stream). If a timer inside of the future was counted already, the item is not.
//! They call [`poll_start_item`] before the item, and [`count_item`] after it. The limit is
//! polled even if what it limits has just used up the budget: [`poll_limit`].

mod budget;
#[cfg(feature = "tokio")]
mod tokio_budget;

use std::task::{Context, Poll};

#[cfg(not(feature = "tokio"))]
use crate::backend::tokio_driver::tokio_budget;
use crate::clock::Clock;
use crate::sync::{self, thread_local};

use self::budget::{Budget, Outer};
use self::tokio_budget::RestoreOnPending;

thread_local! {
    static THREAD_BUDGET: Budget = const { Budget::new() };
}

/// The state of the budget before an item.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot {
    generation: u32,
    used: u32,
    exhausted: bool,
    /// Whether tokio's budget was not used up.
    tokio_remains: bool,
}

/// Runs one poll of a task, with a budget of its own, and restores the present one afterwards: this
/// may be a poll inside of another task's.
#[inline]
pub(crate) fn budget<T>(poll: impl FnOnce() -> T) -> T {
    struct EndPoll(Option<Outer>);

    impl Drop for EndPoll {
        #[inline]
        fn drop(&mut self) {
            if let Some(outer) = &self.0 {
                with_budget(|budget| budget.end_poll(outer));
            }
        }
    }

    if with_budget(Budget::is_used) == Some(true) {
        return inner_budget(poll);
    }
    let _end_poll = EndPoll(with_budget(Budget::begin_poll));
    poll()
}

/// Runs one poll where results were counted before. A function of its own, so that the other polls
/// need no room for a copy of the budget.
#[cold]
#[inline(never)]
fn inner_budget<T>(poll: impl FnOnce() -> T) -> T {
    struct Restore(Option<Budget>);

    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(outer) = &self.0 {
                with_budget(|budget| budget.restore(outer));
            }
        }
    }

    let _restore = Restore(with_budget(Budget::begin_inner_poll));
    poll()
}

/// Takes a unit of tokio's budget before a timer is polled, if the thread is in a tokio runtime.
#[inline]
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    if with_budget(Budget::is_per_poll) == Some(true) {
        // A worker of `rt`, or `simulate`, may run inside of a task of tokio's. If a timer used up
        // tokio's budget there, it would wait until tokio polls that task again, which it cannot
        // while the worker runs in it. (If a task of `rt` calls the `block_on` of a tokio runtime,
        // the budget of the task applies in that, too, not tokio's.)
        return Poll::Ready(RestoreOnPending::NONE);
    }
    tokio_budget::poll_proceed(cx)
}

/// Counts a ready result of a timer, or makes the timer yield.
///
/// `waited` says that an earlier poll was pending because the timer was not due. `yielded` belongs
/// to the timer: it is set when a poll yields, and cleared by a ready result of the timer, or when
/// a poll is let through although the budget is exhausted. The clock is read now and then; `clock`
/// is `None` if the caller has just read it and passed the time to [`note_time`].
#[inline]
pub(crate) fn count_or_yield(
    cx: &mut Context<'_>,
    waited: bool,
    yielded: &mut bool,
    clock: Option<&Clock>,
) -> Poll<()> {
    if waited && with_budget(Budget::ignores_results_after_wait) == Some(true) {
        *yielded = false;
        return Poll::Ready(());
    }
    count_one_or_yield(cx, yielded, clock)
}

// Not inlined: a poll that is pending need not save registers for it.
#[inline(never)]
fn count_one_or_yield(cx: &mut Context<'_>, yielded: &mut bool, clock: Option<&Clock>) -> Poll<()> {
    with_budget(|budget| budget.count_or_yield(cx, yielded, clock)).unwrap_or(Poll::Ready(()))
}

/// Records the time that was read for a timer that is due.
#[inline]
pub(crate) fn note_time(now: u64) {
    with_budget(|budget| budget.note_time(now));
}

/// Returns the state of the budget before an item is polled, or yields if the budget is exhausted.
///
/// `yielded` is as in [`count_or_yield`], for the item. `must_not_yield` may return `true` in
/// two cases: the last poll for the same item was pending, so other tasks have run since; or the
/// limit has ended, which has to be reported. It is asked only if the budget is exhausted.
#[inline]
pub(crate) fn poll_start_item(
    cx: &mut Context<'_>,
    yielded: &mut bool,
    must_not_yield: impl FnOnce() -> bool,
) -> Poll<Snapshot> {
    with_budget(|budget| budget.poll_start_item(cx, yielded, must_not_yield)).unwrap_or(
        Poll::Ready(Snapshot {
            generation: 0,
            used: 0,
            exhausted: false,
            tokio_remains: true,
        }),
    )
}

/// Counts an item that is ready, unless a timer has been counted since `before` was taken.
#[inline]
pub(crate) fn count_item(
    before: Snapshot,
    cx: &mut Context<'_>,
    waited: bool,
    clock: Option<&Clock>,
) {
    with_budget(|budget| budget.count_item(before, cx, waited, clock));
}

/// Polls the limit of an item that was polled since `before` was taken.
///
/// If the item has used up the budget, the limit is polled without one: an item that does so in
/// every poll would otherwise keep the limit from ever being ready.
#[inline]
pub(crate) fn poll_limit<T>(
    before: Snapshot,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if before.tokio_remains && !tokio_budget::has_budget_remaining() {
        return tokio_budget::unconstrained(cx, poll);
    }
    if with_budget(|budget| budget.was_exhausted_since(before)).unwrap_or(false) {
        return unconstrained(|| poll(cx));
    }
    poll(cx)
}

/// Polls with a new budget, and restores the present one afterwards.
#[cold]
fn unconstrained<T>(poll: impl FnOnce() -> T) -> T {
    struct Restore(Option<Budget>);

    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                with_budget(|budget| budget.restore(before));
            }
        }
    }

    let _restore = Restore(with_budget(|budget| {
        let before = budget.clone();
        budget.reset(budget.scope());
        before
    }));
    poll()
}

/// Calls `f` with the budget of this thread. Returns `None` while the thread destroys its
/// thread-locals, and in loom's models, where the budget would keep its state from one run to the
/// next.
#[inline]
fn with_budget<T>(f: impl FnOnce(&Budget) -> T) -> Option<T> {
    if sync::THREAD_LOCALS_OUTLIVE_RUNS {
        return None;
    }
    THREAD_BUDGET.try_with(f).ok()
}
