//! A future on a manual clock, with nothing else around it.

#![cfg(not(loom))]

mod support;

use std::collections::HashSet;
use std::future::poll_fn;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::join;
use futures::stream::{FuturesUnordered, StreamExt};
use reveille::time::{Instant, sleep, sleep_until, timeout};
use reveille::{Driver, ManualClock, ThreadPark};

use support::{secs, watched};

#[test]
fn time_passes_for_the_future_alone() {
    watched(|| {
        let clock = ManualClock::new();
        let (order, elapsed) = clock.simulate(async {
            let start = Instant::now();
            let (first, second) = (sleep(secs(3600)), sleep(secs(7200)));
            let (first, second) = join(async { (first.await, start.elapsed()).1 }, async {
                (second.await, start.elapsed()).1
            })
            .await;
            [first, second]
        });
        assert_eq!(order, [secs(3600), secs(7200)]);
        assert_eq!(elapsed, secs(7200));
        // A second future goes on where the first has ended.
        let before = clock.now();
        assert_eq!(clock.simulate(sleep_inside(secs(1))).1, secs(1));
        assert_eq!(clock.now() - before, secs(1));
    });
}

async fn sleep_inside(duration: Duration) {
    sleep(duration).await;
}

#[test]
fn a_future_that_wakes_itself_keeps_time_standing() {
    watched(|| {
        let mut left = 100;
        let ((), elapsed) = ManualClock::new().simulate(poll_fn(move |cx| {
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        assert_eq!(elapsed, Duration::ZERO);
    });
}

/// The hold keeps time from moving on to the limit while the thread works.
#[test]
fn a_future_that_waits_for_another_thread_is_waited_for() {
    watched(|| {
        let clock = ManualClock::new();
        let (sender, receiver) = oneshot::channel();
        let hold = clock.hold();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            sender.send(7).unwrap();
            drop(hold);
        });
        let (answer, elapsed) = clock.simulate(async { timeout(secs(1), receiver).await });
        assert_eq!((answer, elapsed), (Ok(Ok(7)), Duration::ZERO));
        thread.join().unwrap();
    });
}

/// In simulations that are compared run by run, ties are common: whole seconds, whole ticks.
#[test]
fn equal_deadlines_end_in_the_order_in_which_they_were_armed() {
    watched(|| {
        let (order, elapsed) = ManualClock::starting_at(Instant::ORIGIN).simulate(async {
            let end = Instant::ORIGIN + secs(9);
            // Armed in the order of their first polls: each a second after the one before.
            let armed = |after: u64, name: usize| async move {
                sleep(secs(after)).await;
                sleep_until(end).await;
                name
            };
            let names = [(3, 0), (1, 1), (4, 2), (0, 3), (2, 4)];
            let all: FuturesUnordered<_> = names
                .map(|(at, name)| armed(at, name))
                .into_iter()
                .collect();
            all.collect::<Vec<_>>().await
        });
        assert_eq!((order, elapsed), (vec![3, 1, 4, 0, 2], secs(9)));
    });
}

#[cfg(feature = "rt")]
#[test]
fn tasks_of_equal_deadlines_run_in_the_order_in_which_they_armed_them() {
    use reveille::rt::{Runtime, spawn};
    use support::Log;

    watched(|| {
        let clock = ManualClock::new();
        let runtime = Runtime::builder().worker_threads(1).clock(&clock);
        let log = Log::new();
        runtime.build().unwrap().block_on(async {
            let end = Instant::now() + secs(9);
            let tasks = [(3, 0), (1, 1), (4, 2), (0, 3), (2, 4)].map(|(after, name)| {
                let log = log.clone();
                spawn(async move {
                    sleep(secs(after)).await;
                    sleep_until(end).await;
                    log.push(name);
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(log.take(), [3, 1, 4, 0, 2]);
    });
}

#[test]
fn handles_of_one_driver_are_equal() {
    let (one, other) = (
        Driver::new(ThreadPark::new()),
        Driver::new(ThreadPark::new()),
    );
    assert_eq!(one.handle(), &one.handle().clone());
    assert_ne!(one.handle(), other.handle());
    let handles = [one.handle(), other.handle(), one.handle()];
    assert_eq!(handles.iter().collect::<HashSet<_>>().len(), 2);
}

/// Timers that are made in the argument of `simulate`, on a driver that is current around it. They
/// were waited for: for ever, if their driver turns on the thread that waits.
mod made_before_the_call {
    use std::future::{Pending, pending, ready};

    use reveille::time::Timeout;

    use super::support::panic_of;
    use super::*;

    /// Checks that the simulation panics with a message that tells what to do, at the line that
    /// called `simulate`.
    #[track_caller]
    fn is_told(simulate: fn()) {
        let (message, file) = watched(move || panic_of(simulate));
        for words in ["made before the call", "simulate(async { timeout("] {
            assert!(message.contains(words), "no {words:?} in {message:?}");
        }
        assert_eq!(file, file!(), "{message:?}");
    }

    fn never(limit: Duration) -> Timeout<Pending<()>> {
        timeout(limit, pending())
    }

    #[test]
    fn on_a_driver_of_this_thread_they_are_told() {
        is_told(|| {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            let _ = ManualClock::new().simulate(never(secs(1)));
        });
    }

    #[cfg(feature = "rt")]
    #[test]
    fn in_a_block_on_they_are_told() {
        is_told(|| {
            reveille::rt::block_on(async {
                ManualClock::new().simulate(sleep(secs(1)));
            });
        });
    }

    #[cfg(feature = "rt")]
    #[test]
    fn in_a_task_of_a_runtime_they_are_told() {
        let error = watched(|| {
            let runtime = reveille::rt::Runtime::builder().worker_threads(2).build();
            let task = async { ManualClock::new().simulate(never(secs(3600))).1 };
            let spawned = async { reveille::rt::spawn(task).await };
            runtime.unwrap().block_on(spawned).unwrap_err()
        });
        assert!(
            error.to_string().contains("made before the call"),
            "{error}"
        );
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn in_a_tokio_runtime_of_one_thread_they_are_told() {
        fn block_on(future: impl Future<Output = ()>) {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().unwrap().block_on(future);
        }
        is_told(|| block_on(async { ManualClock::new().simulate(sleep(secs(1))).0 }));
        is_told(|| block_on(async { drop(ManualClock::new().simulate(never(secs(1)))) }));
        is_told(|| {
            block_on(async {
                drop(
                    ManualClock::new()
                        .simulate(reveille::FutureExt::timeout(pending::<()>(), secs(1))),
                )
            });
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn in_a_tokio_runtime_of_two_workers_they_are_told() {
        is_told(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async { drop(ManualClock::new().simulate(never(secs(3600)))) });
        });
    }

    #[test]
    fn timers_that_the_future_does_not_wait_for_do_no_harm() {
        watched(|| {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            let clock = ManualClock::new();
            // Made, and never waited for.
            assert_eq!(clock.simulate(timeout(secs(1), ready(7))).0, Ok(7));
            // What it limits ends by a timer on the clock.
            let simulated = clock.simulate(timeout(secs(1), sleep_inside(secs(60))));
            assert_eq!(simulated, (Ok(()), secs(60)));
        });
    }

    /// It ends no wait, so it may stand beside one for another thread.
    #[test]
    fn a_limit_that_never_ends_is_none() {
        watched(|| {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            let (sender, receiver) = oneshot::channel();
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                sender.send(7).unwrap();
            });
            let limited = timeout(Duration::MAX, receiver);
            assert_eq!(ManualClock::new().simulate(limited).0, Ok(Ok(7)));
            thread.join().unwrap();
        });
    }

    /// While time is held, other threads have work to do, and may end the wait.
    #[test]
    fn a_clock_that_is_held_waits() {
        watched(|| {
            let driver = Driver::new(ThreadPark::new());
            let _entered = driver.handle().enter();
            let clock = ManualClock::new();
            let (sender, receiver) = oneshot::channel();
            let hold = clock.hold();
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                sender.send(7).unwrap();
                drop(hold);
            });
            assert_eq!(clock.simulate(timeout(secs(1), receiver)).0, Ok(Ok(7)));
            thread.join().unwrap();
        });
    }

    #[test]
    fn on_a_driver_of_the_same_clock_they_are_simulated() {
        watched(|| {
            let clock = ManualClock::new();
            let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
            let _entered = driver.handle().enter();
            let (result, elapsed) = clock.simulate(never(secs(3600)));
            assert!(result.is_err());
            assert_eq!(elapsed, secs(3600));
        });
    }
}
