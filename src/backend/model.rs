//! How do the loom models get at an alarm?
//!
//! Tokio itself cannot be modelled; what it does to an [`Alarm`] can. The host here is two
//! functions: one is told when to ring, the other is [`Host::ring`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::driver::Handle;
use crate::driver::sharded::{Liveness, ShardedDriver, WakeSource};
use crate::driver::shared::{Notifier, Shared};
use crate::driver::slack::Limit;
use crate::instant::nanos;

/// A host with a number of threads.
#[derive(Clone)]
pub struct Host(Arc<ShardedDriver<Told>>);

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

struct Told(Box<dyn FnMut(u64) -> bool + Send>);

impl WakeSource for Told {
    fn note_expired(&mut self) -> Liveness {
        Liveness::Alive
    }

    fn set(&mut self, at: u64) -> Liveness {
        if (self.0)(at) {
            Liveness::Alive
        } else {
            Liveness::Gone
        }
    }
}

struct Call(Weak<ShardedDriver<Told>>);

impl Notifier for Call {
    fn rearm(&self) {
        if let Some(alarm) = self.0.upgrade() {
            alarm.rearm();
        }
    }

    fn interrupt(&self) {
        if let Some(alarm) = self.0.upgrade() {
            alarm.rearm_anew();
        }
    }
}

impl Host {
    /// `set` is told when to ring (`u64::MAX`: not at all) and answers whether the host lives.
    /// `exact`: it is told, too, when the timer is gone that it would ring for.
    pub fn new(
        clock: Clock,
        threads: usize,
        exact: bool,
        set: impl FnMut(u64) -> bool + Send + 'static,
    ) -> Self {
        Self::with_slack(clock, threads, exact, Duration::ZERO, set)
    }

    /// Like [`new`](Self::new), with rings kept apart in a storm.
    pub fn with_slack(
        clock: Clock,
        threads: usize,
        exact: bool,
        slack: Duration,
        set: impl FnMut(u64) -> bool + Send + 'static,
    ) -> Self {
        Self(Arc::new_cyclic(|alarm: &Weak<ShardedDriver<Told>>| {
            let slack = Limit::new(nanos(slack));
            let call = || Box::new(Call(alarm.clone()));
            let shard = || Shared::new(clock.clone(), call(), exact, slack.clone());
            let shards = (0..threads).map(|_| shard()).collect();
            ShardedDriver::new(Told(Box::new(set)), clock.clone(), slack.clone(), shards)
        }))
    }

    /// What the host calls when it rings.
    pub fn ring(&self) {
        self.0.expire();
    }

    /// From now on it is told when the timer is gone that it would ring for, or no longer.
    pub fn set_exact(&self, exact: bool) {
        let shards = self.0.shards().iter();
        shards.for_each(|shard| shard.set_notify_on_cancel(exact));
        self.0.rearm_anew();
    }

    /// The driver of a thread.
    #[must_use]
    pub fn handle(&self, thread: usize) -> Handle {
        Handle {
            shared: self.0.shards()[thread].clone(),
        }
    }
}
