//! How do the loom models get at an alarm?
//!
//! Tokio itself cannot be modelled; what it does to an [`Alarm`] can. The host here is two
//! functions: one is told when to ring, the other is [`Host::ring`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::backend::alarm::{Alarm, Bell, Heard};
use crate::clock::Clock;
use crate::handle::{Handle, Notifier, Shared};
use crate::instant::nanos;
use crate::slack::Limit;

/// A host with a number of threads.
#[derive(Clone)]
pub struct Host(Arc<Alarm<Told>>);

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

struct Told(Box<dyn FnMut(u64) -> bool + Send>);

impl Bell for Told {
    fn rang(&mut self) -> Heard {
        Heard::Well
    }

    fn set(&mut self, at: u64) -> Heard {
        if (self.0)(at) {
            Heard::Well
        } else {
            Heard::Gone
        }
    }
}

struct Call(Weak<Alarm<Told>>);

impl Notifier for Call {
    fn rearm(&self) {
        if let Some(alarm) = self.0.upgrade() {
            alarm.attend();
        }
    }

    fn interrupt(&self) {
        if let Some(alarm) = self.0.upgrade() {
            alarm.attend_anew();
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
        Self(Arc::new_cyclic(|alarm: &Weak<Alarm<Told>>| {
            let slack = Limit::new(nanos(slack));
            let call = || Box::new(Call(alarm.clone()));
            let shard = || Shared::new(clock.clone(), call(), exact, slack.clone());
            let shards = (0..threads).map(|_| shard()).collect();
            Alarm::new(Told(Box::new(set)), clock.clone(), slack.clone(), shards)
        }))
    }

    /// What the host calls when it rings.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// From now on it is told when the timer is gone that it would ring for, or no longer.
    pub fn set_exact(&self, exact: bool) {
        let shards = self.0.shards().iter();
        shards.for_each(|shard| shard.set_exact(exact));
        self.0.attend_anew();
    }

    /// The driver of a thread.
    #[must_use]
    pub fn handle(&self, thread: usize) -> Handle {
        Handle {
            shared: self.0.shards()[thread].clone(),
        }
    }
}
