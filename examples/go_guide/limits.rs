//! Parts 6 to 9: leaks, timeouts, `time.After` and tickers.

use std::future::Future;

use reveille::go::{self, Ticker, Timer};
use reveille::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};
use reveille::{Driver, Handle, ManualClock, ThreadPark};

use crate::futures::{First, first, poll_once};
use crate::guide::Guide;
use crate::timers::ms;

pub(crate) fn leak(guide: &mut Guide) {
    guide.part(
        6,
        "A leak and its fix",
        "5 timers that are not stopped stay in the heap, then 1000; stop them",
    );
    let driver = Driver::new(ThreadPark::new());
    let armed = |count| {
        let entered = driver.handle().enter();
        let timers: Vec<_> = (0..count)
            .map(|_| {
                let mut timer = Timer::new(Duration::from_secs(3600));
                poll_once(&mut timer);
                timer
            })
            .collect();
        drop(entered);
        let waiting = driver.handle().armed();
        drop(timers); // nobody stops them
        (waiting, driver.handle().armed())
    };
    guide.expect("armed, and after they are dropped", armed(5), (5, 0));
    guide.expect("armed, and after they are dropped", armed(1000), (1000, 0));

    let _entered = driver.handle().enter();
    let mut most = 0;
    for _ in 0..100_000 {
        poll_once(&mut Timer::new(Duration::from_secs(3600)));
        most = most.max(driver.handle().armed());
    }
    guide.expect("left by each of 100000 in a loop", most, 0);
}

pub(crate) fn time_out(guide: &mut Guide) {
    guide.part(
        7,
        "A timeout",
        "select on the result and a timer: whichever is first",
    );
    let operation = |takes| async move {
        sleep(ms(takes)).await;
        "a result"
    };
    let clock = ManualClock::new();
    let ended = clock.simulate(timeout(ms(100), operation(50)));
    guide.expect("50 ms of 100", ended, (Ok("a result"), ms(50)));
    let (ended, took) = clock.simulate(timeout(ms(100), operation(200)));
    guide.expect("200 ms of 100", (ended.is_err(), took), (true, ms(100)));
    let (ended, took) = clock.simulate(async {
        let start = Instant::now();
        match first(operation(200), Timer::new(ms(100))).await {
            First::Left(_) => None,
            First::Right(due) => Some(due - start),
        }
    });
    guide.expect(
        "as an arm of a select",
        (ended, took),
        (Some(ms(100)), ms(100)),
    );
}

pub(crate) fn after(guide: &mut Guide) {
    guide.part(
        8,
        "time.After",
        "short to write; in a loop each iteration leaves a timer until it is due",
    );
    let clock = ManualClock::new();
    let due = clock.simulate(async {
        let start = Instant::now();
        go::after(ms(100)).await - start
    });
    guide.expect("received, after", due, (ms(100), ms(100)));

    let (left, took) = clock.simulate(async {
        for _ in 0..1000 {
            // A message comes each millisecond, long before the limit.
            let message = first(sleep(ms(1)), go::after(Duration::from_secs(3600))).await;
            assert_eq!(message, First::Left(()));
        }
        Handle::current().armed()
    });
    guide.expect(
        "timers left by 1000 iterations",
        (left, took),
        (0, ms(1000)),
    );

    let (left, _) = clock.simulate(async {
        let mut limit = Timer::new(Duration::from_secs(3600));
        for _ in 0..1000 {
            let message = first(sleep(ms(1)), &mut limit).await;
            assert_eq!(message, First::Left(()));
            limit.reset(Duration::from_secs(3600));
        }
        Handle::current().armed()
    });
    guide.expect("the one timer of a loop that resets it", left, 1);
}

pub(crate) fn ticker(guide: &mut Guide) {
    guide.part(
        9,
        "Ticker",
        "a tick each period until Stop; a slow receiver misses ticks",
    );
    let start = Instant::now();
    let late = pollster::block_on(async {
        let mut ticker = Ticker::new(ms(5));
        let mut last = start;
        for _ in 0..4 {
            last = ticker.tick().await;
        }
        last - start
    });
    guide.at_least("four real ticks of 5 ms", late, ms(20));

    let clock = ManualClock::new();
    let (ticks, _) = clock.simulate(async {
        let start = Instant::now();
        let mut ticker = Ticker::new(ms(100));
        let mut at = Vec::new();
        let mut tick =
            async |ticker: &mut Ticker| at.push((ticker.tick().await - start).as_millis());
        tick(&mut ticker).await;
        tick(&mut ticker).await;
        sleep(ms(250)).await; // ticks at 300 and 400; one of them waits
        tick(&mut ticker).await;
        tick(&mut ticker).await;
        ticker.reset(ms(20));
        tick(&mut ticker).await;
        (at, ticker.dropped())
    });
    let promised = (vec![100, 200, 300, 500, 520], 1);
    guide.expect("ticks in ms, and how many were missed", ticks, promised);

    let (stopped, _) = clock.simulate(async {
        let mut ticker = Ticker::new(ms(100));
        ticker.stop();
        timeout_is_first(ticker.tick()).await
    });
    guide.expect("a stopped ticker does not tick", stopped, true);

    let policy = |behavior| {
        let (at, _) = clock.simulate(async move {
            let start = Instant::now();
            let mut interval = interval(ms(100));
            interval.set_missed_tick_behavior(behavior);
            interval.tick().await;
            sleep(ms(250)).await;
            let mut at = Vec::new();
            for _ in 0..4 {
                interval.tick().await;
                at.push(start.elapsed().as_millis());
            }
            at
        });
        at
    };
    let burst = policy(MissedTickBehavior::Burst);
    guide.expect("busy until 250: Burst", burst, vec![250, 250, 300, 400]);
    let delay = policy(MissedTickBehavior::Delay);
    guide.expect("busy until 250: Delay", delay, vec![250, 350, 450, 550]);
    let skip = policy(MissedTickBehavior::Skip);
    guide.expect("busy until 250: Skip", skip, vec![250, 300, 400, 500]);
}

/// Returns whether nothing comes of `future` within an hour.
async fn timeout_is_first(future: impl Future) -> bool {
    timeout(Duration::from_secs(3600), future).await.is_err()
}
