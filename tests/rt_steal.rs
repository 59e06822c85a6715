//! Tasks that no worker may leave lying while another one could run them.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::Future;
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

/// On time that runs, and on time that is moved by hand, where no alarm of a timer rings.
fn clocks() -> [Clock; 2] {
    [Clock::monotonic(), Clock::from(&ManualClock::new())]
}

/// A task that waits for a message, and then tells this thread that it has run.
fn waits_for_a_message() -> (
    oneshot::Sender<()>,
    impl Future<Output = ()> + Send,
    mpsc::Receiver<()>,
) {
    let (message, arrives) = oneshot::channel();
    let (answer, answered) = mpsc::channel();
    let task = async move {
        arrives.await.unwrap();
        answer.send(()).unwrap();
    };
    (message, task, answered)
}

/// What a task wakes first goes to the LIFO slot of its worker, and nobody else took it from there:
/// it waited for ever if the task that had woken it blocked for its answer, and the other worker was
/// parked.
#[test]
fn task_that_blocks_until_the_one_it_has_woken_answers_gets_the_answer() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                for _ in 0..20 {
                    let (message, b, answered) = waits_for_a_message();
                    let b = rt::spawn(b);
                    let a = rt::spawn(async move {
                        sleep(ms(1)).await;
                        message.send(()).unwrap();
                        answered.recv().unwrap();
                    });
                    a.await.unwrap();
                    b.await.unwrap();
                }
            });
        }
    });
}

/// The first goes to the slot and the second to the queue, for which a worker is woken: that one runs
/// the second, and must come back for the first.
#[test]
fn task_that_blocks_until_two_it_has_woken_answer_gets_both_answers() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                for _ in 0..20 {
                    let (first, b, first_answered) = waits_for_a_message();
                    let (second, c, second_answered) = waits_for_a_message();
                    let tasks = [rt::spawn(b), rt::spawn(c)];
                    let a = rt::spawn(async move {
                        sleep(ms(1)).await;
                        first.send(()).unwrap();
                        second.send(()).unwrap();
                        first_answered.recv().unwrap();
                        second_answered.recv().unwrap();
                    });
                    a.await.unwrap();
                    for task in tasks {
                        task.await.unwrap();
                    }
                }
            });
        }
    });
}

/// It is allowed to block, and nothing that it has woken may wait for it.
#[test]
fn main_future_that_blocks_until_the_task_it_has_woken_answers_gets_the_answer() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                for _ in 0..20 {
                    let (message, b, answered) = waits_for_a_message();
                    let b = rt::spawn(b);
                    sleep(ms(1)).await;
                    message.send(()).unwrap();
                    answered.recv().unwrap();
                    b.await.unwrap();
                }
            });
        }
    });
}

/// The thread of the worker sleeps, over and over, and never for long.
#[test]
fn task_that_sleeps_on_its_thread_until_the_one_it_has_woken_has_run_goes_on() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                let (message, b, answered) = waits_for_a_message();
                let b = rt::spawn(b);
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
    });
}

/// No worker is ever idle: the other one always has a task that has yielded. It passes by.
#[test]
fn busy_worker_helps_the_task_that_one_that_blocks_has_woken() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                let (message, b, answered) = waits_for_a_message();
                let b = rt::spawn(b);
                let a = rt::spawn(async move {
                    sleep(ms(1)).await;
                    message.send(()).unwrap();
                    answered.recv().unwrap();
                });
                let done = Arc::new(AtomicBool::new(false));
                let is_done = done.clone();
                let busy = rt::spawn(async move {
                    // Time that is moved by hand is to move once.
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
    });
}

/// Timers ready a task, which goes to the slot, and a local one, which may run before it and block
/// for its answer: no task has put it there.
#[test]
fn local_task_that_blocks_until_the_one_readied_with_it_answers_gets_the_answer() {
    watched(|| {
        for clock in clocks() {
            runtime_on(2, clock).block_on(async {
                for _ in 0..50 {
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
                }
            });
        }
    });
}

/// Two tasks on one worker that send each other messages. The other worker is parked, and counts how
/// often it gets up.
fn send_to_and_fro(runtime: &Runtime, trips: u32) {
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

/// A hand-over through the slot must not cost a wake-up: the slots are looked at every few
/// milliseconds, however many tasks pass through them meanwhile.
#[test]
fn messages_between_tasks_wake_no_worker() {
    const TRIPS: u32 = 100_000;
    watched(|| {
        let (runtime, unparks) = counting_unparks(2);
        let start = Instant::now();
        send_to_and_fro(&runtime, TRIPS);
        let most = 20 + 2 * start.elapsed().as_millis() as usize;
        assert!(unparks.get() <= most, "{} of {most}", unparks.get());
        assert!(most < TRIPS as usize / 10, "it took too long to tell");
    });
}

/// The slots of workers that are all parked are empty, and nobody gets up to look at them.
#[test]
fn idle_runtime_does_not_look_at_the_slots() {
    watched(|| {
        let (runtime, unparks) = counting_unparks(3);
        for _ in 0..2 {
            send_to_and_fro(&runtime, 1_000);
            let before = unparks.get();
            // Nobody is in `block_on` now, and then somebody is.
            thread::sleep(ms(100));
            let (done, is_done) = oneshot::channel();
            let waits = thread::spawn(move || {
                thread::sleep(ms(100));
                done.send(()).unwrap();
            });
            runtime.block_on(is_done).unwrap();
            waits.join().unwrap();
            let after = unparks.get() - before;
            // A look every 10 ms would be a score.
            assert!(after < 8, "{after} times in a fifth of a second");
        }
    });
}
