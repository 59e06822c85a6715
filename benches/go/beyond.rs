//! Timer benchmarks that Go's own do not have.
//!
//! The counterpart in Go is `native/beyond_test.go`, with the same names and numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reveille::rt;
use reveille::time::{Instant, sleep, sleep_until};

use crate::measure::{HOUR, WaitGroup, arm, armed_timers, percentile, report, run};

const MILLISECOND: Duration = Duration::from_millis(1);

fn late(due: Instant) -> f64 {
    (Instant::now() - due).as_nanos() as f64
}

/// One pending timer is moved from an hour to 2 ms, with the given number of others waiting.
///
/// It wakes the task that waits for it, where Go starts the timer's function.
pub(crate) fn pulled_earlier(workers: usize) {
    const ROUNDS: usize = 100;
    for idle in [0, 1_000_000] {
        run(workers, async move {
            let task = rt::spawn(async move {
                // Multiples of a number of seconds that is prime to 3600 and spreads well: one to
                // two hours.
                let spread = |i: usize| HOUR + Duration::from_secs(i as u64 * 2_017 % 3_600);
                let idle = armed_timers(idle, spread).await;
                let mut lates = Vec::with_capacity(ROUNDS);
                for _ in 0..ROUNDS {
                    let mut timer = sleep(HOUR);
                    arm(&mut timer).await;
                    let due = Instant::now() + 2 * MILLISECOND;
                    timer.reset_after(2 * MILLISECOND);
                    timer.await;
                    lates.push(late(due));
                }
                drop(idle);
                lates
            });
            let mut lates = task.await.unwrap();
            let p50 = percentile(&mut lates, 0.5);
            let name = format!("PulledEarlier/idle={idle}");
            report(&name, workers, ROUNDS as u64, &[("p50-late-ns", p50)]);
        });
    }
}

/// 100 000 tasks sleep until one deadline: measures how long after it the last one is done.
pub(crate) fn one_deadline_100000(workers: usize) {
    const SLEEPERS: usize = 100_000;
    const ROUNDS: usize = 3;
    run(workers, async {
        let task = rt::spawn(async {
            let mut lates = Vec::new();
            for _ in 0..ROUNDS {
                let due = Instant::now() + 500 * MILLISECOND;
                let armed = Arc::new(AtomicUsize::new(0));
                let group = WaitGroup::new(SLEEPERS);
                for _ in 0..SLEEPERS {
                    let (armed, group) = (armed.clone(), group.clone());
                    drop(rt::spawn(async move {
                        armed.fetch_add(1, Ordering::Relaxed);
                        sleep_until(due).await;
                        group.done();
                    }));
                }
                while armed.load(Ordering::Relaxed) < SLEEPERS {
                    sleep(MILLISECOND).await;
                }
                assert!(
                    Instant::now() < due,
                    "the deadline passed before all tasks were sleeping"
                );
                group.wait().await;
                lates.push(late(due));
            }
            lates
        });
        let p50 = percentile(&mut task.await.unwrap(), 0.5);
        let metrics = [("p50-late-ns", p50)];
        report("OneDeadline100000", workers, ROUNDS as u64, &metrics);
    });
}

/// 1000 tasks sleep 50 us again and again: measures how late each sleep ends.
pub(crate) fn sleep_50us_1000(workers: usize) {
    const SLEEPERS: usize = 1_000;
    const SLEEPS: usize = 300;
    const PAUSE: Duration = Duration::from_micros(50);
    run(workers, async {
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                rt::spawn(async {
                    let mut lates = Vec::with_capacity(SLEEPS);
                    for _ in 0..SLEEPS {
                        let due = Instant::now() + PAUSE;
                        sleep(PAUSE).await;
                        lates.push(late(due));
                    }
                    lates
                })
            })
            .collect();
        let mut lates = Vec::new();
        for sleeper in sleepers {
            lates.append(&mut sleeper.await.unwrap());
        }
        let metrics = [
            ("p50-late-ns", percentile(&mut lates, 0.5)),
            ("p99.9-late-ns", percentile(&mut lates, 0.999)),
        ];
        report("Sleep50us1000", workers, SLEEPS as u64, &metrics);
    });
}
