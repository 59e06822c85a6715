//! Tests of the slack: how a storm of timers changes when the loop wakes.

#![cfg(not(loom))]

mod support;

use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Builder, Driver, Handle, ManualClock, Park};

use support::{Count, Dial, Task};

/// Turns the driver twenty times with a timer each, 5 µs apart, which is a storm. It ends at 100
/// µs.
fn storm(driver: &mut Driver<()>, dial: &Dial, task: &Task) {
    for turn in 1..=20 {
        let _sleep = armed(driver.handle(), task, us(5));
        dial.set(us(5 * turn));
        assert_eq!(driver.turn().fired(), 1);
    }
}

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// Returns a driver with a slack that was set, and its clock.
fn with_slack(slack: Duration) -> (Dial, Driver<()>) {
    let (dial, driver, _) = with_slack_counting_unparks(slack);
    (dial, driver)
}

/// Does the same, and counts how often the loop is interrupted.
fn with_slack_counting_unparks(slack: Duration) -> (Dial, Driver<()>, Count) {
    let (dial, unparks) = (Dial::default(), Count::default());
    let counted = unparks.clone();
    let driver = Driver::builder()
        .clock(dial.clock())
        .slack(slack)
        .build_with_unpark(move || counted.add());
    (dial, driver, unparks)
}

/// Returns a timer that is armed.
fn armed(handle: &Handle, task: &Task, wait: Duration) -> Sleep {
    let mut sleep = handle.sleep(wait);
    assert!(task.poll(&mut sleep).is_pending());
    sleep
}

/// In a storm the slack determines when the loop wakes, and no timer, however early, changes that.
/// Each timer that another thread armed used to interrupt the loop anyway, only for it to block
/// again for as long as before.
#[test]
fn a_timer_armed_in_a_storm_does_not_interrupt_the_loop() {
    let (dial, mut driver, unparks) = with_slack_counting_unparks(us(100));
    let handle = driver.handle().clone();
    let task = Task::new();

    storm(&mut driver, &dial, &task);
    let before = unparks.get();

    let _late = armed(&handle, &task, us(50));
    assert_eq!(
        driver.next_timeout(),
        Some(us(100)),
        "kept apart by the slack"
    );
    let earlier = (1..=10).map(|i| armed(&handle, &task, us(11 - i)));
    let _sleeps: Vec<_> = earlier.collect();
    assert_eq!(driver.next_timeout(), Some(us(100)));
    assert_eq!(unparks.get(), before);

    // All of them have fired when the wait is over.
    dial.set(us(200));
    assert_eq!(driver.turn().fired(), 11);
}

#[test]
fn a_slack_set_in_a_storm_ends_the_wait_and_applies_to_the_next() {
    let (dial, mut driver, unparks) = with_slack_counting_unparks(us(100));
    let (handle, task) = (driver.handle().clone(), Task::new());
    storm(&mut driver, &dial, &task);
    let _late = armed(&handle, &task, us(50));

    assert_eq!(driver.next_timeout(), Some(us(100)));
    for (slack, wait) in [(us(1000), us(1000)), (Duration::ZERO, us(50))] {
        let before = unparks.get();
        std::thread::scope(|scope| {
            scope.spawn(|| handle.set_slack(slack));
        });
        assert_eq!(
            unparks.get(),
            before + 1,
            "the loop was waiting with the old slack"
        );
        assert_eq!(driver.next_timeout(), Some(wait));
        assert_eq!(handle.slack(), slack);
    }
}

/// Waits as `next_timeout` says, and turns, until `ends`. Returns how many turns it took.
fn run(
    driver: &mut Driver<()>,
    dial: &Dial,
    mut now: Duration,
    mut ends: impl FnMut() -> bool,
) -> u32 {
    let mut turns = 0;
    while !ends() {
        let Some(timeout) = driver.next_timeout() else {
            // The task has used up its budget, and is to be polled again.
            continue;
        };
        now += timeout;
        dial.set(now);
        driver.turn();
        turns += 1;
    }
    turns
}

/// Only storms were merged, and a task that sleeps in a loop is none: it woke the loop for each of
/// its timers, whatever the slack.
#[test]
fn under_a_slack_that_was_set_a_chain_wakes_the_loop_once_per_slack() {
    let (dial, mut driver) = with_slack(us(1000));
    let (handle, task) = (driver.handle().clone(), Task::new());
    // Deadlines 500 µs apart, each armed when the one before has fired.
    let start = handle.now();
    let mut next = 1;
    let mut sleep = handle.sleep_until(start + us(500));
    let turns = run(&mut driver, &dial, us(0), || {
        while task.poll(&mut sleep).is_ready() {
            next += 1;
            sleep.reset_at(start + us(500) * next);
        }
        next > 8000
    });
    assert_eq!(turns, 4001, "the first on time, and 4000 in 4 seconds");

    // A task that sleeps again and again: each sleep begins when the one before has ended.
    let now = handle.now().saturating_duration_since(start);
    let mut left = 1000;
    let mut sleep = handle.sleep(us(50));
    let turns = run(&mut driver, &dial, now, || {
        while task.poll(&mut sleep).is_ready() {
            left -= 1;
            sleep.reset_at(handle.now() + us(50));
        }
        left == 0
    });
    assert_eq!(turns, 1000, "one each");
    let passed = handle.now().saturating_duration_since(start) - now;
    assert_eq!(passed, us(1_000_000), "and they are the slack apart");
}

#[test]
fn under_a_slack_that_was_set_the_first_timer_after_a_pause_is_on_time() {
    let (dial, mut driver) = with_slack(us(1000));
    let task = Task::new();
    let mut now = us(0);
    // The first of all, and others that are later than the slack allows.
    for wait in [us(10), us(1000), us(1001), us(50_000)] {
        let _sleep = armed(driver.handle(), &task, wait);
        assert_eq!(driver.next_timeout(), Some(wait));
        now += wait;
        dial.set(now);
        assert_eq!(driver.turn().fired(), 1);
    }
    // Within the slack.
    let _sleep = armed(driver.handle(), &task, us(999));
    assert_eq!(driver.next_timeout(), Some(us(1000)));
}

/// Each timer that is earlier than all others interrupts the loop, after some the loop wakes before
/// it has to. That wake-up and the one that follows it kept no distance.
#[test]
fn a_wake_up_before_the_deadline_keeps_the_distance_of_the_slack() {
    for (first, wait) in [(us(100_000), us(98_990)), (us(1_500), us(1_490))] {
        let (dial, mut driver) = with_slack(us(1000));
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut sleeps = Vec::new();
        for earlier in 0..=10 {
            sleeps.push(armed(&handle, &task, first - us(earlier)));
            let _ = driver.next_timeout();
        }
        let announced = driver.next_timeout().unwrap();
        assert_eq!(announced, wait, "a slack before the deadline, or at it");
        dial.set(announced);
        if driver.turn().fired() == 0 {
            assert_eq!(driver.next_timeout(), Some(us(1000)));
        }
    }
}

/// A wake-up whose timer was dropped or put off during the wait counts like any other, or a
/// thousand timers that are put off all the time would wake the loop a thousand times.
#[test]
fn under_a_slack_that_was_set_a_wake_up_that_fires_nothing_counts() {
    for is_dropped in [false, true] {
        let (dial, mut driver) = with_slack(us(1000));
        let (handle, task) = (driver.handle().clone(), Task::new());
        let [mut gone, _late] = [5001, 5600].map(|at| armed(&handle, &task, us(at)));
        assert_eq!(driver.next_timeout(), Some(us(5001)));
        gone.reset_after(us(90_000));
        if is_dropped {
            drop(gone);
        }
        dial.set(us(5001));
        assert_eq!(driver.turn().fired(), 0);
        assert_eq!(driver.next_timeout(), Some(us(1000)));
        // A wait that was cut short is no wake-up of the plan.
        dial.set(us(5500));
        assert_eq!(driver.turn().fired(), 0);
        assert_eq!(driver.next_timeout(), Some(us(501)));
        dial.set(us(6001));
        assert_eq!(driver.turn().fired(), 1);
    }
}

/// A park that begins when the dial shows zero, and whose end it shows.
struct Shown(Dial);

impl Park for Shown {
    type Unpark = fn();

    fn unparker(&self) -> fn() {
        || {}
    }

    fn park(&mut self, timeout: Option<Duration>) {
        self.0.set(timeout.expect("a limit"));
    }
}

/// The loop read its next deadline before it turned, to log it, and that hid that it was woken in
/// vain: the next timer woke it at once.
#[test]
fn a_wake_up_in_vain_counts_although_the_deadline_was_read_before_the_turn() {
    let (dial, mut driver) = with_slack(us(100));
    let task = Task::new();
    let first = armed(driver.handle(), &task, us(500));
    assert_eq!(driver.next_timeout(), Some(us(500)));
    // So that the turn looks at the heap.
    let _later = armed(driver.handle(), &task, us(100_000));
    drop(first);
    dial.set(us(500));
    assert!(driver.next_deadline().is_some());
    assert_eq!(driver.turn().fired(), 0);
    let _next = armed(driver.handle(), &task, us(1));
    assert_eq!(driver.next_timeout(), Some(us(100)));
}

/// It counted as one if a timer that was dropped had been due by then.
#[test]
fn under_a_slack_that_was_set_the_end_of_a_limit_is_no_wake_up_for_a_timer() {
    let dial = Dial::default();
    let mut driver = Driver::builder()
        .clock(dial.clock())
        .slack(us(100_000))
        .build(Shown(dial.clone()));
    let (handle, task) = (driver.handle().clone(), Task::new());
    let [gone, _last] = [5000, 60_000_000].map(|at| armed(&handle, &task, us(at)));
    drop(gone);
    driver.park_timeout(us(10_000));
    let _sleep = armed(&handle, &task, us(10_000));
    assert_eq!(driver.next_timeout(), Some(us(10_000)), "on time");
}

#[test]
fn on_a_manual_clock_no_slack_delays_anything() {
    for slack in [None, Some(us(1000)), Some(Duration::MAX)] {
        let clock = ManualClock::new();
        let mut builder = Driver::builder().clock(&clock);
        if let Some(slack) = slack {
            builder = builder.slack(slack);
        }
        let mut driver = builder.build_with_unpark(|| {});
        let (handle, task) = (driver.handle().clone(), Task::new());
        let (start, chosen) = (clock.now(), handle.slack());
        let mut sleep = handle.sleep(us(5));
        for turn in 1..=1000 {
            assert!(task.poll(&mut sleep).is_pending());
            assert!(driver.advance_when_idle());
            assert!(task.poll(&mut sleep).is_ready());
            assert_eq!(clock.now(), start + us(5) * turn);
            sleep.reset_at(clock.now() + us(5));
        }
        assert_eq!(handle.slack(), chosen, "nothing is measured");
    }
}

#[test]
fn a_slack_that_was_set_stays_and_one_that_adapts_begins_with_the_default() {
    let driver = Driver::builder().build_with_unpark(|| {});
    let handle = driver.handle();
    assert_eq!(handle.slack(), Builder::DEFAULT_SLACK);
    handle.set_slack(us(300));
    assert_eq!(handle.slack(), us(300));
    handle.adapt_slack();
    assert_eq!(handle.slack(), Builder::DEFAULT_SLACK);
}

/// What a wake-up costs is measured on every loop that waits for dense timers. (On Linux, where the
/// system tells the CPU time of a thread.)
#[cfg(target_os = "linux")]
mod measured {
    use std::time::Instant;

    use reveille::ThreadPark;

    use super::*;

    /// Uses the CPU for 100 µs.
    fn work() {
        let begun = Instant::now();
        while begun.elapsed() < us(100) {
            std::hint::spin_loop();
        }
    }

    /// What the thread did after the wait was taken for the cost of the wake-up.
    #[test]
    fn a_wait_that_was_cut_short_is_not_measured_when_the_slack_is_over() {
        let dial = Dial::default();
        let mut driver = dial.driver();
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut now = us(0);
        // A storm, in which all waits are cut short.
        for _ in 0..50 {
            let _sleeps: Vec<_> = (10..30).map(|at| armed(&handle, &task, us(at))).collect();
            let wait = driver.next_timeout().unwrap();
            assert!(wait >= us(10));
            now += us(1);
            dial.set(now);
            assert_eq!(driver.turn().fired(), 0);
            work();
            now += us(150);
            dial.set(now);
            assert_eq!(driver.turn().fired(), 20);
        }
        assert_eq!(handle.slack(), Builder::DEFAULT_SLACK);
    }

    /// It ended by an unpark, when timers were due that would have waited for the slack.
    #[test]
    fn a_wait_that_something_else_has_ended_is_not_measured() {
        let dial = Dial::default();
        let mut driver = dial.driver();
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut now = us(0);
        for _ in 0..50 {
            let _sleeps: Vec<_> = (10..30).map(|at| armed(&handle, &task, us(at))).collect();
            let wait = driver.next_timeout().unwrap();
            work();
            // In time for some only in the first rounds.
            now += if wait > us(40) { us(40) } else { us(9) };
            dial.set(now);
            driver.turn();
            now += us(60);
            dial.set(now);
            driver.turn();
        }
        assert_eq!(handle.slack(), Builder::DEFAULT_SLACK);
    }

    /// One task, with one timer after the other. None waits for the slack, and they come too seldom
    /// to be dense by the slack with which the driver begins.
    async fn chain(handle: &Handle) {
        let start = Instant::now();
        while handle.slack() == Builder::DEFAULT_SLACK {
            assert!(start.elapsed() < Duration::from_secs(60), "not measured");
            handle.sleep(us(500)).await;
        }
    }

    /// Two dozen tasks, each with one timer after the other, which are dense until the driver has
    /// chosen another slack than that with which it began.
    async fn dense(handle: &Handle) {
        let start = Instant::now();
        let tasks = (0..24).map(|task| async move {
            while handle.slack() == Builder::DEFAULT_SLACK {
                assert!(start.elapsed() < Duration::from_secs(60), "not measured");
                handle.sleep(us(100 + 7 * task)).await;
            }
        });
        futures::future::join_all(tasks).await;
        let chosen = handle.slack();
        assert!(us(50) <= chosen && chosen <= us(1000), "{chosen:?}");
    }

    #[test]
    fn on_a_loop_of_its_own() {
        let mut driver = Driver::new(ThreadPark::new());
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut dense = Box::pin(dense(&handle));
        while task.poll(&mut dense).is_pending() {
            driver.park();
        }
    }

    /// Only waits for the slack were measured, so the slack stayed at the first guess.
    #[test]
    fn in_a_chain_of_waits_that_are_on_time() {
        let mut driver = Driver::new(ThreadPark::new());
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut chain = Box::pin(chain(&handle));
        while task.poll(&mut chain).is_pending() {
            driver.park();
        }
    }

    #[test]
    fn on_a_loop_that_blocks_elsewhere() {
        let mut driver = Driver::with_unpark(|| {});
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut dense = Box::pin(dense(&handle));
        while task.poll(&mut dense).is_pending() {
            if let Some(timeout) = driver.next_timeout() {
                std::thread::sleep(timeout);
            }
            driver.turn();
        }
    }

    #[test]
    #[cfg(feature = "rt")]
    fn on_the_executor() {
        for workers in [1, 2] {
            let runtime = reveille::rt::Runtime::builder()
                .worker_threads(workers)
                .build()
                .unwrap();
            runtime.block_on(async { dense(&Handle::current()).await });
        }
    }

    #[test]
    #[cfg(feature = "tokio")]
    fn on_tokio() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let task = runtime.spawn(async { dense(&Handle::current()).await });
        runtime.block_on(task).unwrap();
        // A clock that may be paused is exact.
        if cfg!(not(feature = "test-util")) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { dense(&Handle::current()).await });
        }
    }
}
