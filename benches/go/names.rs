//! What Go's `time` package measures, with the timers of [`reveille::go`], which have Go's names.
//!
//! `own.rs` measures the same with the futures of `reveille::time`. Here a function is one:
//!
//! * `AfterFunc` is [`go::after_func`], which runs the function as a task. Where it is stopped or
//!   reset, it sends on a channel of its own, as Go's does.
//! * What is called `call_after` has the driver call the function in its own turn, without a task.
//!   Go's `time` has no such function.

use std::time::Duration;

use futures::channel::oneshot;
use reveille::Handle;
use reveille::go::{self, Ticker, Timer};
use reveille::time::{Instant, sleep};

use crate::measure::{HOUR, WaitGroup, parallel};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// A chain in which each function sets the timer for the next.
pub(crate) fn after_func_1000(workers: usize) {
    fn after_func(left: usize, last: oneshot::Sender<()>) {
        go::after_func(Duration::ZERO, move || {
            if left > 0 {
                after_func(left - 1, last);
            } else {
                last.send(()).unwrap();
            }
        });
    }

    parallel("AfterFunc1000@go", workers, async |mut turns| {
        while turns.next() {
            let (last, ended) = oneshot::channel();
            after_func(1000, last);
            ended.await.unwrap();
        }
    });
}

pub(crate) fn after(workers: usize) {
    parallel("After@go", workers, async |mut turns| {
        while turns.next() {
            go::after(NANOSECOND).await;
        }
    });
}

/// The function of Go's `newTimerFunc`, which sends the time on a channel.
fn sends_time() -> (impl FnOnce() + Send + 'static, oneshot::Receiver<Instant>) {
    let (sender, receiver) = oneshot::channel();
    let send = move || {
        // Nobody may be waiting.
        let _ = sender.send(Instant::now());
    };
    (send, receiver)
}

pub(crate) fn stop(workers: usize) {
    parallel("Stop/impl=chan@go", workers, async |mut turns| {
        while turns.next() {
            assert!(Timer::new(SECOND).stop());
        }
    });
    parallel("Stop/impl=func@go", workers, async |mut turns| {
        while turns.next() {
            let (send, _received) = sends_time();
            assert!(go::after_func(SECOND, send).stop());
        }
    });
    parallel("Stop/impl=func@call_after", workers, async |mut turns| {
        while turns.next() {
            let (send, _received) = sends_time();
            assert!(Handle::current().call_after(SECOND, send).stop());
        }
    });
}

pub(crate) fn reset(workers: usize) {
    parallel("Reset/impl=chan@go", workers, async |mut turns| {
        let mut timer = Timer::new(HOUR);
        while turns.next() {
            assert!(timer.reset(HOUR));
        }
    });
    parallel("Reset/impl=func@go", workers, async |mut turns| {
        let (send, _received) = sends_time();
        let timer = go::after_func(HOUR, send);
        while turns.next() {
            assert!(timer.reset(HOUR));
        }
        timer.stop();
    });
}

pub(crate) fn simultaneous_after_func_1000(workers: usize) {
    let name = "SimultaneousAfterFunc1000@go";
    parallel(name, workers, async |mut turns| {
        while turns.next() {
            let group = WaitGroup::new(1000);
            for _ in 0..1000 {
                let group = group.clone();
                go::after_func(Duration::ZERO, move || group.done());
            }
            group.wait().await;
        }
    });
}

pub(crate) fn start_stop_1000(workers: usize) {
    parallel("StartStop1000@go", workers, async |mut turns| {
        while turns.next() {
            let timers: Vec<_> = (0..1000).map(|_| go::after_func(HOUR, || {})).collect();
            for timer in &timers {
                timer.stop();
            }
        }
    });
}

pub(crate) fn ticker(workers: usize) {
    parallel("Ticker@go", workers, async |mut turns| {
        let mut ticker = Ticker::new(NANOSECOND);
        while turns.next() {
            ticker.tick().await;
        }
    });
}

pub(crate) fn ticker_reset(workers: usize) {
    parallel("TickerReset@go", workers, async |mut turns| {
        let mut ticker = Ticker::new(NANOSECOND);
        while turns.next() {
            ticker.reset(2 * NANOSECOND);
        }
    });
}

pub(crate) fn ticker_reset_naive(workers: usize) {
    parallel("TickerResetNaive@go", workers, async |mut turns| {
        let mut ticker = Ticker::new(NANOSECOND);
        while turns.next() {
            ticker.stop();
            ticker = Ticker::new(2 * NANOSECOND);
        }
        ticker.stop();
    });
}

pub(crate) fn adjust_timers_10000(workers: usize) {
    parallel("AdjustTimers10000@go", workers, async |mut turns| {
        while turns.next() {
            let timers: Vec<_> = (0..10_000).map(|_| go::after_func(HOUR, || {})).collect();
            timers[9_999].reset(NANOSECOND);
            sleep(Duration::from_micros(1)).await;
            for timer in &timers {
                timer.stop();
            }
        }
    });
}
