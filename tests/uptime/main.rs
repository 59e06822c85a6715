//! Tests of timers after days, years and centuries.
//!
//! There is no number of nanoseconds, milliseconds or seconds at which a timer is early, lost, or
//! out of order. The boundaries below are those at which other timers have failed, because their
//! counters are too narrow or their wheels too small.

#![cfg(not(loom))]

mod churn;
mod intervals;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use reveille::time::{Instant, Sleep};
use reveille::{Driver, Handle, ThreadPark, TimerQueue};

use support::{Dial, Log, Task, manual, ms, poll_with, secs, waker, watched};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600 + 6 * 3600);
const NANO: Duration = Duration::from_nanos(1);

/// Returns the powers of two of each unit, from seconds to centuries, in order.
fn boundaries() -> Vec<Duration> {
    let of = |unit: Duration, powers: &[u32]| {
        let power = |&power: &u32| Duration::from_nanos(unit.as_nanos() as u64 * (1 << power));
        powers.iter().map(power).collect::<Vec<_>>()
    };
    let mut boundaries = [
        of(NANO, &[31, 32, 53, 62]),
        of(Duration::from_micros(1), &[31, 32, 53]),
        of(ms(1), &[30, 31, 32, 36]),
        of(secs(1), &[31, 32]),
    ]
    .concat();
    boundaries.sort();
    boundaries
}

/// Returns each boundary, and a nanosecond before and after it.
fn edges() -> Vec<Duration> {
    let around = |at: Duration| [at - NANO, at, at + NANO];
    boundaries().into_iter().flat_map(around).collect()
}

/// Returns a driver with the clock of the dial and no slack.
fn punctual(dial: &Dial) -> Driver<()> {
    let builder = Driver::builder().clock(dial.clock());
    builder.slack(Duration::ZERO).build_with_unpark(|| {})
}

/// Arms a timer whose waker logs `id` and the time on the driver's clock.
fn arm<T>(sleep: &mut Sleep, handle: &Handle, log: &Log<(T, Instant)>, id: T)
where
    T: Copy + Send + Sync + 'static,
{
    let (log, clock) = (log.clone(), handle.clock().clone());
    let waker = waker(move || log.push((id, clock.now())));
    assert!(poll_with(sleep, &waker).is_pending());
}

#[test]
fn a_moved_clock_stops_at_each_edge_in_order() {
    let (clock, driver) = manual();
    let start = clock.now();
    let log = Log::new();
    let mut sleeps = Vec::new();
    // Twice each: equal deadlines keep the order of arming.
    for (id, limit) in (0..).zip(edges().into_iter().rev().flat_map(|at| [at, at])) {
        let mut sleep = driver.handle().sleep(limit);
        arm(&mut sleep, driver.handle(), &log, (limit, id));
        assert_eq!(sleep.deadline(), start + limit);
        sleeps.push(sleep);
    }
    clock.advance(YEAR * 290);
    let fired = log.take();
    assert_eq!(fired.len(), sleeps.len());
    assert!(fired.is_sorted_by_key(|((limit, id), _)| (*limit, *id)));
    assert!(fired.iter().all(|((limit, _), now)| *now == start + *limit));
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn a_nanosecond_before_a_deadline_no_timer_fires_and_at_it_all_that_are_due() {
    for limit in edges() {
        let (clock, driver) = manual();
        let task = Task::new();
        let mut sleep = driver.handle().sleep(limit);
        let mut after = driver.handle().sleep(limit + NANO);
        assert!(task.poll(&mut sleep).is_pending() && task.poll(&mut after).is_pending());
        clock.advance(limit - NANO);
        assert!(task.poll(&mut sleep).is_pending() && !sleep.is_elapsed());
        assert_eq!((task.wakes(), driver.handle().armed()), (0, 2), "{limit:?}");
        clock.advance(NANO);
        assert!(task.poll(&mut sleep).is_ready() && task.poll(&mut after).is_pending());
        assert_eq!((task.wakes(), driver.handle().armed()), (1, 1), "{limit:?}");
        assert!(clock.advance_to_next() && task.poll(&mut after).is_ready());
    }
}

#[test]
fn a_clock_that_starts_at_an_edge_runs_over_all_that_follow() {
    for start in edges() {
        let dial = Dial::default();
        dial.set(start);
        let mut driver = punctual(&dial);
        let epoch = driver.handle().now() - start;
        let task = Task::new();
        let near = [NANO, 2 * NANO, 3 * NANO, ms(1), secs(1), DAY].map(|limit| start + limit);
        let deadlines: BTreeSet<_> = edges().into_iter().chain(near).collect();
        let later = || deadlines.range(start + NANO..).copied();
        let mut sleeps: Vec<_> = later()
            .rev()
            .map(|at| driver.handle().sleep(at - start))
            .collect();
        for sleep in &mut sleeps {
            assert!(task.poll(sleep).is_pending());
        }
        for at in later() {
            dial.set(at - NANO);
            assert_eq!(driver.turn().fired(), 0, "early for {at:?}");
            assert_eq!(driver.next_deadline(), Some(epoch + at));
            assert_eq!(driver.next_timeout(), Some(NANO));
            dial.set(at);
            assert_eq!(driver.turn().fired(), 1, "none at {at:?}");
        }
        assert_eq!((task.wakes(), driver.handle().armed()), (sleeps.len(), 0));
    }
}

#[test]
fn next_timeout_is_exact_to_the_nanosecond_however_far_the_deadline_is() {
    for start in edges() {
        let dial = Dial::default();
        dial.set(start);
        let driver = punctual(&dial);
        for limit in edges()
            .into_iter()
            .filter(|limit| start + *limit < YEAR * 290)
        {
            let mut sleep = driver.handle().sleep(limit);
            assert!(Task::new().poll(&mut sleep).is_pending());
            assert_eq!(driver.next_timeout(), Some(limit), "from {start:?}");
        }
    }
}

#[test]
fn a_jump_over_a_century_fires_all_in_order() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let log = Log::new();
    let mut sleeps = Vec::new();
    for limit in edges().into_iter().rev() {
        let mut sleep = driver.handle().sleep(limit);
        arm(&mut sleep, driver.handle(), &log, limit);
        sleeps.push(sleep);
    }
    let mut fired = Vec::new();
    for years in [100, 290] {
        dial.set(YEAR * years);
        while driver.turn().is_unfinished() {}
        let log = log.take();
        assert!(log.iter().all(|(limit, _)| *limit <= YEAR * years));
        fired.extend(log.into_iter().map(|(limit, _)| limit));
        assert_eq!(driver.handle().armed(), sleeps.len() - fired.len());
    }
    assert_eq!(fired, edges());
}

#[test]
fn a_storm_across_a_boundary_is_as_late_as_the_slack_at_most() {
    // The longest one that a driver chooses: it measures what a wait costs here.
    const SLACK: Duration = Duration::from_millis(1);
    let micros = Duration::from_micros;
    for boundary in boundaries() {
        let dial = Dial::default();
        let start = boundary - micros(1000);
        dial.set(start);
        let mut driver = dial.driver();
        let log = Log::new();
        let mut sleeps = Vec::new();
        for limit in (1..400).map(|limit| micros(limit * 5)) {
            let mut sleep = driver.handle().sleep(limit);
            let deadline = sleep.deadline();
            arm(&mut sleep, driver.handle(), &log, deadline);
            sleeps.push(sleep);
        }
        let mut now = start;
        while let Some(timeout) = driver.next_timeout() {
            now += timeout;
            dial.set(now);
            driver.turn();
        }
        let fired = log.take();
        assert_eq!(fired.len(), sleeps.len());
        assert!(fired.is_sorted());
        for (deadline, at) in fired {
            assert!((deadline..=deadline + SLACK).contains(&at), "{boundary:?}");
        }
    }
}

#[test]
fn the_last_instant_of_a_clock_fires_and_the_one_after_it_is_never() {
    let (clock, driver) = manual();
    let (task, handle) = (Task::new(), driver.handle());
    let farthest = clock.now() + Duration::MAX;
    assert!(farthest - clock.now() > YEAR * 291);
    let mut last = handle.sleep_until(farthest - NANO);
    let mut never = handle.sleep_until(farthest);
    let mut beyond = handle.sleep(Duration::from_nanos(1 << 63));
    let mut end = handle.sleep(farthest - clock.now());
    for sleep in [&mut last, &mut never, &mut beyond, &mut end] {
        assert!(task.poll(sleep).is_pending());
    }
    clock.advance(farthest - clock.now() - 2 * NANO);
    assert_eq!(task.wakes(), 0);
    assert!(clock.advance_to_next() && !clock.advance_to_next());
    clock.advance(Duration::MAX);
    assert_eq!((clock.now(), task.wakes()), (farthest - NANO, 1));
    assert!(task.poll(&mut last).is_ready());
    for sleep in [&mut never, &mut beyond, &mut end] {
        assert!(task.poll(sleep).is_pending());
        assert_eq!(sleep.deadline(), farthest);
    }
    assert_eq!(driver.next_deadline(), None);
    // The clock stays at its end: a timer that is due a nanosecond later does not fire.
    let mut more = handle.sleep(NANO);
    assert!(task.poll(&mut more).is_pending());
    more.reset_after(Duration::ZERO);
    assert!(task.poll(&mut more).is_ready());
}

#[test]
fn a_custom_clock_that_runs_past_the_end_stops_there() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let task = Task::new();
    let farthest = driver.handle().now() + Duration::MAX;
    let mut last = driver.handle().sleep_until(farthest - NANO);
    let mut never = driver.handle().sleep_until(farthest);
    assert!(task.poll(&mut last).is_pending() && task.poll(&mut never).is_pending());
    dial.set(Duration::from_nanos(u64::MAX));
    assert_eq!(driver.handle().now(), farthest - NANO);
    assert_eq!((driver.turn().fired(), driver.turn().fired()), (1, 0));
    assert!(task.poll(&mut last).is_ready() && task.poll(&mut never).is_pending());
    assert_eq!((task.wakes(), driver.next_timeout()), (1, None));
}

#[test]
fn a_timer_postponed_from_boundary_to_boundary_fires_once_at_the_last() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(secs(1));
    for at in edges() {
        sleep.reset_after(at - (clock.now() - start));
        assert!(task.poll(&mut sleep).is_pending());
        clock.advance(at - NANO - (clock.now() - start));
    }
    assert_eq!(task.wakes(), 0);
    clock.advance(NANO);
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut sleep).is_ready());
}

#[test]
fn a_queue_keeps_order_over_centuries_to_either_side() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let mut expected = BTreeSet::from([now]);
    queue.insert(now, ());
    for limit in edges() {
        for at in [now + limit, now - limit] {
            queue.insert(at, ());
            expected.insert(at);
        }
    }
    for at in expected {
        assert_eq!(queue.next_deadline(), Some(at));
        assert!(queue.pop_due(at - NANO).is_none());
        assert_eq!(queue.pop_due(at).map(|due| due.deadline), Some(at));
    }
    assert!(queue.is_empty());
}

#[test]
fn a_park_for_centuries_still_ends_when_unparked() {
    watched(|| {
        for limit in edges() {
            let mut driver = Driver::new(ThreadPark::new());
            let mut sleep = driver.handle().sleep(limit);
            let task = Task::new();
            assert!(task.poll(&mut sleep).is_pending());
            driver.handle().unpark();
            assert_eq!((driver.park().fired(), task.wakes()), (0, 0));
            // The system accepts the timeout, too: the wait ends when unparked, and no timer fires.
            assert_eq!(driver.park_timeout(NANO).fired(), 0);
        }
    });
}
