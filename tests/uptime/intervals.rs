//! Tests that an interval keeps its schedule for centuries.

use std::task::Poll;
use std::time::Duration;

use reveille::Handle;
use reveille::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::support::{Dial, Task, manual, ms, secs};
use crate::{DAY, NANO, YEAR, edges};

/// Returns an interval whose first tick is one period after `start`.
fn interval_from(handle: &Handle, start: Instant, period: Duration) -> Interval {
    let _entered = handle.enter();
    interval_at(start + period, period)
}

#[test]
fn ticks_are_on_time_and_on_schedule_for_centuries() {
    // One hour for 11 years, the other periods for as long as the clock lasts.
    for (period, years) in [
        (secs(3600), 11),
        (DAY, 290),
        (ms(1 << 30) - NANO, 290),
        (ms(1 << 32) + NANO, 290),
        (ms(1 << 36), 290),
        (secs(1 << 31) + NANO, 290),
    ] {
        let (clock, driver) = manual();
        let (start, task) = (clock.now(), Task::new());
        let mut interval = interval_from(driver.handle(), start, period);
        let mut due = start + period;
        let mut ticks = 0;
        while due - start < YEAR * years {
            assert!(interval.poll_tick(&mut task.context()).is_pending());
            clock.advance(due - clock.now() - NANO);
            assert_eq!(task.wakes(), ticks, "early for {due:?}");
            clock.advance(NANO);
            ticks += 1;
            assert_eq!(task.wakes(), ticks, "none at {due:?}");
            let tick = interval.poll_tick(&mut task.context());
            assert_eq!(tick, Poll::Ready(due));
            due += period;
        }
        let lived = (YEAR * years - NANO).as_nanos();
        assert_eq!(ticks as u128, lived / period.as_nanos());
    }
}

#[test]
fn an_interval_not_polled_for_decades_goes_on_by_its_behavior() {
    for start in edges() {
        for away in [YEAR, YEAR * 70] {
            if start + away > YEAR * 290 {
                continue;
            }
            for behavior in [
                MissedTickBehavior::Burst,
                MissedTickBehavior::Delay,
                MissedTickBehavior::Skip,
            ] {
                left_alone(start, away, behavior);
            }
        }
    }
}

fn left_alone(start: Duration, away: Duration, behavior: MissedTickBehavior) {
    // It is neither a fraction of a year nor of any boundary.
    let period = DAY * 100 - NANO;
    let (dial, task) = (Dial::default(), Task::new());
    dial.set(start);
    let mut driver = dial.driver();
    let begin = driver.handle().now();
    let mut interval = interval_from(driver.handle(), begin, period);
    interval.set_missed_tick_behavior(behavior);
    assert!(interval.poll_tick(&mut task.context()).is_pending());
    dial.set(start + away);
    assert_eq!(driver.turn().fired(), 1);

    let missed = (away.as_nanos() / period.as_nanos()) as u32;
    let (late, next) = match behavior {
        MissedTickBehavior::Burst => (missed, period * (missed + 1)),
        MissedTickBehavior::Delay => (1, away + period),
        MissedTickBehavior::Skip => (1, period * (missed + 1)),
    };
    for tick in 1..=late {
        let mut seen = interval.poll_tick(&mut task.context());
        if seen.is_pending() {
            // The interval yields after so many ticks in a row.
            seen = interval.poll_tick(&mut task.context());
        }
        assert_eq!(seen, Poll::Ready(begin + period * tick));
    }
    for next in [next, next + period] {
        dial.set(start + next - NANO);
        assert!(interval.poll_tick(&mut task.context()).is_pending());
        assert_eq!(driver.turn().fired(), 0, "{behavior:?}");
        dial.set(start + next);
        assert_eq!(driver.turn().fired(), 1, "{behavior:?}");
        let tick = interval.poll_tick(&mut task.context());
        assert_eq!(tick, Poll::Ready(begin + next), "{behavior:?}");
    }
}
