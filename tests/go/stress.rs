//! Go's tests of starvation, of a million timers of zero, and of small waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use reveille::go::{self, Ticker, Timer};
use reveille::time::{Instant, sleep};

use crate::on::{On, everywhere};
use crate::support::{ms, runtime, watched};

/// Go's `TestZeroTimer`: on each executor a third of a million of new ones and of one that is
/// reset, and a tenth of that of functions.
#[test]
fn a_million_timers_of_zero_fire() {
    everywhere(|on| async move {
        let start = Instant::now();
        let mut reused = Timer::new(Duration::ZERO);
        (&mut reused).await;
        for _ in 0..330_000 {
            Timer::new(Duration::ZERO).await;
            assert!(!reused.reset(Duration::ZERO));
            (&mut reused).await;
        }
        if on == On::Manual {
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
        let calls = Arc::new(AtomicUsize::new(0));
        for n in 1..=33_000 {
            let count = calls.clone();
            go::after_func(Duration::ZERO, move || {
                count.fetch_add(1, Ordering::Relaxed);
            });
            while n % 1_000 == 0 && calls.load(Ordering::Relaxed) < n {
                sleep(Duration::from_nanos(1)).await;
            }
        }
    });
}

/// Go's `TestAfterFuncStarvation`: two tasks that always have work do not keep a function from
/// running. On a manual clock time does not pass while they have.
#[test]
fn a_function_runs_beside_tasks_that_never_wait() {
    async fn ping(from: mpsc::Receiver<()>, to: mpsc::Sender<()>, stop: Arc<AtomicBool>) {
        let (mut from, mut to) = (from, to);
        while !stop.load(Ordering::Relaxed) && from.next().await.is_some() {
            let _ = to.send(()).await;
        }
    }
    let test = |on: On| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let ((mut first, one), (second, other)) = (mpsc::channel(1), mpsc::channel(1));
        first.send(()).await.unwrap();
        let tasks = [
            on.spawn(ping(one, second, stop.clone())),
            on.spawn(ping(other, first, stop.clone())),
        ];
        let set = stop.clone();
        go::after_func(Duration::from_micros(1), move || {
            set.store(true, Ordering::Relaxed)
        });
        futures::future::join_all(tasks).await;
    };
    watched(move || {
        runtime(1).block_on(test(On::Rt));
        On::TokioThread.run(test(On::TokioThread));
        On::Tokio.run(test(On::Tokio));
    });
}

/// Go's `TestTimerFairness`: beside two senders that are always ready, a timer fires.
#[test]
fn a_timer_fires_beside_channels_that_are_always_ready() {
    let test = |on: On| async move {
        let (sender, mut values) = mpsc::channel(0);
        for _ in 0..2 {
            let mut sender = sender.clone();
            drop(on.spawn(async move { while sender.send(()).await.is_ok() {} }));
        }
        let mut end = go::after(ms(5));
        loop {
            futures::select! {
                _ = values.next() => {}
                _ = end => break,
            }
        }
    };
    watched(move || {
        runtime(1).block_on(test(On::Rt));
        On::TokioThread.run(test(On::TokioThread));
    });
}

/// Go's `TestTickerStress`, with the driver's loop interrupted all the time.
#[test]
fn a_ticker_ticks_while_its_loop_is_interrupted() {
    everywhere(|on| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, handle) = (stop.clone(), reveille::Handle::current());
        let interrupts = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                handle.unpark();
                std::thread::yield_now();
            }
        });
        let mut ticker = Ticker::new(Duration::from_micros(10));
        for _ in 0..100 {
            ticker.tick().await;
            sleep(Duration::from_nanos(1)).await;
        }
        // Go's `TestSleep`: a wait that is interrupted is not shorter.
        let start = Instant::now();
        go::after(ms(5)).await;
        on.has_passed(start, ms(5));
        stop.store(true, Ordering::Relaxed);
        interrupts.join().unwrap();
    });
}

/// Go's `TestSleepZeroDeadlock`.
#[test]
fn waits_of_zero_between_tasks_do_not_hang() {
    everywhere(|on| async move {
        let tasks = (0..20).map(|_| {
            on.spawn(async move {
                for _ in 0..20 {
                    go::after(Duration::ZERO).await;
                    let (mut sender, mut values) = mpsc::channel(0);
                    let other = on.spawn(async move { sender.send(()).await });
                    values.next().await;
                    let _ = other.await;
                }
            })
        });
        futures::future::join_all(tasks).await;
    });
}
