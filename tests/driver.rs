//! Tests of `Driver`: how long a loop may block, when it is interrupted, and in which order timers
//! fire.
//!
//! Most loops here use a park that does not block: it notes the timeout and advances a clock by it.

#![cfg(not(loom))]

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Clock, Driver, Handle, ManualClock, Park, ThreadPark, Turn};

use support::{
    Count, Dial, Log, Task, manual, manual_counting_unparks, ms, poll_with, secs, waker, watched,
};

/// A park that returns at once, and advances its clock by the timeout.
struct Simulated {
    dial: Dial,
    now: Duration,
    parks: Log<Option<Duration>>,
}

impl Simulated {
    fn new() -> Self {
        Self {
            dial: Dial::default(),
            now: Duration::ZERO,
            parks: Log::new(),
        }
    }
}

impl Park for Simulated {
    type Unpark = fn();

    fn unparker(&self) -> fn() {
        || {}
    }

    fn park(&mut self, timeout: Option<Duration>) {
        self.parks.push(timeout);
        self.now += timeout.unwrap_or_default();
        self.dial.set(self.now);
    }
}

/// Arms timers of these durations, in milliseconds. The waker of each logs its duration.
fn arm(handle: &Handle, log: &Log<u64>, limits: &[u64]) -> Vec<Sleep> {
    let arm = |&limit: &u64| {
        let mut sleep = handle.sleep(ms(limit));
        assert!(poll_with(&mut sleep, &log.waker(limit)).is_pending());
        sleep
    };
    limits.iter().map(arm).collect()
}

#[test]
fn drivers_are_independent_of_each_other() {
    let (clock, one) = manual();
    let (_, two) = manual();
    let task = Task::new();
    let mut first = one.handle().sleep(ms(5));
    let mut second = two.handle().sleep(ms(5));
    assert!(task.poll(&mut first).is_pending());
    assert!(task.poll(&mut second).is_pending());
    clock.advance(secs(1));
    assert_eq!((task.wakes(), two.handle().armed()), (1, 1));
    drop(one);
    assert!(!second.is_orphaned() && task.poll(&mut second).is_pending());
}

#[test]
fn park_lasts_until_the_earliest_deadline_and_fires_it() {
    let park = Simulated::new();
    let (clock, parks) = (park.dial.clock(), park.parks.clone());
    let mut driver = Driver::builder().clock(clock).build(park);
    let log = Log::new();
    let sleeps = arm(driver.handle(), &log, &[30, 10, 20]);
    for limit in [10, 20, 30] {
        assert_eq!(driver.next_deadline(), Some(driver.handle().now() + ms(10)));
        assert_eq!(driver.park().fired(), 1);
        assert_eq!(
            (log.take(), parks.take()),
            (vec![limit], vec![Some(ms(10))])
        );
    }
    assert_eq!(driver.park().fired(), 0);
    assert_eq!(driver.park_timeout(ms(7)).fired(), 0);
    assert_eq!(parks.take(), [None, Some(ms(7))]);
    drop(sleeps);
}

#[test]
fn park_timeout_ends_at_the_limit_or_the_deadline() {
    let park = Simulated::new();
    let (clock, parks) = (park.dial.clock(), park.parks.clone());
    let mut driver = Driver::builder().clock(clock).build(park);
    let log = Log::new();
    let _sleeps = arm(driver.handle(), &log, &[10]);
    assert_eq!(driver.park_timeout(ms(4)).fired(), 0);
    assert_eq!(driver.park_timeout(Duration::ZERO).fired(), 0);
    assert_eq!(driver.park_timeout(Duration::MAX).fired(), 1);
    assert_eq!(
        parks.take(),
        [Some(ms(4)), Some(Duration::ZERO), Some(ms(6))]
    );
}

#[test]
fn park_does_not_block_while_something_is_due() {
    let park = Simulated::new();
    let (dial, parks) = (park.dial.clone(), park.parks.clone());
    let mut driver = Driver::builder().clock(dial.clock()).build(park);
    let log = Log::new();
    let _sleeps = arm(driver.handle(), &log, &[10, 20]);
    dial.set(ms(10));
    assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
    driver.park();
    assert_eq!(parks.take(), [Some(Duration::ZERO)]);
}

#[test]
fn stacked_drivers_share_one_park_and_keep_their_timers_apart() {
    let park = Simulated::new();
    let (dial, parks) = (park.dial.clone(), park.parks.clone());
    let inner = Driver::builder().clock(dial.clock()).build(park);
    let mut outer = Driver::builder().clock(dial.clock()).build(inner);
    let log = Log::new();
    let inner_handle = outer.get_ref().handle().clone();
    let _outer = arm(outer.handle(), &log, &[30, 40]);
    let _inner = arm(&inner_handle, &log, &[10, 35]);
    let mut fired = Vec::new();
    for _ in 0..4 {
        fired.push(outer.park().fired());
    }
    assert_eq!(fired, [0, 1, 0, 1], "fired by the outer driver");
    assert_eq!(log.take(), [10, 30, 35, 40]);
    assert_eq!(parks.take(), [10, 20, 5, 5].map(|limit| Some(ms(limit))));
    assert_eq!((outer.handle().armed(), inner_handle.armed()), (0, 0));
}

#[test]
fn stacked_drivers_are_both_interrupted_at_the_one_park() {
    watched(|| {
        for inner in [true, false] {
            let mut stacked = Driver::new(Driver::new(ThreadPark::new()));
            let handle = if inner {
                stacked.get_ref().handle()
            } else {
                stacked.handle()
            };
            let handle = handle.clone();
            let task = Task::new();
            let woken = task.clone();
            let armer = thread::spawn(move || {
                loop {
                    let mut sleep = handle.sleep(ms(50));
                    // On a slow machine it may be due before it is armed, and interrupts nothing.
                    if woken.poll(&mut sleep).is_pending() {
                        break sleep;
                    }
                }
            });
            // Without an interruption it would block forever.
            while task.wakes() == 0 {
                stacked.park();
            }
            drop(armer.join().unwrap());
        }
    });
}

#[test]
fn a_foreign_loop_gets_the_time_that_it_may_block() {
    let (clock, driver) = manual();
    assert_eq!(
        (driver.next_deadline(), driver.next_timeout()),
        (None, None)
    );
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.next_deadline(), Some(clock.now() + ms(5)));
    assert_eq!(
        driver.next_timeout(),
        None,
        "waiting does not move this clock"
    );

    let dial = Dial::default();
    let mut driver = dial.driver();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    assert_eq!(driver.next_timeout(), Some(ms(5)));
    dial.set(ms(4));
    assert_eq!(driver.next_timeout(), Some(ms(1)));
    assert_eq!(driver.turn().fired(), 0);
    dial.set(ms(6));
    assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
    assert_eq!(driver.turn().fired(), 1);
    assert_eq!(
        (driver.next_deadline(), driver.next_timeout()),
        (None, None)
    );
    assert_eq!(driver.turn().fired(), 0);
}

#[test]
fn announcement_ends_with_the_turn() {
    let (_, mut driver, unparks) = manual_counting_unparks();
    let log = Log::new();
    let handle = driver.handle().clone();
    let mut sleeps = arm(&handle, &log, &[70]);
    assert_eq!(driver.next_timeout(), None);
    driver.turn();
    sleeps.extend(arm(&handle, &log, &[50]));
    assert_eq!(
        unparks.get(),
        0,
        "the loop is running, and nothing has interrupted it"
    );
    assert_eq!(driver.next_timeout(), None);
    sleeps.extend(arm(&handle, &log, &[60, 50, 40, 30]));
    assert_eq!(unparks.get(), 1);
    driver.turn();
    sleeps.extend(arm(&handle, &log, &[20, 10]));
    assert_eq!(unparks.get(), 1, "the loop is running");
    assert_eq!(driver.next_timeout(), None);
    sleeps[0].reset_at(handle.now() + ms(5));
    sleeps[1].reset_at(handle.now() + ms(4));
    assert_eq!(unparks.get(), 2);
    assert_eq!(driver.next_timeout(), None);
    sleeps[0].reset_at(handle.now() + ms(70));
    sleeps.clear();
    assert_eq!(
        unparks.get(),
        2,
        "a later deadline or a dropped timer does not interrupt the loop"
    );
}

/// Asking for the next deadline used to announce a wait until then. So a loop that logged it while
/// it was running was interrupted for nothing, or was not interrupted when it should have been.
#[test]
fn asking_for_the_next_deadline_changes_nothing() {
    let (_, mut driver, unparks) = manual_counting_unparks();
    let log = Log::new();
    let handle = driver.handle().clone();
    let look = |driver: &Driver<()>| {
        assert!(driver.next_deadline().is_some());
        assert!(!format!("{driver:?} {handle:?} {:?}", handle.clock()).is_empty());
        assert!(handle.armed() > 0 && !handle.is_closed() && handle.slack() > Duration::ZERO);
    };
    let mut sleeps = arm(&handle, &log, &[50]);
    look(&driver);
    sleeps.extend(arm(&handle, &log, &[40]));
    assert_eq!(unparks.get(), 0, "the loop is running");

    let _ = driver.next_timeout();
    sleeps.extend(arm(&handle, &log, &[30]));
    assert_eq!(unparks.get(), 1);
    look(&driver);
    sleeps.extend(arm(&handle, &log, &[20]));
    assert_eq!(unparks.get(), 1, "interrupted already");

    driver.turn();
    let _ = driver.next_timeout();
    look(&driver);
    sleeps.extend(arm(&handle, &log, &[10]));
    assert_eq!(unparks.get(), 2, "the loop is waiting");
}

#[test]
fn first_timer_interrupts_a_loop_that_blocks_forever_unless_it_never_fires() {
    let (_, driver, unparks) = manual_counting_unparks();
    assert_eq!(driver.next_timeout(), None);
    let mut never = driver.handle().sleep(Duration::MAX);
    assert!(Task::new().poll(&mut never).is_pending());
    assert_eq!(unparks.get(), 0);
    let mut sleep = driver.handle().sleep(secs(1 << 33));
    assert!(Task::new().poll(&mut sleep).is_pending());
    assert_eq!(unparks.get(), 1);
}

#[test]
fn a_storm_takes_several_turns_and_timers_dropped_in_between_do_not_fire() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let log = Log::new();
    let mut sleeps = arm(driver.handle(), &log, &vec![5; 10_000]);
    let (dropped, reset) = (Task::new(), Task::new());
    let mut last = driver.handle().sleep(ms(5));
    assert!(dropped.poll(&mut last).is_pending());
    let mut moved = driver.handle().sleep(ms(5));
    assert!(reset.poll(&mut moved).is_pending());

    dial.set(ms(5));
    let first: Turn = driver.turn();
    assert!(first.is_unfinished());
    assert!((1..=2048).contains(&first.fired()), "{first:?}");
    assert_eq!(first.fired(), log.take().len());
    assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
    assert_eq!(driver.next_deadline(), Some(driver.handle().now()));

    drop(last);
    moved.reset_at(driver.handle().now() + ms(5));
    let fired = first.fired();
    // Their deadlines have passed, although no turn has fired them yet: a poll is ready and needs
    // no turn.
    let task = Task::new();
    for sleep in &mut sleeps[fired..fired + 100] {
        assert!(sleep.is_elapsed() && task.poll(sleep).is_ready());
    }
    let mut total = 0;
    let turns = (1..).find(|_| {
        let turn = driver.turn();
        total += turn.fired();
        !turn.is_unfinished()
    });
    assert!(turns.unwrap() >= 4);
    assert_eq!(
        (total, log.take().len()),
        (10_000 - fired - 100, 10_000 - fired - 100)
    );
    assert_eq!((dropped.wakes(), reset.wakes(), task.wakes()), (0, 0, 0));
    dial.set(ms(10));
    assert_eq!((driver.turn().fired(), reset.wakes()), (1, 1));
}

#[test]
fn a_hundred_thousand_equal_deadlines_fire_first_in_first_out() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let log = Log::new();
    let mut sleeps: Vec<_> = (0..100_000).map(|_| driver.handle().sleep(ms(5))).collect();
    for (i, sleep) in sleeps.iter_mut().enumerate() {
        assert!(poll_with(sleep, &log.waker(i)).is_pending());
    }
    dial.set(secs(1));
    while driver.turn().is_unfinished() {}
    assert!(log.take().into_iter().eq(0..100_000));
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn equal_deadlines_fire_in_the_order_of_arming_or_of_the_last_reset() {
    let (clock, driver) = manual();
    let at = clock.now() + ms(5);
    let log = Log::new();
    let mut sleeps: Vec<_> = (0..6).map(|_| driver.handle().sleep(ms(5))).collect();
    // The order in which they were made does not matter.
    for i in [3, 0, 5, 1, 4, 2] {
        assert!(poll_with(&mut sleeps[i], &log.waker(i)).is_pending());
    }
    sleeps[5].reset_at(at + ms(1));
    sleeps[0].reset_at(at + ms(1));
    sleeps[0].reset_at(at);
    sleeps[5].reset_at(at);
    clock.advance(ms(5));
    assert_eq!(log.take(), [3, 1, 4, 2, 0, 5]);
}

#[test]
fn slack_does_not_delay_sparse_timers_and_zero_slack_delays_none() {
    for (slack, after_storm) in [(Some(Duration::ZERO), 10), (None, 150)] {
        let micros = Duration::from_micros;
        let dial = Dial::default();
        let mut builder = Driver::builder().clock(dial.clock());
        if let Some(slack) = slack {
            builder = builder.slack(slack);
        }
        let mut driver = builder.build_with_unpark(|| {});
        let task = Task::new();
        let mut now = Duration::ZERO;
        let mut fire = |driver: &mut Driver<()>, each: u64, times: u64| {
            for _ in 0..times {
                let mut sleep = driver.handle().sleep(micros(each));
                assert!(task.poll(&mut sleep).is_pending());
                now += micros(each);
                dial.set(now);
                assert_eq!(driver.turn().fired(), 1);
            }
            let mut next = driver.handle().sleep(micros(10));
            assert!(task.poll(&mut next).is_pending());
            driver.next_timeout()
        };
        assert_eq!(fire(&mut driver, 1000, 20), Some(micros(10)));
        assert_eq!(fire(&mut driver, 10, 50), Some(micros(after_storm)));
    }
}

#[test]
fn drivers_on_one_clock_fire_in_one_order_each_at_its_time() {
    let clock = ManualClock::new();
    let drivers: Vec<_> = (0..3)
        .map(|_| Driver::builder().clock(&clock).build_with_unpark(|| {}))
        .collect();
    let start = clock.now();
    let log = Log::new();
    let mut sleeps = Vec::new();
    for limit in [7, 3, 9, 1, 8, 2, 6, 5, 4] {
        let mut sleep = drivers[limit as usize % 3].handle().sleep(ms(limit));
        let (log, clock) = (log.clone(), clock.clone());
        let waker = waker(move || log.push((limit, clock.now() - start)));
        assert!(poll_with(&mut sleep, &waker).is_pending());
        sleeps.push(sleep);
    }
    clock.advance(secs(1));
    let expected: Vec<_> = (1..10).map(|limit| (limit, ms(limit))).collect();
    assert_eq!(log.take(), expected);
    assert_eq!(clock.now(), start + secs(1));
}

#[test]
fn timers_armed_by_wakers_fire_within_the_same_advance() {
    let (clock, driver) = manual();
    let fired = Count::default();
    let next: Arc<Mutex<Option<Sleep>>> = Arc::default();
    fn arm(handle: &Handle, next: &Arc<Mutex<Option<Sleep>>>, fired: &Count) {
        let mut sleep = handle.sleep(ms(1));
        let again = (handle.clone(), next.clone(), fired.clone());
        let waker = waker(move || {
            let (handle, next, fired) = &again;
            fired.add();
            arm(handle, next, fired);
        });
        assert!(poll_with(&mut sleep, &waker).is_pending());
        *next.lock().unwrap() = Some(sleep);
    }
    arm(driver.handle(), &next, &fired);
    clock.advance(ms(100));
    assert_eq!(fired.get(), 100);
    clock.advance(ms(1));
    assert_eq!(fired.get(), 101);
    *next.lock().unwrap() = None;
}

/// A loop that draws frames calls `turn` each time, so this must be cheap.
#[test]
fn turn_reads_the_clock_only_if_a_timer_may_be_due() {
    let looks = Count::default();
    let counted = looks.clone();
    let clock = Clock::custom(move || {
        counted.add();
        ms(5)
    });
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let clock_reads_of_a_turn = |driver: &mut Driver<()>| {
        let before = looks.get();
        assert_eq!(driver.turn().fired(), 0);
        looks.get() - before
    };
    assert_eq!(clock_reads_of_a_turn(&mut driver), 0, "without timers");
    let task = Task::new();
    let mut never = driver.handle().sleep(Duration::MAX);
    assert!(task.poll(&mut never).is_pending());
    assert_eq!(
        clock_reads_of_a_turn(&mut driver),
        0,
        "with one that never fires"
    );
    let mut far = driver.handle().sleep(secs(1));
    assert!(task.poll(&mut far).is_pending());
    assert_eq!(clock_reads_of_a_turn(&mut driver), 1);
}

#[test]
fn idle_loop_moves_time_only_on_a_clock_that_is_frozen_and_not_held() {
    let task = Task::new();
    // The clock is running.
    let mut driver = Driver::new(ThreadPark::new());
    let mut sleep = driver.handle().sleep(secs(3600));
    assert!(task.poll(&mut sleep).is_pending());
    assert!(!driver.advance_when_idle());

    let (clock, mut driver) = manual();
    assert!(!driver.advance_when_idle(), "there is no timer");
    let start = clock.now();
    let mut sleep = driver.handle().sleep(secs(5));
    let mut never = driver.handle().sleep(Duration::MAX);
    assert!(task.poll(&mut sleep).is_pending() && task.poll(&mut never).is_pending());
    let hold = clock.hold();
    assert!(!driver.advance_when_idle(), "it is held");
    assert_eq!((clock.now(), task.wakes()), (start, 0));
    drop(hold);
    assert!(driver.advance_when_idle());
    assert_eq!((clock.now(), task.wakes()), (start + secs(5), 1));
    assert!(!driver.advance_when_idle(), "the other timer never fires");
    assert_eq!(clock.now(), start + secs(5));
}

#[test]
fn debug_output_names_the_type_and_what_is_armed() {
    let (clock, driver) = manual();
    let mut sleep = driver.handle().sleep(secs(1));
    assert!(Task::new().poll(&mut sleep).is_pending());
    let driver = format!("{driver:?}");
    assert!(
        driver.starts_with("Driver {") && driver.contains("armed: 1"),
        "{driver}"
    );
    let hold = clock.hold();
    for (text, name) in [
        (format!("{clock:?}"), "ManualClock"),
        (format!("{hold:?}"), "Hold"),
        (format!("{sleep:?}"), "Sleep"),
    ] {
        assert!(text.starts_with(name), "{text} of a {name}");
    }
}

/// Users need to see why a timer does not fire: a loop that never turns would look like a far
/// deadline.
#[test]
fn debug_output_of_a_handle_says_when_its_loop_last_turned() {
    let says = |handle: &Handle, last_turn: &str| {
        let text = format!("{handle:?}");
        let expected = format!("last_turn: {last_turn}, closed");
        assert!(text.contains(&expected), "no {expected:?} in {text}");
    };
    let (clock, mut driver) = manual();
    let handle = driver.handle().clone();
    let task = Task::new();
    let mut timer = handle.sleep(secs(60));
    assert!(task.poll(&mut timer).is_pending());
    says(&handle, "never");
    clock.advance(secs(1));
    says(&handle, "never");
    // Even if no timer is due.
    assert_eq!(driver.turn().fired(), 0);
    says(&handle, "0.0ns ago");
    clock.advance(ms(3_240));
    says(&handle, "3.2s ago");
    assert_eq!(driver.next_timeout(), None);
    says(&handle, "0.0ns ago");
    clock.advance(ms(15));
    drop(driver);
    says(&handle, "15.0ms ago");
    assert!(format!("{handle:?}").ends_with("closed: true }"));
}
