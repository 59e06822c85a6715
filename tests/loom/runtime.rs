//! A runtime that is told when to wake, as tokio is: two functions around the sharded driver that
//! ships.
//!
//! Tokio itself cannot be modelled. What it does to a sharded driver can: it is told when to wake,
//! and calls [`Runtime::expire`] then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::driver::Handle;
use crate::driver::sharded::{Liveness, ShardedDriver, WakeSource};
use crate::driver::shared::{Notifier, Shared};
use crate::driver::slack::SharedSlack;
use crate::instant::nanos;

/// A runtime with a number of threads.
#[derive(Clone)]
pub(crate) struct Runtime {
    driver: Arc<ShardedDriver<Told>>,
    found_gone: FoundGone,
}

/// Whether a thread that armed a timer has found the runtime gone, and left it to another thread to
/// close the driver: it may hold a lock. An atomic of std, because it is not what is modelled.
#[derive(Clone, Default)]
struct FoundGone(Arc<AtomicBool>);

impl FoundGone {
    fn note(&self, liveness: Liveness) {
        self.0
            .fetch_or(liveness == Liveness::Gone, Ordering::SeqCst);
    }
}

struct Told(Box<dyn FnMut(u64) -> bool + Send>);

impl WakeSource for Told {
    fn set(&mut self, at: u64) -> Liveness {
        if (self.0)(at) {
            Liveness::Alive
        } else {
            Liveness::Gone
        }
    }
}

struct Call(Weak<ShardedDriver<Told>>, FoundGone);

impl Notifier for Call {
    fn interrupt(&self) {
        if let Some(driver) = self.0.upgrade() {
            self.1.note(driver.replan());
        }
    }

    fn look_again(&self) {
        if let Some(driver) = self.0.upgrade() {
            self.1.note(driver.replan_from_scratch());
        }
    }
}

impl Runtime {
    /// `set` is told when to wake (`u64::MAX`: not at all) and answers whether the runtime is
    /// alive. `notify_on_cancel`: it is also told when the timer that it would wake for is
    /// cancelled.
    pub(super) fn new(
        clock: Clock,
        threads: usize,
        notify_on_cancel: bool,
        set: impl FnMut(u64) -> bool + Send + 'static,
    ) -> Self {
        Self::with_slack(clock, threads, notify_on_cancel, Duration::ZERO, set)
    }

    /// Like [`new`](Self::new), with a slack in a storm.
    pub(super) fn with_slack(
        clock: Clock,
        threads: usize,
        notify_on_cancel: bool,
        slack: Duration,
        set: impl FnMut(u64) -> bool + Send + 'static,
    ) -> Self {
        let found_gone = FoundGone::default();
        let driver = Arc::new_cyclic(|driver: &Weak<ShardedDriver<Told>>| {
            let slack = SharedSlack::new(nanos(slack));
            let call = || Box::new(Call(driver.clone(), found_gone.clone()));
            let shard = || Shared::new(clock.clone(), call(), notify_on_cancel, slack.clone());
            let shards = (0..threads).map(|_| shard()).collect();
            ShardedDriver::new(Told(Box::new(set)), clock.clone(), slack.clone(), shards)
        });
        Self { driver, found_gone }
    }

    /// What the runtime does when the wake source expires.
    pub(super) fn expire(&self) {
        self.expire_within(usize::MAX);
    }

    /// Like [`expire`](Self::expire), but fires about `most` timers at most.
    pub(super) fn expire_within(&self, most: usize) {
        if self.driver.expire(most) == Liveness::Gone {
            self.driver.close();
        }
    }

    /// What the runtime does when it first waits for the wake source, which `watch` stands for.
    pub(super) fn start(&self, watch: impl FnOnce()) {
        let liveness = self.driver.start(|| {
            watch();
            Liveness::Alive
        });
        if liveness == Liveness::Gone {
            self.driver.close();
        }
    }

    /// Closes the driver if a thread that armed a timer has left that to another one.
    pub(super) fn end_if_found_gone(&self) {
        if self.found_gone.0.load(Ordering::SeqCst) {
            self.driver.close();
        }
    }

    /// From now on the runtime is told of cancelled timers, or no longer.
    pub(super) fn set_notify_on_cancel(&self, notify_on_cancel: bool) {
        let shards = self.driver.shards().iter();
        shards.for_each(|shard| shard.set_notify_on_cancel(|| notify_on_cancel));
        self.driver.replan_from_scratch();
    }

    /// Returns the driver of a thread.
    pub(super) fn handle(&self, thread: usize) -> Handle {
        Handle::new(self.driver.shards()[thread].clone())
    }
}
