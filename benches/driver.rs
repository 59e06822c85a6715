//! The cost of a `Sleep` in its driver, with 0 to 1 000 000 other timers waiting.
//!
//! `cargo bench --bench driver`. Timers are polled by hand with wakers that do nothing, so that
//! only the timer is measured. The clock is a counter: reading the system's takes 25 ns of each
//! arming, and is the same for every kind of timer. Nothing here blocks.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use reveille::time::Sleep;
use reveille::{Clock, Driver, Handle};

const WAITING: [usize; 4] = [0, 1_000, 100_000, 1_000_000];

struct NoopWake;

impl Wake for NoopWake {
    fn wake(self: Arc<Self>) {}
}

/// Pseudo-random deadlines that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }

    /// Returns 29 to 31 s.
    fn timeout(&mut self) -> Duration {
        Duration::from_nanos(29_000_000_000 + self.below(2_000_000_000))
    }
}

/// A driver with waiting timers, due in 25 to 60 s.
struct Bench {
    driver: Driver<()>,
    nanos: Arc<AtomicU64>,
    waiting: Vec<Sleep>,
    waker: Waker,
}

impl Bench {
    fn new(waiting: usize) -> Self {
        let nanos = Arc::new(AtomicU64::new(0));
        let counter = nanos.clone();
        let clock = Clock::custom(move || Duration::from_nanos(counter.load(Ordering::Relaxed)));
        let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
        let waker = Waker::from(Arc::new(NoopWake));
        let mut random = Random(1);
        let waiting = (0..waiting)
            .map(|_| {
                let wait = Duration::from_nanos(25_000_000_000 + random.below(35_000_000_000));
                armed(driver.handle(), wait, &waker)
            })
            .collect();
        let mut bench = Self {
            driver,
            nanos,
            waiting,
            waker,
        };
        bench.driver.turn();
        bench
    }
}

fn armed(handle: &Handle, wait: Duration, waker: &Waker) -> Sleep {
    let mut sleep = handle.sleep(wait);
    assert!(poll(&mut sleep, waker).is_pending());
    sleep
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> std::task::Poll<()> {
    std::pin::Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

fn arm_and_cancel(c: &mut Criterion) {
    let mut group = c.benchmark_group("arm and cancel");
    for waiting in WAITING {
        let bench = Bench::new(waiting);
        let mut random = Random(2);
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter(|| drop(armed(bench.driver.handle(), random.timeout(), &bench.waker)));
        });
    }
}

fn reset(c: &mut Criterion) {
    let mut group = c.benchmark_group("reset later and poll");
    for waiting in WAITING {
        let bench = Bench::new(waiting);
        let mut sleep = armed(bench.driver.handle(), Duration::from_secs(30), &bench.waker);
        let mut deadline = sleep.deadline();
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter(|| {
                deadline += Duration::from_nanos(100);
                sleep.reset_at(deadline);
                poll(&mut sleep, &bench.waker)
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("reset one of those waiting at random");
    for waiting in WAITING.into_iter().skip(1) {
        let mut bench = Bench::new(waiting);
        let mut random = Random(3);
        let start = bench.driver.handle().now();
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter(|| {
                let sleep = &mut bench.waiting[random.below(waiting as u64) as usize];
                sleep.reset_at(start + random.timeout());
            });
        });
    }
}

/// Arming is included, because a timer that fires has been armed.
fn expire(c: &mut Criterion) {
    let mut group = c.benchmark_group("arm, expire and end, each");
    for waiting in WAITING {
        let mut bench = Bench::new(waiting);
        let mut random = Random(4);
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter_custom(|timers| {
                let mut took = Duration::ZERO;
                let mut left = timers;
                while left > 0 {
                    let batch = left.min(1_000);
                    left -= batch;
                    let start = Instant::now();
                    let mut sleeps: Vec<_> = (0..batch)
                        .map(|_| {
                            let wait = Duration::from_nanos(1 + random.below(1_000));
                            armed(bench.driver.handle(), wait, &bench.waker)
                        })
                        .collect();
                    bench.nanos.fetch_add(1_000, Ordering::Relaxed);
                    while bench.driver.turn().is_unfinished() {}
                    for sleep in &mut sleeps {
                        assert!(poll(sleep, &bench.waker).is_ready());
                    }
                    drop(sleeps);
                    took += start.elapsed();
                }
                took
            });
        });
    }
}

/// One driver, two threads: the second one arms and cancels all the time.
fn contention(c: &mut Criterion) {
    let mut group = c.benchmark_group("arm and cancel against another thread");
    for waiting in WAITING {
        let bench = Bench::new(waiting);
        let handle = bench.driver.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let others = Arc::new(AtomicU64::new(0));
        let counted = others.clone();
        let other = thread::spawn(move || {
            let waker = Waker::from(Arc::new(NoopWake));
            let mut random = Random(5);
            while !stopped.load(Ordering::Relaxed) {
                drop(black_box(armed(&handle, random.timeout(), &waker)));
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        while others.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let mut random = Random(6);
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter(|| drop(armed(bench.driver.handle(), random.timeout(), &bench.waker)));
        });
        stop.store(true, Ordering::Relaxed);
        other.join().unwrap();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2));
    targets = arm_and_cancel, reset, expire, contention
}
criterion_main!(benches);
