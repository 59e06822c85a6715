//! Tests of which driver a timer uses with several runtimes, drivers and external threads.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reveille::time::{Instant, Sleep, sleep, timeout};
use reveille::{DriverThread, Handle};
use tokio::runtime::{Builder, LocalRuntime, Runtime};
use tokio::sync::oneshot;

use support::{Random, Task, manual, ms, secs, watched};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Returns a timer of the current context, armed and far from due.
fn armed(task: &Task) -> Sleep {
    let mut sleep = sleep(secs(3600));
    assert!(task.poll(&mut sleep).is_pending());
    sleep
}

#[test]
fn timers_made_inside_an_inner_runtime_use_that_one() {
    watched(|| {
        for (outer, inner) in [
            (current_thread(), multi_thread()),
            (multi_thread(), current_thread()),
        ] {
            let task = Task::new();
            let timers = outer.block_on(async {
                let before = armed(&task);
                let entered = inner.enter();
                let during = armed(&task);
                drop(entered);
                [before, during, armed(&task)]
            });
            drop(inner);
            let orphaned = timers.each_ref().map(Sleep::is_orphaned);
            assert_eq!(orphaned, [false, true, false]);
            drop(outer);
            let orphaned = timers.each_ref().map(Sleep::is_orphaned);
            assert_eq!(orphaned, [true; 3]);
        }
    });
}

/// A driver that was entered used to be preferred, wherever that was. If its thread waits for a
/// runtime inside, no thread turns the driver: `rt.block_on(async { runtime.block_on(sleep) })`
/// hung.
#[test]
fn a_runtime_entered_inside_a_driver_is_preferred_until_it_is_left() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            let (_, driver) = manual();
            let task = Task::new();
            let entered = driver.handle().enter();
            let start = Instant::now();
            runtime.block_on(async { sleep(ms(1)).await });
            runtime.block_on(async {
                sleep(ms(1)).await;
                // If the driver is entered again inside that, it is preferred again.
                let _again = driver.handle().enter();
                assert_eq!(Instant::now(), start);
                drop(armed(&task));
                assert_eq!(driver.handle().armed(), 0);
            });
            let inside = runtime.enter();
            assert_ne!(Instant::now(), start);
            drop(inside);
            let timer = armed(&task);
            assert_eq!((driver.handle().armed(), Instant::now()), (1, start));
            drop((timer, entered));
        }
    });
}

#[test]
fn a_driver_entered_inside_a_runtime_stays_current_even_if_the_runtime_is_left_first() {
    let (_, driver) = manual();
    let task = Task::new();
    for runtime in [current_thread(), multi_thread()] {
        let inside = runtime.enter();
        let entered = driver.handle().enter();
        let timer = armed(&task);
        drop(inside);
        let another = armed(&task);
        assert_eq!(driver.handle().armed(), 2);
        drop((timer, another, entered));
    }
}

#[test]
fn a_blocking_thread_arms_on_its_runtime() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            let task = Task::new();
            let inside = task.clone();
            let work = runtime.spawn_blocking(move || armed(&inside));
            let timer = runtime.block_on(work).unwrap();
            assert!(!timer.is_orphaned());
            drop(runtime);
            assert!(timer.is_orphaned());
        }
    });
}

#[test]
fn a_worker_that_blocks_in_place_waits_for_timers_of_its_runtime() {
    watched(|| {
        let runtime = multi_thread();
        let blocks = runtime.spawn(async {
            let before = sleep(ms(2));
            tokio::task::block_in_place(|| {
                let start = Instant::now();
                tokio::runtime::Handle::current().block_on(async {
                    before.await;
                    sleep(ms(1)).await;
                });
                pollster::block_on(sleep(ms(1)));
                assert!(start.elapsed() >= ms(2));
            });
            sleep(ms(1)).await;
        });
        runtime.block_on(blocks).unwrap();
    });
}

#[test]
fn timers_of_local_tasks_are_driven() {
    watched(|| {
        let runtime = LocalRuntime::new().unwrap();
        runtime.block_on(async {
            let kept = std::rc::Rc::new(ms(2));
            let start = Instant::now();
            let local = tokio::task::spawn_local(async move { sleep(*kept).await });
            local.await.unwrap();
            assert!(start.elapsed() >= ms(2));
        });
        let set = tokio::task::LocalSet::new();
        set.block_on(&current_thread(), async {
            let kept = std::rc::Rc::new(ms(1));
            let limited = async move { timeout(*kept, std::future::pending::<()>()).await };
            assert!(tokio::task::spawn_local(limited).await.unwrap().is_err());
        });
    });
}

#[test]
fn external_threads_wait_on_an_entered_runtime_while_it_is_driven() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            let (done, all_done) = oneshot::channel();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let handle = runtime.handle().clone();
                    thread::spawn(move || {
                        let _entered = handle.enter();
                        for us in [0, 50, 900, 2_500] {
                            let start = Instant::now();
                            let nap = Duration::from_micros(us);
                            pollster::block_on(sleep(nap));
                            assert!(start.elapsed() >= nap);
                        }
                    })
                })
                .collect();
            thread::spawn(move || {
                threads
                    .into_iter()
                    .for_each(|thread| thread.join().unwrap());
                done.send(()).unwrap();
            });
            runtime.block_on(all_done).unwrap();
        }
    });
}

#[test]
fn a_runtime_fires_no_timer_until_a_thread_drives_it() {
    watched(|| {
        let runtime = current_thread();
        let task = Task::new();
        let entered = runtime.enter();
        let mut timer = sleep(ms(1));
        assert!(task.poll(&mut timer).is_pending());
        drop(entered);
        let elsewhere = DriverThread::new().unwrap();
        pollster::block_on(elsewhere.handle().sleep(ms(3)));
        assert_eq!(task.wakes(), 0);
        runtime.block_on(sleep(ms(1)));
        assert_eq!(task.wakes(), 1);
    });
}

#[test]
fn a_timer_wakes_the_task_of_another_runtime_that_polled_it_last() {
    watched(|| {
        let home = multi_thread();
        let first = Task::new();
        let mut timer = {
            let _entered = home.enter();
            sleep(ms(20))
        };
        assert!(first.poll(&mut timer).is_pending());
        let deadline = timer.deadline();
        let away = current_thread();
        away.block_on(async move {
            tokio::spawn(timer).await.unwrap();
            assert!(Instant::now() >= deadline);
        });
        assert_eq!(first.held(), 0);
    });
}

#[test]
fn a_timer_dropped_on_an_external_thread_drops_its_waker_there() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            let task = Task::new();
            let timer = {
                let _entered = runtime.enter();
                armed(&task)
            };
            assert_eq!(task.held(), 1);
            thread::spawn(move || drop(timer)).join().unwrap();
            assert_eq!((task.held(), task.wakes()), (0, 0));
        }
    });
}

#[test]
fn many_runtimes_at_once_each_drive_their_own_timers() {
    watched(|| {
        let threads: Vec<_> = (0..12)
            .map(|seed| {
                thread::spawn(move || {
                    let runtime = match seed % 3 {
                        0 => multi_thread(),
                        _ => current_thread(),
                    };
                    let mut random = Random::new(seed);
                    let tasks: Vec<_> = (0..40)
                        .map(|_| {
                            let nap = Duration::from_micros(random.below(4_000));
                            runtime.spawn(async move {
                                let start = Instant::now();
                                sleep(nap).await;
                                assert!(start.elapsed() >= nap);
                            })
                        })
                        .collect();
                    runtime.block_on(async {
                        for task in tasks {
                            task.await.unwrap();
                        }
                    });
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_thread_that_goes_from_runtime_to_runtime_arms_on_the_one_it_is_in() {
    let runtimes = [current_thread(), multi_thread(), current_thread()];
    let task = Task::new();
    for _ in 0..3 {
        for runtime in &runtimes {
            let _entered = runtime.enter();
            let handle = Handle::current();
            let before = handle.armed();
            let timer = armed(&task);
            assert_eq!(handle.armed(), before + 1);
            drop(timer);
            assert_eq!(handle.armed(), before);
        }
    }
}

#[test]
fn timers_moved_by_other_threads_are_neither_lost_nor_early() {
    watched(|| {
        let runtime = multi_thread();
        let (to_thread, from_tasks) = mpsc::channel::<(Sleep, oneshot::Sender<Sleep>)>();
        let mover = thread::spawn(move || {
            let mut random = Random::new(7);
            while let Ok((mut timer, back)) = from_tasks.recv() {
                match random.below(3) {
                    0 => timer.reset_after(Duration::from_micros(random.below(900))),
                    1 => timer.reset_after(secs(3600)),
                    _ => {}
                }
                drop(back.send(timer));
            }
        });
        let tasks: Vec<_> = (0..60)
            .map(|seed| {
                let to_thread = to_thread.clone();
                runtime.spawn(async move {
                    let mut random = Random::new(seed);
                    for _ in 0..30 {
                        let timer = sleep(Duration::from_micros(random.below(1_500)));
                        let (back, moved) = oneshot::channel();
                        to_thread.send((timer, back)).unwrap();
                        let mut timer = moved.await.unwrap();
                        if timer.deadline() > Instant::now() + secs(60) {
                            let limited = timeout(Duration::from_micros(100), &mut timer);
                            assert!(limited.await.is_err());
                            timer.reset_after(Duration::from_micros(random.below(500)));
                        }
                        let deadline = timer.deadline();
                        timer.await;
                        assert!(Instant::now() >= deadline);
                    }
                })
            })
            .collect();
        drop(to_thread);
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        mover.join().unwrap();
    });
}

#[test]
fn a_timer_in_a_thread_local_is_dropped_with_the_thread() {
    thread_local! {
        static KEPT: RefCell<Option<Sleep>> = const { RefCell::new(None) };
    }
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            // A thread destroys first the thread-local that it has used first.
            for touched_first in [false, true] {
                let task = Task::new();
                let inside = task.clone();
                let handle = runtime.handle().clone();
                let ends = thread::spawn(move || {
                    if touched_first {
                        KEPT.with_borrow(|kept| assert!(kept.is_none()));
                    }
                    let _entered = handle.enter();
                    let timer = armed(&inside);
                    KEPT.set(Some(timer));
                });
                ends.join().unwrap();
                assert_eq!((task.held(), task.wakes()), (0, 0));
            }
        }
    });
}

/// Polls a timer when it is dropped, and sends it away.
struct PollOnDrop(Option<Sleep>, Task, mpsc::Sender<Sleep>);

impl Drop for PollOnDrop {
    fn drop(&mut self) {
        if let Some(mut sleep) = self.0.take() {
            let ended = self.1.poll(&mut sleep).is_ready();
            assert!(!ended);
            self.2.send(sleep).unwrap();
        }
    }
}

/// The thread cannot read tokio's clock any more. A runtime that had a timerfd and no tokio timers
/// was not told of the timer.
#[test]
fn a_timer_that_a_thread_arms_as_it_ends_fires() {
    thread_local! {
        static KEPT: RefCell<Option<PollOnDrop>> = const { RefCell::new(None) };
    }
    watched(|| {
        let make = |enable: fn(&mut Builder) -> &mut Builder| {
            enable(&mut Builder::new_current_thread()).build().unwrap()
        };
        for runtime in [
            make(Builder::enable_io),
            make(Builder::enable_time),
            make(Builder::enable_all),
        ] {
            let task = Task::new();
            let (inside, handle) = (task.clone(), runtime.handle().clone());
            let (sender, timer) = mpsc::channel();
            let ends = thread::spawn(move || {
                // Used before tokio's thread-locals, and so destroyed after them.
                KEPT.with_borrow(|kept| assert!(kept.is_none()));
                let _entered = handle.enter();
                let timer = sleep(ms(1));
                KEPT.set(Some(PollOnDrop(Some(timer), inside, sender)));
            });
            ends.join().unwrap();
            let _timer = timer.recv().unwrap();
            runtime.block_on(async {
                while task.wakes() == 0 {
                    tokio::task::yield_now().await;
                }
            });
        }
    });
}
