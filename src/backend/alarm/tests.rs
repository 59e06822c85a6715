//! When is the bell set, by whom, and how often?

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::Handle;
use crate::handle::Notifier;
use crate::time::Sleep;

type Said = Arc<std::sync::Mutex<VecDeque<u64>>>;

/// A bell that notes when it was to ring, and calls `inside` each time that it is set.
struct TestBell {
    said: Said,
    inside: Box<dyn FnMut() + Send>,
    _owned: Arc<()>,
}

impl Bell for TestBell {
    fn rang(&mut self) -> Heard {
        Heard::Well
    }

    fn set(&mut self, at: u64) -> Heard {
        self.said.lock().unwrap().push_back(at);
        (self.inside)();
        Heard::Well
    }
}

struct Call(Weak<Alarm<TestBell>>);

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

fn armed(handle: &Handle, nanos: u64) -> Sleep {
    let mut sleep = handle.sleep(Duration::from_nanos(nanos));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    sleep
}

/// A host with two threads, on a clock that shows `time`.
struct Host {
    alarm: Arc<Alarm<TestBell>>,
    time: Arc<AtomicU64>,
    said: Said,
    /// Kept by the bell.
    kept: Weak<()>,
}

impl Host {
    fn new(
        exact: bool,
        slack: u64,
        inside: impl FnOnce(Weak<Alarm<TestBell>>) -> Box<dyn FnMut() + Send>,
    ) -> Self {
        let (time, said) = (Arc::new(AtomicU64::new(0)), Said::default());
        let shown = time.clone();
        let clock = Clock::custom(move || Duration::from_nanos(shown.load(Ordering::Relaxed)));
        let owned = Arc::new(());
        let kept = Arc::downgrade(&owned);
        let alarm = Arc::new_cyclic(|alarm: &Weak<Alarm<TestBell>>| {
            let slack = Limit::new(slack);
            let call = || Box::new(Call(alarm.clone()));
            let shard = |_| Shared::new(clock.clone(), call(), exact, slack.clone());
            let bell = TestBell {
                said: said.clone(),
                inside: inside(alarm.clone()),
                _owned: owned,
            };
            Alarm::new(
                bell,
                clock.clone(),
                slack.clone(),
                (0..2).map(shard).collect(),
            )
        });
        alarm.attend();
        Self {
            alarm,
            time,
            said,
            kept,
        }
    }

    fn quiet(exact: bool, slack: u64) -> Self {
        Self::new(exact, slack, |_| Box::new(|| {}))
    }

    fn handle(&self, thread: usize) -> Handle {
        Handle {
            shared: self.alarm.shards()[thread].clone(),
        }
    }

    fn armed(&self, thread: usize, nanos: u64) -> Sleep {
        armed(&self.handle(thread), nanos)
    }

    /// What the host does when the bell rings at `time`.
    fn ring_at(&self, time: u64) {
        self.time.store(time, Ordering::Relaxed);
        self.alarm.rang();
        self.alarm.fire(time, usize::MAX);
        self.alarm.attend();
    }

    /// When the bell was to ring, in order, since this was last asked.
    fn said(&self) -> Vec<u64> {
        self.said.lock().unwrap().drain(..).collect()
    }
}

/// A reset whose new deadline had passed took the timer out and said nothing: a clock that may be
/// paused moved on to a timer that was gone, and a later one was armed without a call.
#[test]
fn an_exact_bell_is_set_anew_when_its_timer_is_reset_to_the_past() {
    let host = Host::quiet(true, 0);
    let start = host.handle(0).now();
    let mut sleep = host.armed(0, 10);
    host.said();
    sleep.reset_at(start);
    assert_eq!(host.said(), [NEVER]);
    let _later = host.armed(1, 20);
    assert_eq!(host.said(), [20]);
}

/// The bell was left as it was if it was set for the right time, and a clock that had jumped was not
/// looked at again.
#[test]
fn unpark_sets_the_bell_anew_although_no_timer_has_changed() {
    let host = Host::quiet(false, 0);
    let _sleep = host.armed(0, 10);
    assert_eq!(host.said(), [NEVER, 10]);
    host.alarm.attend();
    assert_eq!(host.said(), [], "nothing has changed");
    host.handle(1).unpark();
    assert_eq!(host.said(), [10]);
}

#[test]
fn a_slack_that_is_set_in_a_storm_sets_the_bell_anew() {
    let host = Host::quiet(false, 100);
    let mut sleeps = Vec::new();
    for turn in 1..=20 {
        sleeps.push(host.armed(0, 5));
        host.ring_at(5 * turn);
    }
    host.said();
    sleeps.push(host.armed(1, 30));
    assert_eq!(host.said(), [200], "the slack after the last ring");
    sleeps.push(host.armed(0, 20));
    assert_eq!(host.said(), [], "and nobody calls");
    host.handle(0).set_slack(Duration::from_nanos(1000));
    assert_eq!(host.said(), [1100]);
    host.handle(0).set_slack(Duration::ZERO);
    assert_eq!(host.said(), [120]);
    // Whose announcement has ended with the storm is told again.
    sleeps.push(host.armed(1, 10));
    assert_eq!(host.said(), [110]);
}

/// The thread that attended stayed as long as others called, be it for ever.
#[test]
fn a_thread_leaves_although_others_call_during_each_look() {
    // During each setting of the bell a thread arms an earlier timer, a thousand times.
    let left = Arc::new(AtomicUsize::new(1000));
    let more = left.clone();
    let host = Host::new(false, 0, |alarm| {
        Box::new(move || {
            let n = more.load(Ordering::Relaxed);
            if n > 0 {
                more.store(n - 1, Ordering::Relaxed);
                let shared = alarm.upgrade().unwrap().shards()[n % 2].clone();
                std::mem::forget(armed(&Handle { shared }, n as u64));
            }
        })
    });
    let mut looks = 1000 - left.load(Ordering::Relaxed);
    assert_eq!(looks, ROUNDS + 1, "looks, and a bell that is to ring soon");
    while left.load(Ordering::Relaxed) > 0 {
        let before = left.load(Ordering::Relaxed);
        assert_eq!(host.said().last(), Some(&1), "soon");
        // Any call will do; the bell is sure to make one.
        if before.is_multiple_of(2) {
            host.alarm.attend();
        } else {
            host.ring_at(0);
        }
        looks = before - left.load(Ordering::Relaxed);
        assert!((1..=ROUNDS + 1).contains(&looks), "{looks}");
    }
    host.ring_at(0);
    assert_eq!(host.said().last(), Some(&1));
    host.ring_at(1000);
    assert_eq!((host.handle(0).armed(), host.handle(1).armed()), (0, 0));
    assert_eq!(host.said().last(), Some(&NEVER));
}

/// The bell may hold descriptors, and the alarm is kept by whatever refers to the host.
#[test]
fn an_alarm_that_is_closed_while_a_thread_looks_drops_its_bell() {
    let host = Host::new(false, 0, |alarm| {
        let mut sets = 0;
        Box::new(move || {
            sets += 1;
            if sets == 2 {
                alarm.upgrade().unwrap().close();
            }
        })
    });
    assert!(host.kept.upgrade().is_some());
    let sleep = host.armed(0, 10);
    assert!(sleep.is_orphaned());
    assert!(host.kept.upgrade().is_none());
    assert!(!host.alarm.attend());
}
