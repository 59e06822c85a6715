//! Parts 1 to 5: a timer, a sleep, their ends, `Stop` and `Reset`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use reveille::go::{self, Timer};
use reveille::time::{Duration, Instant, sleep};
use reveille::{Handle, ManualClock};

use crate::futures::{all, poll_once};
use crate::guide::Guide;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn one_shot(guide: &mut Guide) {
    guide.part(
        1,
        "Timer",
        "NewTimer(d), and the time is received once, after d",
    );
    let start = Instant::now();
    let mut timer = Timer::new(ms(20));
    let due = pollster::block_on(&mut timer);
    guide.at_least("received after", start.elapsed(), ms(20));
    guide.at_least("what was received is the time", due - start, ms(20));
    guide.expect("a second value", poll_once(&mut timer), None);
}

pub(crate) fn blocking_sleep(guide: &mut Guide) {
    guide.part(
        2,
        "Sleep",
        "time.Sleep blocks only its goroutine, and cannot be cancelled",
    );
    let start = Instant::now();
    (0..3).for_each(|_| thread::sleep(ms(10)));
    guide.at_least("three thread::sleep, one thread", start.elapsed(), ms(30));
    let ((), together) = ManualClock::new().simulate(all([10, 10, 10].map(|d| sleep(ms(d)))));
    guide.expect("three time::sleep, one thread", together, ms(10));

    let (armed, _) = ManualClock::new().simulate(async {
        let mut hour = Box::pin(sleep(ms(3_600_000)));
        poll_once(&mut hour);
        let before = Handle::current().armed();
        drop(hour); // this cancels it
        (before, Handle::current().armed())
    });
    guide.expect("armed before and after a cancel", armed, (1, 0));
}

pub(crate) fn clean_up(guide: &mut Guide) {
    guide.part(
        3,
        "Clean-up",
        "defer timer.Stop(), and drain the channel before the timer is used again",
    );
    /// Returns early, as a handler does when it has its answer.
    async fn early() -> Result<(), &'static str> {
        let mut timer = Timer::new(ms(1000));
        poll_once(&mut timer);
        Err("an error") // nothing is deferred
    }
    let clock = ManualClock::new();
    let (armed, _) = clock.simulate(async {
        let _ = early().await;
        Handle::current().armed()
    });
    guide.expect("timers left by an early return", armed, 0);

    let (received, _) = clock.simulate(async {
        let start = Instant::now();
        let mut timer = Timer::new(ms(10));
        poll_once(&mut timer);
        sleep(ms(20)).await; // it is due, and nobody receives the value
        timer.reset(ms(30)); // nothing is drained
        let stale = poll_once(&mut timer);
        (stale, (&mut timer).await - start)
    });
    guide.expect("stale value, and the next", received, (None, ms(50)));
}

pub(crate) fn stop(guide: &mut Guide) {
    guide.part(
        4,
        "Stop",
        "true if it stopped a pending timer, false if it has fired or was stopped",
    );
    let ((pending, again, fired), _) = ManualClock::new().simulate(async {
        let mut timer = Timer::new(ms(100));
        poll_once(&mut timer);
        let answers = (timer.stop(), timer.stop());
        timer.reset(ms(1));
        (&mut timer).await;
        (answers.0, answers.1, timer.stop())
    });
    guide.expect("of a pending one", pending, true);
    guide.expect("of a stopped one", again, false);
    guide.expect("of one that has fired", fired, false);

    const RACES: u32 = 2000;
    let called = Arc::new(AtomicU32::new(0));
    let mut stopped = 0;
    for race in 0..RACES {
        let count = called.clone();
        let timer = Handle::current().call_after(Duration::from_micros(20), move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        // Around the time at which the driver's thread calls it.
        let until = Instant::now() + Duration::from_micros(u64::from(race) % 120);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        stopped += u32::from(timer.stop());
    }
    // A call that had begun when `stop` answered false may still run.
    let patience = Instant::now() + ms(5000);
    while called.load(Ordering::Relaxed) + stopped < RACES && Instant::now() < patience {
        thread::yield_now();
    }
    let called = called.load(Ordering::Relaxed);
    guide.note(format!(
        "{RACES} races: {called} called, {stopped} stopped first"
    ));
    guide.expect("either called or stopped", called + stopped, RACES);
}

pub(crate) fn reset(guide: &mut Guide) {
    guide.part(
        5,
        "Reset",
        "to earlier or later, returns whether it was active; one timer serves a loop",
    );
    let ((answers, at), _) = ManualClock::new().simulate(async {
        let start = Instant::now();
        let mut timer = Timer::new(ms(1000));
        poll_once(&mut timer);
        let earlier = timer.reset(ms(100));
        let first = (&mut timer).await - start;
        let after_it_fired = timer.reset(ms(50));
        let later = timer.reset(ms(400));
        let second = (&mut timer).await - start;
        ([earlier, after_it_fired, later], [first, second])
    });
    guide.expect(
        "was active: pending, fired, pending",
        answers,
        [true, false, true],
    );
    guide.expect("fired at", at, [ms(100), ms(500)]);

    let (ticks, _) = ManualClock::new().simulate(async {
        let start = Instant::now();
        let mut timer = Timer::new(ms(200));
        let mut at = Vec::new();
        for _ in 0..5 {
            at.push(((&mut timer).await - start).as_millis());
            timer.reset(ms(200));
        }
        at
    });
    guide.expect(
        "a loop of five, in ms",
        ticks,
        vec![200, 400, 600, 800, 1000],
    );

    let start = Instant::now();
    let (sender, called) = mpsc::channel();
    let timer = go::after_func(ms(60_000), move || {
        let _ = sender.send(Instant::now());
    });
    timer.reset(ms(5));
    let at = called.recv_timeout(Duration::from_secs(30));
    let after = at.map_or(Duration::ZERO, |at| at - start);
    guide.at_least("a function, moved from 60 s to 5 ms", after, ms(5));
}
