//! Which workers sleep, who of them waits for the timers, and whom does new work wake?
//!
//! A worker without work *lies down*: it enters itself here, looks for work once more, and sleeps in
//! its [`Bed`]. One of those that sleep is the *waiter*: its bed has an alarm, set for the earliest
//! deadline of all and moved from anywhere; the others sleep without end. If the waiter gets up,
//! another sleeper becomes it, by having its alarm set.
//!
//! # No work is left lying
//!
//! `counts` says how many sleep and how many *search*, which is to look through the queues of others.
//! Who pushes work wakes a sleeper only if nobody searches: so one push wakes one worker at most,
//! and that one, once it has found something, wakes the next if there is more.
//!
//! - Who pushes: push, fence, read `counts`. Who lies down: write `counts`, fence, look at every
//!   queue. One of the two sees the other (Dekker's argument; both fences are sequentially
//!   consistent), so either the sleeper finds the work or the pusher finds the sleeper.
//! - A searcher that keeps others from being woken by being counted, and then finds nothing, lies
//!   down: it is no longer counted before it looks at every queue for the last time. If it finds
//!   something then, there may be more: it is counted again, and searches.
//! - A searcher that finds work is no longer counted before it looks whether there is more, and is
//!   the one to wake the next.
//! - A batch of tasks that moves from one queue to another is in neither for a moment. A searcher
//!   that moves one looks for more after that, as above; who is none wakes a sleeper after that, as
//!   if it had pushed what is left.
//!
//! # No deadline is overslept
//!
//! `until` is for when the alarm is to be set, whoever waits; it is written and put to a bed under
//! the lock, so beds hear of changes in order. Whoever lies down attends to the alarm (see
//! `backend::alarm`) before it sleeps, so `until` is right before anyone relies on it. While nobody
//! sleeps no timer need call; that is told to the drivers under the lock, so that it cannot
//! overtake the announcements of one who lies down.
//!
//! # No task is left in a slot
//!
//! A task in a worker's LIFO slot is in no queue. The same alarm rings when the slots are to be looked
//! at, see `slots`.

mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::slots::Report;
use self::slots::{EARLIER, Slots};
use crate::instant::NEVER;
use crate::rt::bed::Bed;
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering, fence},
    lock,
};

/// In `counts`, searchers are counted in ones and sleepers in these.
const SLEEPER: usize = 1 << 16;

pub(crate) struct Idle {
    counts: AtomicUsize,
    sleepers: Mutex<Sleepers>,
    beds: Box<[Bed]>,
    slots: Slots,
}

struct Sleepers {
    /// Who sleeps; the last to lie down is the first to be woken, its caches are the warmest.
    workers: Vec<usize>,
    waiter: Option<usize>,
    /// How many workers there are: a thread runs them.
    present: usize,
    /// The workers whose parker is armed: they are about to park, or have.
    armed: Box<[bool]>,
    /// When the waiter's alarm is to ring, in nanoseconds of the system's monotonic clock.
    until: u64,
}

/// What a worker learns when it gets up.
pub(crate) struct Up {
    /// Somebody woke it for work: it counts as one who searches.
    pub(crate) called: bool,
    /// Its alarm has rung: the drivers' alarm has to be told.
    pub(crate) rang: bool,
    /// It was woken to look at the LIFO slots.
    pub(crate) must_look: bool,
}

impl Idle {
    pub(crate) fn new(beds: Box<[Bed]>) -> Arc<Self> {
        Arc::new(Self {
            counts: AtomicUsize::new(0),
            sleepers: Mutex::new(Sleepers {
                workers: Vec::with_capacity(beds.len()),
                waiter: None,
                armed: beds.iter().map(|_| false).collect(),
                present: 0,
                until: NEVER,
            }),
            slots: Slots::new(beds.len()),
            beds,
        })
    }

    pub(crate) fn bed(&self, worker: usize) -> &Bed {
        &self.beds[worker]
    }

    /// Enters a worker among those that are parked, and, if it was searching, no longer among those that
    /// search. To be followed by a look at all queues.
    pub(crate) fn lie_down(&self, worker: usize, searched: bool) {
        let mut sleepers = self.lock();
        sleepers.workers.push(worker);
        sleepers.armed[worker] = false;
        if sleepers.waiter.is_none() {
            sleepers.waiter = Some(worker);
        }
        self.stop_looks(&sleepers);
        let change = SLEEPER - usize::from(searched);
        self.counts.fetch_add(change, Ordering::SeqCst);
        drop(sleepers);
        fence(Ordering::SeqCst);
    }

    /// Returns whether every worker is parked, or about to be. `ends` says whether the runtime does, and
    /// has to be asked after [`lie_down`](Self::lie_down): a runtime that ends later unparks the worker.
    pub(crate) fn is_all_parked(&self, ends: bool) -> bool {
        self.all_parked(&self.lock(), ends)
    }

    /// Puts alarm and watch to the bed of a worker that is about to sleep.
    pub(crate) fn settle(&self, worker: usize) {
        let mut sleepers = self.lock();
        sleepers.armed[worker] = true;
        let waits = sleepers.waiter == Some(worker);
        let until = if waits { self.alarm(&sleepers) } else { NEVER };
        // The caller is running, so nobody has to be unparked.
        self.beds[worker].set_alarm(until);
        self.beds[worker].set_watch(waits);
    }

    /// Strikes a worker off that has slept, or would not after all. `now` is the system's monotonic
    /// clock; `last` is called under the lock if nobody sleeps any more.
    pub(crate) fn get_up(&self, worker: usize, now: u64, last: impl FnOnce()) -> Up {
        let mut sleepers = self.lock();
        let rang = sleepers.waiter == Some(worker) && sleepers.until <= now;
        if rang {
            sleepers.until = NEVER;
        }
        let must_look = sleepers.waiter == Some(worker) && self.slots.due() <= now;
        if must_look {
            self.slots.put_off(now);
        }
        let found = sleepers.workers.iter().rposition(|&known| known == worker);
        let Some(at) = found else {
            return Up {
                called: true,
                rang,
                must_look,
            };
        };
        let heir = self.strike(&mut sleepers, at, 0, last);
        drop(sleepers);
        self.wake_bed(heir);
        Up {
            called: false,
            rang,
            must_look,
        }
    }

    /// Strikes a worker off if all sleep, so that it can move time while nobody works; `false` leaves
    /// it where it is.
    pub(crate) fn get_up_last(&self, worker: usize, ends: bool, last: impl FnOnce()) -> bool {
        let mut sleepers = self.lock();
        let found = sleepers.workers.iter().rposition(|&known| known == worker);
        let Some(at) = found.filter(|_| self.all_parked(&sleepers, ends)) else {
            return false;
        };
        let heir = self.strike(&mut sleepers, at, 0, last);
        drop(sleepers);
        self.wake_bed(heir);
        true
    }

    /// Wakes a sleeper for new work, unless somebody searches.
    ///
    /// To be called after the push, on any thread.
    #[inline]
    pub(crate) fn wake_one(&self, last: impl FnOnce()) {
        fence(Ordering::SeqCst);
        if wants_searcher(self.counts.load(Ordering::Relaxed)) {
            self.call_one(last);
        }
    }

    #[cold]
    fn call_one(&self, last: impl FnOnce()) {
        let mut sleepers = self.lock();
        if !wants_searcher(self.counts.load(Ordering::Relaxed)) {
            return;
        }
        // Rather not the waiter: its alarm would have to be handed on.
        let workers = &sleepers.workers;
        let other = workers.iter().rposition(|&w| Some(w) != sleepers.waiter);
        let Some(at) = other.or(workers.len().checked_sub(1)) else {
            return;
        };
        let worker = workers[at];
        let heir = self.strike(&mut sleepers, at, 1, last);
        drop(sleepers);
        self.wake_bed(heir);
        self.beds[worker].wake();
    }

    /// Wakes a certain worker, if it sleeps. To be called after what it is to find has been put
    /// where it looks between lying down and sleeping, and a fence.
    pub(crate) fn wake(&self, worker: usize, last: impl FnOnce()) {
        if self.counts.load(Ordering::Relaxed) < SLEEPER {
            return;
        }
        let mut sleepers = self.lock();
        let Some(at) = sleepers.workers.iter().rposition(|&known| known == worker) else {
            return;
        };
        let heir = self.strike(&mut sleepers, at, 1, last);
        drop(sleepers);
        self.wake_bed(heir);
        self.beds[worker].wake();
    }

    /// Makes the waiter, if there is one, get up and look again.
    pub(crate) fn wake_waiter(&self) {
        let waiter = self.lock().waiter;
        self.wake_bed(waiter);
    }

    /// Sets when the waiter's alarm rings.
    pub(crate) fn set_until(&self, until: u64) {
        let mut sleepers = self.lock();
        sleepers.until = until;
        let waiter = sleepers.waiter;
        let must_wake = waiter.filter(|&waiter| self.set_alarm(&sleepers, waiter));
        drop(sleepers);
        self.wake_bed(must_wake);
    }

    /// Counts a worker as present: a thread begins to run it.
    pub(crate) fn arrive(&self) {
        self.lock().present += 1;
    }

    /// Counts a worker as absent: its thread stops running it. It is not parked. `ends` says whether the
    /// runtime does.
    pub(crate) fn depart(&self, ends: bool) {
        let mut sleepers = self.lock();
        sleepers.present -= 1;
        self.stop_looks(&sleepers);
        // Every worker may be parked now: then the one that waits is to move time on.
        let waiter = sleepers.waiter.filter(|_| self.all_parked(&sleepers, ends));
        drop(sleepers);
        self.wake_bed(waiter);
    }

    /// Returns the flag that tells a worker to report that its LIFO slot is full.
    pub(crate) fn report(&self, worker: usize) -> &Arc<Report> {
        self.slots.report(worker)
    }

    /// Notes that a worker's LIFO slot is full while it runs a task, so that somebody looks at the
    /// slots before long. `now` is the system's monotonic clock, here and below.
    #[cold]
    pub(crate) fn report_full_slot(&self, worker: usize, now: u64) {
        let sleepers = self.lock();
        if !self.slots.note_use(worker, now) {
            return;
        }
        let waiter = sleepers.waiter;
        let must_wake = waiter.filter(|&waiter| self.set_alarm(&sleepers, waiter));
        drop(sleepers);
        self.wake_bed(must_wake);
    }

    /// Returns whether the slots are looked at now and then.
    #[inline]
    pub(crate) fn has_looks(&self) -> bool {
        self.slots.due() != NEVER
    }

    /// Looks at the LIFO slots, if it is about time or `must_look`, for a worker that runs no task
    /// just now. Returns the workers from whose slot it should take the task.
    pub(crate) fn look_at_slots(
        &self,
        worker: usize,
        now: u64,
        must_look: bool,
        is_full: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let is_due = || must_look || self.slots.due() <= now.saturating_add(EARLIER);
        if !is_due() {
            return Vec::new();
        }
        let sleepers = self.lock();
        if !is_due() {
            return Vec::new();
        }
        let stuck = self.slots.look(worker, now, is_full);
        let waiter = sleepers.waiter;
        let must_wake = waiter.filter(|&waiter| self.set_alarm(&sleepers, waiter));
        drop(sleepers);
        self.wake_bed(must_wake);
        stuck
    }

    /// Ends the looks at the slots if every worker is parked, or nobody is there to be parked.
    fn stop_looks(&self, sleepers: &Sleepers) {
        if sleepers.workers.len() == sleepers.present
            && self.slots.stop()
            && let Some(waiter) = sleepers.waiter
        {
            // To later: that needs no wake.
            self.set_alarm(sleepers, waiter);
        }
    }

    /// Returns when the waiter has to get up by itself.
    fn alarm(&self, sleepers: &Sleepers) -> u64 {
        sleepers.until.min(self.slots.due())
    }

    /// Sets the alarm of the waiter. Returns whether it has to be woken for that.
    fn set_alarm(&self, sleepers: &Sleepers, waiter: usize) -> bool {
        // One that is not armed yet does so itself before it parks.
        sleepers.armed[waiter] && self.beds[waiter].set_alarm(self.alarm(sleepers))
    }

    /// Whether anybody sleeps; to be asked after something that who lies down looks at.
    pub(crate) fn anybody_sleeps(&self) -> bool {
        fence(Ordering::SeqCst);
        self.counts.load(Ordering::Relaxed) >= SLEEPER
    }

    /// Counts a worker among those that search; `false` if half of all do so already, and it does not
    /// insist.
    pub(crate) fn start_search(&self, insists: bool) -> bool {
        let counts = self.counts.load(Ordering::Relaxed);
        if !insists && counts % SLEEPER * 2 >= self.beds.len() {
            return false;
        }
        self.counts.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Counts a worker that has found work no longer among those that search; whether it was the
    /// last, which looks whether there is more, and then calls [`wake_one`](Self::wake_one).
    pub(crate) fn end_search(&self) -> bool {
        let before = self.counts.fetch_sub(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        before % SLEEPER == 1
    }

    /// Strikes off the sleeper at a place in the list and lets another one wait; returns who must
    /// be woken to do so, if that has to look at its alarm itself.
    fn strike(
        &self,
        sleepers: &mut Sleepers,
        at: usize,
        searching: usize,
        last: impl FnOnce(),
    ) -> Option<usize> {
        let worker = sleepers.workers.remove(at);
        // In this order: sleepers are subtracted, then the searcher added, in one step.
        self.counts.fetch_sub(SLEEPER - searching, Ordering::SeqCst);
        if sleepers.workers.is_empty() {
            sleepers.waiter = None;
            last();
            return None;
        }
        if sleepers.waiter != Some(worker) {
            return None;
        }
        let heir = *sleepers.workers.last()?;
        sleepers.waiter = Some(heir);
        if !sleepers.armed[heir] {
            // It does so itself before it parks.
            return None;
        }
        let must_wake = self.set_alarm(sleepers, heir) | self.beds[heir].set_watch(true);
        must_wake.then_some(heir)
    }

    /// Returns whether no worker runs. In a runtime that `ends`, a worker that is absent does not come
    /// back; in any other, time that is moved by hand waits for it.
    fn all_parked(&self, sleepers: &Sleepers, ends: bool) -> bool {
        let expected = if ends {
            sleepers.present
        } else {
            self.beds.len()
        };
        sleepers.workers.len() == expected
    }

    fn wake_bed(&self, worker: Option<usize>) {
        if let Some(worker) = worker {
            self.beds[worker].wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        lock(&self.sleepers)
    }
}

/// Whether somebody sleeps and nobody searches.
fn wants_searcher(counts: usize) -> bool {
    counts >= SLEEPER && counts.is_multiple_of(SLEEPER)
}
