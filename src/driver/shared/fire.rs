//! Firing: takes due timers out of the store and wakes their tasks.
//!
//! Wakers leave the store in batches of up to [`BATCH`], in order of deadline, under one short
//! lock. The lock is released, they are woken one after the other, and the next batch follows. So
//! no lock is held for longer than it takes to pop a batch, and a waker may arm, reset and drop
//! timers, clone and drop wakers, or block.
//!
//! A waker that panics loses no other wake-up: its panic ends with it. (The panic hook has reported
//! it by then. If it went on, it would take down a loop that is not to blame.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::clock::ClockObserver;
use crate::driver::shared::Shared;
use crate::instant::NEVER;
use crate::store::Store;
use crate::sync;

/// How many wakers leave the store under one lock.
const BATCH: usize = sync::in_models(2, 64);

/// Wakers that have left the store. It lives on the stack, so that firing allocates nothing.
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

    /// Wakes all of them in order. A panic of one does not keep the others from being woken.
    fn wake(&mut self) {
        let len = std::mem::take(&mut self.len);
        for waker in self.wakers[..len].iter_mut().filter_map(Option::take) {
            shield(|| waker.wake());
        }
    }
}

/// Runs foreign code and catches its panic, and that of the payload's own destructor.
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

    /// Moves one batch of due wakers out of the store. Returns whether more may be due.
    fn collect(&self, now: u64, batch: &mut Batch) -> bool {
        let mut state = self.lock();
        // Before anything is popped: a task that is woken must find its deadline elapsed.
        let now = self.set_elapsed(&state, now);
        let (mut first, mut last) = (0, 0);
        for at in 0..BATCH {
            let Some((index, deadline, waker)) = state.timers.pop(now) else {
                // All that was due has left the store: no timer asks about these indices any
                // longer.
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
        // Timers with the very deadline that the batch ends in may be left. Until they have left
        // the store, the popped ones keep their indices, so that a timer can tell fired from armed.
        // Those of earlier batches keep theirs only if they have that deadline, too. Otherwise a
        // loop that is always behind, and never empties the list of what is due, would take a new
        // index for each timer.
        let drained = last.saturating_sub(1);
        let same = drained == self.drained(&state);
        state.timers.hold_back(first, same);
        self.set_drained(&state, drained, last);
        true
    }
}

/// Fires timers when the clock is moved by hand.
impl ClockObserver for Shared {
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

/// Wakes every timer of a driver that is gone, in order of deadline; those that never fire come
/// last.
pub(crate) fn wake_all(mut timers: Store<Waker>) {
    while let Some((_, _, waker)) = timers.pop(NEVER) {
        shield(|| waker.wake());
    }
    let rest: Vec<u32> = timers.iter().map(|(index, ..)| index).collect();
    for waker in rest.into_iter().filter_map(|index| timers.take(index)) {
        shield(|| waker.wake());
    }
}
