//! How many tasks run between two polls, by how long tasks take.

use super::{GLOBAL_INTERVAL, Worker};
use crate::rt::core::LONGEST_INTERVAL;

/// How long short tasks run between two polls of the timers, in nanoseconds.
const POLL_PERIOD: u64 = 20_000;

/// How long short tasks run at most between two looks for I/O, in nanoseconds: some 60 tasks that
/// answer a short message, as many as tokio runs. A look is a system call, and with half of the
/// period such a server takes 2 % more CPU. With twice the period it takes 1 to 2 % more, too:
/// more messages are under way at once then, and the caches hold fewer of them.
const IO_PERIOD: u64 = 500_000;

impl Worker<'_> {
    /// Sets how many tasks run until the next poll, by how long the last ones took. After a park,
    /// or if the last polls have not read the clock, the time that is found for a task is too long.
    /// Then the next poll comes after one task, as a rule, and measures again.
    pub(super) fn adapt_interval(&mut self, now: u64) {
        self.state.interval = interval(POLL_PERIOD, self.time_of_each(now));
        self.state.last_poll = now;
    }

    /// The same if no timer is armed, but I/O is waited for. After a park, tasks are taken to be as
    /// long as those before it.
    pub(super) fn adapt_interval_to_io(&mut self) {
        let now = self.pool.idle.now_or_zero();
        let each = match self.state.last_poll {
            0 => self.state.task_nanos,
            _ => self.time_of_each(now),
        };
        self.state.interval = interval(IO_PERIOD / u64::from(GLOBAL_INTERVAL), each);
        self.state.last_poll = now;
    }

    /// Returns the time of each task, if the worker has run `interval` tasks since the last poll
    /// and has done nothing else.
    fn time_of_each(&self, now: u64) -> u64 {
        now.saturating_sub(self.state.last_poll) / u64::from(self.state.interval)
    }
}

/// Returns how many tasks of `each` nanoseconds run in `period`: one at least, and
/// [`LONGEST_INTERVAL`] at most.
fn interval(period: u64, each: u64) -> u32 {
    (period / each.max(1)).clamp(1, u64::from(LONGEST_INTERVAL)) as u32
}
