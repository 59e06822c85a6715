//! How does one alarm serve the drivers of many threads?
//!
//! A host lets us set one [`Bell`] and calls back when it rings. A tokio runtime is such a host,
//! because it asks nobody how long it may sleep; so is our own executor, where the bell is
//! whichever worker waits for all. Each thread of the host has a driver of its own here, a *shard*,
//! so that arming and dropping timers on one never waits for another. The bell is set for the
//! earliest deadline of all.
//!
//! # The protocol
//!
//! To each shard is announced, as to a driver that parks (see `handle`), until when it need not
//! call: its own next deadline. Whoever arms an earlier timer ends the announcement, under the
//! shard's lock, and calls [`Alarm::attend`].
//!
//! Who attends looks at the shards whose announcement has ended, announces anew, and sets the bell.
//! One thread does so at a time, and nobody waits for it: `calls` counts who asked; the thread that
//! raises it from zero attends, and leaves once the count has not changed since it began to look. A
//! bell may ring from inside its own setting: that is one more call.
//!
//! In a storm of calls the count changes during every look. The thread has work of its own, so after
//! [`ROUNDS`] looks it leaves a look undone, marks the count as [`OWED`], and has the bell ring soon.
//! The next thread that calls finds the mark, removes it and attends; there is one, because the bell
//! calls. A ring that came before the mark cannot be that one: then the thread takes the mark back,
//! unless another one has, and goes on.
//!
//! Timers fire on the host's loop, when the bell rings or a busy thread finds them due, and only
//! there: who arms or drops a timer may hold locks that other tasks' wakers take. A shard that has
//! fired ends its announcement and has to be attended to. Firing is outside of looking, so that a
//! waker that takes long keeps nobody from setting the bell.
//!
//! Invariant: for each timer, its shard's announcement has ended and somebody is about to look, or
//! the bell is set to ring by its deadline (give or take the slack).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::Clock;
use crate::fire::wake_all;
use crate::handle::{AWAKE, Shared};
use crate::instant::NEVER;
use crate::slack::{Limit, Slack};
use crate::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    lock,
};

/// What a host rings for us, once each time that it is set.
///
/// One that panics is taken for gone.
pub(crate) trait Bell: Send + 'static {
    /// Takes note that it rang.
    fn rang(&mut self) -> Heard;

    /// Rings at `at` by the drivers' clock, instead of when it was to ring before; [`NEVER`] is not
    /// at all. What is past rings soon.
    fn set(&mut self, at: u64) -> Heard;

    /// Rings soon, instead of when it was to ring before; `now` is what the drivers' clock shows.
    fn ring_soon(&mut self, now: u64) -> Heard {
        self.set(now)
    }
}

/// What a [`Bell`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Well,
    /// The host is gone.
    Gone,
}

/// How many times in a row a thread looks before it leaves that to the next one that calls.
const ROUNDS: usize = if cfg!(loom) { 2 } else { 16 };

/// Set in `calls` while a look is owed and no thread attends.
const OWED: usize = 1 << (usize::BITS - 1);

/// The drivers of a host's threads and the bell that they share.
pub(crate) struct Alarm<B> {
    clock: Clock,
    shards: Box<[Arc<Shared>]>,
    /// How many calls for attention there were since nobody attended, and [`OWED`].
    calls: AtomicUsize,
    /// How often the bell rang.
    rings: AtomicUsize,
    /// How many timers fired since the bell was last set.
    fired: AtomicUsize,
    setting: Mutex<Place<B>>,
}

/// Where the setting is. The thread that attends takes it out, so that the host's code runs outside the
/// lock.
enum Place<B> {
    Here(Setting<B>),
    TakenOut,
    /// The host is gone.
    Closed,
}

struct Setting<B> {
    bell: B,
    /// When it will ring, `None` if it has rung since.
    at: Option<u64>,
    /// How many rings have been answered.
    rings: usize,
    /// The next deadline of each shard, as last announced.
    known: Box<[u64]>,
    slack: Slack,
}

impl<B: Bell> Alarm<B> {
    pub(crate) fn new(bell: B, clock: Clock, slack: Limit, shards: Box<[Arc<Shared>]>) -> Self {
        let known = shards.iter().map(|_| NEVER).collect();
        Self {
            clock,
            shards,
            calls: AtomicUsize::new(0),
            rings: AtomicUsize::new(0),
            fired: AtomicUsize::new(0),
            setting: Mutex::new(Place::Here(Setting {
                bell,
                at: None,
                rings: 0,
                known,
                slack: Slack::new(slack),
            })),
        }
    }

    pub(crate) fn shards(&self) -> &[Arc<Shared>] {
        &self.shards
    }

    /// To be called when the bell rings, on the host's loop; whether the host turned out gone.
    #[cfg(any(feature = "tokio", loom))]
    pub(crate) fn ring(&self) -> bool {
        self.rang();
        self.fire(self.clock.nanos(), usize::MAX);
        self.attend()
    }

    /// Takes note that the bell rang, or was forgotten: it will be set anew, whatever for. To be
    /// followed by [`attend`](Self::attend).
    pub(crate) fn rang(&self) {
        // Release: pairs with the load in `look`.
        self.rings.fetch_add(1, Ordering::Release);
    }

    /// Looks at the shards and sets the bell, or leaves that to the thread that is just doing so.
    /// Returns whether the host turned out gone.
    pub(crate) fn attend(&self) -> bool {
        // AcqRel: what we did before is seen by the thread that attends, and what it did by us.
        let before = self.calls.fetch_add(1, Ordering::AcqRel);
        if before != 0 && (before & OWED == 0 || !self.take_over()) {
            return false;
        }
        let mut round = 0;
        loop {
            round += 1;
            // Acquire: pairs with the increment of those who called.
            let seen = self.calls.load(Ordering::Acquire);
            if self.with_setting(|setting| self.look(setting)) == Heard::Gone {
                self.close();
                return true;
            }
            let left = self
                .calls
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
            if left.is_ok() {
                return false;
            }
            if round < ROUNDS {
                continue;
            }
            let mut answered = 0;
            let ring_soon = |setting: &mut Setting<B>| {
                answered = setting.rings;
                self.ring_soon(setting)
            };
            if self.with_setting(ring_soon) == Heard::Gone {
                self.close();
                return true;
            }
            // AcqRel: if the bell has called before this, its ring is seen below; if it calls after,
            // it sees the mark, and all that we did. (To one ring that is not answered the bell may
            // not add another.)
            self.calls.fetch_or(OWED, Ordering::AcqRel);
            if self.rings.load(Ordering::Relaxed) == answered || !self.take_over() {
                return false;
            }
        }
    }

    /// Like [`attend`](Self::attend), and sets the bell anew even if it is set for the right time: the
    /// clock may have jumped.
    pub(crate) fn attend_anew(&self) -> bool {
        self.rang();
        self.attend()
    }

    /// Removes the mark that a look is owed. Returns whether it was still there: then the caller
    /// attends.
    fn take_over(&self) -> bool {
        // AcqRel: as in `attend`.
        self.calls.fetch_and(!OWED, Ordering::AcqRel) & OWED != 0
    }

    /// Has the thread that attends do something with the bell; [`Heard::Well`] if that is gone already.
    fn with_setting(&self, act: impl FnOnce(&mut Setting<B>) -> Heard) -> Heard {
        let mut setting = {
            let mut place = lock(&self.setting);
            match std::mem::replace(&mut *place, Place::TakenOut) {
                Place::Here(setting) => setting,
                gone => {
                    debug_assert!(matches!(gone, Place::Closed), "two threads attend");
                    *place = gone;
                    return Heard::Well;
                }
            }
        };
        // A bell that panics is as good as gone: or nobody would ever look again.
        let heard = catch_unwind(AssertUnwindSafe(|| act(&mut setting))).unwrap_or(Heard::Gone);
        let mut place = lock(&self.setting);
        if heard == Heard::Well && !matches!(*place, Place::Closed) {
            *place = Place::Here(setting);
            return heard;
        }
        drop(place);
        // Outside of the lock, as all of the host's code.
        drop(setting);
        heard
    }

    /// Has the bell ring, for the thread that attends has looked often enough.
    fn ring_soon(&self, setting: &mut Setting<B>) -> Heard {
        // Whatever the next look finds, it sets the bell.
        setting.at = None;
        // At zero not every bell rings.
        setting.bell.ring_soon(self.clock.nanos().max(1))
    }

    fn look(&self, setting: &mut Setting<B>) -> Heard {
        let rings = self.rings.load(Ordering::Acquire);
        if rings != setting.rings {
            setting.rings = rings;
            setting.at = None;
            if setting.bell.rang() == Heard::Gone {
                return Heard::Gone;
            }
        }
        let fired = self.fired.swap(0, Ordering::Relaxed);
        if fired > 0 {
            setting.slack.fired(self.clock.nanos(), fired);
        }

        for (shard, known) in self.shards.iter().zip(&mut setting.known) {
            // Or whoever fires there just now has got past what was announced, and not to the end.
            if !shard.is_parked() || !shard.may_be_due(*known) {
                let mut state = shard.lock();
                *known = state.timers.next_deadline();
                shard.announce_park(&state, (*known).max(AWAKE + 1));
            }
        }
        let next = setting.known.iter().copied().min().unwrap_or(NEVER);
        let at = setting.slack.wake_at(next);
        if next < at {
            // In a storm the slack says when to ring, and no timer, however early, changes that:
            // none need call. All are looked at again after the ring.
            self.shards.iter().for_each(|shard| shard.awake());
        }
        if setting.at == Some(at) {
            return Heard::Well;
        }
        setting.at = Some(at);
        setting.bell.set(at)
    }

    /// Fires what is due at `now` in all shards, at most about `budget` timers; how many fired.
    ///
    /// [`attend`](Self::attend) has to follow, if none were due, too.
    pub(crate) fn fire(&self, now: u64, budget: usize) -> usize {
        let mut fired = 0;
        for shard in 0..self.shards.len() {
            if fired < budget {
                fired += self.fire_shard(shard, now, budget - fired);
            }
        }
        fired
    }

    /// Like [`fire`](Self::fire), in one shard; how many fired.
    pub(crate) fn fire_shard(&self, shard: usize, now: u64, budget: usize) -> usize {
        let shard = &self.shards[shard];
        if !shard.may_be_due(now) {
            return 0;
        }
        shard.note_turn(now);
        let (fired, _) = shard.fire(now, budget);
        self.fired.fetch_add(fired, Ordering::Relaxed);
        shard.awake();
        fired
    }

    /// Ends it: the tasks of all timers are woken, and the timers move elsewhere.
    ///
    /// From then on nobody looks: a thread that is just doing so drops the bell when it is through.
    pub(crate) fn close(&self) {
        let place = std::mem::replace(&mut *lock(&self.setting), Place::Closed);
        drop(place);
        for shard in &self.shards {
            wake_all(shard.close());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
