//! Tests of storms of timers on tokio, which other threads arm, move and drop meanwhile.
//!
//! The tests run in rounds. A round ends when all of its sleepers are awake, and nothing else
//! happens in it: so a lost wake-up of the driver is not made up for, and the round never ends.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::pin::pin;
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use reveille::time::{Instant, sleep, timeout};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use support::{Random, ms, watched};

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// Sleeps a few times, each time in another way.
async fn sleeper(seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..=random.below(3) {
        let start = Instant::now();
        let wait = us(random.below(400));
        match random.below(4) {
            0 => {
                sleep(wait).await;
                assert!(start.elapsed() >= wait);
            }
            // Postponed while armed.
            1 => {
                let mut late = pin!(sleep(us(50)));
                if timeout(us(random.below(60)), late.as_mut()).await.is_err() {
                    late.as_mut().reset(start + us(50) + wait);
                    late.await;
                    assert!(start.elapsed() >= us(50) + wait);
                }
            }
            // Moved to earlier, from far off, while another one is dropped.
            2 => {
                let mut soon = pin!(sleep(ms(600_000)));
                let far = timeout(ms(300_000), async { timeout(us(0), soon.as_mut()).await });
                assert!(far.await.unwrap().is_err());
                soon.as_mut().reset(start + wait);
                soon.await;
                assert!(start.elapsed() >= wait);
            }
            // Two at once.
            _ => {
                let others = (0..random.below(5)).map(|i| sleep(wait * i as u32 / 4));
                join_all(others.collect::<Vec<_>>()).await;
            }
        }
    }
}

/// Runs sleepers on the workers and on two external threads, round by round.
fn rounds(runtime: &Runtime, seed: u64) {
    const ROUNDS: u64 = 400;
    let (done, mut ended) = mpsc::unbounded_channel();
    thread::scope(|scope| {
        let externals = [(); 2].map(|()| {
            let (start, started) = std::sync::mpsc::channel();
            let done = done.clone();
            scope.spawn(move || {
                let _inside = runtime.enter();
                for seed in started {
                    pollster::block_on(sleeper(seed));
                    done.send(()).unwrap();
                }
            });
            start
        });
        let mut random = Random::new(seed);
        for _ in 0..ROUNDS {
            for external in &externals {
                external.send(random.below(u64::MAX)).unwrap();
            }
            runtime.block_on(async {
                let tasks = (0..1 + random.below(7)).map(|_| random.below(u64::MAX));
                let tasks = tasks.map(|seed| tokio::spawn(sleeper(seed)));
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
                for _ in &externals {
                    ended.recv().await.unwrap();
                }
            });
        }
    });
}

#[test]
fn every_sleeper_on_two_workers_and_external_threads_wakes_and_none_early() {
    watched(|| {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        rounds(&runtime, 1);
    });
}

#[test]
fn every_sleeper_on_one_thread_and_external_threads_wakes_and_none_early() {
    watched(|| {
        let mut builder = Builder::new_current_thread();
        rounds(&builder.enable_all().build().unwrap(), 2);
    });
}

#[test]
fn every_sleeper_on_tokios_own_timer_wakes_and_none_early() {
    watched(|| {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_time().build().unwrap();
        rounds(&runtime, 3);
    });
}
