//! How does one alarm of somebody else's loop serve the drivers of many threads?
//!
//! A host (a tokio runtime) lets us set one [`Bell`] and calls back when it rings; it asks nobody
//! how long it may sleep. Each of its threads has a driver of its own here, a *shard*, so that
//! arming and dropping timers on one never waits for another. The bell is set for the earliest
//! deadline of all.
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
//! Firing happens outside of that, so that a waker that takes long keeps nobody from setting the
//! bell. A shard that has fired ends its announcement and is looked at again.
//!
//! Invariant: for each timer, its shard's announcement has ended and somebody is about to look, or
//! the bell is set to ring by its deadline (give or take the slack).

use std::sync::Arc;

use crate::clock::Clock;
use crate::fire::wake_all;
use crate::handle::{AWAKE, Shared};
use crate::instant::NEVER;
use crate::slack::Slack;
use crate::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    lock,
};

/// What a host rings for us, once each time that it is set.
pub(crate) trait Bell: Send + 'static {
    /// Takes note that it rang.
    fn rang(&mut self) -> Heard;

    /// Rings at `at` by the drivers' clock, instead of when it was to ring before; [`NEVER`] is not
    /// at all. What is past rings at once: on this thread, soon on another, or by the answer.
    fn set(&mut self, at: u64) -> Heard;
}

/// What a [`Bell`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It will ring.
    Set,
    /// What it was set for is past, and it will not ring.
    Due,
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

/// What is to be done after a look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Rest,
    Fire,
    Close,
}

impl<B: Bell> Alarm<B> {
    pub(crate) fn new(bell: B, clock: Clock, slack: u64, shards: Box<[Arc<Shared>]>) -> Self {
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

    /// To be called when the bell rings, on whatever thread; whether the host turned out gone.
    pub(crate) fn ring(&self) -> bool {
        // Release: pairs with the load in `look`.
        self.rings.fetch_add(1, Ordering::Release);
        self.attend()
    }

    /// Looks at the shards and sets the bell, or leaves that to who is just doing so; whether the
    /// host turned out gone.
    pub(crate) fn attend(&self) -> bool {
        // AcqRel: what we did before is seen by who attends, and theirs by us.
        while self.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            match self.settle() {
                Next::Rest => return false,
                Next::Fire => self.fire(),
                Next::Close => {
                    self.close();
                    return true;
                }
            }
        }
        false
    }

    /// Looks until nobody has called meanwhile.
    fn settle(&self) -> Next {
        let mut next = Next::Rest;
        loop {
            // Acquire: pairs with `attend` of those who called.
            let seen = self.calls.load(Ordering::Acquire);
            // Taken out, not locked: the bell is foreign code. Nobody else looks for it meanwhile.
            let setting = lock(&self.setting).take();
            if let Some(mut setting) = setting {
                next = next.max(self.look(&mut setting));
                if next < Next::Close {
                    *lock(&self.setting) = Some(setting);
                }
            }
            if self
                .calls
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return next;
            }
        }
    }

    fn look(&self, setting: &mut Setting<B>) -> Next {
        let rings = self.rings.load(Ordering::Acquire);
        if rings != setting.rings {
            setting.rings = rings;
            setting.at = None;
            return match setting.bell.rang() {
                Heard::Gone => Next::Close,
                Heard::Set | Heard::Due => Next::Fire,
            };
        }
        let fired = self.fired.swap(0, Ordering::Relaxed);
        if fired > 0 {
            setting.slack.fired(self.clock.nanos(), fired);
        }

        for (shard, known) in self.shards.iter().zip(&mut setting.known) {
            if !shard.is_parked() {
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
            return Next::Rest;
        }
        setting.at = Some(at);
        match setting.bell.set(at) {
            Heard::Set => Next::Rest,
            Heard::Due => {
                setting.at = None;
                Next::Fire
            }
            Heard::Gone => Next::Close,
        }
    }

    /// Fires what is due in all shards.
    fn fire(&self) {
        let now = self.clock.nanos();
        for shard in &self.shards {
            if shard.may_be_due(now) {
                let (fired, _) = shard.fire(now, usize::MAX);
                self.fired.fetch_add(fired, Ordering::Relaxed);
                shard.awake();
            }
        }
    }

    /// Ends it: the tasks of all timers are woken, and the timers move elsewhere.
    pub(crate) fn close(&self) {
        let setting = lock(&self.setting).take();
        drop(setting);
        for shard in &self.shards {
            wake_all(shard.close());
        }
    }
}
