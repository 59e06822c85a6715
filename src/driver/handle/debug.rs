//! What `Debug` of a handle shows: what is needed to find out why a timer does not fire.

use std::fmt;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Handle;
use crate::driver::shared::{Origin, Shared};
use crate::instant::NEVER;

/// Shows whose loop fires the timers, how many are armed, when the next one is due, and when the
/// loop last turned or parked, by the driver's clock: so a loop that never turns can be told from
/// timers that are not due. (A turn that finds no timer at all is not noted, nor, in a runtime, one
/// that finds that none can be due.)
///
/// Of a runtime with several drivers it shows the timers of all of them, and whose driver this is.
/// Of a [limited](Handle::limited) handle it also shows the limits, and how many permits are taken:
/// `limits: 2 of 3`, then those of its parents.
///
/// No loop is interrupted, no wait announced, and no timer armed.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.shared.origin();
        let shards = match &*origin.shards {
            [] => slice::from_ref(&self.shared),
            shards => shards,
        };
        let clock = &self.shared.clock;
        let now = clock.nanos();
        let armed: usize = shards.iter().map(|shard| armed(shard)).sum();
        let here = match shards.len() {
            1 => String::new(),
            _ => format!(" ({} on this shard)", self::armed(&self.shared)),
        };
        let next = shards.iter().map(|shard| next_deadline(shard)).min();
        let next = match next {
            None | Some(NEVER) => "none".to_owned(),
            Some(at) if at <= now => format!("overdue by {:.1?}", Duration::from_nanos(now - at)),
            Some(at) => format!("in {:.1?}", Duration::from_nanos(at - now)),
        };
        let last_turn = shards.iter().filter_map(|shard| shard.last_turn()).max();
        let last_turn = match last_turn {
            Some(at) => format!("{:.1?} ago", Duration::from_nanos(now.saturating_sub(at))),
            None => "never".to_owned(),
        };
        let mut shown = f.debug_struct("Handle");
        shown
            .field("kind", &format_args!("{}", kind(&origin, &self.shared)))
            .field("clock", clock)
            .field("armed", &format_args!("{armed}{here}"))
            .field("next", &format_args!("{next}"))
            .field("last_turn", &format_args!("{last_turn}"))
            .field("closed", &self.is_closed());
        if let Some(tenant) = &self.tenant {
            shown.field("limits", tenant);
        }
        shown.finish()
    }
}

fn kind(origin: &Origin, shared: &Arc<Shared>) -> String {
    let name = origin.name;
    let (len, mut shards) = (origin.shards.len(), origin.shards.iter());
    match shards.position(|shard| Arc::ptr_eq(shard, shared)) {
        // The last one is for all threads that are no workers.
        Some(shard) if len > 1 && shard + 1 == len => {
            format!("{name}, shard {shard} of {len}: external threads")
        }
        Some(shard) if len > 1 => format!("{name}, shard {shard} of {len}: worker {shard}"),
        _ => name.to_owned(),
    }
}

/// Returns how many timers are armed. A driver that is gone is not asked: in a forked process, its
/// lock may be held for ever.
fn armed(shared: &Shared) -> usize {
    if shared.is_closed() {
        return 0;
    }
    shared.armed()
}

/// Returns the earliest deadline, [`NEVER`] if there is none.
fn next_deadline(shared: &Shared) -> u64 {
    if shared.is_closed() {
        return NEVER;
    }
    // It files and drops slots on the way, and changes nothing else.
    shared.lock_and_find_next(true).1
}
