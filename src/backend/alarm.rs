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
//! One thread does so at a time, and nobody waits for it: `calls` counts who asked; who raises it
//! from zero attends, and leaves only if the count has not changed since it began to look. A bell
//! may ring from inside its own setting: that is one more call.
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
}

/// What a [`Bell`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Well,
    /// The host is gone.
    Gone,
}

/// The drivers of a host's threads and the bell that they share.
pub(crate) struct Alarm<B> {
    clock: Clock,
    shards: Box<[Arc<Shared>]>,
    /// How many calls for attention there were since nobody attended.
    calls: AtomicUsize,
    /// How often the bell rang.
    rings: AtomicUsize,
    /// How many timers fired since the bell was last set.
    fired: AtomicUsize,
    /// Taken out by who attends, so that the host's code runs outside the lock. `None` once the
    /// host is gone.
    setting: Mutex<Option<Setting<B>>>,
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
            setting: Mutex::new(Some(Setting {
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

    /// Looks at the shards and sets the bell, or leaves that to who is just doing so; whether the
    /// host turned out gone.
    pub(crate) fn attend(&self) -> bool {
        // AcqRel: what we did before is seen by who attends, and theirs by us.
        if self.calls.fetch_add(1, Ordering::AcqRel) != 0 {
            return false;
        }
        loop {
            // Acquire: pairs with the increment of those who called.
            let seen = self.calls.load(Ordering::Acquire);
            // Taken out, not locked: the bell is foreign code. Nobody else looks for it meanwhile.
            let setting = lock(&self.setting).take();
            if let Some(mut setting) = setting {
                // A bell that panics is as good as gone: or nobody would ever look again.
                let look = AssertUnwindSafe(|| self.look(&mut setting));
                if catch_unwind(look).unwrap_or(Heard::Gone) == Heard::Gone {
                    drop(setting);
                    self.close();
                    return true;
                }
                *lock(&self.setting) = Some(setting);
            }
            let left = self
                .calls
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
            if left.is_ok() {
                return false;
            }
        }
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
        let (fired, _) = shard.fire(now, budget);
        self.fired.fetch_add(fired, Ordering::Relaxed);
        shard.awake();
        fired
    }

    /// Ends it: the tasks of all timers are woken, and the timers move elsewhere.
    ///
    /// Who attends has taken the bell out and never leaves: nobody looks any more.
    pub(crate) fn close(&self) {
        let setting = lock(&self.setting).take();
        drop(setting);
        for shard in &self.shards {
            wake_all(shard.close());
        }
    }
}
