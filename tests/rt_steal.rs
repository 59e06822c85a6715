//! Is a task ever left lying while a worker sleeps?

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use reveille::rt::{JoinHandle, Runtime};

use support::watched;

/// A worker that takes a batch out of the shared queue has it in its hands for a moment, in no queue
/// at all. One that lay down just then slept on, while the first waited in a task of that batch for
/// the others.
///
/// It takes some fifty thousand rounds on a busy machine to find it: so this does not each time, and
/// hangs only if there is something to find.
#[test]
fn tasks_that_block_until_others_have_run_come_to_an_end() {
    const OTHERS: usize = 15;
    watched(|| {
        // Two threads, and nobody in `block_on`: all tasks go through the shared queue.
        let runtime = Runtime::builder().worker_threads(3).build().unwrap();
        for _ in 0..20_000 {
            let run = Arc::new(AtomicUsize::new(0));
            let mut tasks: Vec<JoinHandle<()>> = Vec::new();
            // They keep both workers at the queue until the rest is in it.
            tasks.extend((0..30).map(|_| runtime.spawn(async {})));
            let seen = run.clone();
            tasks.push(runtime.spawn(async move {
                while seen.load(Ordering::Acquire) < OTHERS {
                    thread::yield_now();
                }
            }));
            for _ in 0..OTHERS {
                let run = run.clone();
                tasks.push(runtime.spawn(async move {
                    run.fetch_add(1, Ordering::Release);
                }));
            }
            for task in tasks {
                pollster::block_on(task).unwrap();
            }
        }
    });
}
