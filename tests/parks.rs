//! How often the loop of a driver wakes for many timers of which few come due.
//!
//! `cargo test --release --test parks -- --nocapture` prints the figures.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Clock, Driver};

const CONNECTIONS: u64 = 100_000;
const TIMEOUT: Duration = Duration::from_secs(30);
/// A connection sends something each 10 ms to 10 s.
const GAPS: (u64, u64) = (10_000_000, 10_000_000_000);
/// So many messages before it falls silent, and times out.
const MESSAGES: u64 = 355;

/// Notes which connection has timed out.
struct TimedOut(usize, Sender<usize>);

impl Wake for TimedOut {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = self.1.send(self.0);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 20) % limit
    }
}

/// The loop of a server, on a clock that goes on when the loop would block: no time passes but
/// that. Messages come from another thread, as it were: they do not end a wait of the loop.
#[test]
fn connections_that_are_put_off_wake_the_loop_no_oftener_than_they_time_out() {
    let now = Arc::new(AtomicU64::new(1));
    let shown = now.clone();
    let clock = Clock::custom(move || Duration::from_nanos(shown.load(Ordering::Relaxed)));
    let unparked = Arc::new(AtomicU64::new(0));
    let unparks = unparked.clone();
    let builder = Driver::builder().clock(clock).slack(Duration::ZERO);
    let mut driver = builder.build_with_unpark(move || {
        unparks.fetch_add(1, Ordering::Relaxed);
    });

    let mut random = Random(7);
    let (sender, timed_out) = channel();
    let wakers = (0..CONNECTIONS as usize).map(|at| TimedOut(at, sender.clone()));
    let wakers: Vec<Waker> = wakers.map(|waker| Arc::new(waker).into()).collect();
    let arm = |timer: &mut Sleep, at: usize| {
        let mut cx = Context::from_waker(&wakers[at]);
        assert!(Pin::new(timer).poll(&mut cx).is_pending());
    };
    let mut timers: Vec<Sleep> = (0..CONNECTIONS)
        .map(|_| driver.handle().sleep(TIMEOUT))
        .collect();
    let mut messages = BinaryHeap::new();
    for (at, timer) in timers.iter_mut().enumerate() {
        arm(timer, at);
        messages.push(Reverse((random.below(GAPS.1), at)));
    }

    let mut before = driver.handle().stats();
    for second in 1..=90 {
        while now.load(Ordering::Relaxed) < second * 1_000_000_000 {
            let wait = driver.next_timeout().unwrap_or(TIMEOUT);
            let until = now.load(Ordering::Relaxed) + wait.as_nanos() as u64;
            unparked.store(0, Ordering::Relaxed);
            while let Some(&Reverse((due, at))) = messages.peek()
                && due < until
                && unparked.load(Ordering::Relaxed) == 0
            {
                messages.pop();
                now.fetch_max(due, Ordering::Relaxed);
                timers[at].reset_after(TIMEOUT);
                if random.below(MESSAGES) > 0 {
                    let gap = GAPS.0 + random.below(GAPS.1 - GAPS.0);
                    messages.push(Reverse((due + gap, at)));
                }
            }
            if unparked.load(Ordering::Relaxed) == 0 {
                now.fetch_max(until, Ordering::Relaxed);
            }
            driver.turn();
            // Another connection takes its place.
            for at in timed_out.try_iter() {
                timers[at].reset_after(TIMEOUT);
                arm(&mut timers[at], at);
                messages.push(Reverse((now.load(Ordering::Relaxed) + GAPS.0, at)));
            }
        }
        // By then the first ones may time out.
        if second == 30 {
            before = driver.handle().stats();
        }
    }
    let after = driver.handle().stats();
    let (parks, fired) = (
        after.parks() - before.parks(),
        after.fired() - before.fired(),
    );
    let resets = after.reset() - before.reset();
    println!(
        "a second: {} put off, {} timed out, {} parks",
        resets / 60,
        fired / 60,
        parks / 60
    );
    assert!(fired > 1000, "{fired}");
    assert!(parks <= fired, "{parks} parks, {fired} fired");
}
