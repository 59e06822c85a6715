//! When the wake source is set, by which thread, and how often.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::Handle;
use crate::driver::shared::Notifier;
use crate::time::Sleep;

mod expire;
mod set;
mod threads;

type SetTo = Arc<std::sync::Mutex<VecDeque<u64>>>;

/// A wake source that records what it is set to, and calls `inside` each time.
struct TestSource {
    set_to: SetTo,
    inside: Box<dyn FnMut() + Send>,
    _owned: Arc<()>,
}

impl WakeSource for TestSource {
    fn set(&mut self, at: u64) -> Liveness {
        self.set_to.lock().unwrap().push_back(at);
        (self.inside)();
        Liveness::Alive
    }
}

struct Call(Weak<ShardedDriver<TestSource>>);

impl Notifier for Call {
    fn interrupt(&self) {
        if let Some(driver) = self.0.upgrade()
            && driver.replan() == Liveness::Gone
        {
            driver.close();
        }
    }

    fn look_again(&self) {
        if let Some(driver) = self.0.upgrade() {
            driver.replan_from_scratch();
        }
    }
}

fn armed(handle: &Handle, nanos: u64) -> Sleep {
    let mut sleep = handle.sleep(Duration::from_nanos(nanos));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    sleep
}

/// A sharded driver with two shards, on a clock that shows `time`.
struct TestRuntime {
    driver: Arc<ShardedDriver<TestSource>>,
    time: Arc<AtomicU64>,
    /// Whether the clock panics.
    panics: Arc<AtomicBool>,
    set_to: SetTo,
    /// Owned by the wake source.
    kept: Weak<()>,
}

impl TestRuntime {
    fn new(
        exact: bool,
        slack: u64,
        inside: impl FnOnce(Weak<ShardedDriver<TestSource>>) -> Box<dyn FnMut() + Send>,
    ) -> Self {
        let (time, set_to) = (Arc::new(AtomicU64::new(0)), SetTo::default());
        let panics = Arc::new(AtomicBool::new(false));
        let (shown, fails) = (time.clone(), panics.clone());
        let clock = Clock::custom(move || {
            assert!(!fails.load(Ordering::Relaxed), "a clock that panics");
            Duration::from_nanos(shown.load(Ordering::Relaxed))
        });
        let owned = Arc::new(());
        let kept = Arc::downgrade(&owned);
        let driver = Arc::new_cyclic(|driver: &Weak<ShardedDriver<TestSource>>| {
            let slack = SharedSlack::new(slack);
            let call = || Box::new(Call(driver.clone()));
            let shard = |_| Shared::new(clock.clone(), call(), exact, slack.clone());
            let source = TestSource {
                set_to: set_to.clone(),
                inside: inside(driver.clone()),
                _owned: owned,
            };
            ShardedDriver::new(
                source,
                clock.clone(),
                slack.clone(),
                (0..2).map(shard).collect(),
            )
        });
        driver.replan();
        Self {
            driver,
            time,
            panics,
            set_to,
            kept,
        }
    }

    fn quiet(exact: bool, slack: u64) -> Self {
        Self::new(exact, slack, |_| Box::new(|| {}))
    }

    fn handle(&self, thread: usize) -> Handle {
        Handle::new(self.driver.shards()[thread].clone())
    }

    fn armed(&self, thread: usize, nanos: u64) -> Sleep {
        armed(&self.handle(thread), nanos)
    }

    /// What the runtime does when the source expires at `time`.
    fn expire_at(&self, time: u64) {
        self.time.store(time, Ordering::Relaxed);
        self.driver.note_expired();
        self.driver.fire(time, usize::MAX);
        self.driver.replan();
    }

    /// Returns what the source was set to, in order, since the last call.
    fn set_to(&self) -> Vec<u64> {
        self.set_to.lock().unwrap().drain(..).collect()
    }
}
