//! Retries by backon, whose pauses are timers of this crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, ExponentialBuilder, FibonacciBuilder, Retryable, Sleeper};
use futures::FutureExt;
use reveille::adapters::backon::BackonSleeper;
use reveille::rt::Runtime;
use reveille::{Driver, ManualClock, ThreadPark};
use reveille_ecosystem::{on_rt, on_tokio, watched};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A service that refuses some requests before it answers one.
#[derive(Clone)]
struct Service {
    refuses: Arc<AtomicU32>,
}

impl Service {
    fn new(refuses: u32) -> Self {
        let refuses = Arc::new(AtomicU32::new(refuses));
        Self { refuses }
    }

    async fn answer(&self) -> Result<&'static str, &'static str> {
        let refuses = self
            .refuses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_sub(1)
            });
        refuses.map_or(Ok("answer"), |_| Err("busy"))
    }
}

async fn waits() {
    let service = Service::new(3);
    let pause = ConstantBuilder::new().with_delay(Duration::from_millis(2));
    let start = Instant::now();
    let answer = (|| service.answer())
        .retry(pause.with_max_times(3))
        .sleep(BackonSleeper::new())
        .await;
    assert_eq!(answer, Ok("answer"));
    assert!(start.elapsed() >= Duration::from_millis(6));
}

#[test]
fn waits_between_attempts_on_any_executor() {
    on_rt(waits());
    on_tokio(waits());
    watched(|| pollster::block_on(waits()));
}

#[test]
fn on_a_manual_clock_the_pauses_pass_at_once_and_to_the_nanosecond() {
    watched(|| {
        let service = Service::new(4);
        let pauses = ExponentialBuilder::new().with_max_times(4);
        let retry = (|| service.answer())
            .retry(pauses)
            .sleep(BackonSleeper::new());
        let (answer, elapsed) = ManualClock::new().simulate(retry);
        assert_eq!(answer, Ok("answer"));
        assert_eq!(elapsed, secs(1 + 2 + 4 + 8));

        // It gives up after the last attempt, without a pause.
        let service = Service::new(100);
        let pauses = FibonacciBuilder::new()
            .with_min_delay(secs(1))
            .with_max_times(5);
        let retry = (|| service.answer())
            .retry(pauses)
            .sleep(BackonSleeper::new());
        let (answer, elapsed) = ManualClock::new().simulate(retry);
        assert_eq!(answer, Err("busy"));
        assert_eq!(elapsed, secs(1 + 1 + 2 + 3 + 5));
    });
}

#[test]
fn tasks_retry_on_the_manual_clock_of_their_runtime() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let runtime = Runtime::builder().worker_threads(2).clock(&clock).build();
        let runtime = runtime.unwrap();
        let tasks: Vec<_> = (1..=10)
            .map(|refuses| {
                runtime.spawn(async move {
                    let service = Service::new(refuses);
                    let pauses = ExponentialBuilder::new()
                        .with_max_delay(secs(3600))
                        .with_max_times(10);
                    let start = reveille::time::Instant::now();
                    let retry = (|| service.answer())
                        .retry(pauses)
                        .sleep(BackonSleeper::new());
                    assert_eq!(retry.await, Ok("answer"));
                    (refuses, start.elapsed())
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                let (refuses, elapsed) = task.await.unwrap();
                assert_eq!(elapsed, secs((1 << refuses) - 1));
            }
        });
        assert_eq!(clock.now() - start, secs((1 << 10) - 1));
    });
}

#[test]
fn dropping_a_retry_cancels_its_timer() {
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    let service = Service::new(100);
    let retry = (|| service.answer())
        .retry(ConstantBuilder::new())
        .sleep(BackonSleeper::with_driver(driver.handle().clone()));
    let mut retry = Box::pin(retry.into_future());
    assert!(retry.as_mut().now_or_never().is_none());
    assert_eq!(driver.handle().armed(), 1);
    drop(retry);
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn a_sleeper_is_a_name_for_a_struct() {
    struct Client<S> {
        sleeper: S,
    }
    let client = Client {
        sleeper: BackonSleeper::default(),
    };
    let sleep = client.sleeper.sleep(Duration::ZERO);
    assert!(sleep.now_or_never().is_some());
}
