//! A sharded driver: the drivers of a runtime, and one wake source for all of them.
//!
//! Each worker of the runtime has a driver of its own here, a *shard*, and all other threads share
//! one more. (A tokio runtime of one worker has a single shard, for all threads.) So a worker that
//! arms or drops a timer does not wait for another worker, as a rule. One blocked thread wakes for
//! the timers of all: the runtime's [`WakeSource`] is set for the earliest deadline of all shards.
//! On a tokio runtime the source is a timer or descriptor that tokio waits for, because tokio asks
//! nobody how long it may park; on our own executor it is the timeout of one parked worker.
//!
//! # The protocol
//!
//! Each shard announces, as a driver that parks does (see `shared`), until when it needs no
//! attention: its own next deadline, or an earlier time. A thread that arms an earlier timer clears
//! the announcement, under the shard's lock, and calls [`replan`](ShardedDriver::replan).
//!
//! `replan` scans the shards whose announcement was cleared, announces anew, and sets the wake
//! source. One thread does so at a time, and no other waits for it: `requests` counts the calls.
//! The thread that raises the count from zero scans, and leaves once the count has not changed
//! since the scan began. The source may expire while it is being set. The thread that it wakes then
//! calls `replan`, which is one more request.
//!
//! If threads keep calling, the count changes during every scan. The scanning thread has work of
//! its own, so after [`MAX_SCANS`] scans it leaves the next one to the thread that calls next:
//!
//! 1. It sets the source to expire soon. So there is a next call: that of the thread that it wakes.
//! 2. It marks the count as [`SCAN_OWED`]. The thread that finds the mark removes it, and scans.
//! 3. The source may have expired after step 1 and before step 2. Then the call of the woken thread
//!    has found no mark, and made no scan, and perhaps no other call follows. So the scanning
//!    thread looks whether the source has expired. If it has, and the mark is still there, the
//!    scanning thread removes the mark, and scans. (If the mark is gone, the thread that has
//!    removed it scans.)
//!
//! Timers fire on the runtime's threads, when the source expires or a busy thread finds them due.
//! If the clock is moved, each shard also fires on the thread that moves it. A thread that arms or
//! drops a timer fires none: it may hold locks that the wakers of other tasks take. So a scan fires
//! no timers. If it finds that the runtime is gone, it does not close the driver either: it returns
//! `Gone`. On tokio the caller then asks a thread that holds no lock of the user's to close the
//! driver. (On `rt` the caller need do nothing: see `KeeperTimeout`.) When the runtime fires the
//! timers of a shard, it clears the shard's announcement, and, if a worker is parked, has to
//! call `replan` afterwards.
//!
//! The clock is foreign code, and may panic. If a scan cannot read it, it sets the source to expire
//! soon, and the next scan reads it again. If nothing followed, the timers of a runtime whose
//! threads all wait would never fire.
//!
//! Invariant: for each timer one of these holds, unless a scan is under way, which is about to set
//! the source.
//!
//! - Its shard's announcement is cleared, and a scan is to come.
//! - Its shard has announced its next deadline, or an earlier time, and the source is set to expire
//!   by then. (On a frozen clock a source of `rt` that is set for a deadline does not expire: to
//!   set it makes the keeper look at the timers again, at once. If it is set to expire soon, it
//!   does.)
//! - All announcements are cleared because the slack has fixed when the source expires: no timer
//!   that is armed before then changes that (`Plan::is_fixed`).
//! - All announcements are cleared because no worker is parked: the workers poll the timers, and
//!   the next one that parks scans.

use std::sync::Arc;

use crate::clock::Clock;
use crate::driver::shared::Shared;
use crate::driver::slack::{NO_INTERRUPT, Plan, Planner, Sample, SharedSlack};
use crate::instant::NEVER;
use crate::panic::catch_panic;
use crate::sync::{
    self, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    lock,
};

/// Wakes the runtime that a sharded driver belongs to; it expires once each time that it is set.
///
/// Its functions wake no task: they may run inside a call of the user's, such as one that arms a
/// timer, and the user may hold a lock that the wakers of other tasks take. A source that panics
/// counts as gone.
pub(crate) trait WakeSource: Send + 'static {
    /// Sets the source to expire at `at` by the drivers' clock. This replaces the time that was set
    /// before. [`NEVER`] disarms it; with a time that has passed it expires soon.
    fn set(&mut self, at: u64) -> Liveness;

    /// Sets the source to expire soon. This, too, replaces the time that was set before. `now` is
    /// what the drivers' clock shows, or a time that has passed if the clock cannot be read.
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
const MAX_SCANS: usize = sync::under_loom_or(2, 16);

/// Set in `requests` while a scan is left to the next thread that calls.
const SCAN_OWED: usize = 1 << (usize::BITS - 1);

/// The drivers of a runtime's threads, and the wake source that they share.
pub(crate) struct ShardedDriver<W> {
    clock: Clock,
    slack: SharedSlack,
    shards: Box<[Arc<Shared>]>,
    /// Zero if no thread scans and none has to. Otherwise how often [`replan`](Self::replan) was
    /// called since it was last zero, and perhaps [`SCAN_OWED`]. (Once a scan has found the runtime
    /// gone, it stays above zero.)
    requests: AtomicUsize,
    /// How often the source has expired, or had to be set anew for another reason: see
    /// [`note_expired`](Self::note_expired).
    expirations: AtomicUsize,
    /// How many timers fired since the last scan.
    fired: AtomicUsize,
    /// For tokio: whether the last firing may have left due timers. If so, the source is set for
    /// the earliest deadline, without slack, until it expires again.
    more_due: AtomicBool,
    /// The shard at which the next call of [`fire`](Self::fire) begins.
    first: AtomicUsize,
    scanner: Mutex<ScannerSlot<W>>,
}

/// Where the scanner is. The thread that scans takes it out, so that foreign code runs outside of
/// the lock.
enum ScannerSlot<W> {
    Present(Scanner<W>),
    /// A thread is scanning.
    TakenOut,
    /// No thread scans any more. What is left of the scanner is dropped by the next
    /// [`close`](ShardedDriver::close).
    Closed(Option<Scanner<W>>),
}

/// What a scan works with.
struct Scanner<W> {
    source: W,
    /// When the source will expire, `None` if the next scan has to set it in any case. Most scans
    /// find that it is right, and are spared a system call, or the lock of the parked workers.
    set_for: Option<u64>,
    /// How many expirations the scans have taken note of.
    expirations: usize,
    planner: Planner,
}

/// The thread that makes the next scan, after one thread has made [`MAX_SCANS`].
enum NextScan {
    /// The one that calls next.
    ByNextCaller,
    ByThisThread,
    /// None: the runtime is gone.
    Never,
}

impl<W: WakeSource> ShardedDriver<W> {
    pub(crate) fn new(
        source: W,
        clock: Clock,
        slack: SharedSlack,
        shards: Box<[Arc<Shared>]>,
    ) -> Self {
        Self {
            clock,
            slack: slack.clone(),
            shards,
            requests: AtomicUsize::new(0),
            expirations: AtomicUsize::new(0),
            fired: AtomicUsize::new(0),
            more_due: AtomicBool::new(false),
            first: AtomicUsize::new(0),
            scanner: Mutex::new(ScannerSlot::Present(Scanner {
                source,
                set_for: None,
                expirations: 0,
                planner: Planner::new(slack),
            })),
        }
    }

    pub(crate) fn shards(&self) -> &[Arc<Shared>] {
        &self.shards
    }

    /// Fires what is due, and then calls [`replan`](Self::replan), as a runtime does.
    #[cfg(test)]
    pub(crate) fn expire(&self, most: usize) -> Liveness {
        self.fire_expired(most);
        self.replan()
    }

    /// Fires what is due. To be called when the source has expired, on a thread of the runtime;
    /// [`replan`](Self::replan) has to follow.
    ///
    /// It fires about `most` timers, in whole batches. In each shard it
    /// also ends after some 4096 slots of timers that were put off or removed, if few timers are
    /// due among them. If that leaves something due, the source expires again soon.
    #[cfg(any(feature = "tokio", test))]
    pub(crate) fn fire_expired(&self, most: usize) {
        self.note_expired();
        let (_, more) = self.fire(self.clock.nanos(), most);
        // Relaxed: `replan` makes it visible.
        self.more_due.store(more, Ordering::Relaxed);
    }

    /// Returns the slack, in nanoseconds.
    #[cfg(feature = "rt")]
    pub(crate) fn slack(&self) -> u64 {
        self.slack.get()
    }

    /// Begins to measure the wait for the source that this thread is about to make. (Only now and
    /// then is a wait measured. For the others it returns `None`.)
    #[inline]
    pub(crate) fn begin_sample(&self) -> Option<Sample> {
        self.slack.begin_sample()
    }

    /// Notes what a wait has cost that [`begin_sample`](Self::begin_sample) has begun to measure,
    /// and that has ended because the source has expired.
    pub(crate) fn note_cost(&self, nanos: u64) {
        self.slack.note_sample(nanos);
    }

    /// Notes that the source has expired, or may have: the next scan sets it, even for the same
    /// time. [`replan`](Self::replan) has to follow.
    pub(crate) fn note_expired(&self) {
        // Release: pairs with the load in `announce_and_plan`.
        self.expirations.fetch_add(1, Ordering::Release);
    }

    /// Scans the shards and sets the wake source, or leaves that to the thread that is doing so
    /// now.
    ///
    /// If it returns [`Liveness::Gone`], [`close`](Self::close) has to be called: by the caller, if
    /// it holds no lock that foreign code takes, otherwise by another thread. (That is so on tokio.
    /// For `rt` see `KeeperTimeout`.)
    pub(crate) fn replan(&self) -> Liveness {
        // AcqRel: the thread that scans sees what this thread did before the call. If this thread
        // scans, it sees what the scanning thread before it did.
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        if before != 0 && (before & SCAN_OWED == 0 || !self.take_owed_scan()) {
            return Liveness::Alive;
        }
        let mut scans = 0;
        loop {
            scans += 1;
            // Acquire: pairs with the increment of each request.
            let seen = self.requests.load(Ordering::Acquire);
            if self.with_scanner(|scanner| self.scan(scanner)) == Liveness::Gone {
                // `requests` stays above zero on purpose: no thread scans any more.
                return Liveness::Gone;
            }
            let unchanged =
                self.requests
                    .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
            if unchanged.is_ok() {
                return Liveness::Alive;
            }
            if scans < MAX_SCANS {
                continue;
            }
            match self.leave_to_next_caller() {
                NextScan::ByNextCaller => return Liveness::Alive,
                NextScan::ByThisThread => {}
                NextScan::Never => return Liveness::Gone,
            }
        }
    }

    /// Leaves the next scan to the thread that calls next, in the three steps at the head of this
    /// file.
    fn leave_to_next_caller(&self) -> NextScan {
        let mut known = 0;
        let set_soon = |scanner: &mut Scanner<W>| {
            known = scanner.expirations;
            self.set_soon(scanner)
        };
        if self.with_scanner(set_soon) == Liveness::Gone {
            return NextScan::Never;
        }
        // AcqRel: if the thread that the source wakes has called before this, its `note_expired` is
        // seen below. If it calls after this, it sees the mark, and all that this thread did.
        self.requests.fetch_or(SCAN_OWED, Ordering::AcqRel);
        // If the source has expired since it was set, the thread that it woke may have called
        // before the mark was set. The source expires once for each time that it is set, so perhaps
        // no other call follows.
        if self.expirations.load(Ordering::Relaxed) == known || !self.take_owed_scan() {
            return NextScan::ByNextCaller;
        }
        NextScan::ByThisThread
    }

    /// Like [`replan`](Self::replan), and sets the wake source even if it is set for the right
    /// time: the clock may have jumped.
    pub(crate) fn replan_from_scratch(&self) -> Liveness {
        // As if the source had expired.
        self.note_expired();
        self.replan()
    }

    /// Sets the source for the first time, after `watch` has made the runtime wait for it.
    ///
    /// The source may have been set before, by a thread that armed a timer, and have expired while
    /// nothing waited for it. `watch` then takes that expiration, and no call follows.
    #[cfg(any(feature = "tokio", test))]
    pub(crate) fn start(&self, watch: impl FnOnce() -> Liveness) -> Liveness {
        match watch() {
            Liveness::Alive => self.replan_from_scratch(),
            Liveness::Gone => Liveness::Gone,
        }
    }

    /// Removes the mark that a scan is to be made. Returns whether it was still there: then the
    /// caller makes the scan.
    fn take_owed_scan(&self) -> bool {
        // AcqRel: as in `replan`.
        self.requests.fetch_and(!SCAN_OWED, Ordering::AcqRel) & SCAN_OWED != 0
    }

    /// Calls `act` with the scanner.
    ///
    /// [`Liveness::Gone`]: the caller has to see to it that [`close`](Self::close) is called.
    /// Either the runtime is gone; or another thread has called `close` during `act`. That call did
    /// not find this scanner, because it was taken out, so one more call has to drop it.
    /// [`Liveness::Alive`]: nothing is left for the caller to do. (The driver may have been closed
    /// before.)
    fn with_scanner(&self, act: impl FnOnce(&mut Scanner<W>) -> Liveness) -> Liveness {
        let mut scanner = {
            let mut slot = lock(&self.scanner);
            match std::mem::replace(&mut *slot, ScannerSlot::TakenOut) {
                ScannerSlot::Present(scanner) => scanner,
                closed => {
                    debug_assert!(matches!(closed, ScannerSlot::Closed(_)), "two threads scan");
                    *slot = closed;
                    return Liveness::Alive;
                }
            }
        };
        // A source that panics counts as gone. Otherwise no thread would ever scan again.
        let mut liveness = Liveness::Gone;
        catch_panic(|| liveness = act(&mut scanner));
        let mut slot = lock(&self.scanner);
        if liveness == Liveness::Alive && matches!(*slot, ScannerSlot::TakenOut) {
            *slot = ScannerSlot::Present(scanner);
            return Liveness::Alive;
        }
        // The source is not dropped here: its destructor is foreign code, and this thread may hold
        // a lock of its caller.
        *slot = ScannerSlot::Closed(Some(scanner));
        Liveness::Gone
    }

    /// Makes the source expire soon: this thread has scanned often enough, or could not read the
    /// clock.
    fn set_soon(&self, scanner: &mut Scanner<W>) -> Liveness {
        // Whatever the next scan finds, it sets the source.
        scanner.set_for = None;
        // A time that has passed, if the clock panics.
        let mut now = 0;
        catch_panic(|| now = self.clock.nanos());
        // At least 1: for some sources zero means that they never expire.
        scanner.source.set_soon(now.max(1))
    }

    fn scan(&self, scanner: &mut Scanner<W>) -> Liveness {
        let mut plan = None;
        catch_panic(|| plan = Some(self.announce_and_plan(scanner)));
        let Some(plan) = plan else {
            return self.set_soon(scanner);
        };
        if scanner.set_for == Some(plan.wake_at) {
            return Liveness::Alive;
        }
        scanner.set_for = Some(plan.wake_at);
        scanner.source.set(plan.wake_at)
    }

    /// Makes the shards announce, and returns when to wake. It may end with a panic of the clock.
    fn announce_and_plan(&self, scanner: &mut Scanner<W>) -> Plan {
        let expirations = self.expirations.load(Ordering::Acquire);
        let mut was_set_for = None;
        if expirations != scanner.expirations {
            scanner.expirations = expirations;
            was_set_for = scanner.set_for.take();
            self.shards
                .iter()
                .for_each(|shard| shard.reset_interruptions());
        }
        let announced = self.shards.iter().map(|shard| announce_if_cleared(shard));
        let next = announced.min().unwrap_or(NEVER);
        let fired = self.fired.swap(0, Ordering::Relaxed);
        let fired_at = (fired > 0).then(|| self.clock.nanos());
        if let Some(now) = fired_at {
            scanner.planner.note_fired(now, fired);
        } else if let Some(at) = was_set_for {
            let now = self.clock.nanos();
            // `replan_from_scratch` raises `expirations`, too, perhaps because the clock has
            // jumped. If a timer is due and has not fired, it was mostly that: the source has not
            // expired. If the planner counted that as a wake-up in vain, it would add the
            // slack, and the timer would fire later, and later again with each further unpark.
            if now >= at && now < next {
                scanner.planner.woke_in_vain(now);
            }
        }
        // On a frozen clock the slack is not used.
        let plan = match self.more_due.load(Ordering::Relaxed) || self.clock.is_frozen() {
            true => Plan::on_time(next),
            false => scanner.planner.plan(next),
        };
        // If a worker has fired its own timers between two tasks, a timer of another shard may be
        // due that has not fired. The slack is not added once more for that one: the source is set
        // no later than it was before, or than that timer's deadline if that is later.
        let plan = match (scanner.set_for, fired_at) {
            (Some(at), Some(now)) if next <= now => plan.no_later_than(at.max(next)),
            _ => plan,
        };
        if plan.is_fixed() {
            // The slack alone decides when the source expires. No timer that is armed from now on
            // makes it expire earlier, so none needs to request a scan. All shards are scanned
            // after the source has expired.
            self.clear_announcements();
        }
        plan
    }

    /// Clears all announcements, so that no thread that arms a timer calls
    /// [`replan`](Self::replan).
    ///
    /// To be called when no loop waits for the timers, when one waits for a time that no new timer
    /// changes, or just before a `replan`.
    pub(crate) fn clear_announcements(&self) {
        self.shards
            .iter()
            .for_each(|shard| shard.clear_announcement());
    }

    /// Fires what is due at `now` in all shards, up to about `most` timers, in whole batches.
    /// Returns how many fired, and whether more may be due.
    ///
    /// If a worker is parked, [`replan`](Self::replan) has to follow, even if nothing fired: the
    /// announcements of the shards in which something might have been due are cleared.
    ///
    /// A call begins with the first shard that the previous call did not get to. So even if one
    /// shard has `most` due timers each time, those of the others fire, too.
    pub(crate) fn fire(&self, now: u64, most: usize) -> (usize, bool) {
        let (mut fired, mut more) = (0, false);
        let shards = self.shards.len();
        // Relaxed: each call goes through all shards, up to `most` timers, wherever it begins.
        let first = self.first.load(Ordering::Relaxed);
        for shard in (first..first + shards).map(|shard| shard % shards) {
            if fired >= most {
                self.first.store(shard, Ordering::Relaxed);
                return (fired, true);
            }
            let (here, more_here) = self.fire_shard(shard, now, most - fired);
            fired += here;
            more |= more_here;
        }
        if first != 0 {
            self.first.store(0, Ordering::Relaxed);
        }
        (fired, more)
    }

    /// Like [`fire`](Self::fire), in one shard.
    pub(crate) fn fire_shard(&self, shard: usize, now: u64, most: usize) -> (usize, bool) {
        let shard = &self.shards[shard];
        if !shard.may_be_due(now) {
            return (0, false);
        }
        shard.note_turn(now);
        shard.counters.count_shard_turn();
        let (fired, more) = shard.fire(now, most);
        self.fired.fetch_add(fired, Ordering::Relaxed);
        if (NO_INTERRUPT + 1..=now).contains(&shard.announced()) {
            // The announced time has come without an interruption. If it was earlier than
            // the deadline on purpose (by the margin, see `slack`), the next announcement is the
            // deadline itself.
            shard.reset_interruptions();
        }
        shard.clear_announcement();
        (fired, more)
    }

    /// Closes all shards: the tasks of their timers are woken, and the timers move to another
    /// driver. It may be called more than once.
    ///
    /// From then on no thread scans. If one is scanning now, its call ends with [`Liveness::Gone`],
    /// and the source is dropped by a further call of `close`, or with the driver.
    ///
    /// It runs foreign code, so the caller must not hold a lock that wakers or destructors take.
    pub(crate) fn close(&self) {
        let slot = std::mem::replace(&mut *lock(&self.scanner), ScannerSlot::Closed(None));
        // Before the tasks are woken, because on tokio dropping the source stops the runtime's
        // clock, if that is paused. If a destructor panics, the tasks are woken all the same.
        catch_panic(|| drop(slot));
        for shard in &self.shards {
            shard.close();
        }
    }
}

/// Makes a shard announce its next deadline, or an earlier time, if its announcement is cleared or
/// outdated. Returns what is announced.
fn announce_if_cleared(shard: &Shared) -> u64 {
    let announced = shard.announced();
    // If the shard's `next` is after the announced time, another thread has just fired what was due
    // by then, and is about to clear the announcement. Then the next deadline has to be found under
    // the lock, as after a cleared announcement.
    let is_outdated = shard.next() > announced;
    if announced != NO_INTERRUPT && !is_outdated {
        return announced;
    }
    // The clock is foreign code: not under the lock.
    let now = shard.needs_margin().then(|| shard.clock.nanos());
    let (state, next) = shard.lock_and_find_next(false);
    let Some(now) = now else {
        let next = next.max(NO_INTERRUPT + 1);
        shard.announce(&state, next);
        return next;
    };
    let early = shard.wake_with_margin(next, now).max(NO_INTERRUPT + 1);
    shard.announce_early(&state, early);
    early
}

#[cfg(all(test, not(loom)))]
mod tests;
