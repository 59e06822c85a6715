//! Tests of a paused tokio clock: to which deadlines tokio advances it automatically.

#![cfg(all(not(loom), feature = "tokio", feature = "test-util"))]

mod support;

use std::future::pending;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use reveille::time::{
    self, Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout,
};
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::oneshot;

use support::{Log, Random, Task, ms, secs, watched};

fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

fn running() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs `work` on another thread, of which tokio does not know, and waits for it.
async fn on_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = oneshot::channel();
    let thread = thread::spawn(move || assert!(done.send(work()).is_ok()));
    let result = is_done.await.unwrap();
    thread.join().unwrap();
    result
}

async fn real_work() {
    on_another_thread(|| ()).await;
}

#[test]
fn every_runtime_that_can_be_paused_advances_automatically() {
    watched(|| {
        async fn hour() {
            let start = Instant::now();
            sleep(secs(3600)).await;
            assert_eq!(start.elapsed(), secs(3600));
        }
        for io in [false, true] {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().start_paused(true);
            if io {
                builder.enable_io();
            }
            let runtime = builder.build().unwrap();
            runtime.block_on(hour());
            // The clock stays paused in between.
            let before = runtime.block_on(async { Instant::now() });
            assert_eq!(runtime.block_on(async { Instant::now() }), before);
            let local = builder.build_local(LocalOptions::default());
            local.unwrap().block_on(hour());
        }
    });
}

#[test]
fn time_does_not_advance_while_a_thread_works_and_no_timer_is_armed() {
    watched(|| {
        paused().block_on(async {
            let start = Instant::now();
            // It completes in time, and so its timer is cancelled.
            assert!(timeout(secs(60), async {}).await.is_ok());
            let quick = timeout(secs(60), tokio::task::yield_now());
            assert!(quick.await.is_ok());
            let mut ticks = interval(secs(1));
            ticks.tick().await;
            assert!(ticks.tick().now_or_never().is_none());
            drop(ticks);
            let slow = tokio::spawn(sleep(secs(9)));
            tokio::task::yield_now().await;
            slow.abort();
            assert!(slow.await.unwrap_err().is_cancelled());
            tokio::select! {
                () = sleep(secs(3600)) => unreachable!(),
                () = async { tokio::task::yield_now().await } => {}
            }
            real_work().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    });
}

#[test]
fn an_external_thread_that_works_does_not_keep_time_from_advancing_to_a_timer() {
    watched(|| {
        paused().block_on(async {
            let start = Instant::now();
            let (go_on, told) = mpsc::channel();
            let (done, is_done) = oneshot::channel();
            let thread = thread::spawn(move || {
                told.recv().unwrap();
                done.send(()).unwrap_err();
            });
            assert!(timeout(secs(3600), is_done).await.is_err());
            assert_eq!(start.elapsed(), secs(3600));
            go_on.send(()).unwrap();
            thread.join().unwrap();
        });
    });
}

#[test]
fn a_blocking_task_sees_the_paused_time_and_keeps_it_from_advancing() {
    watched(|| {
        paused().block_on(async {
            let start = Instant::now();
            let (go_on, told) = mpsc::channel::<()>();
            let work = tokio::task::spawn_blocking(move || {
                told.recv().unwrap();
                Instant::now()
            });
            let mut far = Box::pin(sleep(secs(60)));
            assert!(far.as_mut().now_or_never().is_none());
            real_work().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
            go_on.send(()).unwrap();
            assert_eq!(work.await.unwrap(), start);
            far.await;
            assert_eq!(start.elapsed(), secs(60));
        });
    });
}

#[test]
fn two_paused_runtimes_have_separate_clocks() {
    watched(|| {
        let (first, second) = (paused(), paused());
        let task = Task::new();
        let mut timer = {
            let _entered = first.enter();
            sleep(secs(60))
        };
        second.block_on(async {
            sleep(secs(3600)).await;
            assert!(task.poll(&mut timer).is_pending());
        });
        first.block_on(async {
            let start = Instant::now();
            (&mut timer).await;
            assert_eq!(start.elapsed(), secs(60));
        });
    });
}

#[test]
fn a_pause_in_the_middle_of_a_millisecond_makes_timers_less_than_two_late() {
    watched(|| {
        running().block_on(async {
            sleep(Duration::from_micros(300)).await;
            time::pause();
            for nap in [ms(1), ms(10), Duration::from_micros(2_700)] {
                let start = Instant::now();
                sleep(nap).await;
                // Tokio rounds the deadline up to its own milliseconds, and then advances in whole
                // milliseconds.
                let late = start.elapsed() - nap;
                assert!(late < ms(2), "{nap:?}: {late:?} late");
            }
        });
    });
}

#[test]
fn timers_armed_before_a_pause_run_on_in_real_time_after_it() {
    watched(|| {
        running().block_on(async {
            for by_tokio in [false, true] {
                let start = Instant::now();
                let armed = tokio::spawn(sleep(ms(5)));
                tokio::task::yield_now().await;
                tokio::time::pause();
                real_work().await;
                if by_tokio {
                    tokio::time::resume();
                } else {
                    time::resume();
                }
                armed.await.unwrap();
                assert!(start.elapsed() >= ms(5));
            }
        });
    });
}

#[test]
fn equal_deadlines_end_in_the_order_of_arming() {
    watched(|| {
        paused().block_on(async {
            let log = Log::new();
            let deadline = Instant::now() + secs(60);
            let tasks: Vec<_> = (0..200)
                .map(|name| {
                    let log = log.clone();
                    tokio::spawn(sleep_until(deadline).map(move |()| log.push(name)))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(log.take(), Vec::from_iter(0..200));
        });
    });
}

#[test]
fn sleeps_end_when_tokios_would() {
    watched(|| {
        paused().block_on(async {
            let mut random = Random::new(3);
            let naps: Vec<_> = (0..300)
                .map(|_| match random.below(4) {
                    0 => ms(random.below(5)),
                    1 => ms(random.below(5_000)),
                    2 => secs(random.below(86_400)),
                    _ => secs(random.below(86_400 * 1_000)),
                })
                .collect();
            let start = Instant::now();
            let pairs = naps.into_iter().map(|nap| async move {
                let ours = tokio::spawn(async move {
                    sleep(nap).await;
                    start.elapsed()
                });
                let theirs = tokio::spawn(async move {
                    tokio::time::sleep(nap).await;
                    start.elapsed()
                });
                assert_eq!(ours.await.unwrap(), nap);
                // Tokio's may have to wait for the end of the millisecond in which it was armed.
                assert!((nap..=nap + ms(1)).contains(&theirs.await.unwrap()));
            });
            futures::future::join_all(pairs).await;
        });
    });
}

#[test]
fn intervals_tick_when_tokios_do_however_late_they_are_polled() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    use tokio::time::MissedTickBehavior as Theirs;
    watched(|| {
        paused().block_on(async {
            let mut random = Random::new(11);
            for round in 0..300 {
                // For shorter periods, a tick that is less than 5 ms late may count as missed.
                let period = ms(10 + random.below(100));
                let start = Instant::now() + ms(random.below(200));
                let mut ours = interval_at(start, period);
                let mut theirs = tokio::time::interval_at(start.into(), period);
                let (behavior, same) = [
                    (Burst, Theirs::Burst),
                    (Delay, Theirs::Delay),
                    (Skip, Theirs::Skip),
                ][round % 3];
                ours.set_missed_tick_behavior(behavior);
                theirs.set_missed_tick_behavior(same);
                for _ in 0..12 {
                    let tick = theirs.tick().await;
                    assert_eq!(ours.tick().await, tick.into(), "{behavior:?}, {period:?}");
                    match random.below(8) {
                        0 => time::advance(ms(random.below(700))).await,
                        1 => time::advance(ms(random.below(20))).await,
                        2 => {
                            ours.reset();
                            theirs.reset();
                        }
                        3 => {
                            let after = ms(random.below(300));
                            ours.reset_after(after);
                            theirs.reset_after(after);
                        }
                        4 => {
                            ours.reset_immediately();
                            theirs.reset_immediately();
                        }
                        _ => {}
                    }
                }
            }
        });
    });
}

#[test]
fn time_also_advances_to_a_timer_that_an_external_thread_arms() {
    watched(|| {
        let runtime = paused();
        let handle = runtime.handle().clone();
        runtime.block_on(async move {
            let start = Instant::now();
            let waits = on_another_thread(move || {
                let _entered = handle.enter();
                let start = Instant::now();
                pollster::block_on(sleep(secs(3600)));
                start.elapsed()
            });
            assert_eq!(waits.await, secs(3600));
            assert_eq!(start.elapsed(), secs(3600));
        });
    });
}

#[test]
fn time_does_not_advance_to_an_endless_timeout() {
    watched(|| {
        paused().block_on(async {
            let start = Instant::now();
            let limited = timeout(Duration::MAX, real_work()).await;
            assert!(limited.is_ok());
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    });
}

#[test]
fn an_endless_timeout_never_elapses() {
    watched(|| {
        paused().block_on(async {
            let task = Task::new();
            let mut limited = timeout(Duration::MAX, pending::<()>());
            assert!(task.poll(&mut limited).is_pending());
            time::advance(secs(86_400 * 365 * 40)).await;
            assert!(task.poll(&mut limited).is_pending());
        });
    });
}

#[test]
fn timers_that_an_external_thread_arms_and_drops_advance_time_by_their_duration_at_most() {
    const TIMERS: u32 = 2_000;
    watched(|| {
        let runtime = paused();
        let handle = runtime.handle().clone();
        runtime.block_on(async move {
            let start = Instant::now();
            let arms = on_another_thread(move || {
                let _entered = handle.enter();
                let task = Task::new();
                for _ in 0..TIMERS {
                    // Time may advance to it before it is polled.
                    let _ = task.poll(&mut sleep(ms(1)));
                }
            });
            arms.await;
            assert!(start.elapsed() <= ms(1) * TIMERS, "{:?}", start.elapsed());
        });
    });
}

#[test]
fn advancing_by_too_much_stops_before_the_end_of_the_clock() {
    watched(|| {
        paused().block_on(async {
            let task = Task::new();
            let mut never = timeout(Duration::MAX, pending::<()>());
            assert!(task.poll(&mut never).is_pending());
            for _ in 0..2 {
                time::advance(Duration::MAX).await;
                assert!(task.poll(&mut never).is_pending());
            }
            assert!(Instant::now() + secs(1) > Instant::now());
        });
    });
}

/// Tokio advances a paused clock by whole milliseconds, and rounds deadlines up to its own.
#[test]
fn a_clock_paused_between_two_milliseconds_advances_by_whole_ones() {
    watched(|| {
        for offset in (50..1_000).step_by(150) {
            running().block_on(async {
                thread::sleep(Duration::from_micros(offset));
                time::pause();
                for millis in [1, 5, 2, 3_600_000, 1] {
                    let start = Instant::now();
                    sleep(ms(millis)).await;
                    assert_eq!(start.elapsed(), ms(millis));
                }
                for micros in [1, 300, 2_300, 999] {
                    let start = Instant::now();
                    let nap = Duration::from_micros(micros);
                    sleep(nap).await;
                    assert!((nap..nap + ms(1)).contains(&start.elapsed()));
                }
            });
        }
    });
}

/// A clock that was paused a moment ago still shows the real time. Here it is paused, and put ahead
/// of the real time by a little, so that sooner or later it shows that when the timer is armed.
#[test]
fn a_timer_armed_when_a_paused_clock_shows_the_real_time_ends_on_time() {
    for round in 0..3_000 {
        running().block_on(async {
            // Makes the driver.
            sleep(Duration::from_nanos(1)).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_nanos(round % 1_000 * 100)).await;
            let start = Instant::now();
            sleep_until(start + ms(10)).await;
            assert_eq!(start.elapsed(), ms(10));
        });
    }
}
