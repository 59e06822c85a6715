//! A count to which any thread adds, at next to no cost for one of them.
//!
//! To put a timer off takes no lock, so there is nothing under which it could be counted. Most
//! drivers are used by one thread, and an atomic increment would cost it a tenth of a reset. So the
//! first thread that counts owns a counter that it alone writes, by a load and a store. All others
//! increment one of a few counters, each mostly another one, so that they do not wait for each
//! other. No count is lost.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{bump, get};
use crate::sync::CachePadded;

/// How many counters the other threads share.
const STRIPES: usize = 8;

/// See the head of this file.
pub(in crate::driver) struct Tally {
    /// The number of the thread that owns `own`, or `NO_THREAD`.
    owner: AtomicUsize,
    own: CachePadded<AtomicU64>,
    others: [CachePadded<AtomicU64>; STRIPES],
}

/// No thread has this number.
const NO_THREAD: usize = usize::MAX;

/// A thread that has not counted yet.
const UNNUMBERED: usize = 0;

std::thread_local! {
    /// The number of this thread. (It has no destructor, so it is there until the thread ends.)
    static THREAD: Cell<usize> = const { Cell::new(UNNUMBERED) };
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            owner: AtomicUsize::new(NO_THREAD),
            own: CachePadded(AtomicU64::new(0)),
            others: [const { CachePadded(AtomicU64::new(0)) }; STRIPES],
        }
    }

    /// Adds one.
    #[inline]
    pub(in crate::driver) fn count(&self) {
        if self.owner.load(Ordering::Relaxed) == THREAD.get() {
            bump(&self.own.0, 1);
        } else {
            self.count_other();
        }
    }

    #[cold]
    #[inline(never)]
    fn count_other(&self) {
        static THREADS: AtomicUsize = AtomicUsize::new(UNNUMBERED + 1);
        if THREAD.get() == UNNUMBERED {
            THREAD.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        let thread = THREAD.get();
        let claimed =
            self.owner
                .compare_exchange(NO_THREAD, thread, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() || claimed == Err(thread) {
            return bump(&self.own.0, 1);
        }
        let stripe = &self.others[thread % STRIPES];
        stripe.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the sum.
    pub(super) fn get(&self) -> u64 {
        let others = self.others.iter().map(|stripe| get(&stripe.0));
        get(&self.own.0) + others.sum::<u64>()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        const EACH: u64 = 200_000;
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..EACH).for_each(|_| tally.count()));
            }
        });
        assert_eq!(tally.get(), 4 * EACH);
    }
}
