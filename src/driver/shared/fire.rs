//! Firing: takes due timers out of the driver's heap and chunks, and wakes their tasks. And
//! closing, which wakes the tasks of all timers, due or not.
//!
//! Wakers are taken out in batches of up to [`BATCH`], in order of deadline, under one short
//! lock. The lock is released, they are woken one after the other, and the next batch follows. So
//! no lock is held for longer than it takes to pop a batch, and a waker may arm, reset and drop
//! timers, clone and drop wakers, or block.
//!
//! Stale slots may lie between the slots of due timers. Each time that a call takes the lock, it
//! drops or files anew a bounded number of them ([`STALE_SLOTS`]). A call ends after about as many
//! timers as its caller allows. Each locking counts as a full batch, even if it has found fewer
//! timers: so a turn that finds only stale slots takes the lock no more often than one that fires.
//!
//! A waker that panics loses no other wake-up: its panic is caught. (The panic hook has already
//! reported it. If the panic were passed on, it would take down a loop that is not to blame.)

use std::mem;
use std::panic::resume_unwind;
use std::task::Waker;

use crate::clock::ClockObserver;
use crate::driver::shared::announcement::{MOST_LOCKINGS, STALE_SLOTS};
use crate::driver::shared::{CLOSED, Shared, State};
use crate::driver::wakers::{Order, StaleBudget};
use crate::instant::NEVER;
use crate::panic::{catch_first, catch_panic};
use crate::prefetch;
use crate::sync::{self, atomic::Ordering};

/// How many wakers are taken out under one lock.
const BATCH: usize = sync::under_loom_or(2, 64);

/// Wakers that were taken out. It lives on the stack, so that firing allocates nothing.
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

    #[inline]
    fn push(&mut self, waker: Waker) {
        let previous = self.wakers[self.len].replace(waker);
        debug_assert!(previous.is_none());
        // It need not be dropped.
        mem::forget(previous);
        self.len += 1;
    }

    /// Wakes all of them in order. A panic of one does not keep the others from being woken.
    fn wake(&mut self) {
        let len = mem::take(&mut self.len);
        for waker in self.wakers[..len].iter_mut().filter_map(Option::take) {
            catch_panic(|| waker.wake());
        }
    }
}

impl Shared {
    /// Fires timers due at `now`, earliest first, up to about `most`, in whole batches. (Each batch
    /// counts as [`BATCH`] timers, even if stale slots have cut it short.)
    ///
    /// Returns how many fired and whether more may be due. The call also ends after
    /// [`MOST_LOCKINGS`] batches that were not full because of stale slots, unless the loop must
    /// know the earliest deadline exactly. Any thread may call it at any time.
    pub(crate) fn fire(&self, now: u64, most: usize) -> (usize, bool) {
        let mut batch = Batch::new();
        let (mut fired, mut counted, mut stale_lockings, mut most_late) = (0, 0_usize, 0, 0);
        loop {
            let (more, late) = self.collect(now, &mut batch);
            most_late = late.max(most_late);
            fired += batch.len;
            counted = counted.saturating_add(BATCH);
            // If a batch is not full, stale slots have ended it, or it is the last one.
            stale_lockings += usize::from(batch.len < BATCH);
            batch.wake();
            if !more
                || counted >= most
                || stale_lockings >= MOST_LOCKINGS && !self.needs_exact_deadline()
            {
                // If the driver has ended meanwhile, the timers may have been orphaned.
                if fired > 0 && !self.is_closed() {
                    self.report_turn(now, fired, most_late);
                }
                return (fired, more);
            }
        }
    }

    /// Wakes the task of a timer that was reset to a time that has passed, then tells the loop, if
    /// it must be told: it may still wait for the old deadline. A panic of the waker is passed on
    /// after that.
    #[cold]
    pub(crate) fn wake_and_interrupt(&self, waker: Waker, must_interrupt: bool) {
        let mut panic = None;
        catch_first(&mut panic, || waker.wake());
        if must_interrupt {
            catch_first(&mut panic, || self.interrupt());
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Counts how long the turn that began at `now` took, and reports it if it was late.
    /// `most_late` is the greatest lateness of its timers.
    #[cold]
    fn report_turn(&self, now: u64, fired: usize, most_late: u64) {
        // The clock is foreign code, and must not keep the loop from learning what has fired.
        catch_panic(|| {
            let nanos = self.clock.nanos().saturating_sub(now);
            self.counters.count_duration(nanos);
        });
        if self.late.is_late(most_late) {
            self.late.report(most_late, fired);
        }
    }

    /// Fires all timers due at `now`.
    fn fire_without_limit(&self, now: u64) {
        while self.fire(now, usize::MAX).1 {}
    }

    /// Takes out one batch of due wakers. Returns whether more may be due, and how late the first
    /// timer is.
    fn collect(&self, now: u64, batch: &mut Batch) -> (bool, u64) {
        let mut state = self.lock();
        // Before anything is popped: a task that is woken must find its deadline elapsed.
        let now = self.set_elapsed(&state, now);
        let mut budget = StaleBudget(STALE_SLOTS);
        let mut lateness = self.counters.begin_batch(now);
        let timers = &mut state.timers;
        timers.pop(&self.chunks, now, &mut budget, BATCH, |waker, deadline| {
            lateness.record(deadline);
            prefetch::task_of(&waker);
            batch.push(waker);
        });
        let late = if now == CLOSED {
            self.counters.count_orphaned(batch.len);
            0
        } else {
            self.counters.end_batch(lateness)
        };
        let next = state.timers.bound(&self.chunks);
        self.set_next(&state, next);
        (next <= now && next != NEVER, late)
    }

    /// Publishes, under the lock, what the clock showed. Returns what is published: it never goes
    /// back.
    pub(crate) fn set_elapsed(&self, _state: &State, now: u64) -> u64 {
        let before = self.atomics.0.elapsed.load(Ordering::Relaxed);
        if before >= now {
            return before;
        }
        self.atomics.0.elapsed.store(now, Ordering::Release);
        now
    }

    /// Closes the driver and wakes all its timers, in order of deadline; those whose deadline never
    /// comes are last.
    pub(crate) fn close(&self) {
        self.mark_closed();
        // Bounded, because a timer that its owner keeps putting off is filed anew each time.
        // Without such owners each slot is filed anew once at most.
        let slots = self.lock().timers.slots();
        let mut calls = 2 * slots / BATCH + 16;
        while calls > 0 && self.fire(NEVER, BATCH).1 {
            calls -= 1;
        }
        let mut chunk = 0;
        while let Some(wakers) = self.chunks.close(chunk) {
            for waker in wakers {
                catch_panic(|| waker.wake());
            }
            chunk += 1;
        }
        // It may refer to the driver.
        self.late.forget();
        // Their memory is freed with the lock released.
        let timers = mem::replace(&mut self.lock().timers, Order::new());
        drop(timers);
    }

    /// Marks the driver as gone. No arming that begins from now on succeeds. An arming or a drop
    /// that had begun before may still succeed. So may a put-off without the lock, even if it
    /// begins later, until the timer is taken out.
    fn mark_closed(&self) {
        let _state = self.lock();
        self.atomics.0.elapsed.store(CLOSED, Ordering::Release);
    }

    /// Marks the driver as gone without taking its lock: this process was forked from the driver's,
    /// and a thread that does not exist here may have held the lock.
    ///
    /// Its timers then count as fired, so that dropping one takes no lock either.
    pub(crate) fn abandon(&self) {
        self.atomics.0.elapsed.store(CLOSED, Ordering::Release);
    }
}

/// Fires timers when the clock is moved by hand.
impl ClockObserver for Shared {
    fn earliest(&self) -> u64 {
        self.lock_and_find_next(true).1
    }

    fn clock_moved(&self) {
        self.fire_without_limit(self.clock.nanos());
    }

    fn look_again(&self) {
        // What a driver that is gone would unpark may be gone, too.
        if !self.is_closed() {
            self.make_loop_look_again();
        }
    }
}
