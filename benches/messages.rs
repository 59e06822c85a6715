//! The time for a message from one task to another and back.
//!
//! `cargo bench --features rt --bench messages [-- NAME...]`. The task that sends a message wakes
//! its receiver, so this measures passing a task through the worker's LIFO slot. Prints the best
//! and the median nanoseconds of a round trip.

use std::time::Instant;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use reveille::rt::{self, Runtime};

/// How many round trips a measurement takes, and how many measurements there are.
const TRIPS: u32 = 100_000;
const ROUNDS: usize = 15;

/// A name, the number of workers, and whether the main future is one of the two.
const PATHS: [(&str, usize, bool); 4] = [
    ("tasks-1-worker", 1, false),
    ("tasks-2-workers", 2, false),
    ("main-1-worker", 1, true),
    ("main-2-workers", 2, true),
];

fn main() {
    let args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let wanted: Vec<String> = args.collect();
    println!("{:<20} {:>10} {:>10}", "round trip, ns", "best", "median");
    for (name, workers, main) in PATHS {
        if !wanted.is_empty() && !wanted.iter().any(|known| known == name) {
            continue;
        }
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        let mut nanos: Vec<f64> = (0..ROUNDS).map(|_| measure(&runtime, main)).collect();
        nanos.sort_by(f64::total_cmp);
        println!("{name:<20} {:>10.1} {:>10.1}", nanos[0], nanos[ROUNDS / 2]);
    }
}

fn measure(runtime: &Runtime, main: bool) -> f64 {
    let (there, arrives) = unbounded();
    let (back, returns) = unbounded();
    runtime.block_on(async {
        drop(rt::spawn(answer(arrives, back)));
        if main {
            ask(there, returns).await
        } else {
            rt::spawn(ask(there, returns)).await.unwrap()
        }
    })
}

async fn answer(mut arrives: UnboundedReceiver<u32>, back: UnboundedSender<u32>) {
    while let Some(message) = arrives.next().await {
        let _ = back.unbounded_send(message + 1);
    }
}

async fn ask(there: UnboundedSender<u32>, mut returns: UnboundedReceiver<u32>) -> f64 {
    let start = Instant::now();
    for trip in 0..TRIPS {
        there.unbounded_send(trip).unwrap();
        assert_eq!(returns.next().await, Some(trip + 1));
    }
    start.elapsed().as_nanos() as f64 / f64::from(TRIPS)
}
