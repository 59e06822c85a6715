//! How do due timers get out of the store and ready their tasks?
//!
//! In batches: up to [`BATCH`] wakers leave the store, in order of deadline, under one short lock;
//! the lock is released; they are woken one after the other; then the next batch. So no lock is
//! held for longer than a batch takes to pop, and a waker may arm, reset and drop timers, clone and
//! drop wakers, or block, as it likes.
//!
//! A waker that panics loses nobody else's wake-up: the panic ends with it. (The panic hook has
//! reported it by then; letting it go on would take down a loop that is not to blame.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::clock::Follower;
use crate::handle::Shared;
use crate::instant::NEVER;
use crate::store::Store;

/// How many wakers leave the store under one lock; few for loom, whose models are to see a turn
/// between two batches.
const BATCH: usize = if cfg!(loom) { 2 } else { 64 };

/// Wakers on their way out; on the stack, so that firing allocates nothing.
struct Batch {
    wakers: [Option<Waker>; BATCH],
    len: usize,
}

impl Batch {
    fn new() -> Self {
        Self {
            wakers: [const { None }; BATCH],
            len: 0,
        }
    }

    /// Wakes all, in order, each shielded from the panic of another.
    fn wake(&mut self) {
        let len = std::mem::take(&mut self.len);
        for waker in self.wakers[..len].iter_mut().filter_map(Option::take) {
            shield(|| waker.wake());
        }
    }
}

/// Runs foreign code and ends its panic, including one of the payload's own drop.
pub(crate) fn shield(foreign: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(foreign))
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        std::mem::forget(payload);
    }
}

impl Shared {
    /// Fires timers due at `now`, earliest first, at most about `budget` of them.
    ///
    /// Returns how many fired and whether more may be due. Any thread may call it at any time.
    pub(crate) fn fire(&self, now: u64, budget: usize) -> (usize, bool) {
        let mut batch = Batch::new();
        let mut fired = 0;
        loop {
            let more = self.collect(now, &mut batch);
            fired += batch.len;
            batch.wake();
            if !more || fired >= budget {
                return (fired, more);
            }
        }
    }

    /// Moves one batch of due wakers out of the store; whether more may be due.
    fn collect(&self, now: u64, batch: &mut Batch) -> bool {
        let mut state = self.lock();
        // Before anything is popped: a task that is woken must find its deadline elapsed.
        let now = self.set_elapsed(&state, now);
        let (mut first, mut last) = (0, 0);
        for at in 0..BATCH {
            let Some((index, deadline, waker)) = state.timers.pop(now) else {
                // All that was due is out: nobody asks about these indices any more.
                state.timers.recycle();
                let next = state.timers.bound();
                self.set_drained(&state, now, next);
                batch.len = at;
                return false;
            };
            if at == 0 {
                first = index;
            }
            last = deadline;
            batch.wakers[at] = Some(waker);
        }
        batch.len = BATCH;
        // Timers of the very deadline that the batch ends in may be left. Until they are out, the
        // popped ones keep their indices, so that a timer can tell fired from armed. Those of earlier
        // batches keep theirs only if that deadline is theirs, too: else a loop that is always behind,
        // and gets to the end of nothing, would take a new index for each timer that it arms.
        let drained = last.saturating_sub(1);
        let same = drained == self.drained(&state);
        state.timers.hold_back(first, same);
        self.set_drained(&state, drained, last);
        true
    }
}

/// What a clock that is moved by hand does to its drivers.
impl Follower for Shared {
    fn earliest(&self) -> u64 {
        self.lock().timers.next_deadline()
    }

    fn expire(&self) {
        self.fire(self.clock.nanos(), usize::MAX);
    }

    fn interrupt(&self) {
        Self::interrupt(self);
    }
}

/// Wakes every timer of a driver that is gone, in order of deadline, those that never fire last.
pub(crate) fn wake_all(mut timers: Store<Waker>) {
    while let Some((_, _, waker)) = timers.pop(NEVER) {
        shield(|| waker.wake());
    }
    let rest: Vec<u32> = timers.iter().map(|(index, ..)| index).collect();
    for waker in rest.into_iter().filter_map(|index| timers.take(index)) {
        shield(|| waker.wake());
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
