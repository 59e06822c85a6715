//! Tests of timers, and of what their wakers own, when their tokio runtime ends.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reveille::time::{Instant, Sleep, interval, sleep, timeout};
use reveille::{DriverThread, Handle};
use tokio::runtime::{Builder, Runtime};

use support::{Count, OnDrop, Random, Task, ms, poll_with, secs, waker, watched};

/// Returns a builder of each kind of runtime that has a timer or I/O.
fn kinds() -> Vec<(&'static str, Builder)> {
    let mut kinds = Vec::new();
    for (name, threads) in [("one thread", 0), ("one worker", 1), ("two workers", 2)] {
        for drivers in ["io and time", "time", "io"] {
            let mut builder = match threads {
                0 => Builder::new_current_thread(),
                _ => Builder::new_multi_thread(),
            };
            if threads > 0 {
                builder.worker_threads(threads);
            }
            match drivers {
                "time" => builder.enable_time(),
                "io" => builder.enable_io(),
                _ => builder.enable_all(),
            };
            kinds.push((name, builder));
        }
    }
    kinds
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Returns a timer of `runtime`, armed and far from due.
fn armed(runtime: &Runtime, task: &Task) -> Sleep {
    let _entered = runtime.enter();
    let mut sleep = sleep(secs(3600));
    assert!(task.poll(&mut sleep).is_pending());
    sleep
}

#[test]
fn however_a_runtime_ends_the_tasks_of_its_timers_are_woken_once() {
    watched(|| {
        let ends: [fn(Runtime); 3] = [
            drop,
            |runtime| runtime.shutdown_timeout(secs(30)),
            Runtime::shutdown_background,
        ];
        for end in ends {
            for (name, mut builder) in kinds() {
                let runtime = builder.build().unwrap();
                runtime.block_on(sleep(Duration::from_micros(10)));
                let (woken, wakes) = mpsc::channel();
                let waker = waker(move || woken.send(()).unwrap());
                let mut timer = {
                    let _entered = runtime.enter();
                    sleep(secs(3600))
                };
                assert!(poll_with(&mut timer, &waker).is_pending());
                end(runtime);
                wakes.recv().unwrap();
                assert!(timer.is_orphaned() && !timer.is_elapsed(), "{name}");
                drop(waker);
                assert!(wakes.try_recv().is_err(), "{name}: woken twice");
            }
        }
    });
}

#[test]
fn a_timer_of_a_runtime_that_is_gone_moves_to_the_one_that_polls_it() {
    watched(|| {
        for (_, mut builder) in kinds() {
            let task = Task::new();
            let mut timer = armed(&builder.build().unwrap(), &task);
            let successor = multi_thread();
            successor.block_on(async { assert!(task.poll(&mut timer).is_pending()) });
            assert!(!timer.is_orphaned());
            successor.block_on(async {
                let start = Instant::now();
                timer.reset_after(ms(2));
                (&mut timer).await;
                assert!(start.elapsed() >= ms(2));
            });
            timer.reset_after(secs(3600));
            assert!(task.poll(&mut timer).is_pending());
            drop(successor);
            assert!(timer.is_orphaned());
        }
    });
}

#[test]
fn a_task_elsewhere_goes_on_waiting_for_the_timer_of_a_runtime_that_is_gone() {
    watched(|| {
        let away = multi_thread();
        for home in [current_thread(), multi_thread()] {
            let timer = {
                let _entered = home.enter();
                sleep(ms(8))
            };
            let deadline = timer.deadline();
            let waits = away.spawn(async move {
                timer.await;
                Instant::now() >= deadline
            });
            drop(home);
            assert!(away.block_on(waits).unwrap());
        }
    });
}

/// Arms a timer, drops its runtime, and polls the timer after its deadline.
fn is_ready_beyond_the_end_of(runtime: Runtime) {
    let task = Task::new();
    let mut timer = armed(&runtime, &task);
    timer.reset_after(ms(1));
    drop(runtime);
    let elsewhere = DriverThread::new().unwrap();
    pollster::block_on(elsewhere.handle().sleep(ms(3)));
    assert!(task.poll(&mut timer).is_ready());
}

/// With the feature `test-util` the clock of a runtime of one thread is tokio's own. It stood still
/// once the runtime was gone, so the wait for what was left began with the poll.
#[test]
fn a_deadline_is_kept_beyond_the_end_of_the_runtime() {
    watched(|| {
        for runtime in [current_thread(), multi_thread()] {
            is_ready_beyond_the_end_of(runtime);
        }
    });
}

#[cfg(feature = "test-util")]
#[test]
fn a_deadline_is_kept_if_the_clock_was_paused_and_runs_again_at_the_end() {
    watched(|| {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            sleep(secs(60)).await;
            tokio::time::resume();
        });
        is_ready_beyond_the_end_of(runtime);
    });
}

/// The time left on a paused clock means nothing elsewhere.
#[cfg(feature = "test-util")]
#[test]
fn a_timer_stays_orphaned_if_the_clock_of_its_runtime_was_paused_at_the_end() {
    for runs in [false, true] {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let task = Task::new();
        let mut timer = armed(&runtime, &task);
        runtime.block_on(async {
            sleep(secs(60)).await;
            if runs {
                tokio::time::resume();
            }
        });
        drop(runtime);
        assert!(timer.is_orphaned());
        assert!(task.poll(&mut timer).is_pending());
        assert_eq!(timer.is_orphaned(), !runs);
    }
}

#[test]
fn intervals_and_timeouts_go_on_beyond_the_runtimes_end() {
    watched(|| {
        let runtime = current_thread();
        let (mut ticks, limited) = runtime.block_on(async {
            let mut ticks = interval(ms(2));
            ticks.tick().await;
            (ticks, timeout(ms(3), pending::<()>()))
        });
        drop(runtime);
        pollster::block_on(async {
            let first = ticks.tick().await;
            let second = ticks.tick().await;
            assert_eq!(second - first, ms(2));
            assert!(Instant::now() >= second);
            assert!(limited.await.is_err());
        });
    });
}

#[test]
fn a_handle_kept_beyond_the_end_of_the_runtime_is_closed_and_its_timers_move() {
    watched(|| {
        for (_, mut builder) in kinds() {
            let runtime = builder.build().unwrap();
            let handle = runtime.block_on(async { Handle::current() });
            drop(runtime);
            let timer = handle.sleep(Duration::from_micros(300));
            pollster::block_on(timer);
            assert!(handle.is_closed());
        }
    });
}

#[test]
fn what_a_task_owns_may_arm_and_drop_timers_as_the_runtime_ends() {
    watched(|| {
        for (_, mut builder) in kinds() {
            let runtime = builder.build().unwrap();
            let task = Task::new();
            let inside = task.clone();
            let held = runtime.block_on(async {
                let mut armed = sleep(secs(3600));
                assert!(task.poll(&mut armed).is_pending());
                OnDrop(move || {
                    armed.reset_after(secs(1800));
                    let mut another = sleep(secs(3600));
                    let _ = inside.poll(&mut another);
                    let _ = inside.poll(&mut armed);
                })
            });
            runtime.spawn(async move {
                let _held = held;
                sleep(secs(3600)).await;
            });
            runtime.block_on(sleep(Duration::from_micros(10)));
            drop(runtime);
            assert_eq!(task.held(), 0);
        }
    });
}

#[test]
fn threads_that_arm_while_the_runtime_ends_neither_panic_nor_hang() {
    watched(|| {
        for round in 0..40 {
            for (name, mut builder) in kinds() {
                let runtime = builder.build().unwrap();
                let handle = runtime.handle().clone();
                let (armed, is_armed) = mpsc::channel();
                let arms = thread::spawn(move || {
                    let _entered = handle.enter();
                    let mut random = Random::new(round);
                    for _ in 0..60 {
                        let nap = Duration::from_micros(random.below(60));
                        let start = Instant::now();
                        let timers = [sleep(nap), sleep(nap / 2), sleep(secs(3600))];
                        let [first, second, mut far] = timers;
                        let _ = poll_with(&mut far, std::task::Waker::noop());
                        let _ = armed.send(());
                        pollster::block_on(async {
                            second.await;
                            first.await;
                        });
                        assert!(start.elapsed() >= nap);
                    }
                });
                let driven = Duration::from_micros(round * 5);
                runtime.block_on(sleep(driven));
                is_armed.recv().unwrap();
                drop(runtime);
                arms.join().unwrap_or_else(|_| panic!("{name}"));
            }
        }
    });
}

#[test]
fn timers_do_not_keep_their_runtime_alive() {
    watched(|| {
        for (_, mut builder) in kinds() {
            let part = Arc::new(());
            let gone = Arc::downgrade(&part);
            builder.on_thread_park(move || {
                let _part = &part;
            });
            let runtime = builder.build().unwrap();
            drop(builder);
            let task = Task::new();
            let timer = armed(&runtime, &task);
            runtime.block_on(sleep(Duration::from_micros(10)));
            drop(runtime);
            // Other tests of this process may just be checking whether each runtime is gone.
            while gone.upgrade().is_some() {
                thread::yield_now();
            }
            drop(timer);
            assert_eq!(task.held(), 0);
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_runtime_leaves_no_descriptor_open_whatever_it_has() {
    use std::fs::{read_dir, read_link};
    let timers = || {
        let open = read_dir("/proc/self/fd").unwrap().flatten();
        let open = open.filter_map(|descriptor| read_link(descriptor.path()).ok());
        open.filter(|target| target.as_os_str() == "anon_inode:[timerfd]")
            .count()
    };
    watched(move || {
        for _ in 0..40 {
            for (_, mut builder) in kinds() {
                let runtime = builder.build().unwrap();
                runtime.block_on(sleep(Duration::from_micros(10)));
                drop(armed(&runtime, &Task::new()));
            }
        }
        // There were 360; other tests of this process have some, too.
        assert!(timers() < 60, "{} timers are open", timers());
    });
}

/// Tokio answers some questions with a panic, which the panic hook reports. Each timer that was
/// made in the context of a runtime that was gone used to ask again.
#[test]
fn a_runtime_that_is_gone_is_not_asked_again_for_each_timer() {
    use std::panic::{set_hook, take_hook};

    watched(|| {
        // A process that uses no I/O is not asked about it at all.
        let _poller = current_thread();
        let here = thread::current().id();
        let panics = Count::default();
        let counted = panics.clone();
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if thread::current().id() == here {
                counted.add();
            } else {
                others(info);
            }
        }));
        for (name, mut builder) in kinds() {
            let runtime = builder.build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(sleep(ms(1)));
            drop(runtime);
            let before = panics.get();
            let _entered = handle.enter();
            for _ in 0..20 {
                pollster::block_on(sleep(ms(1)));
            }
            assert!(
                panics.get() - before <= 1,
                "{name}: {}",
                panics.get() - before
            );
        }
        drop(take_hook());
    });
}

/// A driver that stays in the registry, or a waker that keeps it alive, would keep its timerfd
/// open.
#[test]
#[cfg(target_os = "linux")]
fn what_outlives_a_runtime_keeps_no_descriptor_of_it() {
    support::alone(|| {
        for (_, mut builder) in kinds() {
            support::keeps_only(0, || {
                let (runtime, task) = (builder.build().unwrap(), Task::new());
                let kept = runtime.block_on(async {
                    let mut armed = sleep(secs(3600));
                    assert!(task.poll(&mut armed).is_pending());
                    let elsewhere = runtime.spawn(async { (Handle::current(), sleep(secs(3600))) });
                    (armed, elsewhere.await.unwrap())
                });
                drop(runtime);
                kept
            });
        }
    });
}

/// The guard refers to a task of the runtime, and the memory of a task that has ended refers to the
/// runtime.
#[test]
#[cfg(all(target_os = "linux", feature = "test-util"))]
fn a_guard_that_outlives_a_runtime_keeps_no_descriptor_of_it() {
    support::alone(|| {
        support::keeps_only(0, || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let hold = runtime.block_on(async { Handle::current().clock().hold() });
            drop(runtime);
            hold
        });
    });
}
