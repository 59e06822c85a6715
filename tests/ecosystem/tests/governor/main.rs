//! Rate limiters of governor on a clock of this crate.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::join_all;
use governor::clock::{Clock, Reference};
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use reveille::ManualClock;
use reveille::adapters::governor::{
    GovernorClock, GovernorInstant, until_key_ready, until_n_ready, until_ready,
};
use reveille::rt::Runtime;
use reveille::time::{Instant, sleep};
use reveille_ecosystem::{on_rt, on_tokio, watched};

const HOUR: Duration = Duration::from_secs(3600);
const NANO: Duration = Duration::from_nanos(1);

type Limiter = RateLimiter<NotKeyed, InMemoryState, GovernorClock, NoOpMiddleware<GovernorInstant>>;

fn hourly() -> Quota {
    Quota::with_period(HOUR).unwrap()
}

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// Runs a test on a manual clock, under the watchdog.
fn simulate<F: Future<Output = ()>>(test: impl FnOnce(ManualClock) -> F + Send + 'static) {
    watched(|| {
        let clock = ManualClock::new();
        clock.simulate(test(clock.clone()));
    });
}

#[test]
fn a_limiter_obeys_a_manual_clock() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::direct_with_clock(hourly(), GovernorClock::with_clock(&clock));
    assert!(limiter.check().is_ok());
    clock.advance(HOUR - NANO);
    let not_until = limiter.check().unwrap_err();
    assert_eq!(not_until.wait_time_from(limiter.clock().now()), NANO);
    assert_eq!(
        Instant::from(not_until.earliest_possible()),
        clock.now() + NANO
    );
    clock.advance(NANO);
    assert!(limiter.check().is_ok());
    assert!(limiter.check().is_err());
}

#[test]
fn waiting_takes_no_real_time() {
    simulate(|clock| async move {
        let start = clock.now();
        let limiter = RateLimiter::direct_with_clock(hourly(), GovernorClock::new());
        for hours in 0..5 {
            until_ready(&limiter).await;
            assert_eq!(clock.now() - start, HOUR * hours);
        }
        // What was not used is not saved up beyond the burst of one.
        sleep(HOUR * 10).await;
        until_ready(&limiter).await;
        until_ready(&limiter).await;
        assert_eq!(clock.now() - start, HOUR * 15);
    });
}

#[test]
fn several_tasks_share_a_limiter() {
    simulate(|clock| async move {
        let start = clock.now();
        let limiter = RateLimiter::direct_with_clock(hourly(), GovernorClock::new());
        let times = join_all((0..10).map(|_| async {
            until_ready(&limiter).await;
            clock.now() - start
        }));
        let mut times = times.await;
        times.sort();
        assert!(times.into_iter().eq((0..10).map(|hours| HOUR * hours)));
    });
}

#[test]
fn several_are_let_through_at_once() {
    simulate(|clock| async move {
        let start = clock.now();
        let quota = hourly().allow_burst(n(3));
        let limiter = RateLimiter::direct_with_clock(quota, GovernorClock::new());
        until_n_ready(&limiter, n(3)).await.unwrap();
        assert_eq!(clock.now(), start);
        until_n_ready(&limiter, n(2)).await.unwrap();
        assert_eq!(clock.now() - start, HOUR * 2);
        assert!(until_n_ready(&limiter, n(4)).await.is_err());
        assert_eq!(clock.now() - start, HOUR * 2);
    });
}

#[test]
fn each_key_has_its_own_limit() {
    simulate(|clock| async move {
        let start = clock.now();
        let limiter = RateLimiter::dashmap_with_clock(hourly(), GovernorClock::new());
        until_key_ready(&limiter, &"one").await;
        until_key_ready(&limiter, &"another").await;
        assert_eq!(clock.now(), start);
        until_key_ready(&limiter, &"one").await;
        assert_eq!(clock.now() - start, HOUR);
    });
}

#[test]
fn the_result_of_a_middleware_is_passed_on() {
    simulate(|_| async {
        let quota = hourly().allow_burst(n(3));
        let limiter = RateLimiter::direct_with_clock(quota, GovernorClock::new())
            .with_middleware::<StateInformationMiddleware>();
        assert_eq!(until_ready(&limiter).await.remaining_burst_capacity(), 2);
    });
}

#[test]
fn a_wait_that_is_given_up_takes_nothing() {
    simulate(|clock| async move {
        let start = clock.now();
        let limiter = RateLimiter::direct_with_clock(hourly(), GovernorClock::new());
        until_ready(&limiter).await;
        let given_up = reveille::time::timeout(HOUR / 2, until_ready(&limiter));
        assert!(given_up.await.is_err());
        until_ready(&limiter).await;
        assert_eq!(clock.now() - start, HOUR);
    });
}

#[test]
fn the_clock_is_that_of_the_current_driver() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
        runtime.unwrap().block_on(async {
            let limiter_clock = GovernorClock::default();
            sleep(HOUR).await;
            assert_eq!(Instant::from(limiter_clock.now()), clock.now());
        });
        // Without a driver, the system's.
        let before = Instant::now();
        let now = Instant::from(GovernorClock::new().now());
        assert!(before <= now && now <= Instant::now());
    });
}

async fn spaces_calls() {
    let quota = Quota::with_period(Duration::from_millis(5)).unwrap();
    let limiter: Limiter = RateLimiter::direct_with_clock(quota, GovernorClock::new());
    let start = Instant::now();
    for _ in 0..3 {
        until_ready(&limiter).await;
    }
    // The first one is at the earliest at `start`.
    assert!(start.elapsed() >= Duration::from_millis(10));
}

#[test]
fn works_on_any_executor() {
    on_rt(spaces_calls());
    on_tokio(spaces_calls());
    watched(|| pollster::block_on(spaces_calls()));
}

#[test]
fn no_arithmetic_overflows() {
    let clock = ManualClock::starting_at(Instant::ORIGIN);
    let clock = GovernorClock::with_clock(&clock);
    let now = clock.now();
    let later = now + Nanos::from(HOUR);
    assert_eq!(later.duration_since(now), Nanos::from(HOUR));
    assert_eq!(now.duration_since(later), Nanos::from(Duration::ZERO));
    assert_eq!(later.saturating_sub(Nanos::from(HOUR)), now);
    let never = now + Nanos::from(u64::MAX);
    assert!(never > later && never + Nanos::from(u64::MAX) == never);
    // 584 years before: there is no such instant.
    let early = now.saturating_sub(Nanos::from(u64::MAX));
    assert!(early == now, "{early:?}");
    let _ = never.duration_since(early);
}
