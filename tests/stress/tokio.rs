//! Tasks of a tokio runtime that sleep, move and abort each other, and external threads that sleep
//! on its timers, until the runtime ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use reveille::time::{Instant, Sleep, interval, sleep, timeout};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

use crate::support::{Count, OnDrop, Random, secs};
use crate::{Report, micros, wait_until};

#[derive(Clone)]
struct Run {
    report: Report,
    begun: Count,
    ended: Count,
    handles: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Run {
    /// A task or a thread that sleeps at random, and counts itself whether it is dropped early or
    /// not.
    fn task(&self, seed: u64) -> impl Future<Output = ()> + Send + 'static {
        self.begun.add();
        let ended = self.ended.clone();
        let guard = OnDrop(move || ended.add());
        let run = self.clone();
        async move {
            let _guard = guard;
            let mut random = Random::new(seed);
            for _ in 0..random.below(8) {
                run.step(&mut random).await;
            }
        }
    }

    async fn step(&self, random: &mut Random) {
        match random.below(7) {
            0 => yield_now().await,
            1 => self.on_time(sleep(micros(random, 400))).await,
            2 => {
                let mut moved = sleep([micros(random, 100), secs(600)][random.below(2) as usize]);
                if timeout(micros(random, 200), &mut moved).await.is_err() {
                    moved.reset_at(Instant::now() + micros(random, 100));
                    self.on_time(moved).await;
                }
            }
            3 => {
                let naps: Vec<_> = (0..random.below(5)).map(|_| micros(random, 300)).collect();
                join_all(naps.into_iter().map(|nap| self.on_time(sleep(nap)))).await;
            }
            4 => {
                let task = {
                    let mut handles = self.handles.lock().unwrap();
                    handles.pop()
                };
                task.inspect(JoinHandle::abort);
            }
            5 => {
                let mut far = sleep(secs(3600));
                let _ = futures::poll!(&mut far);
            }
            _ => {
                let period = micros(random, 50).max(Duration::from_nanos(1));
                let start = Instant::now();
                let mut ticks = interval(period);
                ticks.tick().await;
                ticks.tick().await;
                let took = start.elapsed();
                let early = || format!("a tick of {period:?} after {took:?}");
                self.report.check(took >= period, early);
            }
        }
    }

    async fn on_time(&self, sleep: Sleep) {
        let deadline = sleep.deadline();
        sleep.await;
        let now = Instant::now();
        let early = || format!("a sleep until {deadline:?} ended at {now:?}");
        self.report.check(now >= deadline, early);
    }
}

fn runtime(random: &mut Random) -> Runtime {
    let mut builder = match random.below(3) {
        0 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers as usize * 2);
            builder
        }
    };
    // With I/O, our timers use tokio's I/O driver; with time alone, tokio's timers; and without
    // either, the process-wide thread.
    match random.below(4) {
        0 => builder.enable_time(),
        1 => &mut builder,
        _ => builder.enable_all(),
    };
    builder.build().unwrap()
}

pub(crate) fn round(random: &mut Random, report: &Report) {
    let run = Run {
        report: report.clone(),
        begun: Count::default(),
        ended: Count::default(),
        handles: Arc::default(),
    };
    let (begun, ended) = (run.begun.clone(), run.ended.clone());
    report.add_state("tasks", move || {
        format!("{} begun, {} ended", begun.get(), ended.get())
    });
    let runtime = runtime(random);
    let handle = runtime.handle().clone();
    report.add_state("runtime", move || format!("{handle:?}"));
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (run, stop) = (run.clone(), stop.clone());
            let handle = runtime.handle().clone();
            let mut random = Random::new(random.below(u64::MAX));
            thread::spawn(move || {
                let _inside = handle.enter();
                while !stop.load(Ordering::SeqCst) {
                    if random.below(3) == 0 && run.begun.get() < run.ended.get() + 500 {
                        drop(handle.spawn(run.task(random.below(u64::MAX))));
                    }
                    pollster::block_on(run.task(random.below(u64::MAX)));
                }
            })
        })
        .collect();
    let tasks = random.below(300);
    runtime.block_on(async {
        for n in 0..tasks {
            let task = tokio::spawn(run.task(random.below(u64::MAX)));
            match n % 3 {
                0 => drop(task),
                1 => run.handles.lock().unwrap().push(task),
                _ => drop(task.await),
            }
        }
    });
    if random.below(2) == 0 {
        stop.store(true, Ordering::SeqCst);
    }
    match random.below(3) {
        0 => drop(runtime),
        1 => runtime.shutdown_timeout(secs(100)),
        _ => runtime.shutdown_background(),
    }
    stop.store(true, Ordering::SeqCst);
    for thread in others {
        thread.join().unwrap();
    }
    wait_until(|| run.begun.get() == run.ended.get());
}
