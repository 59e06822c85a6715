//! governor's own `until_ready`, which waits by `futures_timer::Delay`.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures::FutureExt;
use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Jitter, Quota, RateLimiter};
use reveille::rt;

use crate::watchdog::{on_rt, on_tokio, watched};
use crate::{HOUR, ms};

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>;

/// On the clock that the test measures with.
fn limiter(period: Duration) -> Limiter {
    RateLimiter::direct_with_clock(Quota::with_period(period).unwrap(), MonotonicClock)
}

#[test]
fn its_wait_is_a_timer_of_the_driver() {
    on_rt(async {
        let runtime = rt::Handle::current();
        let limiter = limiter(HOUR);
        limiter.until_ready().await;
        assert_eq!(runtime.armed(), 0);

        let mut next = Box::pin(limiter.until_ready());
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(runtime.armed(), 1);
        drop(next);
        assert_eq!(runtime.armed(), 0);
    });
}

async fn spaces_calls() {
    let limiter = limiter(ms(5));
    let start = Instant::now();
    for _ in 0..3 {
        limiter.until_ready().await;
    }
    assert!(start.elapsed() >= ms(10), "{:?}", start.elapsed());

    limiter.until_ready_with_jitter(Jitter::up_to(ms(1))).await;
    let limiter = RateLimiter::direct(Quota::per_hour(NonZeroU32::new(2).unwrap()));
    limiter
        .until_n_ready(NonZeroU32::new(2).unwrap())
        .await
        .unwrap();
    assert!(limiter.check().is_err());
}

#[test]
fn it_spaces_calls_on_any_executor() {
    on_rt(spaces_calls());
    on_tokio(spaces_calls());
    watched(|| pollster::block_on(spaces_calls()));
}
