//! Timers in a custom scheduler: workers that steal from each other, and one driver for all.
//!
//! ```sh
//! cargo run --release --example own_scheduler
//! ```
//!
//! This is the smallest complete scheduler: three threads, each with a local queue from which the
//! others steal, and a [`Driver`](reveille::Driver) in which one of the parked workers waits.
//! `worker.rs` has the steps of a worker in the order in which they must happen. `scheduler.rs` has
//! what the workers share: which worker is unparked, and why no task and no timer is lost.
//! `docs/executor.md` explains the same at length.
//!
//! `reveille::rt` differs in three points: it has a shard of timers for each worker, it moves the
//! timeout of a parked worker where this scheduler unparks it, and it unparks no worker for a task
//! while another one is searching. The protocol is the same.

mod scheduler;
mod worker;

use std::future::{Future, poll_fn};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use reveille::time::{Instant, sleep, timeout_at};

use crate::scheduler::{Scheduler, WORKERS};

/// How long the program may take before it counts as hung.
const WATCHDOG: Duration = Duration::from_secs(30);

const MILLISECOND: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let (scheduler, threads) = Scheduler::start();
    println!("A scheduler of {WORKERS} workers and one driver.\n");

    let (sender, done) = mpsc::channel();
    let workloads = run(scheduler.clone());
    let task = scheduler.spawn(async move { sender.send(workloads.await) });
    let Ok(early) = done.recv_timeout(WATCHDOG) else {
        println!("FAILED: a task or a timer was lost.");
        return ExitCode::FAILURE;
    };
    drop(task);

    // All workers are parked or about to park, the driver owner for an hour.
    let hour = scheduler.spawn(async { sleep(3600 * 1000 * MILLISECOND).await });
    let late = pollster::block_on(timed(scheduler.timers.sleep(5 * MILLISECOND)));
    let early = early + print("a timer of another thread, earlier than all", vec![late]);
    drop(hour);

    scheduler.stop();
    for thread in threads {
        if thread.join().is_err() {
            println!("FAILED: a worker panicked.");
            return ExitCode::FAILURE;
        }
    }
    print_counts(&scheduler);
    if early > 0 {
        println!("FAILED: timers ended early.");
        return ExitCode::FAILURE;
    }
    println!("\nOK: no task was lost, and no timer early.");
    ExitCode::SUCCESS
}

/// Runs the workloads and returns how many timers were early.
async fn run(scheduler: Arc<Scheduler>) -> usize {
    let many = storm(&scheduler, 1000, 50).await;
    let mut early = print("a thousand tasks that sleep", many);

    // The tasks of the blocked worker are stolen, and its timers are in the driver that all share.
    let blocked = scheduler.spawn(async { thread::sleep(100 * MILLISECOND) });
    let beside = storm(&scheduler, 100, 20).await;
    early += print("a hundred, while one worker is blocked", beside);
    blocked.await;

    // As many tasks as there are workers, none of which ever waits: no worker is ever idle.
    let busy = |_| {
        scheduler.spawn(async {
            let deadline = Instant::now() + 50 * MILLISECOND;
            let forever = async {
                loop {
                    yield_now().await;
                }
            };
            let _: Result<(), _> = timeout_at(deadline, forever).await;
            Instant::now().checked_duration_since(deadline)
        })
    };
    let tasks: Vec<_> = (0..WORKERS).map(busy).collect();
    let mut late = Vec::new();
    for task in tasks {
        late.push(task.await);
    }
    early + print("limits of tasks that never wait", late)
}

/// Runs many sleeps and returns how late each was, or `None` for one that was early.
async fn storm(scheduler: &Arc<Scheduler>, tasks: u64, sleeps: u64) -> Vec<Option<Duration>> {
    let one = |number: u64| {
        scheduler.spawn(async move {
            let mut late = Vec::new();
            for round in 0..sleeps {
                let micros = 200 + (number * 7919 + round * 104_729) % 3000;
                late.push(timed(sleep(Duration::from_micros(micros))).await);
            }
            late
        })
    };
    let tasks: Vec<_> = (0..tasks).map(one).collect();
    let mut late = Vec::new();
    for task in tasks {
        late.append(&mut task.await);
    }
    late
}

/// Awaits a sleep and returns how late it was, or `None` if it was early.
async fn timed(sleep: reveille::time::Sleep) -> Option<Duration> {
    let deadline = sleep.deadline();
    sleep.await;
    Instant::now().checked_duration_since(deadline)
}

fn yield_now() -> impl Future<Output = ()> {
    let mut is_second = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Prints how late timers were, and returns how many were early.
fn print(what: &str, late: Vec<Option<Duration>>) -> usize {
    let count = late.len();
    let mut late: Vec<_> = late.into_iter().flatten().collect();
    late.sort();
    let early = count - late.len();
    let at = |percent| late.get((late.len().max(1) - 1) * percent / 100);
    let micros = |late: &Duration| late.as_nanos().div_ceil(1000);
    let [p50, p99, max] = [50, 99, 100].map(|percent| at(percent).map_or(0, micros));
    println!(
        "{what:<44}{count:>6} timers, {early} early, late p50 {p50} µs, p99 {p99} µs, max {max} µs"
    );
    early
}

fn print_counts(scheduler: &Scheduler) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = &scheduler.counts;
    println!(
        "\ntasks run by each worker {:?}, stolen {} times; {} timers fired",
        counts.run.each_ref().map(get),
        get(&counts.stolen),
        get(&counts.fired),
    );
    println!(
        "parked {} times; unparked {} times for a task, {} for a timer, {} to own the driver",
        get(&counts.parks),
        get(&counts.notified),
        get(&counts.interrupted),
        get(&counts.handed_over),
    );
}
