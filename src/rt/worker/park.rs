//! How a worker parks: what it does right before and after, and what it does for `idle` meanwhile.

use super::Worker;
use crate::panic::catch_panic;
use crate::rt::core::LONGEST_INTERVAL;
use crate::rt::idle::{ParkContext, SHORT_WORK};
use crate::rt::local::LocalQueue;

impl Worker<'_> {
    /// Parks, unless there is something to do before that.
    pub(super) fn park(&mut self, should_return: &impl Fn() -> bool) {
        if std::mem::take(&mut self.more_timers_due) {
            // More timers may be due. They are late already, and parking would add the slack to
            // that.
            return;
        }
        // The hook may wake tasks and arm timers, so it runs before the last look. It may take
        // long, or block, so this worker does not count as searching meanwhile.
        if self.hooks.park.is_set() {
            self.end_search();
        }
        self.hooks.park.call();
        if !self.drop_hold_unless_busy(should_return) {
            self.call_unpark_hook();
            return;
        }
        let parked_at = self.note_task_time();
        let was_searching = std::mem::take(&mut self.searching);
        let (idle, me) = (&self.pool.idle, self.core.index);
        idle.sharded_driver().shards()[me].counters.count_park();
        let context = &mut Parking {
            worker: self,
            should_return,
            has_collected_io: false,
        };
        let unparked = idle.park(me, was_searching, context);
        let has_collected_io = context.has_collected_io;
        self.searching = unparked.searching;
        self.unparked_at = unparked.at;
        self.must_check_lifo_slots |= unparked.must_check_lifo_slots;
        // Another worker is unparked for the tasks that this one has woken when it collected I/O.
        // Not earlier: while this worker was in the list of parked workers, it might have been
        // chosen itself.
        if has_collected_io {
            self.notify_for_io();
            self.expects_io |= unparked.at.saturating_sub(parked_at) < AT_ONCE;
        }
        // The time that has passed says nothing about tasks. So this worker polls its timers after
        // one task at most, and takes the time anew.
        self.state.last_poll = 0;
        self.state.interval = LONGEST_INTERVAL;
        self.state.until_poll = self.state.until_poll.min(1);
        self.call_unpark_hook();
    }

    /// Calls the user's hook. Like the park hook, it may take long or block. A task that a timer or
    /// I/O has woken may lie in the LIFO slot meanwhile, in no queue.
    fn call_unpark_hook(&mut self) {
        if self.hooks.unpark.is_set() {
            self.end_search();
            self.report_full_slot();
        }
        self.hooks.unpark.call();
    }

    /// Notes how long the tasks took that have run since the last park. Returns what the
    /// parkers' clock shows now, or zero if it was not read.
    fn note_task_time(&mut self) -> u64 {
        let ran = std::mem::take(&mut self.ran);
        if ran == 0 || self.unparked_at == 0 {
            return 0;
        }
        let now = self.pool.idle.parkers_now(self.core.index);
        let each = now.saturating_sub(self.unparked_at) / ran;
        let average = self.state.task_nanos;
        self.state.task_nanos = average - average / 4 + each.min(LONGEST_COUNTED) / 4;
        now
    }

    /// Returns how many nanoseconds that many tasks take, if they take as long as others did
    /// lately.
    fn expected_time(&self, tasks: usize) -> u64 {
        (tasks as u64).saturating_mul(self.state.task_nanos)
    }

    /// Returns whether the next task is expected to be short, as far as the last ones tell.
    pub(super) fn expects_short_tasks(&self) -> bool {
        self.expected_time(1) < SHORT_WORK
    }

    /// Returns whether no other worker is needed now for the ready tasks of this one: this one is
    /// expected to finish them soon, and if it does not, its timer deputy comes.
    pub(super) fn leaves_tasks_to_timer_deputy(&self) -> bool {
        let idle = &self.pool.idle;
        self.expected_time(self.core.len()) < idle.timer_work_limit()
            && idle.is_away_for_timers(self.core.index)
    }

    /// Unparks another worker for the tasks that I/O has woken, unless this one is expected to
    /// finish them soon, and its I/O deputy comes if it does not.
    pub(super) fn notify_for_io(&self) {
        let leaves_tasks_to_io_deputy = || {
            self.expected_time(self.core.len()) < SHORT_WORK
                && self.pool.idle.is_away_for_io(self.core.index)
        };
        if self.core.has_stealable() && !leaves_tasks_to_io_deputy() {
            self.pool.idle.notify_one();
        }
    }

    /// Drops the hold on time that this worker may have (its scope keeps it). Returns `false` if
    /// the worker must not park: it has a hold, and something to do. In that case it keeps the
    /// hold. (Dropping it may unpark all loops on the clock, and the unparker of a `Driver` is
    /// foreign code.)
    fn drop_hold_unless_busy(&mut self, should_return: &impl Fn() -> bool) -> bool {
        let Some(hold) = self.scope.take_hold() else {
            return true;
        };
        let keeps = self.has_own_work(should_return);
        if keeps {
            self.scope.put_hold(hold);
        } else {
            self.has_dropped_hold = true;
            catch_panic(|| drop(hold));
        }
        !keeps
    }

    /// Returns whether there is something to do that was given to this worker.
    fn has_own_work(&self, should_return: &impl Fn() -> bool) -> bool {
        should_return()
            || self.takes_tasks() && !self.core.is_empty()
            || self.scope.local().is_some_and(LocalQueue::is_ready)
    }

    /// Takes the hold on time again that `drop_hold_unless_busy` has dropped, because a task runs
    /// next.
    ///
    /// A worker that was unparked and finds no task does not take it again. It would have to drop
    /// it before it parks, and that unparks workers of the other runtimes on the clock, which would
    /// do the same, and so on for ever.
    #[cold]
    pub(super) fn hold_time(&mut self) {
        self.has_dropped_hold = false;
        self.scope.hold_time();
    }
}

/// A park that takes fewer nanoseconds has not blocked, as a rule.
const AT_ONCE: u64 = 10_000;

/// At each park the mean time of the tasks that have run since the park before goes into the
/// average. A longer mean than this, in nanoseconds, is cut to it. A task may only seem long,
/// because the kernel ran another thread meanwhile; so one long task that has run alone is
/// forgotten after a dozen parks with short ones.
const LONGEST_COUNTED: u64 = 8 * SHORT_WORK;

/// A worker that is about to park.
struct Parking<'p, 'a, F> {
    worker: &'p mut Worker<'a>,
    should_return: &'p F,
    has_collected_io: bool,
}

impl<F: Fn() -> bool> ParkContext for Parking<'_, '_, F> {
    fn is_stopping(&self) -> bool {
        self.worker.pool.is_stopping()
    }

    fn lender_polls(&self) -> bool {
        self.worker.scope.inner().lender_polls()
    }

    fn takes_tasks(&self) -> bool {
        self.worker.takes_tasks()
    }

    fn has_work(&self) -> bool {
        let worker = &*self.worker;
        worker.has_own_work(self.should_return) || worker.takes_tasks() && worker.pool.has_work()
    }

    fn has_io(&self) -> bool {
        let reactor = &self.worker.pool.reactor;
        reactor.has_registrations() && reactor.has_events()
    }

    fn collect_io(&mut self) {
        // Even if no descriptor is registered any more: there may still be an event of one that
        // was, and that ends each park until it is collected.
        if self.worker.pool.reactor.is_live() {
            self.worker.collect_io();
            self.worker.skips_next_io_look = true;
            self.has_collected_io = true;
        }
    }

    fn has_collected_io(&self) -> bool {
        self.has_collected_io
    }

    fn expects_short_tasks(&self) -> bool {
        self.worker.expects_short_tasks()
    }

    fn fire(&mut self) -> usize {
        // A worker that has parked begins anew: timers may have come due meanwhile.
        self.worker.has_fired_all = false;
        self.worker.fire_all_once()
    }

    fn advance(&mut self) {
        let worker = &*self.worker;
        worker.while_waking(|| {
            catch_panic(|| {
                worker.pool.clock().advance_when_idle();
            });
        });
        worker.notify_if_stealable();
    }
}
