//! `governor` on a manual clock.

use futures_util::future::join_all;
use reveille::time::{Duration, Instant, sleep};
use reveille::{Context, Handle, ManualClock};
use reveille_systems::rate_limit::{limiter, until_ready};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_burst_passes_and_then_one_request_each_tenth_of_a_second() {
    ManualClock::new().simulate(async {
        let limiter = limiter(10, 3);
        let burst = [(); 5].map(|()| limiter.check().is_ok());
        assert_eq!(burst, [true, true, true, false, false]);
        sleep(ms(99)).await;
        assert!(limiter.check().is_err());
        sleep(ms(1)).await;
        assert!(limiter.check().is_ok());
        sleep(ms(60_000)).await;
        let burst = [(); 5].map(|()| limiter.check().is_ok());
        assert_eq!(burst, [true, true, true, false, false]);
    });
}

#[test]
fn waiting_requests_pass_at_the_rate_of_the_limiter() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let limiter = limiter(10, 3);
        let request = || async {
            until_ready(&limiter).await;
            start.elapsed().as_millis()
        };
        let mut passed = join_all((0..8).map(|_| request())).await;
        passed.sort_unstable();
        assert_eq!(passed, [0, 0, 0, 100, 200, 300, 400, 500]);
        assert_eq!(Handle::current().armed(), 0);
    });
}

#[test]
fn a_request_that_gives_up_takes_nothing() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let limiter = limiter(10, 1);
        until_ready(&limiter).await;
        let hurry = Context::background().with_timeout(ms(50));
        assert!(hurry.run(until_ready(&limiter)).await.is_err());
        until_ready(&limiter).await;
        assert_eq!(start.elapsed(), ms(100));
    });
}
