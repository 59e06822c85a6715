//! Tests of timers that are made before the runtime that polls them.
//!
//! Such a timer takes the driver of its first poll. It used to belong to the process-wide thread:
//! on a paused or manual clock it ended at once, or after real time, and nothing said why.

#![cfg(all(not(loom), feature = "fallback", feature = "rt"))]

mod support;

use std::future::{Future, pending};
use std::process::Command;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::{StreamExt, stream};
use reveille::StreamExt as _;
use reveille::rt::{self, Runtime};
use reveille::time::{
    DelayQueue, Instant, Interval, Sleep, interval, interval_at, sleep, sleep_until, timeout,
    timeout_at,
};
use reveille::{DriverThread, ManualClock};

use support::{Dial, Task, manual, ms, poll_with, secs, watched};

/// Lets the system's clock move on, so that a timer that counts from the call differs from one that
/// counts from its first poll.
fn spin_for_a_moment() {
    let start = std::time::Instant::now();
    while start.elapsed() < ms(2) {
        std::hint::spin_loop();
    }
}

/// Returns a runtime on a manual clock, which moves automatically while the runtime is idle.
fn on_manual_clock(workers: usize) -> (ManualClock, Runtime) {
    let clock = ManualClock::new();
    let builder = Runtime::builder().worker_threads(workers);
    (clock.clone(), builder.clock(&clock).build().unwrap())
}

/// Runs `future`, which was made outside of a runtime, on a manual clock. Returns how long it took
/// there.
fn time_of<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> (T, Duration) {
    spin_for_a_moment();
    watched(|| {
        let (clock, runtime) = on_manual_clock(1);
        let start = clock.now();
        (runtime.block_on(future), clock.now() - start)
    })
}

#[test]
fn a_sleep_ends_its_duration_after_its_first_poll_on_a_manual_clock() {
    assert_eq!(time_of(sleep(ms(300))), ((), ms(300)));
    assert_eq!(time_of(sleep(Duration::ZERO)), ((), Duration::ZERO));
    let long = secs(100 * 365 * 86_400) + Duration::from_nanos(1);
    assert_eq!(time_of(sleep(long)), ((), long));
}

#[test]
fn a_timeout_ends_its_duration_after_its_first_poll_on_a_manual_clock() {
    let (result, took) = time_of(timeout(ms(300), pending::<()>()));
    assert!(result.is_err());
    assert_eq!(took, ms(300));
    // The future inside may be made outside, too; here it ends first.
    let (result, took) = time_of(timeout(ms(300), sleep(ms(299))));
    assert_eq!((result, took), (Ok(()), ms(299)));
    let (result, took) = time_of(timeout(Duration::MAX, sleep(ms(299))));
    assert_eq!((result, took), (Ok(()), ms(299)));
}

#[test]
fn an_interval_ticks_at_its_first_poll_and_from_there_on_a_manual_clock() {
    let mut ticks = interval(ms(300));
    let (ticks, took) = time_of(async move {
        let start = Instant::now();
        let mut since = Vec::new();
        for _ in 0..3 {
            since.push((ticks.tick().await - start, start.elapsed()));
        }
        since
    });
    let expected = [0, 300, 600].map(|at| (ms(at), ms(at)));
    assert_eq!((ticks, took), (expected.to_vec(), ms(600)));
}

#[test]
fn instants_keep_their_meaning_on_the_clock_of_the_first_poll() {
    let (clock, driver) = manual();
    let task = Task::new();
    let (epoch, at) = (clock.now(), clock.now() + ms(300));
    let mut timer = sleep_until(at);
    let mut limit = timeout_at(at, pending::<()>());
    let mut ticks = interval_at(at, ms(100));
    let mut past = interval_at(epoch - secs(1), ms(100));
    spin_for_a_moment();

    let _entered = driver.handle().enter();
    assert!(task.poll(&mut timer).is_pending());
    assert!(task.poll(&mut limit).is_pending());
    assert!(ticks.poll_tick(&mut task.context()).is_pending());
    assert_eq!(driver.handle().armed(), 3);
    assert_eq!(timer.deadline(), at);
    clock.advance(ms(300) - Duration::from_nanos(1));
    assert_eq!(task.wakes(), 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(task.wakes(), 3);
    assert!(task.poll(&mut timer).is_ready());
    assert!(task.poll(&mut limit).is_ready());
    assert_eq!(ticks.poll_tick(&mut task.context()), Poll::Ready(at));
    // The deadline may be before the clock's epoch, and is returned as it was given.
    let tick = past.poll_tick(&mut task.context());
    assert_eq!(tick, Poll::Ready(epoch - secs(1)));
}

/// The driver has made no turn since its clock passed the instant, so the timer itself has to look.
#[test]
fn an_instant_that_has_passed_on_the_clock_of_the_first_poll_is_due_at_once() {
    let dial = Dial::default();
    let driver = dial.driver();
    // Long after what the system's clock shows.
    dial.set(secs(100 * 365 * 86_400));
    let now = {
        let _entered = driver.handle().enter();
        Instant::now()
    };
    let mut timers = [sleep_until(now), sleep_until(now - ms(1))];
    let mut later = sleep_until(now + ms(1));
    let _entered = driver.handle().enter();
    let task = Task::new();
    for timer in &mut timers {
        assert!(task.poll(timer).is_ready());
    }
    assert!(task.poll(&mut later).is_pending());
}

#[test]
fn a_wait_starts_over_on_every_clock_that_is_not_the_systems() {
    let task = Task::new();
    let poll = |timer: &mut Sleep| task.poll(timer);

    let dial = Dial::default();
    dial.set(secs(7));
    let custom = dial.driver();
    let mut timer = sleep(ms(300));
    spin_for_a_moment();
    {
        let _entered = custom.handle().enter();
        assert!(poll(&mut timer).is_pending());
        assert_eq!(timer.deadline() - Instant::now(), ms(300));
    }
    assert_eq!(custom.handle().armed(), 1);
}

/// The same holds for the system's clock after it was resumed: it is behind then.
#[cfg(feature = "test-util")]
#[test]
fn a_wait_starts_over_on_the_systems_clock_if_that_is_paused() {
    use reveille::time::{pause, resume};

    let task = Task::new();
    let poll = |timer: &mut Sleep| task.poll(timer);
    let system = reveille::Driver::with_unpark(|| {});
    let mut timers = [sleep(ms(300)), sleep(ms(300))];
    let _entered = system.handle().enter();
    pause();
    spin_for_a_moment();
    assert!(poll(&mut timers[0]).is_pending());
    assert_eq!(timers[0].deadline() - Instant::now(), ms(300));
    resume();
    let earliest = Instant::now() + ms(300);
    assert!(poll(&mut timers[1]).is_pending());
    assert!(timers[1].deadline() >= earliest);
    assert_eq!(system.handle().armed(), 2);
}

/// On the system's clock, time counts from the call, because it is the same clock in the runtime.
#[test]
fn a_wait_counts_from_the_call_where_the_runtime_runs_on_the_systems_clock() {
    let before = Instant::now();
    let (mut timer, mut ticks) = (sleep(secs(60)), interval(ms(500)));
    let limited = timeout(ms(1), pending::<()>());
    let (deadline, after) = (timer.deadline(), Instant::now());
    spin_for_a_moment();
    watched(move || {
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let waker = Waker::noop();
            assert!(poll_with(&mut timer, waker).is_pending());
            assert_eq!(timer.deadline(), deadline);
            assert_eq!(rt::Handle::current().armed(), 1);
            let start = Instant::now();
            assert!(limited.await.is_err());
            assert!(start >= before + ms(2), "it counted from before the call");
            let first = ticks.tick().await;
            assert!((before..=after).contains(&first));
        });
        // The timer is on the runtime's driver, not on that of the process-wide thread.
        drop(runtime);
        assert!(timer.is_orphaned());
    });
}

/// The same if it was reset before it had a driver.
#[test]
fn a_wait_that_was_reset_outside_counts_from_the_reset_on_the_systems_clock() {
    let mut timer = sleep(secs(60));
    timer.reset_after(secs(30));
    let deadline = timer.deadline();
    spin_for_a_moment();
    let driver = reveille::Driver::with_unpark(|| {});
    let _entered = driver.handle().enter();
    assert!(poll_with(&mut timer, Waker::noop()).is_pending());
    assert_eq!(timer.deadline(), deadline);
    assert_eq!(driver.handle().armed(), 1);
}

#[test]
fn timers_made_outside_fire_on_many_workers() {
    spin_for_a_moment();
    let timers: Vec<Sleep> = (0..50).map(|at| sleep(ms(10 * at))).collect();
    watched(|| {
        let (clock, runtime) = on_manual_clock(2);
        let start = clock.now();
        // Time does not move before all of them wait.
        let hold = clock.hold();
        let tasks: Vec<_> = timers
            .into_iter()
            .enumerate()
            .map(|(at, timer)| {
                let clock = clock.clone();
                runtime.spawn(async move {
                    timer.await;
                    assert_eq!(clock.now() - start, ms(10 * at as u64));
                })
            })
            .collect();
        runtime.block_on(async move {
            // All but the first, which is due at once.
            while rt::Handle::current().armed() < 49 {
                rt::yield_now().await;
            }
            drop(hold);
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn reset_before_its_first_poll_it_takes_the_driver_of_the_reset() {
    let task = Task::new();
    let (clock, driver) = manual();
    let mut timers = [sleep(ms(300)), sleep(ms(300)), sleep(ms(300))];
    let mut ticks = [interval(ms(300)), interval(ms(300))];
    // Outside of a runtime it still has no driver.
    timers[2].reset_after(ms(200));
    ticks[1].reset();
    spin_for_a_moment();

    let _entered = driver.handle().enter();
    timers[0].reset_after(ms(100));
    timers[1].reset_at(clock.now() + ms(100));
    ticks[0].reset();
    clock.advance(ms(50));
    for timer in &mut timers {
        assert!(task.poll(timer).is_pending());
    }
    let deadlines = timers.each_ref().map(|it| it.deadline() - clock.now());
    assert_eq!(deadlines, [ms(50), ms(50), ms(200)]);
    let next = |interval: &mut Interval, after| {
        let start = clock.now();
        assert!(interval.poll_tick(&mut task.context()).is_pending());
        clock.advance(after);
        let tick = interval.poll_tick(&mut task.context());
        assert_eq!(tick, Poll::Ready(start + after));
    };
    next(&mut ticks[0], ms(250));
    next(&mut ticks[1], ms(300));
}

#[test]
fn polled_outside_first_it_stays_with_the_process_wide_thread() {
    watched(|| {
        let mut timer = sleep(secs(3600));
        assert!(poll_with(&mut timer, Waker::noop()).is_pending());
        timer.reset_after(ms(5));
        let deadline = timer.deadline();
        let (clock, runtime) = on_manual_clock(1);
        runtime.block_on(async {
            // It ends in real time, because its driver does not use the manual clock.
            let hold = clock.hold();
            timer.await;
            assert!(deadline.into_std() <= std::time::Instant::now());
            assert_eq!(rt::Handle::current().armed(), 0);
            drop(hold);
        });
    });
}

#[test]
fn a_timer_of_a_handle_stays_with_it() {
    let timers = DriverThread::new().unwrap();
    let (_, driver) = manual();
    let task = Task::new();
    let mut timer = timers.handle().sleep(secs(60));
    let _entered = driver.handle().enter();
    assert!(task.poll(&mut timer).is_pending());
    assert_eq!((driver.handle().armed(), timers.handle().armed()), (0, 1));
}

#[test]
fn a_queue_filled_outside_waits_for_the_whole_of_each_duration() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut queue = DelayQueue::new();
    let late = queue.insert("late", ms(300));
    spin_for_a_moment();
    queue.insert("first of two", ms(200));
    queue.insert("second of two", ms(200));
    let gone = queue.insert("gone", ms(1));
    let moved = queue.insert("moved", ms(1));
    let pinned = queue.insert("pinned", ms(1));
    queue.insert_at("at", clock.now() + ms(250));
    queue.insert("never", Duration::MAX);
    queue.remove(&gone);
    queue.reset(&moved, ms(100));
    queue.reset_at(&pinned, clock.now() + ms(150));
    spin_for_a_moment();

    let _entered = driver.handle().enter();
    let mut out = Vec::new();
    for _ in 0..7 {
        while let Poll::Ready(Some(expired)) = queue.poll_expired(&mut task.context()) {
            out.push((*expired.get_ref(), expired.deadline() - clock.now()));
            assert!(expired.deadline() <= clock.now());
        }
        if out.len() == 2 {
            // Once the queue has a driver, durations count on that driver's clock.
            queue.reset(&late, ms(300));
        }
        clock.advance(ms(50));
    }
    let names: Vec<_> = out.iter().map(|(name, _)| *name).collect();
    let expected = ["moved", "pinned", "first of two", "second of two", "at"];
    assert_eq!(names, expected);
    assert_eq!(queue.len(), 2);
}

#[test]
fn a_queue_takes_the_driver_of_a_later_value_if_the_first_found_none() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut queue = DelayQueue::new();
    queue.insert("outside", ms(300));
    spin_for_a_moment();
    let entered = driver.handle().enter();
    queue.insert("inside", ms(300));
    drop(entered);
    // Polled outside of the driver, the queue stays on it.
    assert!(queue.poll_expired(&mut task.context()).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(300));
    for name in ["outside", "inside"] {
        match queue.poll_expired(&mut task.context()) {
            Poll::Ready(Some(expired)) => assert_eq!(expired.into_inner(), name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What a queue stores for values before it has a driver is dropped with them.
#[test]
fn a_queue_that_is_never_polled_frees_what_it_stored_for_removed_values() {
    let mut queue = DelayQueue::new();
    for round in 0..10_000 {
        let key = queue.insert(round, secs(1));
        queue.reset(&key, secs(2));
        assert_eq!(queue.remove(&key).into_inner(), round);
    }
    queue.insert(0, secs(1));
    queue.clear();
    let text = format!("{queue:?}");
    assert!(text.contains("unbound_waits: 0"), "{text}");
}

#[test]
fn streams_made_outside_use_the_clock_on_which_they_are_polled() {
    let throttled = stream::iter([1, 2, 3]).throttle(ms(100));
    assert_eq!(
        time_of(throttled.collect::<Vec<_>>()),
        (vec![1, 2, 3], ms(300))
    );
    let silent = || stream::iter([1, 2]).chain(stream::pending());
    let mut chunks = silent().chunks_timeout(3, ms(100)).boxed();
    let chunk = async move { chunks.next().await };
    assert_eq!(time_of(chunk), (Some(vec![1, 2]), ms(100)));
    let mut settled = silent().debounce(ms(100)).boxed();
    let item = async move { settled.next().await };
    assert_eq!(time_of(item), (Some(2), ms(100)));
    let limited = silent().timeout(ms(100)).take(3).map(|item| item.is_ok());
    let limited = limited.collect::<Vec<_>>();
    assert_eq!(time_of(limited), (vec![true, true, false], ms(100)));
    let nothing = stream::pending::<()>().timeout(ms(100)).take(1);
    let nothing = nothing.map(|item| item.is_ok()).collect::<Vec<_>>();
    assert_eq!(time_of(nothing), (vec![false], ms(100)));
    let repeating = stream::pending::<()>().timeout_repeating(interval(ms(100)));
    let repeating = repeating.take(3).map(|item| item.is_ok());
    let repeating = repeating.collect::<Vec<_>>();
    assert_eq!(time_of(repeating), (vec![false; 3], ms(200)));
}

const CHILD: &str = "REVEILLE_TEST_NO_THREAD";

/// `rt::block_on(timeout(limit, work))` makes its timer outside of the runtime. The test runs in a
/// process of its own, because other tests here start the thread.
#[test]
fn no_thread_is_started_for_a_timer_that_a_runtime_fires() {
    if std::env::var_os(CHILD).is_some() {
        return without_a_thread();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["no_thread_is_started", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

fn without_a_thread() {
    let mut queue = DelayQueue::new();
    queue.insert("due", Duration::ZERO);
    drop((sleep(secs(1)), interval(secs(1))));
    assert!(rt::block_on(timeout(ms(1), pending::<()>())).is_err());
    rt::block_on(sleep(ms(1)));
    rt::block_on(async { queue.next().await.unwrap() });
    assert_eq!(threads(), 0);
    pollster::block_on(sleep(ms(1)));
    assert_eq!(threads(), 1);
}

/// Returns the number of process-wide threads, on systems that tell.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim() == "reveille")
        .count()
}

/// Returns the number that is expected.
#[cfg(not(target_os = "linux"))]
fn threads() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    ASKED.fetch_add(1, Ordering::Relaxed)
}

#[cfg(all(feature = "tokio", feature = "test-util"))]
mod tokio_paused {
    use super::*;
    use tokio::runtime::Builder;

    /// Runs `future`, which was made outside, on a paused clock. Returns how long it took there.
    fn paused_time_of<T>(future: impl Future<Output = T>) -> (T, Duration) {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        spin_for_a_moment();
        runtime.block_on(async {
            let start = Instant::now();
            (future.await, start.elapsed())
        })
    }

    #[test]
    fn on_a_paused_tokio_runtime_a_wait_counts_from_the_first_poll() {
        assert_eq!(paused_time_of(sleep(ms(300))), ((), ms(300)));
        let (result, took) = paused_time_of(timeout(ms(300), pending::<()>()));
        assert!(result.is_err());
        assert_eq!(took, ms(300));
        let years = secs(30 * 365 * 86_400);
        let (result, took) = paused_time_of(timeout(Duration::MAX, sleep(Duration::MAX)));
        assert_eq!((result, took), (Ok(()), years));
    }

    /// A clock that was just paused still shows the real time.
    #[test]
    fn paused_just_before_the_first_poll_counts_too() {
        for _ in 0..200 {
            let mut timer = sleep(ms(300));
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                tokio::time::pause();
                let start = Instant::now();
                assert!(poll_with(&mut timer, Waker::noop()).is_pending());
                assert_eq!(timer.deadline() - start, ms(300));
            });
        }
    }

    #[test]
    fn while_its_clock_runs_a_wait_counts_from_the_call() {
        let mut timer = sleep(ms(300));
        let deadline = timer.deadline();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert!(poll_with(&mut timer, Waker::noop()).is_pending());
            assert_eq!(timer.deadline(), deadline);
        });
    }
}
