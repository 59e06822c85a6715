//! [`Relay`]: has another worker of a tokio runtime wait for timers, where tasks keep one from it.
//!
//! One worker at a time waits in tokio's poller, and it is the one on which our timers fire. If a
//! timer wakes a single task there, tokio unparks no other worker: the task runs on that worker,
//! and until it returns, nothing waits in the poller. If the task computes for 150 ms, all timers
//! that are due meanwhile are late, those of tokio as well as ours.
//!
//! For two tasks tokio does unpark another worker, which finds nothing to steal, parks, and waits
//! in the poller. So a second task is enough, one that ends at once. But to unpark a worker takes
//! some 25 µs of CPU, and nearly all tasks are short. So a runtime pays for it only while it is
//! known to need it: for [`COVERED`] after timers were late by [`OVERDUE`], and once every
//! [`PERIOD`] at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::{self, Id};

use crate::clock::Clock;
use crate::driver::shared::Shared;
use crate::driver::slack::SharedSlack;

/// How late timers are, in nanoseconds, if no worker has waited for them.
const OVERDUE: u64 = 10_000_000;

/// How long other workers are unparked after timers were overdue, in nanoseconds.
const COVERED: u64 = 10_000_000_000;

/// The shortest time from one such unpark to the next, in nanoseconds.
const PERIOD: u64 = 1_000_000;

/// When other workers are unparked. A hint: threads that race for it do no harm.
pub(super) struct Relay {
    /// `None` in a runtime of one worker.
    clock: Option<Clock>,
    slack: SharedSlack,
    covered_until: AtomicU64,
    /// Not before this time.
    next: AtomicU64,
}

impl Relay {
    pub(super) fn new(workers: usize, clock: &Clock, slack: SharedSlack) -> Self {
        Self {
            slack,
            clock: (workers > 1).then(|| clock.clone()),
            covered_until: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Unparks another worker if the tasks that timers are about to wake may run for long. To be
    /// called where tokio calls the driver's waker, before timers fire.
    pub(super) fn before_firing(&self, runtime: Id, shards: &[Arc<Shared>]) {
        let Some(clock) = &self.clock else {
            return;
        };
        let now = clock.nanos();
        // Within the slack they are late on purpose.
        let overdue = now.saturating_sub(OVERDUE + self.slack.get());
        if shards.iter().any(|shard| shard.may_be_due(overdue)) {
            self.covered_until
                .store(now.saturating_add(COVERED), Relaxed);
        }
        if now >= self.covered_until.load(Relaxed) || now < self.next.load(Relaxed) {
            return;
        }
        self.next.store(now.saturating_add(PERIOD), Relaxed);
        // On another thread, such as one that shuts the runtime down, it would unpark no worker.
        if let Ok(handle) = runtime::Handle::try_current()
            && handle.id() == runtime
        {
            drop(handle.spawn(async {}));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;
    use crate::driver::Handle;

    /// Returns whether a timer that is late by `late` is taken for one that no worker has waited
    /// for.
    fn covers(late: Duration, slack: Duration) -> bool {
        let time = Arc::new(AtomicU64::new(0));
        let reading = time.clone();
        let clock = Clock::custom(move || Duration::from_nanos(reading.load(Relaxed)));
        let slack = SharedSlack::of(Some(slack));
        let shard = Shared::new(clock.clone(), Box::new(|| {}), false, slack.clone());
        let handle = Handle::new(shard.clone());
        let mut timer = pin!(handle.sleep(Duration::from_millis(1)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(timer.as_mut().poll(&mut cx).is_pending());

        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let relay = Relay::new(2, &clock, slack);
        let now = Duration::from_millis(1) + late;
        time.store(u64::try_from(now.as_nanos()).unwrap(), Relaxed);
        relay.before_firing(runtime.handle().id(), &[shard]);
        relay.covered_until.load(Relaxed) > 0
    }

    /// A slack of 50 ms had the relay unpark a second worker at each wake-up, for good.
    #[test]
    fn timers_that_are_late_within_the_slack_are_not_overdue() {
        let ms = Duration::from_millis;
        assert!(covers(ms(20), Duration::ZERO));
        assert!(!covers(ms(5), Duration::ZERO));
        assert!(!covers(ms(40), ms(50)));
        assert!(covers(ms(70), ms(50)));
    }

    /// The slot of the cancelled timer was taken for one that is overdue, so for ten seconds the
    /// relay unparked a second worker at each wake-up.
    #[test]
    fn a_timer_that_was_cancelled_is_not_overdue() {
        let ms = Duration::from_millis;
        let time = Arc::new(AtomicU64::new(0));
        let reading = time.clone();
        let clock = Clock::custom(move || Duration::from_nanos(reading.load(Relaxed)));
        let slack = SharedSlack::none();
        let shard = Shared::new(clock.clone(), Box::new(|| {}), false, slack.clone());
        let handle = Handle::new(shard.clone());
        let mut cx = Context::from_waker(Waker::noop());
        let mut cancelled = Box::pin(handle.sleep(ms(5)));
        let mut first = pin!(handle.sleep(ms(1)));
        assert!(cancelled.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        drop(cancelled);
        time.store(1_000_000, Relaxed);
        assert_eq!(shard.fire(1_000_000, usize::MAX).0, 1);
        let mut last = pin!(handle.sleep(ms(99)));
        assert!(last.as_mut().poll(&mut cx).is_pending());
        // What the scan after a firing does.
        drop(shard.lock_and_find_next(false));

        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let relay = Relay::new(2, &clock, slack);
        time.store(100_000_000, Relaxed);
        relay.before_firing(runtime.handle().id(), std::slice::from_ref(&shard));
        assert_eq!(relay.covered_until.load(Relaxed), 0);
    }
}
