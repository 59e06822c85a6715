//! A sharded driver: one driver for each thread of a runtime, and one wake source for all of them.
//!
//! Each thread of the runtime has a driver of its own here, a *shard*, so that arming and dropping
//! timers on one thread never waits for another. Whichever of its threads block, one of them wakes
//! for all timers, at one time: its [`WakeSource`] is set for the earliest deadline of all shards.
//! On a tokio runtime the source is a timer that tokio waits for, because tokio asks nobody how
//! long it may park; on our own executor it is the parker of one worker.
//!
//! # The protocol
//!
//! Each shard announces, as a driver that parks does (see `shared`), until when it needs no
//! attention: its own next deadline. A thread that arms an earlier timer clears the announcement,
//! under the shard's lock, and calls [`rearm`](ShardedDriver::rearm).
//!
//! `rearm` scans the shards whose announcement was cleared, announces anew, and sets the wake
//! source. One thread does so at a time, and no other waits for it: `requests` counts the calls.
//! The thread that raises the count from zero scans, and leaves once the count has not changed
//! since the scan began. The source may expire while it is being set, and so call back: that is one
//! more request.
//!
//! In a storm of calls the count changes during every scan. The scanning thread has work of its
//! own, so after [`MAX_SCANS`] scans it leaves the next one to the thread that calls next:
//!
//! 1. It has the source expire soon. So there is a next call: that of the source.
//! 2. It marks the count as [`PENDING`]. The thread that finds the mark removes it, and scans.
//! 3. If the source has expired between the two, that call may have come before the mark, and no
//!    other may follow. Then the thread removes the mark itself, unless another one has, and scans.
//!
//! Timers fire on the runtime's threads, when the source expires or a busy thread finds them due,
//! and nowhere else: a thread that arms or drops a timer may hold locks that the wakers of other
//! tasks take. (With one exception: a thread that arms a timer while the runtime shuts down may be
//! the one that finds it gone, and then wakes the tasks of all its timers.) A shard that has fired
//! clears its announcement, and `rearm` has to follow. No scan fires timers, so a waker that takes
//! long keeps no thread from setting the source.
//!
//! Invariant: for each timer one of these holds.
//!
//! - Its shard's announcement is cleared, and a scan is to come.
//! - Its shard has announced its next deadline, and the source is set to expire by then.
//! - All announcements are cleared, and the source is set: the slack decides when it expires.
//! - All announcements are cleared because all threads of the runtime run: they poll the timers,
//!   and the next one that parks scans.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::Clock;
use crate::driver::shared::Shared;
use crate::driver::slack::{Limit, NO_INTERRUPT, Planner};
use crate::instant::NEVER;
use crate::sync::{
    self, Mutex,
    atomic::{AtomicUsize, Ordering},
    lock,
};

/// Wakes the runtime that a sharded driver belongs to; it expires once each time that it is set.
///
/// A source that panics counts as gone.
pub(crate) trait WakeSource: Send + 'static {
    /// Notes that the source has expired.
    fn note_expired(&mut self) -> Liveness;

    /// Sets the source to expire at `at` by the drivers' clock, instead of when it was set for
    /// before. [`NEVER`] disarms it; with a time that has passed it expires soon.
    fn set(&mut self, at: u64) -> Liveness;

    /// Sets the source to expire soon, instead of when it was set for before; `now` is what the
    /// drivers' clock shows.
    fn set_soon(&mut self, now: u64) -> Liveness {
        self.set(now)
    }
}

/// Whether the runtime behind a [`WakeSource`] is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Gone,
}

/// How many scans in a row a thread makes before it leaves the next one to the next thread that
/// calls.
const MAX_SCANS: usize = sync::in_models(2, 16);

/// Set in `requests` while a scan is to be made and no thread makes one.
const PENDING: usize = 1 << (usize::BITS - 1);

/// The drivers of a runtime's threads, and the wake source that they share.
pub(crate) struct ShardedDriver<W> {
    clock: Clock,
    shards: Box<[Arc<Shared>]>,
    /// Zero if no thread scans and none has to. Otherwise how often [`rearm`](Self::rearm) was
    /// called since it was last zero, and perhaps [`PENDING`].
    requests: AtomicUsize,
    /// How often the source has expired.
    expirations: AtomicUsize,
    /// How many timers fired since the last scan.
    fired: AtomicUsize,
    setting: Mutex<Place<W>>,
}

/// Where the setting is. The thread that scans takes it out, so that foreign code runs outside of
/// the lock.
enum Place<W> {
    Present(Setting<W>),
    TakenOut,
    /// The runtime is gone.
    Closed,
}

struct Setting<W> {
    source: W,
    /// When the source will expire, `None` if the next scan has to set it in any case. Most scans
    /// find that it is right, and are spared a system call, or the lock of the parked workers.
    at: Option<u64>,
    /// How many expirations the source was told of.
    expirations: usize,
    planner: Planner,
}

impl<W: WakeSource> ShardedDriver<W> {
    pub(crate) fn new(source: W, clock: Clock, slack: Limit, shards: Box<[Arc<Shared>]>) -> Self {
        Self {
            clock,
            shards,
            requests: AtomicUsize::new(0),
            expirations: AtomicUsize::new(0),
            fired: AtomicUsize::new(0),
            setting: Mutex::new(Place::Present(Setting {
                source,
                at: None,
                expirations: 0,
                planner: Planner::new(slack),
            })),
        }
    }

    pub(crate) fn shards(&self) -> &[Arc<Shared>] {
        &self.shards
    }

    /// Fires what is due and sets the wake source again. To be called when the source has expired,
    /// on a thread of the runtime. Returns whether the runtime turned out to be gone.
    #[cfg(any(feature = "tokio", test))]
    pub(crate) fn expire(&self) -> bool {
        self.note_expired();
        self.fire(self.clock.nanos(), usize::MAX);
        self.rearm()
    }

    /// Notes that the source has expired: the next scan sets it, even for the same time.
    /// [`rearm`](Self::rearm) has to follow.
    pub(crate) fn note_expired(&self) {
        // Release: pairs with the load in `scan`.
        self.expirations.fetch_add(1, Ordering::Release);
    }

    /// Scans the shards and sets the wake source, or leaves that to the thread that is doing so
    /// now. Returns whether the runtime turned out to be gone.
    pub(crate) fn rearm(&self) -> bool {
        // AcqRel: the thread that scans sees what this one did before, and this one what that one
        // did.
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        if before != 0 && (before & PENDING == 0 || !self.take_pending()) {
            return false;
        }
        let mut scans = 0;
        loop {
            scans += 1;
            // Acquire: pairs with the increment of each request.
            let seen = self.requests.load(Ordering::Acquire);
            if self.with_setting(|setting| self.scan(setting)) == Liveness::Gone {
                self.close();
                return true;
            }
            let left = self
                .requests
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
            if left.is_ok() {
                return false;
            }
            if scans < MAX_SCANS {
                continue;
            }
            match self.leave_to_next_call() {
                Left::ToNextCall => return false,
                Left::ToThisThread => {}
                Left::Gone => {
                    self.close();
                    return true;
                }
            }
        }
    }

    /// Leaves the next scan to the next call, in the three steps that the head of this file tells.
    fn leave_to_next_call(&self) -> Left {
        let mut known = 0;
        let set_soon = |setting: &mut Setting<W>| {
            known = setting.expirations;
            self.set_soon(setting)
        };
        if self.with_setting(set_soon) == Liveness::Gone {
            return Left::Gone;
        }
        // AcqRel: if the source has called before this, its expiration is seen below. If it calls
        // after this, it sees the mark, and all that this thread did.
        self.requests.fetch_or(PENDING, Ordering::AcqRel);
        // If the source has expired since it was set, its call may have come before the mark. It
        // need not expire again until a scan has noted that, so no other call may follow.
        if self.expirations.load(Ordering::Relaxed) == known || !self.take_pending() {
            return Left::ToNextCall;
        }
        Left::ToThisThread
    }

    /// Like [`rearm`](Self::rearm), and sets the wake source even if it is set for the right time:
    /// the clock may have jumped.
    pub(crate) fn rearm_anew(&self) -> bool {
        // As if the source had expired.
        self.note_expired();
        self.rearm()
    }

    /// Removes the mark that a scan is to be made. Returns whether it was still there: then the
    /// caller makes the scan.
    fn take_pending(&self) -> bool {
        // AcqRel: as in `rearm`.
        self.requests.fetch_and(!PENDING, Ordering::AcqRel) & PENDING != 0
    }

    /// Calls `act` with the setting, on the thread that scans. If another thread has closed the
    /// driver, returns [`Liveness::Alive`]: there is nothing left to close.
    fn with_setting(&self, act: impl FnOnce(&mut Setting<W>) -> Liveness) -> Liveness {
        let mut setting = {
            let mut place = lock(&self.setting);
            match std::mem::replace(&mut *place, Place::TakenOut) {
                Place::Present(setting) => setting,
                gone => {
                    debug_assert!(matches!(gone, Place::Closed), "two threads scan");
                    *place = gone;
                    return Liveness::Alive;
                }
            }
        };
        // A source that panics counts as gone. Otherwise no thread would ever scan again.
        let liveness =
            catch_unwind(AssertUnwindSafe(|| act(&mut setting))).unwrap_or(Liveness::Gone);
        let mut place = lock(&self.setting);
        if liveness == Liveness::Alive && !matches!(*place, Place::Closed) {
            *place = Place::Present(setting);
            return liveness;
        }
        drop(place);
        // Its destructor is foreign code: outside of the lock.
        drop(setting);
        liveness
    }

    /// Has the source expire soon, because this thread has scanned often enough.
    fn set_soon(&self, setting: &mut Setting<W>) -> Liveness {
        // Whatever the next scan finds, it sets the source.
        setting.at = None;
        // At least 1: for some sources zero means that they never expire.
        setting.source.set_soon(self.clock.nanos().max(1))
    }

    fn scan(&self, setting: &mut Setting<W>) -> Liveness {
        let expirations = self.expirations.load(Ordering::Acquire);
        if expirations != setting.expirations {
            setting.expirations = expirations;
            setting.at = None;
            self.shards.iter().for_each(|shard| shard.note_timed_wake());
            if setting.source.note_expired() == Liveness::Gone {
                return Liveness::Gone;
            }
        }
        let fired = self.fired.swap(0, Ordering::Relaxed);
        if fired > 0 {
            setting.planner.fired(self.clock.nanos(), fired);
        }

        let next = self.shards.iter().map(|shard| announce(shard)).min();
        let plan = setting.planner.plan(next.unwrap_or(NEVER));
        if plan.is_fixed() {
            // No timer that is armed from now on changes that, so none needs to request a scan. All
            // shards are scanned after the source has expired.
            self.clear_announcements();
        }
        if setting.at == Some(plan.wake_at) {
            return Liveness::Alive;
        }
        setting.at = Some(plan.wake_at);
        setting.source.set(plan.wake_at)
    }

    /// Clears all announcements: no loop waits for the timers just now, or it waits for a time that
    /// no timer changes, and a thread that arms one need not call.
    pub(crate) fn clear_announcements(&self) {
        self.shards
            .iter()
            .for_each(|shard| shard.clear_announcement());
    }

    /// Fires what is due at `now` in all shards, at most about `budget` timers. Returns how many
    /// fired.
    ///
    /// [`rearm`](Self::rearm) has to follow, also if none were due.
    pub(crate) fn fire(&self, now: u64, budget: usize) -> usize {
        let mut fired = 0;
        for shard in 0..self.shards.len() {
            if fired < budget {
                fired += self.fire_shard(shard, now, budget - fired);
            }
        }
        fired
    }

    /// Like [`fire`](Self::fire), in one shard.
    pub(crate) fn fire_shard(&self, shard: usize, now: u64, budget: usize) -> usize {
        let shard = &self.shards[shard];
        if !shard.may_be_due(now) {
            return 0;
        }
        shard.note_turn(now);
        let (fired, _) = shard.fire(now, budget);
        self.fired.fetch_add(fired, Ordering::Relaxed);
        shard.clear_announcement();
        fired
    }

    /// Closes all shards: the tasks of their timers are woken, and the timers move to another
    /// driver.
    ///
    /// From then on no thread scans; one that is scanning now drops the source when it has
    /// finished.
    pub(crate) fn close(&self) {
        let place = std::mem::replace(&mut *lock(&self.setting), Place::Closed);
        drop(place);
        for shard in &self.shards {
            shard.close();
        }
    }
}

/// To whom the scanning thread has left the next scan.
enum Left {
    ToNextCall,
    ToThisThread,
    /// To none: the runtime is gone.
    Gone,
}

/// Has a shard announce its next deadline, or a margin before that; returns what it announced.
fn announce(shard: &Shared) -> u64 {
    let announced = shard.interrupt_before();
    // If `next` is later than the announcement, another thread has just fired what was announced
    // and has not cleared the announcement yet. Then the next deadline has to be read under the
    // lock.
    if announced != NO_INTERRUPT && shard.may_be_due(announced) {
        return announced;
    }
    // The clock is foreign code: not under the lock.
    let now = shard.needs_margin().then(|| shard.clock.nanos());
    let (state, next) = shard.lock_and_find_next(false);
    let next = now.map_or(next, |now| shard.before(next, now));
    let next = next.max(NO_INTERRUPT + 1);
    shard.announce_park(&state, next);
    next
}

#[cfg(all(test, not(loom)))]
mod tests;
