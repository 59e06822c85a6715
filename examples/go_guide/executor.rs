//! Part 20: an executor whose workers fire the timers and run what these make ready.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use reveille::time::{Duration, Instant, sleep};

use crate::guide::Guide;
use crate::scheduler::{Scheduler, WORKERS};
use crate::timers::ms;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn integration(guide: &mut Guide) {
    guide.part(
        20,
        "The scheduler",
        "G waits for a timer; it fires, G is runnable, and a P picks it up on its M",
    );
    own_scheduler(guide);
    #[cfg(feature = "rt")]
    on_rt(guide);
    #[cfg(not(feature = "rt"))]
    guide.note("with `--features rt` it is played on `reveille::rt`, too");
}

/// The scheduler of `examples/own_scheduler`: a task is a G, a worker a P, its thread an M.
fn own_scheduler(guide: &mut Guide) {
    const TASKS: u64 = 300;
    let (scheduler, threads) = Scheduler::start();
    let (sender, woken) = mpsc::channel();
    let start = Instant::now();
    // One worker is busy all the time: the others fire the timers and run the tasks.
    let busy = scheduler.spawn(async { thread::sleep(ms(60)) });
    for task in 0..TASKS {
        let sender = sender.clone();
        let future = async move {
            let least = ms(2 + task % 20);
            let made = Instant::now();
            sleep(least).await;
            let _ = sender.send((made.elapsed() >= least, thread::current().id()));
        };
        scheduler.spawn(future).detach();
    }
    let mut not_early = 0;
    let mut ran_on = Vec::<ThreadId>::new();
    for _ in 0..TASKS {
        let Ok((in_time, thread)) = woken.recv_timeout(PATIENCE) else {
            break;
        };
        not_early += u64::from(in_time);
        if !ran_on.contains(&thread) {
            ran_on.push(thread);
        }
    }
    let took = start.elapsed();
    pollster::block_on(busy);
    scheduler.stop();
    for thread in threads {
        thread.join().expect("no worker panics");
    }
    guide.expect("tasks that were woken, none early", not_early, TASKS);
    guide.note(format!(
        "{WORKERS} workers, one of them blocked: {} ran the tasks, the last after {took:.1?}",
        ran_on.len(),
    ));
    guide.note(format!(
        "workers parked {} times; {} times one was unparked for a task",
        scheduler.counts.parks.load(Ordering::Relaxed),
        scheduler.counts.notified.load(Ordering::Relaxed),
    ));
}

/// On `rt` each worker has a heap of its own, and the worker that notices a due timer fires it.
#[cfg(feature = "rt")]
fn on_rt(guide: &mut Guide) {
    use reveille::rt::{self, Runtime};

    let runtime = Runtime::builder().worker_threads(2).build();
    let runtime = runtime.expect("two threads can be started");
    let tasks = runtime.spawn(async {
        let start = Instant::now();
        let armed = rt::spawn(async move {
            let on = thread::current().id();
            sleep(ms(5)).await;
            (on, thread::current().id(), start.elapsed())
        });
        rt::yield_now().await; // lets it arm its timer
        thread::sleep(ms(40)); // this worker fires nothing meanwhile
        armed.await
    });
    let (armed_on, ran_on, took) = runtime
        .block_on(tasks)
        .and_then(|armed| armed)
        .expect("no task panics");
    guide.at_least("on rt, beside a blocked worker", took, ms(5));
    guide.note(match armed_on == ran_on {
        true => "it ran on the worker that had armed it",
        false => "another worker than the one that had armed it fired it and ran the task",
    });
}
