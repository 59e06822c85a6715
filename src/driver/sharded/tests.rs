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
    fn replan(&self) {
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

/// A reset whose new deadline had passed took the timer out and told nothing: a clock that may be
/// paused moved on to a timer that was gone, and a later one was armed without a call.
#[test]
fn a_source_is_set_anew_when_its_timer_is_reset_to_the_past_on_a_clock_that_may_be_paused() {
    let runtime = TestRuntime::quiet(true, 0);
    let start = runtime.handle(0).now();
    let mut sleep = runtime.armed(0, 10);
    runtime.set_to();
    sleep.reset_at(start);
    assert_eq!(runtime.set_to(), [NEVER]);
    let _later = runtime.armed(1, 20);
    assert_eq!(runtime.set_to(), [20]);
}

/// A source that was set for the right time was left as it was, and a clock that had jumped was not
/// read again.
#[test]
fn unpark_sets_the_source_anew_although_no_timer_has_changed() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleep = runtime.armed(0, 10);
    assert_eq!(runtime.set_to(), [NEVER, 10]);
    runtime.driver.replan();
    assert_eq!(runtime.set_to(), [], "nothing has changed");
    runtime.handle(1).unpark();
    assert_eq!(runtime.set_to(), [10]);
}

#[test]
fn a_slack_that_is_set_in_a_storm_sets_the_source_anew() {
    let runtime = TestRuntime::quiet(false, 100);
    let mut sleeps = Vec::new();
    for turn in 1..=20 {
        sleeps.push(runtime.armed(0, 5));
        runtime.expire_at(5 * turn);
    }
    runtime.set_to();
    sleeps.push(runtime.armed(1, 30));
    assert_eq!(
        runtime.set_to(),
        [200],
        "the slack after the last expiration"
    );
    sleeps.push(runtime.armed(0, 20));
    assert_eq!(runtime.set_to(), [], "and no thread calls");
    runtime.handle(0).set_slack(Duration::from_nanos(1000));
    assert_eq!(runtime.set_to(), [1100]);
    runtime.handle(0).set_slack(Duration::ZERO);
    assert_eq!(runtime.set_to(), [120]);
    // Whose announcement has ended with the storm is told again.
    sleeps.push(runtime.armed(1, 10));
    assert_eq!(runtime.set_to(), [110]);
}

/// Only storms were merged, and a task that sleeps in a loop is none.
#[test]
fn under_a_slack_that_was_set_a_chain_has_the_source_expire_once_per_slack() {
    let runtime = TestRuntime::quiet(false, 100);
    let (mut now, mut expirations) = (0, 0);
    // Each timer is armed on another thread when the one before has fired.
    while now < 10_000 {
        let _sleep = runtime.armed(expirations % 2, 50);
        now = *runtime.set_to().last().unwrap();
        runtime.expire_at(now);
        assert_eq!(runtime.handle(expirations % 2).armed(), 0);
        expirations += 1;
    }
    assert_eq!(expirations, 101, "the first on time, and 100 more");
    let _sleep = runtime.armed(0, 100);
    assert_eq!(runtime.set_to().last(), Some(&(now + 100)), "after a pause");
}

/// Nothing would end a wait for the slack.
#[test]
#[cfg(feature = "test-util")]
fn on_a_clock_that_is_paused_no_slack_delays_the_source() {
    let runtime = TestRuntime::quiet(false, 100);
    let _first = runtime.armed(0, 10);
    runtime.expire_at(10);
    let _second = runtime.armed(0, 10);
    assert_eq!(runtime.set_to().last(), Some(&110), "while it runs");
    runtime.handle(0).clock().freeze();
    assert_eq!(runtime.set_to().last(), Some(&20));
    let _earlier = runtime.armed(1, 5);
    assert_eq!(runtime.set_to().last(), Some(&15), "and other threads call");
    runtime.handle(0).clock().resume();
    runtime.handle(0).unpark();
    assert_eq!(runtime.set_to().last(), Some(&110));
}

/// A worker that looked at its timers just then found none due, and had another margin announced,
/// half as long as before: for an hour, 27 of them.
#[test]
fn a_margin_that_has_come_is_followed_by_the_deadline_itself() {
    let runtime = TestRuntime::quiet(false, 0);
    let deadlines: Vec<u64> = (0..12).map(|n| 1 << (40 - n)).collect();
    let _sleeps: Vec<_> = deadlines.iter().map(|&at| runtime.armed(0, at)).collect();
    let margin = *runtime.set_to().last().unwrap();
    assert!(margin < deadlines[11], "{margin}");
    // The source has not expired yet.
    runtime.time.store(margin, Ordering::Relaxed);
    assert_eq!(runtime.driver.fire(margin, usize::MAX), (0, false));
    runtime.driver.replan();
    assert_eq!(runtime.set_to(), deadlines[11..]);
}

/// The thread that replanned stayed as long as others called, be it for ever.
#[test]
fn a_thread_leaves_although_others_call_during_each_scan() {
    // Each time that the source is set, a thread arms an earlier timer, a thousand times.
    let left = Arc::new(AtomicUsize::new(1000));
    let more = left.clone();
    // Exact, or else a margin would keep most of these timers from calling.
    let runtime = TestRuntime::new(true, 0, |driver| {
        Box::new(move || {
            let n = more.load(Ordering::Relaxed);
            if n > 0 {
                more.store(n - 1, Ordering::Relaxed);
                let shared = driver.upgrade().unwrap().shards()[n % 2].clone();
                std::mem::forget(armed(&Handle::new(shared), n as u64));
            }
        })
    });
    let mut scans = 1000 - left.load(Ordering::Relaxed);
    assert_eq!(
        scans,
        MAX_SCANS + 1,
        "scans, and a source that is set to expire soon"
    );
    while left.load(Ordering::Relaxed) > 0 {
        let before = left.load(Ordering::Relaxed);
        assert_eq!(runtime.set_to().last(), Some(&1), "soon");
        // Any call will do; the source is sure to make one.
        if before.is_multiple_of(2) {
            runtime.driver.replan();
        } else {
            runtime.expire_at(0);
        }
        scans = before - left.load(Ordering::Relaxed);
        assert!((1..=MAX_SCANS + 1).contains(&scans), "{scans}");
    }
    runtime.expire_at(0);
    assert_eq!(runtime.set_to().last(), Some(&1));
    runtime.expire_at(1000);
    assert_eq!(
        (runtime.handle(0).armed(), runtime.handle(1).armed()),
        (0, 0)
    );
    assert_eq!(runtime.set_to().last(), Some(&NEVER));
}

/// The source may own descriptors, and everything that refers to the runtime keeps the driver.
#[test]
fn a_driver_that_is_closed_while_a_thread_scans_drops_its_source() {
    let runtime = TestRuntime::new(false, 0, |driver| {
        let mut sets = 0;
        Box::new(move || {
            sets += 1;
            if sets == 2 {
                driver.upgrade().unwrap().close();
            }
        })
    });
    assert!(runtime.kept.upgrade().is_some());
    let sleep = runtime.armed(0, 10);
    assert!(sleep.is_orphaned());
    assert!(runtime.kept.upgrade().is_none());
    assert_eq!(runtime.driver.replan(), Liveness::Alive, "closed already");
}

/// Each call began with the first shard, and if its timers used up the budget each time, those of
/// the others never fired.
#[test]
fn a_shard_whose_timers_use_up_the_budget_does_not_keep_the_others_from_firing() {
    let runtime = TestRuntime::quiet(false, 0);
    let mut sleeps: Vec<_> = (0..500).map(|_| runtime.armed(0, 10)).collect();
    sleeps.push(runtime.armed(1, 20));
    let fires = |now| runtime.driver.fire(now, 64).0;
    assert_eq!(fires(30), 64, "all of the first shard");
    assert_eq!(fires(30), 1 + 64);
    assert_eq!(runtime.handle(1).armed(), 0);
    while fires(30) > 0 {}
    assert_eq!(runtime.handle(0).armed(), 0);
}

/// An expiration fired all that was due, and passed all that was put off, before tasks could run.
#[test]
fn an_expiration_that_leaves_something_due_has_the_source_expire_again_whatever_the_slack() {
    let runtime = TestRuntime::quiet(false, 100);
    // A storm: the slack is used.
    let mut sleeps = Vec::new();
    for turn in 1..=20 {
        sleeps.push(runtime.armed(0, 5));
        runtime.expire_at(5 * turn);
    }
    sleeps.extend((0..200).map(|_| runtime.armed(0, 10)));
    runtime.set_to();
    runtime.time.store(110, Ordering::Relaxed);
    assert_eq!(runtime.driver.expire(64), Liveness::Alive);
    assert_eq!(runtime.handle(0).armed(), 200 - 64);
    assert_eq!(runtime.set_to(), [110], "soon, since that has passed");
    // Another thread has the shards scanned before the source expires.
    let other = runtime.armed(1, 5);
    assert_eq!(runtime.set_to(), [], "it is set for that time already");
    drop(other);
    while runtime.handle(0).armed() > 0 {
        assert_eq!(runtime.driver.expire(64), Liveness::Alive);
    }
    // The slack counts again.
    sleeps.push(runtime.armed(0, 10));
    assert_eq!(runtime.set_to().last(), Some(&210));
}

/// Tokio's poller tells once that a timerfd has expired. The thread that made the driver took that
/// for nothing, and the source, set for the same time, was not set again.
#[test]
fn a_source_that_has_expired_before_it_is_watched_is_set_again() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleep = runtime.armed(0, 10);
    runtime.set_to();
    runtime.time.store(10, Ordering::Relaxed);
    assert_eq!(runtime.driver.start(|| Liveness::Alive), Liveness::Alive);
    assert_eq!(runtime.set_to(), [10], "soon, since that has passed");
    assert_eq!(runtime.driver.start(|| Liveness::Gone), Liveness::Gone);
}

/// No thread scanned any more: the timers of threads that waited never fired.
#[test]
fn a_clock_that_panics_in_a_scan_has_the_source_expire_soon() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleeps = [runtime.armed(0, 10), runtime.armed(1, 20)];
    runtime.set_to();
    runtime.panics.store(true, Ordering::Relaxed);
    // The scan asks when the timer fired.
    runtime.expire_at(10);
    assert_eq!(runtime.set_to(), [1], "soon, whatever the time");
    runtime.panics.store(false, Ordering::Relaxed);
    runtime.expire_at(20);
    assert_eq!(runtime.handle(1).armed(), 0);
    assert_eq!(runtime.set_to(), [NEVER]);
}

/// The panic of the payload left the scanner taken out, and no thread could scan or close it.
#[test]
fn a_source_whose_panic_panics_when_it_is_dropped_counts_as_gone() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    let runtime = TestRuntime::new(false, 0, |_| {
        let mut sets = 0;
        Box::new(move || {
            sets += 1;
            if sets == 2 {
                std::panic::panic_any(Bomb);
            }
        })
    });
    let sleep = runtime.armed(0, 10);
    assert!(sleep.is_orphaned());
    assert!(runtime.kept.upgrade().is_none());
}
