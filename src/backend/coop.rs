//! The cooperative budget of timers: after how many ready answers in a row a timer yields.
//!
//! A task whose timers are always due would never return `Pending`: an interval of 1 ms whose ticks
//! take 2 ms of work each, or `loop { sleep(Duration::ZERO).await }`. The other tasks of its thread
//! would get no turn, and a `timeout` around it would never be polled. So timers count their ready
//! answers, and when a task has had enough of them in a row, the timer that it polls next *yields*:
//! it wakes the task, answers `Pending`, and is ready at its next poll. A timer that is still to come
//! costs nothing, and is armed as usual.
//!
//! Three owners of a budget are told apart:
//!
//! - a task of `rt`, or its main future: the worker says when each poll begins ([`in_task`]), so a
//!   row is what happens within one poll;
//! - a task inside a tokio runtime (feature `tokio`): tokio's own budget, as for tokio's own timers;
//! - any other executor: nothing tells when a poll begins. `coop/row.rs` has what a row is there.
//!
//! Futures and streams that have a timer only as a limit ([`Timeout`](crate::time::Timeout), the
//! adapters of streams) count an item too, if no timer did so inside: [`begin_item`] before it,
//! [`end_item`] after it. Their limit is asked even if what they limit has just used up the budget:
//! [`poll_limit`].

#[cfg(feature = "tokio")]
#[path = "coop/tokio_budget.rs"]
mod host;
mod row;

use std::task::{Context, Poll};

use crate::backend::coop::row::Row;
#[cfg(not(feature = "tokio"))]
use crate::backend::tokio_driver::tokio_budget as host;
use crate::clock::Clock;
use crate::sync::{self, thread_local};

thread_local! {
    static ROW: Row = const { Row::new() };
}

/// How the budget stood before an item.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// Names the row.
    row: u32,
    spent: u32,
    over: bool,
    /// Whether tokio's budget has something left.
    host: bool,
}

/// Runs one poll of a task: its row begins here, and ends with it.
#[cfg(feature = "rt")]
#[inline]
pub(crate) fn in_task<T>(poll: impl FnOnce() -> T) -> T {
    struct End;

    impl Drop for End {
        #[inline]
        fn drop(&mut self) {
            with_row(|row| row.begin_poll(false));
        }
    }

    with_row(|row| row.begin_poll(true));
    let _end = End;
    poll()
}

/// Asks the runtime's budget, if the thread is in a runtime that has one, before a timer is polled.
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<host::RestoreOnPending> {
    if with_row(Row::is_of_a_poll) == Some(true) {
        // A worker of `rt` may run inside of a task of tokio's. A timer that spent tokio's budget
        // there would wait for a turn of the very loop that the worker holds up.
        return Poll::Ready(host::RestoreOnPending::NONE);
    }
    host::poll_proceed(cx)
}

/// Counts a ready answer of a timer, or has the timer yield.
///
/// `waited` says that a poll before this one was pending. `yielded` belongs to the timer: whether its
/// last answer became a `Pending` here. `clock` is looked at now and then; `None` if the caller
/// [has done so](note_time) just now.
#[inline]
pub(crate) fn spend(
    cx: &mut Context<'_>,
    waited: bool,
    yielded: &mut bool,
    clock: Option<&Clock>,
) -> Poll<()> {
    if waited && with_row(|row| row.is_free(true)) == Some(true) {
        *yielded = false;
        return Poll::Ready(());
    }
    spend_a_unit(cx, yielded, clock)
}

// A call: a poll that is pending need not save registers for it.
#[inline(never)]
fn spend_a_unit(cx: &mut Context<'_>, yielded: &mut bool, clock: Option<&Clock>) -> Poll<()> {
    with_row(|row| row.spend(cx, yielded, clock)).unwrap_or(Poll::Ready(()))
}

/// Notes what a clock showed that was looked at for a timer which is due.
#[inline]
pub(crate) fn note_time(now: u64) {
    with_row(|row| row.note_time(now));
}

/// Yields instead of polling for an item, if the row is over.
///
/// `yielded` as in [`spend`], but for the item. `waits` says that the last poll for the same item was
/// pending: then the task has given way since, and it is the limit's turn to yield.
#[inline]
pub(crate) fn begin_item(cx: &mut Context<'_>, yielded: &mut bool, waits: bool) -> Poll<Mark> {
    with_row(|row| row.begin_item(cx, yielded, waits)).unwrap_or(Poll::Ready(Mark {
        row: 0,
        spent: 0,
        over: false,
        host: true,
    }))
}

/// Counts an item that is ready, unless a timer has done so since `mark` was taken.
#[inline]
pub(crate) fn end_item(mark: Mark, cx: &mut Context<'_>, waited: bool, clock: Option<&Clock>) {
    with_row(|row| row.end_item(mark, cx, waited, clock));
}

/// Polls the limit of something that was polled before it, `mark` being from before that.
///
/// If that has used up the budget, as it may each time, the limit is asked all the same.
#[inline]
pub(crate) fn poll_limit<T>(
    mark: Mark,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if mark.host && !host::has_budget_remaining() {
        return host::unconstrained(cx, poll);
    }
    if with_row(|row| row.has_ended_since(mark)).unwrap_or(false) {
        return unconstrained(|| poll(cx));
    }
    poll(cx)
}

/// Polls in a row of its own, of which nothing is counted.
#[cold]
fn unconstrained<T>(poll: impl FnOnce() -> T) -> T {
    struct Restore(Option<Row>);

    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                with_row(|row| row.copy(before));
            }
        }
    }

    let _restore = Restore(with_row(|row| {
        let before = row.clone();
        row.begin(row.is_of_a_poll());
        before
    }));
    poll()
}

/// In the destructor of a thread-local there may be no row any longer. In a model there is none: it would
/// go on from one run to the next.
#[inline]
fn with_row<T>(ask: impl FnOnce(&Row) -> T) -> Option<T> {
    if sync::THREAD_LOCALS_OUTLIVE_RUNS {
        return None;
    }
    ROW.try_with(ask).ok()
}
