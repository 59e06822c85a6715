//! The operations that Go's `time` and `context` measure.
//!
//! They have the numbers of Go 1.27's `time/sleep_test.go`, `time/tick_test.go` and
//! `context/benchmark_test.go`. What counts as the same work is a judgement:
//!
//! * `AfterFunc(d, f)` that fires is a task that sleeps `d` and does what `f` does, because Go
//!   gives `f` a goroutine of its own, too.
//! * `AfterFunc` that is stopped or reset is an armed `Sleep`: it is in the heap and wakes a task
//!   when it is due, but there is no new task yet, as there is no goroutine yet.
//! * `NewTimer` and `NewTicker` are a `Sleep` and an `Interval` that were not polled: since Go 1.23
//!   a timer with a channel is not in the heap either until a goroutine waits for it.
//! * A timer that is due by the time it is awaited is ready without the heap. Go does so for timers
//!   with a channel, but not for functions: `AfterFunc(0, f)` goes into its heap and out again. In
//!   `OneDeadline100000` every timer does, here, too.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt;
use reveille::time::{
    Instant, Interval, MissedTickBehavior, Timeout, interval, interval_at, sleep, timeout,
};

use crate::measure::{HOUR, WaitGroup, arm, armed_timers, parallel, parallel_beside};

const NANOSECOND: Duration = Duration::from_nanos(1);
const MICROSECOND: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

/// A chain in which each function sets the timer for the next.
pub(crate) fn after_func_1000(workers: usize) {
    fn after_func(left: usize, last: oneshot::Sender<()>) {
        drop(rt::spawn(async move {
            sleep(Duration::ZERO).await;
            if left > 0 {
                after_func(left - 1, last);
            } else {
                last.send(()).unwrap();
            }
        }));
    }

    parallel("AfterFunc1000", workers, async |mut turns| {
        while turns.next() {
            let (last, ended) = oneshot::channel();
            after_func(1000, last);
            ended.await.unwrap();
        }
    });
}

pub(crate) fn after(workers: usize) {
    parallel("After", workers, async |mut turns| {
        while turns.next() {
            sleep(NANOSECOND).await;
        }
    });
}

pub(crate) fn stop(workers: usize) {
    parallel("Stop/impl=chan", workers, async |mut turns| {
        while turns.next() {
            drop(sleep(SECOND));
        }
    });
    parallel("Stop/impl=func", workers, async |mut turns| {
        while turns.next() {
            let mut timer = sleep(SECOND);
            arm(&mut timer).await;
            drop(timer);
        }
    });
}

pub(crate) fn simultaneous_after_func_1000(workers: usize) {
    parallel("SimultaneousAfterFunc1000", workers, async |mut turns| {
        while turns.next() {
            let group = WaitGroup::new(1000);
            for _ in 0..1000 {
                let group = group.clone();
                drop(rt::spawn(async move {
                    sleep(Duration::ZERO).await;
                    group.done();
                }));
            }
            group.wait().await;
        }
    });
}

pub(crate) fn start_stop_1000(workers: usize) {
    parallel("StartStop1000", workers, async |mut turns| {
        while turns.next() {
            drop(armed_timers(1000, |_| HOUR).await);
        }
    });
}

pub(crate) fn reset(workers: usize) {
    parallel("Reset/impl=chan", workers, async |mut turns| {
        let mut timer = sleep(HOUR);
        while turns.next() {
            timer.reset_after(HOUR);
        }
    });
    parallel("Reset/impl=func", workers, async |mut turns| {
        let mut timer = sleep(HOUR);
        arm(&mut timer).await;
        while turns.next() {
            timer.reset_after(HOUR);
        }
    });
}

pub(crate) fn sleep_1000(workers: usize) {
    parallel("Sleep1000", workers, async |mut turns| {
        while turns.next() {
            let group = WaitGroup::new(1000);
            for _ in 0..1000 {
                let group = group.clone();
                drop(rt::spawn(async move {
                    sleep(NANOSECOND).await;
                    group.done();
                }));
            }
            group.wait().await;
        }
    });
}

/// Go's ticker leaves out the ticks that no goroutine took in time.
fn skipping(mut ticker: Interval) -> Interval {
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticker
}

pub(crate) fn ticker(workers: usize) {
    parallel("Ticker", workers, async |mut turns| {
        let mut ticker = skipping(interval(NANOSECOND));
        while turns.next() {
            ticker.tick().await;
        }
    });
}

/// Ours sets the next tick and keeps the period; Go's also sets the period, to the same 2 ns each
/// time, which is one word more to store.
pub(crate) fn ticker_reset(workers: usize) {
    parallel("TickerReset", workers, async |mut turns| {
        let mut ticker = skipping(interval(2 * NANOSECOND));
        while turns.next() {
            ticker.reset_after(2 * NANOSECOND);
        }
    });
}

/// Stops the ticker and makes another, which first ticks after its period, as Go's do.
pub(crate) fn ticker_reset_naive(workers: usize) {
    parallel("TickerResetNaive", workers, async |mut turns| {
        let mut ticker = skipping(interval(NANOSECOND));
        while turns.next() {
            let period = 2 * NANOSECOND;
            ticker = skipping(interval_at(Instant::now() + period, period));
        }
        drop(ticker);
    });
}

/// The timer that is moved to the front of ten thousand fires while the task sleeps: it wakes this
/// task, which checks and sleeps on, where Go starts an empty function.
pub(crate) fn adjust_timers_10000(workers: usize) {
    parallel("AdjustTimers10000", workers, async |mut turns| {
        while turns.next() {
            let mut timers = armed_timers(10_000, |_| HOUR).await;
            timers[9_999].reset_after(NANOSECOND);
            sleep(MICROSECOND).await;
            drop(timers);
        }
    });
}

/// Makes and cancels ten timeouts. A Go context is more than the timeout that stands for it here:
/// it also has a parent, children and a channel. `context.rs` measures what has these.
pub(crate) fn with_timeout(workers: usize) {
    for alive in [40, 4_000, 400_000] {
        let name = format!("WithTimeout/concurrency={alive}");
        parallel_beside(&name, workers, alive / workers, async |mut turns| {
            let mut timeouts: Vec<Timeout<_>> = Vec::with_capacity(10);
            while turns.next() {
                for _ in 0..10 {
                    timeouts.push(timeout(HOUR, pending::<()>()));
                    let made = timeouts.last_mut().unwrap();
                    poll_fn(|cx| {
                        assert!(Pin::new(&mut *made).poll(cx).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                }
                timeouts.clear();
            }
        });
    }
}
