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
        let real = std::time::Instant::now();
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
        assert!(real.elapsed() < secs(3600));
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
