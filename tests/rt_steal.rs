//! Tests of stealing: no task may wait on a worker while another worker could run it.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use futures::StreamExt;
use futures::channel::{mpsc as channel, oneshot};
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::{sleep, sleep_until};
use reveille::{Clock, ManualClock};

use support::{Count, ms, runtime_on, watched};

/// A worker that takes a batch out of the shared queue holds it for a moment, while it is in no
/// queue at all. A worker that parked just then stayed parked, while the first one blocked in a
/// task of that batch that waited for the others.
///
/// It takes some fifty thousand rounds on a busy machine to hit this. So the test does not hit it
/// each time, and hangs only if there is such a bug.
#[test]
fn tasks_that_block_until_others_have_run_end() {
    const OTHERS: usize = 15;
    watched(|| {
        // Two threads, and none in `block_on`, so all tasks go through the shared queue.
        let runtime = Runtime::builder().worker_threads(3).build().unwrap();
        for _ in 0..20_000 {
            let run = Arc::new(AtomicUsize::new(0));
            let mut tasks: Vec<JoinHandle<()>> = Vec::new();
            // They keep both workers busy until the other tasks are in the shared queue.
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

/// Runs `test` so many times in the main future of two workers, on a running clock, and on a manual
/// one, on which no timer of the driver unparks a worker.
fn on_two_workers(times: u32, test: impl AsyncFn() + Send + 'static) {
    watched(move || {
        for clock in [Clock::monotonic(), Clock::from(&ManualClock::new())] {
            runtime_on(2, clock).block_on(async {
                for _ in 0..times {
                    test().await;
                }
            });
        }
    });
}

/// Spawns a task that waits for a message and then answers it.
fn waits_for_a_message() -> (oneshot::Sender<()>, JoinHandle<()>, mpsc::Receiver<()>) {
    let (message, arrives) = oneshot::channel();
    let (answer, answered) = mpsc::channel();
    let task = rt::spawn(async move {
        arrives.await.unwrap();
        answer.send(()).unwrap();
    });
    (message, task, answered)
}

/// The first task that a task wakes goes to the LIFO slot of its worker, from which no other worker
/// took it. It never ran if the task that had woken it blocked until it answered, and the other
/// worker was parked.
#[test]
fn a_task_that_blocks_on_a_task_that_it_has_woken_gets_its_answer() {
    on_two_workers(20, async || {
        let (message, b, answered) = waits_for_a_message();
        let a = rt::spawn(async move {
            sleep(ms(1)).await;
            message.send(()).unwrap();
            answered.recv().unwrap();
        });
        a.await.unwrap();
        b.await.unwrap();
    });
}

/// The first one goes to the LIFO slot and the second to the local queue, for which a worker is
/// unparked. That worker runs the second one, and must come back for the first.
#[test]
fn a_task_that_blocks_on_two_tasks_that_it_has_woken_gets_both_answers() {
    on_two_workers(20, async || {
        let (first, b, first_answered) = waits_for_a_message();
        let (second, c, second_answered) = waits_for_a_message();
        let a = rt::spawn(async move {
            sleep(ms(1)).await;
            first.send(()).unwrap();
            second.send(()).unwrap();
            first_answered.recv().unwrap();
            second_answered.recv().unwrap();
        });
        a.await.unwrap();
        b.await.unwrap();
        c.await.unwrap();
    });
}

/// The main future may block, and no task that it has woken may have to wait for it.
#[test]
fn a_main_future_that_blocks_on_a_task_that_it_has_woken_gets_its_answer() {
    on_two_workers(20, async || {
        let (message, b, answered) = waits_for_a_message();
        sleep(ms(1)).await;
        message.send(()).unwrap();
        answered.recv().unwrap();
        b.await.unwrap();
    });
}

/// The thread of the worker sleeps, again and again, but never for long.
#[test]
fn a_task_that_sleeps_on_its_thread_until_another_has_run_goes_on() {
    on_two_workers(1, async || {
        let (message, b, answered) = waits_for_a_message();
        let a = rt::spawn(async move {
            sleep(ms(1)).await;
            message.send(()).unwrap();
            while answered.try_recv().is_err() {
                thread::sleep(ms(1));
            }
        });
        a.await.unwrap();
        b.await.unwrap();
    });
}

/// No worker is ever idle, because the other one always has a task that has yielded. It still has
/// to steal.
#[test]
fn a_busy_worker_runs_the_task_that_a_blocked_one_has_woken() {
    on_two_workers(1, async || {
        let (message, b, answered) = waits_for_a_message();
        let a = rt::spawn(async move {
            sleep(ms(1)).await;
            message.send(()).unwrap();
            answered.recv().unwrap();
        });
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let busy = rt::spawn(async move {
            // The manual clock has to advance once.
            sleep(ms(1)).await;
            while !is_done.load(Ordering::Relaxed) {
                rt::yield_now().await;
            }
        });
        a.await.unwrap();
        done.store(true, Ordering::Relaxed);
        b.await.unwrap();
        busy.await.unwrap();
    });
}

/// A task that yields goes to the queue, and no worker is unparked for it: as a rule it runs next.
/// A local task that it has woken may run before it, and block until it goes on.
#[test]
fn a_local_task_that_blocks_on_a_task_that_has_yielded_gets_its_answer() {
    on_two_workers(50, async || {
        let (message, arrives) = oneshot::channel();
        let (answer, answered) = mpsc::channel();
        let local = rt::spawn_local(async move {
            arrives.await.unwrap();
            answered.recv().unwrap();
        });
        let a = rt::spawn(async move {
            sleep(ms(1)).await;
            message.send(()).unwrap();
            rt::yield_now().await;
            answer.send(()).unwrap();
        });
        local.await.unwrap();
        a.await.unwrap();
    });
}

/// A timer wakes a task, which goes to the LIFO slot, and a local task, which may run before it and
/// block until it answers: no task has put it into the slot.
#[test]
fn a_local_task_that_blocks_on_a_task_woken_with_it_gets_its_answer() {
    on_two_workers(50, async || {
        let (answer, answered) = mpsc::channel();
        let due = reveille::time::Instant::now() + ms(1);
        let b = rt::spawn(async move {
            sleep_until(due).await;
            answer.send(()).unwrap();
        });
        let local = rt::spawn_local(async move {
            sleep_until(due).await;
            answered.recv().unwrap();
        });
        local.await.unwrap();
        b.await.unwrap();
    });
}

/// Two tasks on one worker send each other messages. The other worker is parked, and counts how
/// often it is unparked.
fn ping_pong(runtime: &Runtime, trips: u32) {
    runtime.block_on(async {
        let (there, mut arrives) = channel::unbounded();
        let (back, mut returns) = channel::unbounded();
        let answers = rt::spawn(async move {
            while let Some(message) = arrives.next().await {
                let _ = back.unbounded_send(message);
            }
        });
        let asks = rt::spawn(async move {
            for trip in 0..trips {
                there.unbounded_send(trip).unwrap();
                assert_eq!(returns.next().await, Some(trip));
            }
        });
        asks.await.unwrap();
        answers.await.unwrap();
    });
}

fn counting_unparks(workers: usize) -> (Runtime, Count) {
    let unparks = Count::default();
    let counted = unparks.clone();
    let builder = Runtime::builder().worker_threads(workers);
    let runtime = builder.on_thread_unpark(move || counted.add());
    (runtime.build().unwrap(), unparks)
}

/// A message that is passed through the LIFO slot must not unpark a worker: other workers check the
/// slots only every few milliseconds, however many tasks pass through them.
#[test]
fn messages_between_tasks_unpark_no_worker() {
    const TRIPS: u32 = 100_000;
    watched(|| {
        let (runtime, unparks) = counting_unparks(2);
        let start = Instant::now();
        ping_pong(&runtime, TRIPS);
        // On a machine that takes minutes for this, it is more than the messages.
        let most = 20 + 2 * start.elapsed().as_millis() as usize;
        assert!(unparks.get() <= most, "{} of {most}", unparks.get());
    });
}

/// The slots of workers that are all parked are empty, so no worker is unparked to check them.
#[test]
fn an_idle_runtime_does_not_check_the_slots() {
    watched(|| {
        let (runtime, unparks) = counting_unparks(3);
        for _ in 0..2 {
            ping_pong(&runtime, 1_000);
            let before = unparks.get();
            // First without a thread in `block_on`, and then with one.
            thread::sleep(ms(100));
            let (done, is_done) = oneshot::channel();
            let waits = thread::spawn(move || {
                thread::sleep(ms(100));
                done.send(()).unwrap();
            });
            runtime.block_on(is_done).unwrap();
            waits.join().unwrap();
            let after = unparks.get() - before;
            // Checking every 10 ms would make twenty.
            assert!(after < 8, "{after} unparks in a fifth of a second");
        }
    });
}
