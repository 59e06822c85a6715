//! Tests of fairness between tasks, timers and workers, and of workers that are blocked.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep};
use reveille::{Clock, ManualClock};

use support::{Count, Log, ms, poll_with, runtime, runtime_on, secs, waker, watched};

/// Returns a runtime of two workers, the count of their parks, and a flag that ends a task which
/// keeps the second worker busy.
fn with_second_busy() -> (Runtime, Count, Arc<AtomicBool>) {
    let parks = Count::default();
    let count = parks.clone();
    let runtime = Runtime::builder()
        .worker_threads(2)
        .on_thread_park(move || count.add())
        .build()
        .unwrap();
    let released = Arc::new(AtomicBool::new(false));
    let (inside, is_inside) = mpsc::channel();
    let release = released.clone();
    drop(runtime.spawn(async move {
        inside.send(()).unwrap();
        while !release.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }));
    is_inside.recv().unwrap();
    (runtime, parks, released)
}

/// Returns a sleep whose waker notifies another thread, so that its own thread may block.
fn notify_when_due(duration: Duration) -> (mpsc::Receiver<()>, reveille::time::Sleep) {
    let (sender, due) = mpsc::channel();
    let mut sleep = sleep(duration);
    let waker = waker(move || {
        let _ = sender.send(());
    });
    assert!(poll_with(&mut sleep, &waker).is_pending());
    (due, sleep)
}

/// A worker polled the timers for one that was gone. That must not end the announcement by which
/// the parked worker is unparked for the next timer.
#[test]
fn a_timer_armed_after_a_poll_that_fired_none_is_not_late() {
    watched(|| {
        let (runtime, parks, released) = with_second_busy();
        // Not in the main future: when that yields, its worker parks and rearms each time.
        let task = async move {
            // Armed while no worker is parked, so that none is notified.
            let gone = ms(20);
            let start = Instant::now();
            drop(notify_when_due(gone));
            let before = parks.get();
            released.store(true, Ordering::SeqCst);
            while parks.get() == before || start.elapsed() <= gone {
                rt::yield_now().await;
            }
            for _ in 0..1000 {
                rt::yield_now().await;
            }
            let (due, _sleep) = notify_when_due(ms(1));
            due.recv().unwrap();
        };
        runtime.block_on(async { rt::spawn_local(task).await.unwrap() });
    });
}

#[test]
fn timers_of_a_blocked_worker_fire_on_an_idle_one() {
    watched(|| {
        for workers in [2, 4] {
            let runtime = runtime(workers);
            runtime.block_on(async {
                for _ in 0..50 {
                    let start = Instant::now();
                    let (due, _sleep) = notify_when_due(ms(1));
                    // Only another worker can fire the timer.
                    due.recv().unwrap();
                    assert!(start.elapsed() >= ms(1));
                }
            });
        }
    });
}

/// The worker that wakes for such a timer fires it before it parks again. Otherwise it would find the
/// timer only in its next look at the timers of all workers, after a dozen parks that end at once.
#[test]
fn a_worker_that_wakes_for_the_timer_of_a_blocked_one_fires_it_at_once() {
    const TIMERS: usize = 50;
    watched(|| {
        let parks = Count::default();
        let count = parks.clone();
        let builder = Runtime::builder().worker_threads(2);
        let runtime = builder.on_thread_park(move || count.add()).build().unwrap();
        runtime.block_on(async {
            for _ in 0..TIMERS {
                let (due, _sleep) = notify_when_due(ms(1));
                due.recv().unwrap();
            }
        });
        let parks = parks.get();
        assert!(parks < 5 * TIMERS, "{parks} parks for {TIMERS} timers");
    });
}

/// The timer is on the blocked worker, and the task that it wakes runs on another one.
#[test]
fn a_task_woken_by_the_timer_of_a_blocked_worker_runs_on_an_idle_one() {
    watched(|| {
        let runtime = runtime(2);
        runtime.block_on(async {
            for _ in 0..50 {
                let (sender, receiver) = mpsc::channel();
                drop(rt::spawn(async move {
                    sleep(ms(1)).await;
                    sender.send(()).unwrap();
                }));
                // It arms its timer, on this worker or another.
                rt::yield_now().await;
                while rt::Handle::current().armed() == 0 && receiver.try_recv().is_err() {
                    rt::yield_now().await;
                }
                let _ = receiver.recv();
            }
        });
    });
}

#[test]
fn a_task_in_the_local_queue_of_a_blocked_worker_is_stolen() {
    watched(|| {
        let runtime = runtime(2);
        runtime.block_on(async {
            for _ in 0..200 {
                let (sender, receiver) = mpsc::channel();
                let stuck = rt::spawn(async move { receiver.recv().unwrap() });
                let helps = rt::spawn(async move { sender.send(7).unwrap() });
                assert_eq!(stuck.await.unwrap(), 7);
                helps.await.unwrap();
            }
        });
    });
}

/// The other of two tasks on a worker yields, and the first one then blocks until that goes on.
#[test]
fn a_task_that_yields_before_its_worker_blocks_runs_on_another() {
    watched(|| {
        let runtime = runtime(2);
        let task = runtime.spawn(async {
            for _ in 0..200 {
                let (sender, receiver) = mpsc::channel();
                // Into the LIFO slot.
                let stuck = rt::spawn(async move { receiver.recv().unwrap() });
                rt::yield_now().await;
                sender.send(7).unwrap();
                assert_eq!(stuck.await.unwrap(), 7);
            }
        });
        runtime.block_on(task).unwrap();
    });
}

/// The same, but the main future blocks.
#[test]
fn a_task_that_yields_before_the_main_future_blocks_runs_on_another_worker() {
    watched(|| {
        let runtime = runtime(2);
        runtime.block_on(async {
            for _ in 0..200 {
                let (sender, receiver) = mpsc::channel();
                let task = rt::spawn(async move {
                    for round in 0..100 {
                        sender.send(round).unwrap();
                        rt::yield_now().await;
                    }
                });
                let mut next = 0;
                while next < 100 {
                    rt::yield_now().await;
                    if next == 0 && receiver.try_recv().is_err() {
                        // The task has not begun: it may be in the LIFO slot, from which other
                        // workers do not steal at once.
                        continue;
                    }
                    // All were received once the task has ended.
                    next = match receiver.recv_timeout(secs(50)) {
                        Ok(round) => round + 2,
                        Err(mpsc::RecvTimeoutError::Disconnected) => 100,
                        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the task does not go on"),
                    };
                }
                task.await.unwrap();
            }
        });
    });
}

/// Two tasks that wake each other are always in the LIFO slot.
#[test]
fn two_tasks_that_keep_waking_each_other_starve_no_other() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let stop = Arc::new(AtomicBool::new(false));
            runtime.block_on(async {
                let mut pairs = Vec::new();
                for _ in 0..workers {
                    pairs.extend(ping_pong(&stop));
                }
                let turns = Count::default();
                let count = turns.clone();
                let other = rt::spawn(async move {
                    for _ in 0..100 {
                        count.add();
                        rt::yield_now().await;
                    }
                });
                let start = Instant::now();
                sleep(ms(2)).await;
                assert!(start.elapsed() >= ms(2));
                rt::spawn(async { sleep(ms(2)).await }).await.unwrap();
                other.await.unwrap();
                assert_eq!(turns.get(), 100);
                stop.store(true, Ordering::SeqCst);
                for task in pairs {
                    task.await.unwrap();
                }
            });
        }
    });
}

/// Spawns two tasks, each of which wakes the other and waits, until told to stop.
fn ping_pong(stop: &Arc<AtomicBool>) -> [rt::JoinHandle<()>; 2] {
    let wakers = Arc::new(std::sync::Mutex::new([None::<Waker>, None]));
    [0, 1].map(|me: usize| {
        let (stop, wakers) = (stop.clone(), wakers.clone());
        rt::spawn(poll_fn(move |cx| {
            let other = {
                let mut wakers = wakers.lock().unwrap();
                wakers[me] = Some(cx.waker().clone());
                wakers[1 - me].take()
            };
            if let Some(other) = other {
                other.wake();
            }
            match stop.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
    })
}

#[test]
fn tasks_spawned_on_one_worker_run_in_that_order() {
    watched(|| {
        let log = Log::new();
        let seen = log.clone();
        runtime(1).block_on(async move {
            let tasks: Vec<_> = (0..1000)
                .map(|n| {
                    let log = seen.clone();
                    rt::spawn(async move { log.push(n) })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(log.take().into_iter().eq(0..1000));
    });
}

#[test]
fn equal_deadlines_run_in_the_order_in_which_they_were_armed() {
    watched(|| {
        let log = Log::new();
        let seen = log.clone();
        runtime_on(1, ManualClock::new()).block_on(async move {
            let deadline = Instant::now() + secs(1);
            let tasks: Vec<_> = (0..1000)
                .map(|n| {
                    let log = seen.clone();
                    rt::spawn(async move {
                        reveille::time::sleep_until(deadline).await;
                        log.push(n);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(log.take().into_iter().eq(0..1000));
    });
}

/// Tasks that are woken from outside must run, however many tasks the workers have of their own.
#[test]
fn tasks_woken_from_outside_run_beside_tasks_that_never_wait() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let handle = runtime.handle().clone();
            let (started, has_started) = mpsc::channel();
            let outside = thread::spawn(move || {
                has_started.recv().unwrap();
                let tasks: Vec<_> = (0..100).map(|_| handle.spawn(async {})).collect();
                rt::block_on(async {
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            });
            let (stop, mut stopped) = oneshot::channel::<()>();
            let waits = thread::spawn(move || {
                outside.join().unwrap();
                drop(stop);
            });
            runtime.block_on(async {
                for _ in 0..100 {
                    drop(rt::spawn(async {
                        loop {
                            rt::yield_now().await;
                        }
                    }));
                }
                started.send(()).unwrap();
                while let Ok(None) = stopped.try_recv() {
                    rt::yield_now().await;
                }
            });
            waits.join().unwrap();
        }
    });
}

/// Timers that are due all the time, each waking a task that arms the next, and other tasks.
#[test]
fn a_storm_of_timers_and_busy_tasks_do_not_starve_each_other() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            runtime.block_on(async {
                let fired = Count::default();
                for _ in 0..500 {
                    let fired = fired.clone();
                    drop(rt::spawn(async move {
                        loop {
                            sleep(Duration::from_micros(50)).await;
                            fired.add();
                        }
                    }));
                }
                let task = rt::spawn(async {
                    for _ in 0..200 {
                        rt::yield_now().await;
                    }
                });
                task.await.unwrap();
                let before = fired.get();
                while fired.get() < before + 5_000 {
                    rt::yield_now().await;
                }
            });
        }
    });
}

#[test]
fn local_tasks_and_others_take_turns() {
    watched(|| {
        rt::block_on(async {
            for local in [false, true] {
                let forever = async {
                    loop {
                        rt::yield_now().await;
                    }
                };
                let (busy, other) = if local {
                    (rt::spawn_local(forever), rt::spawn(async {}))
                } else {
                    (rt::spawn(forever), rt::spawn_local(async {}))
                };
                other.await.unwrap();
                busy.abort();
                let _: Result<(), _> = busy.await;
            }
        });
    });
}

/// Returns a task that never waits and is never pending for long, on the thread of the second
/// worker.
fn never_waits(runtime: &Runtime) -> Stop {
    let stop = Arc::new(AtomicBool::new(false));
    let (started, has_started) = mpsc::channel();
    let stopped = stop.clone();
    drop(runtime.spawn(async move {
        started.send(()).unwrap();
        while !stopped.load(Ordering::SeqCst) {
            rt::yield_now().await;
        }
    }));
    has_started.recv().unwrap();
    Stop(stop)
}

/// Ends a task of `never_waits` when dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The task was in the queue of the first worker, which no thread ran any more. The other worker
/// never ran out of tasks of its own, and so never stole.
#[test]
fn a_task_that_a_block_on_has_left_runs_beside_one_that_never_waits() {
    watched(|| {
        let runtime = runtime(2);
        let _stop = never_waits(&runtime);
        let (ran, has_run) = mpsc::channel();
        runtime.block_on(async { drop(rt::spawn(async move { ran.send(()).unwrap() })) });
        has_run.recv().unwrap();
    });
}

#[test]
fn a_main_future_may_wait_for_its_task_beside_one_that_never_waits() {
    watched(|| {
        let runtime = runtime(2);
        let _stop = never_waits(&runtime);
        runtime.block_on(async {
            let (ran, has_run) = mpsc::channel();
            drop(rt::spawn(async move { ran.send(()).unwrap() }));
            has_run.recv().unwrap();
        });
    });
}

/// The thread that has lent its worker blocks, with a task in its own queue.
#[test]
fn a_thread_that_takes_over_runs_the_tasks_of_the_lender_beside_one_that_never_waits() {
    watched(|| {
        let runtime = runtime(1);
        let handle = runtime.handle().clone();
        let (inside, is_inside) = mpsc::channel();
        let (started, has_started) = mpsc::channel();
        let first = thread::spawn(move || {
            handle.block_on(async move {
                inside.send(()).unwrap();
                has_started.recv().unwrap();
                let (ran, has_run) = mpsc::channel();
                drop(rt::spawn(async move { ran.send(()).unwrap() }));
                has_run.recv().unwrap();
            });
        });
        is_inside.recv().unwrap();
        runtime.block_on(async {
            drop(rt::spawn(async move {
                started.send(()).unwrap();
                loop {
                    rt::yield_now().await;
                }
            }));
            while !first.is_finished() {
                sleep(ms(1)).await;
            }
        });
        first.join().unwrap();
    });
}

/// The time that a worker took to fire timers counted as that of its tasks. So where many timers
/// were due, it ran one task between two batches of a thousand, and not a dozen. (The clock moves
/// only while timers fire.)
#[test]
fn tasks_have_their_turns_between_batches_of_due_timers() {
    const TIMERS: usize = 20_000;
    watched(|| {
        let nanos = Arc::<AtomicU64>::default();
        let shown = nanos.clone();
        let clock = Clock::custom(move || Duration::from_nanos(shown.load(Ordering::SeqCst)));
        let builder = Runtime::builder().worker_threads(1).clock(clock);
        let runtime = builder.build().unwrap();
        let turns = async move {
            let fired = Count::default();
            let (count, time) = (fired.clone(), nanos.clone());
            let waker = waker(move || {
                count.add();
                time.fetch_add(1000, Ordering::SeqCst);
            });
            let mut sleeps: Vec<_> = (0..TIMERS).map(|_| sleep(secs(1))).collect();
            for sleep in &mut sleeps {
                assert!(poll_with(sleep, &waker).is_pending());
            }
            nanos.store(2_000_000_000, Ordering::SeqCst);
            let mut turns = 0;
            while fired.get() < TIMERS {
                rt::yield_now().await;
                turns += 1;
            }
            turns
        };
        let turns = runtime.block_on(async { rt::spawn(turns).await.unwrap() });
        assert!(turns > 10 * TIMERS / 1024, "{turns}");
    });
}
