//! Parts 14 and 15: a timer against a sleep, and a pool of timers. Both are measured.

use std::thread;

use reveille::ManualClock;
use reveille::go::Timer;
use reveille::time::{Duration, Instant, interval, sleep};

use crate::futures::poll_once;
use crate::guide::Guide;
use crate::timer_reuse::{TimerPool, measure};
use crate::timers::ms;

const WAITS: u32 = 100;

pub(crate) fn timer_against_sleep(guide: &mut Guide) {
    guide.part(14, "Timer against sleep", "100 waits of 1 ms with each");
    let mut each = |what: &str, wait: &mut dyn FnMut()| {
        let start = Instant::now();
        wait();
        let took = start.elapsed();
        guide.at_least(what, took, ms(1) * WAITS);
        let late = took.saturating_sub(ms(1) * WAITS) / WAITS;
        guide.note(format!("             late by {late:.1?} each"));
    };
    each("the system's own sleep", &mut || {
        (0..WAITS).for_each(|_| thread::sleep(ms(1)));
    });
    each("time::sleep", &mut || {
        pollster::block_on(async {
            for _ in 0..WAITS {
                sleep(ms(1)).await;
            }
        });
    });
    each("one timer that is reset", &mut || {
        pollster::block_on(async {
            let mut timer = Timer::new(ms(1));
            for wait in 1..=WAITS {
                (&mut timer).await;
                if wait < WAITS {
                    timer.reset(ms(1));
                }
            }
        });
    });
    each("an interval, which keeps to its grid", &mut || {
        pollster::block_on(async {
            let mut ticks = interval(ms(1));
            for _ in 0..=WAITS {
                ticks.tick().await; // the first is at once
            }
        });
    });
}

pub(crate) fn pool(guide: &mut Guide) {
    guide.part(
        15,
        "A pool of timers",
        "sync.Pool with Get and Put saves making timers",
    );
    let [new, reset, pooled] = measure(100_000);
    guide.note(format!(
        "measured: {new:.0?} with a new timer, {reset:.0?} with a reset, {pooled:.0?} with the pool"
    ));
    let (values, _) = ManualClock::new().simulate(async {
        let start = Instant::now();
        let pool = TimerPool::default();
        let mut timer = pool.get(ms(10));
        poll_once(&mut timer);
        sleep(ms(20)).await;
        pool.put(timer); // it is due, and was not received
        let mut again = pool.get(Duration::from_secs(1));
        let stale = poll_once(&mut again);
        (stale, (&mut again).await - start)
    });
    guide.expect(
        "stale value out of the pool, and the next",
        values,
        (None, ms(1020)),
    );
}
