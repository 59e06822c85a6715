//! How late timers are while the workers are busy.
//!
//! These are the last two benchmarks of Go's `time/sleep_test.go`, which measure what the scheduler
//! does about timers whose worker is busy. They need two workers, and a core for each.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reveille::rt;
use reveille::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::measure::{each, report, run};

const MILLISECOND: Duration = Duration::from_millis(1);

fn too_few(name: &str, workers: usize) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let too_few = workers < 2 || cores < workers;
    if too_few {
        eprintln!("{name}: skipped, it takes two workers, each with a core of its own");
    }
    too_few
}

/// Go's `doWork`: works for the given time.
fn work(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// Spins until `what` returns `true`, which other workers bring about. Panics rather than hangs if
/// they do not.
fn spin_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        spin_loop();
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the other workers did not help a busy one"
        );
    }
}

/// Go's `warmupScheduler`: lets every worker run something.
async fn warm_up(workers: usize) {
    let started = Arc::new(AtomicUsize::new(0));
    each(workers, |_| {
        let started = started.clone();
        async move {
            started.fetch_add(1, Ordering::AcqRel);
            spin_until(|| started.load(Ordering::Acquire) == workers);
            work(MILLISECOND);
        }
    })
    .await;
}

/// Sum, maximum and number of nanoseconds late.
#[derive(Clone, Copy, Default)]
struct Late {
    sum: f64,
    max: f64,
    n: f64,
}

impl Late {
    fn note(&mut self, due: Instant) {
        let late = (Instant::now() - due).as_nanos() as f64;
        *self += Self {
            sum: late,
            max: late,
            n: 1.0,
        };
    }
}

impl std::ops::AddAssign for Late {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        self.n += other.n;
    }
}

fn report_late(name: &str, workers: usize, turns: usize, late: Late) {
    let metrics = [
        ("avg-late-ns", late.sum / late.n),
        ("max-late-ns", late.max),
    ];
    report(name, workers, turns as u64, &metrics);
}

/// A task that never leaves its worker sets a timer for each other worker, and spins until those
/// have run.
///
/// The `Sleep` is made where Go calls `AfterFunc`, so it is due a millisecond from there, and is on
/// the shard of the busy worker, as in Go.
pub(crate) fn parallel_timer_latency(workers: usize) {
    const NAME: &str = "ParallelTimerLatency";
    const ROUNDS: usize = 200;
    if too_few(NAME, workers) {
        return;
    }
    run(workers, async move {
        warm_up(workers).await;
        let late = rt::spawn(async move {
            let mut all = Late::default();
            work(30 * MILLISECOND);
            for _ in 0..ROUNDS {
                all += round(workers - 1).await;
                // The other workers find nothing to do and park.
                work(MILLISECOND);
            }
            all
        });
        report_late(NAME, workers, ROUNDS, late.await.unwrap());
    });

    async fn round(timers: usize) -> Late {
        let fired = Arc::new(AtomicUsize::new(0));
        let all_fired = move |fired: &AtomicUsize| fired.load(Ordering::Acquire) == timers;
        let tasks: Vec<_> = (0..timers)
            .map(|_| {
                let fired = fired.clone();
                let due = Instant::now() + MILLISECOND;
                let timer = sleep(MILLISECOND);
                rt::spawn(async move {
                    timer.await;
                    let mut late = Late::default();
                    late.note(due);
                    fired.fetch_add(1, Ordering::AcqRel);
                    spin_until(|| all_fired(&fired));
                    late
                })
            })
            .collect();
        spin_until(|| all_fired(&fired));
        let mut all = Late::default();
        for task in tasks {
            all += task.await.unwrap();
        }
        all
    }
}

/// Tickers of 3 ms, some for each worker and out of step, whose tasks work for a while at each
/// tick. Lateness is measured against the schedule, of which no tick is left out, as in Go.
pub(crate) fn staggered_ticker_latency(workers: usize) {
    const PERIOD: Duration = Duration::from_millis(3);
    if too_few("StaggeredTickerLatency", workers) {
        return;
    }
    for busy in [Duration::from_micros(300), Duration::from_millis(2)] {
        for each_worker in 1..=(PERIOD.as_micros() / busy.as_micros()) {
            let name =
                format!("StaggeredTickerLatency/work-dur={busy:?}/tickers-per-P={each_worker}");
            run(workers, async move {
                warm_up(workers).await;
                let tickers = workers * each_worker as usize;
                let late = rt::spawn(staggered(workers, tickers, PERIOD, busy));
                report_late(&name, workers, TICKS, late.await.unwrap());
            });
        }
    }
}

const TICKS: usize = 70;

async fn staggered(workers: usize, tickers: usize, period: Duration, busy: Duration) -> Late {
    let mut tasks = Vec::new();
    for _ in 0..tickers {
        work(period / workers as u32);
        let first = Instant::now() + period;
        // Made in its task, because Go puts the ticker into the heap of the worker that waits for
        // it.
        tasks.push(rt::spawn(async move {
            let mut ticker = interval_at(first, period);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let (mut late, mut due) = (Late::default(), first);
            for _ in 0..TICKS {
                ticker.tick().await;
                late.note(due);
                due += period;
                work(busy);
            }
            late
        }));
    }
    let mut all = Late::default();
    for task in tasks {
        all += task.await.unwrap();
    }
    all
}
