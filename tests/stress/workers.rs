//! Tasks that spawn, sleep, yield, wake, abort and drop each other, on more workers than the
//! machine has cores, and external threads, until the runtime ends with tasks in every state.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use futures::channel::oneshot;
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::{Instant, Sleep, interval, sleep, timeout};

use crate::support::{Count, OnDrop, Random, runtime, secs};
use crate::{Report, micros, wait_until};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the tasks of one round share.
#[derive(Clone)]
struct Run {
    report: Report,
    /// Whether the clock is a manual one.
    frozen: bool,
    begun: Count,
    ended: Count,
    handles: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Run {
    /// A task that does some things at random and counts itself, whether it is dropped early or
    /// not.
    fn task(&self, seed: u64, depth: u64) -> Boxed {
        self.begun.add();
        let ended = self.ended.clone();
        let guard = OnDrop(move || ended.add());
        let run = self.clone();
        Box::pin(async move {
            let _guard = guard;
            let mut random = Random::new(seed);
            for _ in 0..random.below(8) {
                run.step(&mut random, depth).await;
            }
        })
    }

    async fn step(&self, random: &mut Random, depth: u64) {
        let seed = random.below(u64::MAX);
        match random.below(10) {
            0 => rt::yield_now().await,
            1 => self.on_time(sleep(micros(random, 300))).await,
            2 => {
                let mut late = sleep(micros(random, 100));
                let limit = micros(random, 200);
                if timeout(limit, &mut late).await.is_err() {
                    late.reset_at(Instant::now() + micros(random, 100));
                    self.on_time(late).await;
                }
            }
            3 if depth > 0 => drop(rt::spawn(self.task(seed, depth - 1)).await),
            4 if depth > 0 => {
                let task = rt::spawn(self.task(seed, depth - 1));
                self.handles.lock().unwrap().push(task);
            }
            5 => self.abort_one(random),
            6 => drop(rt::spawn_local(self.task(seed, 0))),
            7 => {
                let (sender, receiver) = oneshot::channel();
                drop(rt::spawn(async move { sender.send(()).ok() }));
                let _ = receiver.await;
            }
            8 => {
                let mut far = sleep(secs(3600));
                let _ = futures::poll!(&mut far);
                drop(far);
            }
            _ => {
                let start = Instant::now();
                let period = micros(random, 50).max(std::time::Duration::from_nanos(1));
                let mut ticks = interval(period);
                ticks.tick().await;
                ticks.tick().await;
                let took = start.elapsed();
                let early = || format!("a tick of {period:?} after {took:?}");
                self.report.check(took >= period, early);
            }
        }
    }

    /// Waits for a sleep; on a manual clock, at most until its driver is gone. (On one that runs, the
    /// end of the driver wakes it, and it goes on with another driver.)
    async fn on_time(&self, mut sleep: Sleep) {
        let over = poll_fn(|cx| match Pin::new(&mut sleep).poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if self.frozen && sleep.is_orphaned() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        if over.await {
            let (deadline, now) = (sleep.deadline(), Instant::now());
            let early = || format!("a sleep until {deadline:?} ended at {now:?}");
            self.report.check(now >= deadline, early);
        }
    }

    fn abort_one(&self, random: &mut Random) {
        let task = {
            let mut handles = self.handles.lock().unwrap();
            let len = handles.len();
            if len == 0 {
                return;
            }
            handles.swap_remove(random.below(len as u64) as usize)
        };
        task.abort();
    }
}

/// Runs tasks and external threads until the runtime ends. `aside` is something more that such a
/// thread may do.
pub(crate) fn storm(
    runtime: Runtime,
    frozen: bool,
    random: &mut Random,
    report: &Report,
    aside: impl Fn(&mut Random) + Clone + Send + 'static,
) {
    let run = Run {
        report: report.clone(),
        frozen,
        begun: Count::default(),
        ended: Count::default(),
        handles: Arc::default(),
    };
    let (begun, ended) = (run.begun.clone(), run.ended.clone());
    report.add_state("tasks", move || {
        format!("{} begun, {} ended", begun.get(), ended.get())
    });
    let handle = runtime.handle().clone();
    report.add_state("runtime", move || {
        format!("{handle:?}, {} armed", handle.armed())
    });
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..2)
        .map(|n| {
            let (run, stop, aside) = (run.clone(), stop.clone(), aside.clone());
            let handle = runtime.handle().clone();
            let doing = Arc::new(Mutex::new("begins"));
            let seen = doing.clone();
            report.add_state(format!("thread {n}"), move || {
                (*seen.lock().unwrap()).into()
            });
            let mut random = Random::new(random.below(u64::MAX));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let choice = random.below(5) as usize;
                    *doing.lock().unwrap() =
                        ["aborts", "spawns", "sleeps", "aside", "yields"][choice];
                    match choice {
                        0 => run.abort_one(&mut random),
                        // No faster than they end, because one worker would not keep up.
                        1 if run.begun.get() < run.ended.get() + 500 => {
                            drop(handle.spawn(run.task(random.below(1 << 20), 1)));
                        }
                        1 => {}
                        2 => {
                            let sleep = handle.timers().sleep(micros(&mut random, 100));
                            handle.block_on(run.on_time(sleep));
                        }
                        3 => aside(&mut random),
                        _ => handle.block_on(rt::yield_now()),
                    }
                    thread::yield_now();
                }
                *doing.lock().unwrap() = "has ended";
            })
        })
        .collect();
    let begins = random.below(300);
    runtime.block_on(async {
        for n in 0..begins {
            let task = rt::spawn(run.task(random.below(u64::MAX), 2));
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
        1 => assert!(runtime.shutdown_timeout(secs(100)), "{}", report.state()),
        _ => runtime.shutdown_background(),
    }
    stop.store(true, Ordering::SeqCst);
    for thread in others {
        thread.join().unwrap();
    }
    wait_until(|| run.begun.get() == run.ended.get());
}

pub(crate) fn round(random: &mut Random, report: &Report) {
    let workers = [1, 2, 3, 8, 16][random.below(5) as usize];
    storm(runtime(workers), false, random, report, |_| ());
}
