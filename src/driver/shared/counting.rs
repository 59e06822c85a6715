//! What is counted of a driver beside arming, firing and cancelling: see `driver/counters.rs`.

use std::task::Waker;

use super::Shared;
use super::fire::catch_panic;
use crate::driver::stats::Stats;
use crate::driver::wakers::chunks::Removal;

impl Shared {
    /// Removes a timer like [`cancel`](Self::cancel), because it was found due before a turn has
    /// taken it out: it counts as fired.
    #[inline]
    pub(crate) fn end(&self, index: u32, deadline: u64) -> Option<Waker> {
        let waker = self.remove(index, deadline, Removal::Fired);
        if waker.is_some() {
            self.counters.count_fired_early();
        }
        waker
    }

    /// Adds what was counted to `stats`. Takes no lock: after a fork a lock may be held for ever.
    pub(in crate::driver) fn add_stats(&self, stats: &mut Stats) {
        // What ends a timer is read before what begins one.
        self.counters.add_to(stats);
        self.chunks.add_to(stats);
    }

    /// Counts how long a turn took that began at `now`, and reports it if it was late. `latest` is how
    /// late the first of its timers was.
    #[cold]
    pub(super) fn note_fired(&self, now: u64, fired: usize, latest: u64) {
        // The clock is foreign code, and must not keep the loop from learning what has fired.
        catch_panic(|| {
            let nanos = self.clock.nanos().saturating_sub(now);
            self.counters.count_duration(nanos);
        });
        if self.late.is_late(latest) {
            self.late.report(latest, fired);
        }
    }
}
