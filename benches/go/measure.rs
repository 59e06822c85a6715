//! Measures how long one operation takes, over all workers at once.
//!
//! This is done as in Go's `testing`: `RunParallel` starts one looping task for each worker, they
//! draw their iterations from one counter, and the time of an operation is the wall time divided by
//! the number of iterations, so that two workers without contention halve it. The number of
//! iterations grows until a batch takes long enough, which is the warm-up, and then the median of
//! some batches counts. The output is that of `go test -bench`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use reveille::rt::{self, JoinHandle};
use reveille::time::{Sleep, sleep};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How long a batch takes at least, and how many batches count.
const BATCH: Duration = Duration::from_millis(100);
const BATCHES: usize = 5;

/// The iterations of one looping task: `testing.PB`.
pub(crate) struct Turns {
    drawn: Arc<AtomicU64>,
    end: u64,
    /// How many are drawn at once, so that the counter does not dominate.
    grain: u64,
    mine: u64,
}

impl Turns {
    pub(crate) fn next(&mut self) -> bool {
        if self.mine == 0 {
            let start = self.drawn.fetch_add(self.grain, Ordering::Relaxed);
            self.mine = self.grain.min(self.end.saturating_sub(start));
            if self.mine == 0 {
                return false;
            }
        }
        self.mine -= 1;
        true
    }
}

/// Go's `benchmark` in `time/sleep_test.go`: first arms 32 768 idle timers of an hour for each
/// worker, then runs `body` in parallel.
pub(crate) fn parallel<F>(name: &str, workers: usize, body: impl Fn(Turns) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    parallel_beside(name, workers, 1 << 15, body);
}

/// Runs `body` in parallel, with the given number of idle timers of an hour for each worker.
pub(crate) fn parallel_beside<F>(name: &str, workers: usize, idle: usize, body: impl Fn(Turns) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let idle = |_| armed_timers(idle, |_| HOUR);
    parallel_among(name, workers, idle, body);
}

/// Runs `body` in parallel, while what `others` makes in a task for each worker is alive.
pub(crate) fn parallel_among<O, F>(
    name: &str,
    workers: usize,
    others: impl Fn(usize) -> O,
    body: impl Fn(Turns) -> F,
) where
    O: Future<Output: Send + 'static> + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    run(workers, async {
        // From one task for each worker, as in Go, so that they spread over the workers.
        let others = each(workers, others).await;
        time(name, workers, workers, body).await;
        drop(others);
    });
}

/// Runs `body` in one task, whatever the number of workers: a loop over `b.N`.
pub(crate) fn serial<F>(name: &str, workers: usize, body: impl Fn(Turns) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    run(workers, time(name, workers, 1, body));
}

/// Times and reports `body` in so many tasks.
async fn time<F>(name: &str, workers: usize, tasks: usize, body: impl Fn(Turns) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut turns, mut took) = (1, Duration::ZERO);
    while took < BATCH {
        took = batch(tasks, turns, took, &body).await;
        if took < BATCH {
            // Go's rule: a fifth more than it would take, and at most a hundred times more.
            let enough = turns as f64 * BATCH.as_nanos() as f64 / took.as_nanos() as f64;
            turns = ((enough * 1.2) as u64).clamp(turns + 1, turns * 100);
        }
    }
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        took = batch(tasks, turns, took, &body).await;
        batches.push(took.as_nanos() as f64 / turns as f64);
    }
    let median = percentile(&mut batches, 0.5);
    report(name, workers, turns, &[("ns/op", median)]);
}

/// Runs `turns` iterations over all tasks. `last` is how long the previous batch took.
async fn batch<F>(tasks: usize, turns: u64, last: Duration, body: impl Fn(Turns) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    // 100 us of work, as in Go.
    let grain = 100_000 * turns / (last.as_nanos() as u64).max(1);
    let drawn = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    each(tasks, |_| {
        body(Turns {
            drawn: drawn.clone(),
            end: turns,
            grain: grain.clamp(1, 10_000),
            mine: 0,
        })
    })
    .await;
    start.elapsed()
}

/// Runs `future` as a task on a runtime of its own: the main future is polled by the thread in
/// `block_on`, and is not a task.
pub(crate) fn run(workers: usize, future: impl Future<Output = ()>) {
    let runtime = rt::Runtime::builder()
        .worker_threads(workers)
        .build()
        .unwrap();
    runtime.block_on(future);
}

/// Spawns a task for each worker and waits for all of them.
pub(crate) async fn each<F>(workers: usize, make: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<JoinHandle<F::Output>> = (0..workers).map(|i| rt::spawn(make(i))).collect();
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}

/// Arms `n` timers on the shard of the worker that runs this.
pub(crate) async fn armed_timers(n: usize, wait: impl Fn(usize) -> Duration) -> Vec<Sleep> {
    let mut timers: Vec<Sleep> = (0..n).map(|i| sleep(wait(i))).collect();
    for timer in &mut timers {
        arm(timer).await;
    }
    timers
}

/// Arms a timer, which then wakes the task that calls this.
pub(crate) async fn arm(timer: &mut Sleep) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *timer).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Go's `sync.WaitGroup`: a counter that wakes one waiting task when it reaches zero.
pub(crate) struct WaitGroup {
    left: AtomicUsize,
    waiting: AtomicWaker,
}

impl WaitGroup {
    pub(crate) fn new(n: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(n),
            waiting: AtomicWaker::new(),
        })
    }

    pub(crate) fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiting.wake();
        }
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            self.waiting.register(cx.waker());
            match self.left.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

pub(crate) fn report(name: &str, workers: usize, turns: u64, metrics: &[(&str, f64)]) {
    print!("Benchmark{name}-{workers}\t{turns}");
    for (metric, value) in metrics {
        print!("\t{value:.1} {metric}");
    }
    println!();
}
