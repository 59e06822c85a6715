//! `hyper::rt::Timer` by itself.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::FutureExt;
use hyper::rt::{Sleep, Timer};
use reveille::adapters::hyper::HyperTimer;
use reveille::{Driver, ManualClock, ThreadPark};
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::ms;

fn address(sleep: &Pin<Box<dyn Sleep>>) -> *const () {
    (&**sleep as *const dyn Sleep).cast()
}

async fn waits() {
    let timer = HyperTimer::new();
    let start = Instant::now();
    timer.sleep(ms(5)).await;
    assert!(start.elapsed() >= ms(5));

    let deadline = timer.now() + ms(5);
    timer.sleep_until(deadline).await;
    assert!(timer.now() >= deadline);

    // Later, while it waits, and again after it has fired.
    let mut sleep = timer.sleep(ms(1));
    for _ in 0..2 {
        assert!((&mut sleep).now_or_never().is_none());
        let deadline = timer.now() + ms(10);
        timer.reset(&mut sleep, deadline);
        (&mut sleep).await;
        assert!(timer.now() >= deadline);
        timer.reset(&mut sleep, timer.now() + Duration::from_secs(3600));
    }
}

#[test]
fn waits_on_any_executor() {
    on_rt(waits());
    on_tokio(waits());
    watched(|| pollster::block_on(waits()));
}

#[test]
fn a_reset_keeps_the_timer() {
    let timer = HyperTimer::new();
    let mut sleep = timer.sleep(ms(3_600_000));
    let before = address(&sleep);
    timer.reset(&mut sleep, timer.now() + ms(1));
    assert_eq!(address(&sleep), before);
    watched(|| pollster::block_on(sleep));
}

#[test]
fn a_reset_replaces_the_timer_of_another_crate() {
    on_tokio(async {
        let mut sleep = hyper_util::rt::TokioTimer::new().sleep(ms(3_600_000));
        let timer = HyperTimer::new();
        timer.reset(&mut sleep, timer.now() + ms(1));
        sleep.await;
    });
}

#[test]
fn counts_on_the_clock_of_its_driver() {
    let clock = ManualClock::new();
    let mut driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    let timer = HyperTimer::with_driver(driver.handle().clone());
    let start = timer.now();
    let hour = Duration::from_secs(3600);
    let mut sleep = timer.sleep_until(start + hour);
    assert!((&mut sleep).now_or_never().is_none());

    clock.advance(hour - Duration::from_nanos(1));
    driver.turn();
    assert!((&mut sleep).now_or_never().is_none());
    clock.advance(Duration::from_nanos(1));
    driver.turn();
    assert!((&mut sleep).now_or_never().is_some());
    assert_eq!(timer.now() - start, hour);
}
