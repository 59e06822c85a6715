//! Parts 10 to 13: two rate limiters, a retry, and several producers with one limit.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use reveille::ManualClock;
use reveille::go::Timer;
use reveille::time::{Duration, Instant, sleep};

use crate::guide::Guide;
use crate::rate_limiter::{Bucket, TokenBucket};
use crate::timers::ms;

pub(crate) fn bucket(guide: &mut Guide) {
    guide.part(
        10,
        "Rate limiter I",
        "a bucket of 3: 3 of 5 allowed, 2 refused; refilled after 2 s",
    );
    let (answers, _) = ManualClock::new().simulate(async {
        let mut bucket = Bucket::new(3, ms(2000));
        let burst = [(); 5].map(|()| bucket.allow());
        sleep(ms(1999)).await;
        let before = bucket.allow();
        sleep(ms(1)).await;
        (burst, before, [(); 4].map(|()| bucket.allow()))
    });
    let (burst, before, refilled) = answers;
    guide.expect("5 requests", burst, [true, true, true, false, false]);
    guide.expect("after 1999 ms", before, false);
    guide.expect("4 after 2 s", refilled, [true, true, true, false]);
}

pub(crate) fn token_bucket(guide: &mut Guide) {
    guide.part(
        11,
        "Rate limiter II",
        "a token bucket fed by a ticker, with Start, Stop and Allow",
    );
    let (answers, _) = ManualClock::new().simulate(async {
        let bucket = TokenBucket::start(3, ms(500));
        let burst = [(); 4].map(|()| bucket.allow());
        let mut smooth = Vec::new();
        for _ in 0..6 {
            sleep(ms(250)).await;
            smooth.push(bucket.allow());
        }
        bucket.stop();
        sleep(ms(5000)).await;
        (burst, smooth, bucket.allow())
    });
    let (burst, smooth, stopped) = answers;
    guide.expect("a burst of 4", burst, [true, true, true, false]);
    let each_second = vec![false, true, false, true, false, true];
    guide.expect("one each 250 ms, a token each 500 ms", smooth, each_second);
    guide.expect("5 s after Stop", stopped, false);
}

/// What the guide wraps with `%w`: how often it was tried, and the last error.
#[derive(Debug)]
struct GaveUp {
    attempts: u32,
    last: Box<dyn Error>,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed after {} attempts", self.attempts)
    }
}

impl Error for GaveUp {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.last)
    }
}

/// The guide's loop. `examples/retry.rs` has jitter and a deadline for the whole.
async fn with_back_off<T, E: Into<Box<dyn Error>>>(
    attempts: u32,
    mut operation: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, GaveUp> {
    let mut pause = Duration::from_secs(1);
    let mut attempt = 1;
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(last) if attempt == attempts => {
                let last = last.into();
                return Err(GaveUp { attempts, last });
            }
            Err(_) => sleep(pause).await,
        }
        pause *= 2;
        attempt += 1;
    }
}

pub(crate) fn retry(guide: &mut Guide) {
    guide.part(
        12,
        "Retry",
        "pauses of 1 s, 2 s, 4 s …, a cap on the attempts, and the error is wrapped",
    );
    let run = |fails: usize| {
        let (result, _) = ManualClock::new().simulate(async {
            let start = Instant::now();
            let mut at = Vec::new();
            let result = with_back_off(5, async || {
                at.push(start.elapsed().as_secs());
                match at.len() {
                    n if n <= fails => Err("connection refused"),
                    n => Ok(n),
                }
            });
            let result = result.await.map_err(|error| {
                let last = error.source().map(ToString::to_string).unwrap_or_default();
                format!("{error}: {last}")
            });
            (at, result)
        });
        result
    };
    guide.expect("the third works", run(2), (vec![0, 1, 3], Ok(3)));
    let error = "failed after 5 attempts: connection refused".to_owned();
    guide.expect("none works", run(9), (vec![0, 1, 3, 7, 15], Err(error)));
}

pub(crate) fn several_producers(guide: &mut Guide) {
    guide.part(
        13,
        "Several channels, one timeout",
        "select over two producers and a timer, until the timer",
    );
    let produce = |name, takes| async move {
        sleep(ms(takes)).await;
        name
    };
    let gather = |slow| {
        ManualClock::new().simulate(async move {
            let mut one = pin!(produce("one", 100));
            let mut two = pin!(produce("two", slow));
            let mut limit = Timer::new(ms(300));
            let (mut first, mut second) = (None, None);
            poll_fn(|cx| {
                if first.is_none()
                    && let Poll::Ready(value) = one.as_mut().poll(cx)
                {
                    first = Some(value);
                }
                if second.is_none()
                    && let Poll::Ready(value) = two.as_mut().poll(cx)
                {
                    second = Some(value);
                }
                if first.is_some() && second.is_some() {
                    return Poll::Ready(());
                }
                // Last, so that what is there at the limit is kept.
                pin!(&mut limit).poll(cx).map(drop)
            })
            .await;
            (first, second)
        })
    };
    guide.expect(
        "both in time",
        gather(200),
        ((Some("one"), Some("two")), ms(200)),
    );
    guide.expect(
        "the second is late",
        gather(500),
        ((Some("one"), None), ms(300)),
    );
}
