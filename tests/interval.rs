//! When does an `Interval` tick, on time, late, and started over?
//!
//! Timelines are drawn in units of 100 ms, the period being 300 ms: `S` is a tick that is due, `*`
//! a poll that is ready, `.` one that is pending.

#![cfg(not(loom))]

mod support;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use reveille::time::MissedTickBehavior::{Burst, Delay, Skip};
use reveille::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};
use reveille::{Handle, ManualClock};

use support::{Task, manual, ms, panic_of, secs};

/// An interval of 300 ms on a clock of its own, and the task that polls it.
struct Beat {
    clock: ManualClock,
    start: Instant,
    interval: Interval,
    task: Task,
}

impl Beat {
    fn new(behavior: MissedTickBehavior) -> Self {
        let (clock, driver) = manual();
        let mut interval = driver.handle().interval(ms(300));
        interval.set_missed_tick_behavior(behavior);
        // Its driver closed, the interval would have to move: it must live as long.
        std::mem::forget(driver);
        Self {
            start: clock.now(),
            clock,
            interval,
            task: Task::new(),
        }
    }

    /// Moves the clock to `millis`, then polls until pending; the ticks must be these.
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
fn goes_anywhere() {
    fn goes_anywhere<T: Unpin + Send + Sync + 'static>() {}
    goes_anywhere::<Interval>();
}

#[test]
fn ticks_at_once_and_then_each_period() {
    let mut beat = Beat::new(Burst);
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
fn burst_makes_up_for_each_missed_tick() {
    let mut beat = Beat::new(Burst);
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
    let mut beat = Beat::new(Delay);
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
fn skip_leaves_out_what_was_missed_and_keeps_the_beat() {
    let mut beat = Beat::new(Skip);
    beat.ticks(0, &[0]);
    beat.ticks(100, &[]);
    beat.ticks(300, &[300]);
    beat.ticks(950, &[600]);
    beat.ticks(1199, &[]);
    beat.ticks(1200, &[1200]);
    beat.ticks(1500, &[1500]);
    // Late by whole periods: the next tick is a period on, not at once.
    beat.ticks(2400, &[1800]);
    beat.ticks(2700, &[2700]);
}

#[test]
fn being_late_within_tolerance_moves_nothing() {
    for behavior in [Burst, Delay, Skip] {
        let mut beat = Beat::new(behavior);
        beat.ticks(0, &[0]);
        beat.ticks(305, &[300]);
        beat.ticks(599, &[]);
        beat.ticks(600, &[600]);
    }
    let mut beat = Beat::new(Delay);
    beat.ticks(0, &[0]);
    beat.ticks(306, &[300]);
    beat.ticks(605, &[]);
    beat.ticks(606, &[606]);
}

/// Five milliseconds are nothing to a period of a second, and five periods of one.
#[test]
fn tolerance_of_a_short_period_is_a_tenth() {
    for (late, next) in [(100, 2_000), (101, 2_101)] {
        let (clock, driver) = manual();
        let start = clock.now();
        let task = Task::new();
        let mut interval = driver.handle().interval(Duration::from_micros(1_000));
        interval.set_missed_tick_behavior(Delay);
        assert_eq!(interval.poll_tick(&mut task.context()), Poll::Ready(start));
        clock.advance(Duration::from_micros(1_000 + late));
        assert!(interval.poll_tick(&mut task.context()).is_ready());
        clock.advance(Duration::from_micros(next - 1_000 - late));
        let tick = interval.poll_tick(&mut task.context());
        assert_eq!(tick, Poll::Ready(start + Duration::from_micros(next)));
    }
}

#[test]
fn reset_is_a_period_from_now() {
    let mut beat = Beat::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(300, &[300]);
    beat.ticks(400, &[]);
    beat.interval.reset();
    beat.ticks(699, &[]);
    beat.ticks(700, &[700]);
    beat.ticks(1000, &[1000]);
}

#[test]
fn reset_immediately_ticks_now_and_sets_the_beat() {
    let mut beat = Beat::new(Burst);
    beat.ticks(0, &[0]);
    beat.ticks(400, &[300]);
    beat.interval.reset_immediately();
    beat.ticks(400, &[400]);
    beat.ticks(699, &[]);
    beat.ticks(700, &[700]);
}

#[test]
fn reset_after_and_reset_at_set_the_beat() {
    let mut beat = Beat::new(Burst);
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
fn reset_wakes_a_task_that_waits() {
    let mut beat = Beat::new(Burst);
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

    // Before the clock began.
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
    assert_eq!(task.wakes(), 3, "by nothing but the resets to now");
}

/// A stream that is ready must not have registered its task: who is done with it is not woken.
#[test]
fn ready_tick_registers_nobody() {
    let mut beat = Beat::new(Burst);
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
    let mut beat = Beat::new(Burst);
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
    let mut beat = Beat::new(Burst);
    beat.ticks(0, &[0]);
    assert_eq!(beat.task.held(), 1);
    let Beat { interval, task, .. } = beat;
    drop(interval);
    assert_eq!(task.held(), 0);
}

#[test]
fn period_of_zero_is_the_callers_mistake() {
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
