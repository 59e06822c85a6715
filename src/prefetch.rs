//! Hints by which the processor fetches memory while it still does other work.
//!
//! Timers that are due come out of the heap one after the other, and each leads to memory that was
//! last used when the timer was armed: its entry, and the task that its waker wakes. Without the
//! hints, each of these accesses waits for a cache that is farther away, or for the core that has
//! written there. See *Prefetching* in `docs/architecture.md`.
//!
//! Without the feature `prefetch`, and where the processor or the compiler offers none, a hint does
//! nothing. A hint never faults, whatever the address.

use std::task::Waker;

/// How many lines of a task are fetched: what its scheduler writes is on the first one, as a rule,
/// and its future follows.
#[cfg(feature = "prefetch")]
const TASK_LINES: usize = 3;

/// The size of a cache line, on most processors.
#[cfg(feature = "prefetch")]
const LINE: usize = 64;

/// Fetches the first line of what will be written soon.
#[inline(always)]
pub(crate) fn to_write<T>(value: &T) {
    #[cfg(feature = "prefetch")]
    branches::prefetch_write_data::<T, 0>(value);
    let _ = value;
}

/// Fetches the memory of a task that will be woken soon, and then polled. (The data of a waker
/// need not point to a task. Then the hint is wasted.)
#[inline(always)]
pub(crate) fn task_of(waker: &Waker) {
    #[cfg(feature = "prefetch")]
    {
        let task = waker.data().cast::<u8>();
        branches::prefetch_write_data::<u8, 0>(task);
        for line in 1..TASK_LINES {
            branches::prefetch_read_data::<u8, 0>(task.wrapping_add(line * LINE));
        }
    }
    let _ = waker;
}
