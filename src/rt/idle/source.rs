//! What the parked workers are to the sharded driver and to the clock: a wake source, the notifier
//! of each shard, and a clock observer.

use std::sync::Weak;

use super::Idle;
use crate::clock::ClockObserver;
use crate::driver::sharded::{Liveness, WakeSource};
use crate::driver::shared::{Notifier, Origin};
use crate::instant::NEVER;
use crate::panic::catch_panic;

/// The wake source: the timeout of the keeper.
///
/// Callers of `replan` in `rt` ignore [`Liveness::Gone`]. It comes only if another thread closes
/// the drivers during the scan, because the runtime ends. All that a further `close` would do is to
/// drop the source, which is only this weak reference, so that call is not needed. (`Gone` has no
/// other cause: while `replan` runs, [`Idle`] is there, and the source does not panic; a panic
/// would count as gone.)
pub(crate) struct KeeperTimeout(pub(super) Weak<Idle>);

impl WakeSource for KeeperTimeout {
    fn set(&mut self, at: u64) -> Liveness {
        let Some(idle) = self.0.upgrade() else {
            return Liveness::Gone;
        };
        if idle.clock.is_frozen() {
            // Time does not pass on this clock, so there is nothing to wait for. But the keeper has
            // to look again: it may have to move time to this timer.
            idle.set_until(NEVER);
            if at != NEVER {
                idle.make_keeper_look_again();
            }
            return Liveness::Alive;
        }
        // If the clock panics, `until` stays zero, a time that has passed: the keeper looks again.
        let mut until = 0;
        catch_panic(|| until = idle.on_parkers_clock(at));
        idle.set_until(until);
        Liveness::Alive
    }

    fn set_soon(&mut self, _now: u64) -> Liveness {
        let Some(idle) = self.0.upgrade() else {
            return Liveness::Gone;
        };
        // Zero is in the past on the parkers' clock, also if the drivers' clock is frozen.
        idle.set_until(0);
        Liveness::Alive
    }
}

/// The notifier: what a shard calls when an earlier timer is armed, or when the loop has to look
/// again.
pub(super) struct ShardNotifier(pub(super) Weak<Idle>);

impl Notifier for ShardNotifier {
    fn interrupt(&self) {
        if let Some(idle) = self.0.upgrade() {
            idle.sharded_driver.replan();
        }
    }

    fn look_again(&self) {
        if let Some(idle) = self.0.upgrade() {
            idle.sharded_driver.replan_from_scratch();
        }
    }

    fn origin(&self) -> Origin {
        let idle = self.0.upgrade();
        let shards = idle.map(|idle| idle.sharded_driver.shards().into());
        Origin {
            name: "rt",
            shards: shards.unwrap_or_default(),
        }
    }
}

/// What the clock tells when it is moved by hand, stopped, or started.
impl ClockObserver for Idle {
    fn earliest(&self) -> u64 {
        // The shards are observers themselves, and tell theirs.
        NEVER
    }

    /// The clock has moved, and each shard has fired by itself, as an observer of the clock. That
    /// has not cleared its announcement, as `ShardedDriver::fire` would have. If an announced time
    /// is over, each new timer is due after it, and would not interrupt the keeper. So the shards
    /// announce anew.
    fn clock_moved(&self) {
        self.sharded_driver.clear_announcements();
        self.sharded_driver.replan();
    }

    fn look_again(&self) {
        // The same deadline has another value on the parkers' clock now. And if the clock is
        // frozen, the keeper may have to advance it.
        self.note_whether_frozen();
        self.sharded_driver.replan_from_scratch();
        self.make_keeper_look_again();
    }
}

impl Idle {
    /// Notes whether the clock is frozen. If it is, the keeper waits without a timeout, so it has
    /// to be told when the timer that was announced is cancelled.
    ///
    /// To be called after each change, and once after `Idle` was registered as an observer of the
    /// clock.
    pub(super) fn note_whether_frozen(&self) {
        let shards = self.sharded_driver.shards().iter();
        shards.for_each(|shard| shard.set_notify_on_cancel(|| self.clock.is_frozen()));
    }

    /// Makes the keeper, and each worker that is about to block, look at everything again.
    fn make_keeper_look_again(&self) {
        self.unpark_to_look_again(&self.lock());
    }

    /// Sets when a worker has to wake for the timers.
    pub(super) fn set_until(&self, until: u64) {
        let mut parked = self.lock();
        parked.until = until;
        self.update_timeout(parked);
    }

    /// Returns what the drivers' clock shows, or zero if it panics: then nothing is due, and the
    /// next scan sets the keeper to wake soon.
    pub(crate) fn now_or_zero(&self) -> u64 {
        let mut now = 0;
        catch_panic(|| now = self.clock.nanos());
        now
    }

    /// Converts a time on the drivers' clock to one on the parkers' clock.
    fn on_parkers_clock(&self, at: u64) -> u64 {
        if at == NEVER {
            return NEVER;
        }
        // The parkers' clock first: if this thread is preempted in between, the keeper wakes early,
        // and not late.
        let now = self.parkers[0].now();
        now.saturating_add(at.saturating_sub(self.clock.nanos()))
    }
}
