//! `Delay` has the API and the behaviour of the original.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures_timer::Delay;
use reveille::rt::Runtime;
use reveille::{ManualClock, rt};

use crate::watchdog::{on_rt, on_tokio, watched};
use crate::{HOUR, ms};

#[test]
fn has_the_traits_of_the_original() {
    fn check<T: Future<Output = ()> + Debug + Send + Sync + Unpin>() {}
    check::<Delay>();
    assert!(format!("{:?}", Delay::new(HOUR)).starts_with("Delay"));
}

async fn waits() {
    let start = Instant::now();
    let mut delay = Delay::new(ms(5));
    (&mut delay).await;
    assert!(start.elapsed() >= ms(5));
    assert!((&mut delay).now_or_never().is_some());

    // Again, later, and earlier.
    let start = Instant::now();
    delay.reset(ms(5));
    (&mut delay).await;
    assert!(start.elapsed() >= ms(5));
    delay.reset(HOUR);
    assert!((&mut delay).now_or_never().is_none());
    delay.reset(ms(1));
    delay.await;
}

#[test]
fn waits_on_any_executor() {
    on_rt(waits());
    on_tokio(waits());
    watched(|| pollster::block_on(waits()));
}

#[test]
fn counts_from_when_it_was_made() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
        runtime.unwrap().block_on(async {
            let mut delay = Delay::new(2 * HOUR);
            reveille::time::sleep(HOUR).await;
            (&mut delay).await;
            assert_eq!(clock.now() - start, 2 * HOUR);

            delay.reset(2 * HOUR);
            reveille::time::sleep(HOUR).await;
            delay.await;
            assert_eq!(clock.now() - start, 4 * HOUR);
        });
    });
}

#[test]
fn no_duration_is_too_long() {
    let mut delay = Delay::new(Duration::MAX);
    assert!((&mut delay).now_or_never().is_none());
    delay.reset(Duration::MAX);
    assert!(delay.now_or_never().is_none());
}

/// On a clock that may be paused, tokio ends every wait after thirty years.
#[test]
fn a_delay_that_is_too_long_for_the_clock_never_ends_on_tokios_paused_clock() {
    watched(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (mut made, mut reset) = (Delay::new(Duration::MAX), Delay::new(HOUR));
            reset.reset(Duration::MAX);
            for delay in [&mut made, &mut reset] {
                assert!((&mut *delay).now_or_never().is_none());
            }
            tokio::time::advance(40 * 365 * 24 * HOUR).await;
            reveille::time::sleep(ms(1)).await;
            for delay in [made, reset] {
                assert!(delay.now_or_never().is_none());
            }
        });
    });
}

#[test]
fn a_task_whose_delays_are_always_due_yields() {
    watched(|| {
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let busy = rt::spawn(async {
                let other = rt::spawn(async {});
                while !other.is_finished() {
                    Delay::new(Duration::ZERO).await;
                }
            });
            busy.await.unwrap();
        });
    });
}

#[test]
fn obeys_a_manual_clock() {
    watched(|| {
        let clock = ManualClock::new();
        let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
        let start = clock.now();
        runtime.unwrap().block_on(async {
            Delay::new(HOUR).await;
            let mut delay = Delay::new(HOUR);
            delay.reset(2 * HOUR);
            delay.await;
        });
        assert_eq!(clock.now() - start, 3 * HOUR);
    });
}

#[test]
fn is_a_timer_of_the_driver() {
    on_rt(async {
        let runtime = rt::Handle::current();
        let mut delay = Delay::new(HOUR);
        assert!((&mut delay).now_or_never().is_none());
        assert_eq!(runtime.armed(), 1);
        drop(delay);
        assert_eq!(runtime.armed(), 0);
    });
}
