//! Tests of when an `Interval` ticks: on time, late, and after a reset.
//!
//! The timelines are in units of 100 ms, with a period of 300 ms: `S` is a tick that is due, `*` a
//! poll that is ready, `.` one that is pending.

#![cfg(not(loom))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use reveille::time::MissedTickBehavior::{Burst, Delay, Skip};
use reveille::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};
use reveille::{Clock, Driver, Handle, ManualClock};

use support::{Dial, Task, manual, ms, panic_of, secs};

/// An interval of 300 ms on a clock of its own, and the task that polls it.
struct TestInterval {
    clock: ManualClock,
    handle: Handle,
    start: Instant,
    interval: Interval,
    task: Task,
}

impl TestInterval {
    fn new(behavior: MissedTickBehavior) -> Self {
        let (clock, driver) = manual();
        let mut interval = driver.handle().interval(ms(300));
        interval.set_missed_tick_behavior(behavior);
        let handle = driver.handle().clone();
        // Kept alive, because the interval would move to another driver if its own was gone.
        std::mem::forget(driver);
        Self {
            start: clock.now(),
            clock,
            handle,
            interval,
            task: Task::new(),
        }
    }

    /// Moves the clock to `millis`, polls until pending, and checks which ticks came.
    fn ticks(&mut self, millis: u64, expected: &[u64]) {
        self.clock
            .advance(self.start + ms(millis) - self.clock.now());
        let mut ticks = Vec::new();
        while let Poll::Ready(tick) = self.interval.poll_tick(&mut self.task.context()) {
            ticks.push((tick - self.start).as_millis());
        }
        let expected: Vec<u128> = expected.iter().copied().map(u128::from).collect();
        assert_eq!(ticks, expected, "at {millis}");
    }
}

#[test]
fn is_unpin_send_and_sync() {
    fn is_unpin_send_and_sync<T: Unpin + Send + Sync + 'static>() {}
    is_unpin_send_and_sync::<Interval>();
}

#[test]
fn ticks_at_once_and_then_each_period() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(299, &[]);
    assert_eq!(beat.task.wakes(), 0);
    beat.clock.advance(ms(1));
    assert_eq!(beat.task.wakes(), 1);
    beat.ticks(300, &[300]);
    beat.ticks(600, &[600]);
    assert_eq!(beat.task.wakes(), 2);
}

/// ```text
/// S        S        S        S        S        S        S
/// *  .     *                    **  .  *        *        *
/// 0  1     3                 9.5    11.5  12     15       18
/// ```
#[test]
fn burst_ticks_for_each_missed_tick() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(100, &[]);
    beat.ticks(300, &[300]);
    beat.ticks(950, &[600, 900]);
    beat.ticks(1150, &[]);
    beat.ticks(1250, &[1200]);
    beat.ticks(1500, &[1500]);
    beat.ticks(1800, &[1800]);
}

/// ```text
/// S        S        S . . .           S        S        S
/// *  .     *                    *  .     *        *        *
/// 0  1     3                 9.5  10.5   12.5     15.5     18.5
/// ```
#[test]
fn delay_starts_over_from_the_late_tick() {
    let mut beat = TestInterval::new(Delay);
    beat.ticks(0, &[0]);
    beat.ticks(100, &[]);
    beat.ticks(300, &[300]);
    beat.ticks(950, &[600]);
    beat.ticks(1050, &[]);
    beat.ticks(1250, &[1250]);
    beat.ticks(1550, &[1550]);
    beat.ticks(1850, &[1850]);
}

/// ```text
/// S        S        S                 S        S        S
/// *  .     *                    *     *        *        *
/// 0  1     3                 9.5      12       15       18
/// ```
#[test]
fn skip_leaves_out_missed_ticks_and_keeps_the_schedule() {
    let mut beat = TestInterval::new(Skip);
    beat.ticks(0, &[0]);
    beat.ticks(100, &[]);
    beat.ticks(300, &[300]);
    beat.ticks(950, &[600]);
    beat.ticks(1199, &[]);
    beat.ticks(1200, &[1200]);
    beat.ticks(1500, &[1500]);
    // The interval is late by whole periods: the next tick is one period later, not at once.
    beat.ticks(2400, &[1800]);
    beat.ticks(2700, &[2700]);
}

#[test]
fn a_tick_late_within_the_tolerance_changes_nothing() {
    for behavior in [Burst, Delay, Skip] {
        let mut beat = TestInterval::new(behavior);
        beat.ticks(0, &[0]);
        beat.ticks(305, &[300]);
        beat.ticks(599, &[]);
        beat.ticks(600, &[600]);
    }
    let mut beat = TestInterval::new(Delay);
    beat.ticks(0, &[0]);
    beat.ticks(306, &[300]);
    beat.ticks(605, &[]);
    beat.ticks(606, &[606]);
}

/// Returns the deadline of the tick after one that is `late`, both in microseconds.
fn next_after(behavior: MissedTickBehavior, period: u64, slack: u64, late: u64) -> u64 {
    let us = Duration::from_micros;
    let dial = Dial::default();
    let driver = dial.driver();
    driver.handle().set_slack(us(slack));
    let start = driver.handle().now();
    let task = Task::new();
    let mut interval = driver.handle().interval(us(period));
    interval.set_missed_tick_behavior(behavior);
    assert_eq!(interval.poll_tick(&mut task.context()), Poll::Ready(start));
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    dial.set(us(period + late));
    let tick = interval.poll_tick(&mut task.context());
    assert_eq!(tick, Poll::Ready(start + us(period)));
    for now in period + late.. {
        dial.set(us(now));
        if let Poll::Ready(tick) = interval.poll_tick(&mut task.context()) {
            return (tick - start).as_micros().try_into().unwrap();
        }
    }
    unreachable!("the loop ends by a tick")
}

/// 5 ms are little compared to a period of 1 s, but five times a period of 1 ms.
#[test]
fn tolerance_of_a_short_period_is_half_of_it() {
    for (behavior, late, next) in [
        (Delay, 500, 2_000),
        (Delay, 501, 2_501),
        (Skip, 500, 2_000),
        (Skip, 1_501, 3_000),
        (Burst, 1_501, 2_000),
    ] {
        assert_eq!(next_after(behavior, 1_000, 0, late), next, "{behavior:?}");
    }
    for (late, next) in [(5_000, 40_000), (5_001, 45_001)] {
        assert_eq!(next_after(Delay, 20_000, 0, late), next);
    }
}

/// In a storm, the driver makes each wake-up late by up to its slack. With a period of 500 µs and a
/// slack of 1 ms, every tick used to count as missed, and `Delay` ticked less than half as often as
/// it should.
#[test]
fn lateness_within_the_slack_is_not_a_missed_tick() {
    for behavior in [Burst, Delay, Skip] {
        assert_eq!(next_after(behavior, 500, 1_000, 1_250), 1_000);
        assert_eq!(next_after(behavior, 20_000, 1_000, 6_000), 40_000);
    }
    assert_eq!(next_after(Delay, 500, 1_000, 1_251), 2_251);
    assert_eq!(next_after(Skip, 500, 1_000, 1_251), 2_000);
    assert_eq!(next_after(Burst, 500, 1_000, 1_251), 1_000);
    assert_eq!(next_after(Delay, 20_000, 1_000, 6_001), 46_001);
}

/// The driver fires once each millisecond, as one with that slack does in a storm.
#[test]
fn interval_shorter_than_the_slack_keeps_its_rate() {
    for behavior in [Burst, Delay, Skip] {
        let dial = Dial::default();
        let driver = dial.driver();
        driver.handle().set_slack(ms(1));
        let task = Task::new();
        let mut interval = driver.handle().interval(Duration::from_micros(500));
        interval.set_missed_tick_behavior(behavior);
        let mut ticks = 0;
        for now in 0..1_000 {
            dial.set(ms(now));
            while interval.poll_tick(&mut task.context()).is_ready() {
                ticks += 1;
            }
        }
        assert_eq!(ticks, 1_999, "{behavior:?}");
    }
}

/// The slack may be set while the interval ticks; the present one counts.
#[test]
fn slack_that_is_set_counts_from_the_next_tick_on() {
    let dial = Dial::default();
    let driver = dial.driver();
    let start = driver.handle().now();
    let task = Task::new();
    let mut interval = driver.handle().interval(ms(300));
    interval.set_missed_tick_behavior(Delay);
    let mut tick = |now| {
        dial.set(ms(now));
        let tick = interval.poll_tick(&mut task.context());
        tick.map(|tick| (tick - start).as_millis())
    };
    driver.handle().set_slack(Duration::ZERO);
    assert_eq!([0, 306].map(&mut tick), [0, 300].map(Poll::Ready));
    driver.handle().set_slack(ms(20));
    assert_eq!([631, 905].map(&mut tick), [Poll::Ready(606), Poll::Pending]);
    assert_eq!(tick(906), Poll::Ready(906));
}

/// Nothing waits for the slack there. So it would depend on what the driver had measured before
/// which ticks count as missed.
#[test]
fn on_a_clock_that_stands_the_slack_does_not_excuse_a_late_tick() {
    let mut beat = TestInterval::new(Delay);
    beat.handle.set_slack(ms(20));
    beat.ticks(0, &[0]);
    beat.ticks(305, &[300]);
    beat.ticks(606, &[600]);
    beat.ticks(905, &[]);
    beat.ticks(906, &[906]);
}

/// The tick had the time that it had on the old clock.
#[test]
fn an_interval_moves_to_the_next_driver_although_its_clock_panics_after_the_move() {
    let (old, new) = (Dial::default(), Dial::default());
    let gone = old.driver();
    let task = Task::new();
    let mut interval = gone.handle().interval(ms(300));
    assert!(interval.poll_tick(&mut task.context()).is_ready());
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    new.set(secs(1000));
    // The first reading gives the timer its new deadline, the second is after the move.
    let (clock, readings) = (new.clock(), Arc::new(AtomicUsize::new(0)));
    let (epoch, counted) = (clock.now() - secs(1000), readings.clone());
    let clock = Clock::custom(move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        assert_ne!(number, 1, "the clock's own panic");
        clock.now() - epoch
    });
    let successor = Driver::builder().clock(clock).build_with_unpark(|| {});
    let _entered = successor.handle().enter();
    drop(gone);
    readings.store(0, Ordering::SeqCst);
    let poll = catch_unwind(AssertUnwindSafe(|| interval.poll_tick(&mut task.context())));
    poll.unwrap_err();
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    let due = successor.handle().now() + ms(300);
    new.set(secs(1000) + ms(300));
    assert_eq!(interval.poll_tick(&mut task.context()), Poll::Ready(due));
}

#[test]
fn reset_is_a_period_from_now() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(300, &[300]);
    beat.ticks(400, &[]);
    beat.interval.reset();
    beat.ticks(699, &[]);
    beat.ticks(700, &[700]);
    beat.ticks(1000, &[1000]);
}

#[test]
fn reset_immediately_ticks_now_and_restarts_the_schedule() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(400, &[300]);
    beat.interval.reset_immediately();
    beat.ticks(400, &[400]);
    beat.ticks(699, &[]);
    beat.ticks(700, &[700]);
}

#[test]
fn reset_after_and_reset_at_restart_the_schedule() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(400, &[300]);
    beat.interval.reset_after(ms(20));
    beat.ticks(419, &[]);
    beat.ticks(420, &[420]);
    beat.ticks(720, &[720]);
    beat.interval.reset_at(beat.start + ms(740));
    beat.ticks(740, &[740]);
    // Farther than the period, and into the past.
    beat.interval.reset_at(beat.start + ms(2000));
    beat.ticks(1999, &[]);
    beat.ticks(2000, &[2000]);
    beat.interval.reset_at(beat.start + ms(1650));
    beat.ticks(2000, &[1650, 1950]);
    beat.ticks(2250, &[2250]);
}

#[test]
fn reset_to_now_wakes_a_waiting_task() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    beat.interval.reset_after(ms(20));
    beat.clock.advance(ms(19));
    assert_eq!(beat.task.wakes(), 0);
    beat.clock.advance(ms(1));
    assert_eq!(beat.task.wakes(), 1);
    beat.ticks(20, &[20]);
}

#[test]
fn start_in_the_future_and_in_the_past() {
    let (clock, driver) = manual();
    clock.advance(secs(1));
    let now = clock.now();
    let task = Task::new();
    let tick = |interval: &mut Interval| interval.poll_tick(&mut task.context());

    let mut later = driver.handle().interval_at(now + ms(5), ms(300));
    assert!(tick(&mut later).is_pending());
    clock.advance(ms(5));
    assert_eq!(tick(&mut later), Poll::Ready(now + ms(5)));

    let mut past = driver.handle().interval_at(now - ms(700), ms(300));
    for missed in [700, 400, 100] {
        assert_eq!(tick(&mut past), Poll::Ready(now - ms(missed)));
    }
    assert!(tick(&mut past).is_pending());

    // Before the clock's epoch.
    let mut ancient = driver.handle().interval_at(now - ms(1500), ms(300));
    ancient.set_missed_tick_behavior(Skip);
    assert_eq!(tick(&mut ancient), Poll::Ready(now - ms(1500)));
    clock.advance(ms(295));
    assert_eq!(tick(&mut ancient), Poll::Ready(now + ms(300)));
}

#[test]
fn longest_period_ticks_once() {
    let (clock, driver) = manual();
    let start = clock.now();
    let task = Task::new();
    let _entered = driver.handle().enter();
    for behavior in [Burst, Delay, Skip] {
        let mut long = interval(Duration::MAX);
        long.set_missed_tick_behavior(behavior);
        assert_eq!(long.period(), Duration::MAX);
        assert!(long.poll_tick(&mut task.context()).is_ready());
        assert!(long.poll_tick(&mut task.context()).is_pending());
        long.reset();
        assert!(long.poll_tick(&mut task.context()).is_pending());
        long.reset_immediately();
        assert!(long.poll_tick(&mut task.context()).is_ready());
    }
    let mut late = interval_at(start, Duration::MAX);
    late.set_missed_tick_behavior(Skip);
    clock.advance(secs(60));
    assert_eq!(late.poll_tick(&mut task.context()), Poll::Ready(start));
    assert!(late.poll_tick(&mut task.context()).is_pending());

    let mut short = interval(ms(1));
    short.reset_after(Duration::MAX);
    clock.advance(secs(1000 * 365 * 86_400));
    assert!(short.poll_tick(&mut task.context()).is_pending());
    assert_eq!(task.wakes(), 3, "woken only by the resets to the present");
}

/// A poll that is ready must not register the task, so that a task that polls no more is not woken.
#[test]
fn a_ready_tick_does_not_register_the_task() {
    let mut beat = TestInterval::new(Burst);
    assert!(beat.interval.poll_tick(&mut beat.task.context()).is_ready());
    assert_eq!(beat.task.held(), 0);
    beat.clock.advance(ms(300));
    assert_eq!(beat.task.wakes(), 0);
}

#[test]
fn stream_of_ticks_has_no_end() {
    let (clock, driver) = manual();
    let start = clock.now();
    let mut ticks = driver.handle().interval(ms(300));
    assert_eq!(ticks.size_hint(), (usize::MAX, None));
    let task = Task::new();
    for tick in 0..3 {
        let next = Pin::new(&mut ticks).poll_next(&mut task.context());
        assert_eq!(next, Poll::Ready(Some(start + ms(300 * tick))));
        assert!(
            Pin::new(&mut ticks)
                .poll_next(&mut task.context())
                .is_pending()
        );
        clock.advance(ms(300));
    }
    assert_eq!(ticks.next().now_or_never(), Some(Some(start + ms(900))));
    assert_eq!(task.wakes(), 3);
}

#[test]
fn tick_dropped_while_pending_loses_no_tick() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    {
        let mut tick = std::pin::pin!(beat.interval.tick());
        assert!(tick.as_mut().poll(&mut beat.task.context()).is_pending());
        beat.clock.advance(ms(300));
    }
    assert_eq!(beat.task.wakes(), 1);
    beat.ticks(300, &[300]);
}

#[test]
fn drop_of_a_waiting_interval_releases_its_task() {
    let mut beat = TestInterval::new(Burst);
    beat.ticks(0, &[0]);
    assert_eq!(beat.task.held(), 1);
    let TestInterval { interval, task, .. } = beat;
    drop(interval);
    assert_eq!(task.held(), 0);
}

#[test]
fn period_of_zero_panics() {
    let calls: [fn() -> Interval; 4] = [
        || interval(Duration::ZERO),
        || interval_at(Instant::now(), Duration::ZERO),
        || Handle::current().interval(Duration::ZERO),
        || Handle::current().interval_at(Instant::now(), Duration::ZERO),
    ];
    for call in calls {
        let (message, file) = panic_of(move || {
            let (_, driver) = manual();
            let _entered = driver.handle().enter();
            call()
        });
        assert!(
            message.starts_with("`period` must be non-zero"),
            "{message}"
        );
        assert_eq!(file, file!());
    }
}
