//! What `Debug` of a timer shows.

use std::fmt;
use std::time::Duration;

use crate::instant::NEVER;
use crate::time::sleep::{Phase, Sleep};

/// Shows the deadline, how far away it is, and a phase:
///
/// - `Unarmed`: it was not polled since it was made or reset, so no driver knows it, and it wakes
///   no task.
/// - `Armed`: the driver wakes the task of the last poll.
/// - `Fired`: the driver has woken that task, which has not polled since.
/// - `Ended`: a poll was ready.
/// - `Unbound`: it was made where there is no driver, and takes one at its first poll.
/// - `Orphaned`: its driver is gone, and it has not moved to another one.
impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Done => "Ended",
            Phase::DoneByReset => "Fired",
            Phase::UnboundInstant | Phase::UnboundWait | Phase::UnboundUncapped => "Unbound",
            Phase::Idle | Phase::Armed if self.is_orphaned() => "Orphaned",
            Phase::Idle => "Unarmed",
            Phase::Armed if self.is_elapsed() => "Fired",
            Phase::Armed => "Armed",
        };
        let now = self.handle.shared.clock.nanos();
        let (text, left) = match self.deadline {
            NEVER => ("never", None),
            at if at <= now => ("since ", Some(now - at)),
            at => ("in ", Some(at - now)),
        };
        let left = left.map(|nanos| format!("{:.1?}", Duration::from_nanos(nanos)));
        let left = left.unwrap_or_default();
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("due", &format_args!("{text}{left}"))
            .field("phase", &format_args!("{phase}"))
            .field("orphaned", &self.is_orphaned())
            .finish()
    }
}
