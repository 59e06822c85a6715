//! Tests of timers on a paused tokio clock.

#![cfg(all(not(loom), feature = "tokio", feature = "test-util"))]

mod support;

use std::future::pending;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reveille::time::{self, Instant, interval, sleep, sleep_until, timeout};
use reveille::{Driver, Handle};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use support::{Count, Log, Task, ms, poll_with, secs, watched};

#[tokio::test(start_paused = true)]
async fn idle_time_advances_to_the_next_deadline() {
    let real = std::time::Instant::now();
    let start = Instant::now();
    sleep(secs(3600)).await;
    assert_eq!(start.elapsed(), secs(3600));
    assert!(timeout(secs(7200), pending::<()>()).await.is_err());
    assert_eq!(start.elapsed(), secs(10_800));
    assert!(real.elapsed() < secs(60));
}

#[tokio::test]
async fn after_a_pause_time_advances_to_timers_armed_before() {
    for by_tokio in [false, true] {
        let armed = tokio::spawn(sleep(secs(3600)));
        tokio::task::yield_now().await;
        if by_tokio {
            tokio::time::pause();
        } else {
            time::pause();
        }
        armed.await.unwrap();
        time::resume();
    }
}

#[test]
fn where_tokios_own_driver_is_entered_tokios_clock_is_paused() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let _entered = Handle::current().enter();
            time::pause();
            let start = tokio::time::Instant::now();
            sleep(ms(10)).await;
            time::advance(ms(5)).await;
            assert_eq!(start.elapsed(), ms(15));
            time::resume();
            sleep(ms(1)).await;
            assert!(start.elapsed() >= ms(16));
        });
    });
}

/// The clock itself was paused, and shifted by the pause once it ran on. Then the runtime's own
/// timers never fired.
#[test]
fn where_a_driver_on_tokios_clock_is_entered_tokios_clock_is_paused() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let start = tokio::time::Instant::now();
            let on_tokio = Handle::current();
            let driver = Driver::builder().clock(on_tokio.clock().clone());
            let driver = driver.build_with_unpark(|| {});
            let entered = driver.handle().enter();
            time::pause();
            time::advance(ms(5)).await;
            assert!(start.elapsed() >= ms(5));
            time::resume();
            drop(entered);
            on_tokio.sleep(ms(1)).await;
        });
    });
}

#[tokio::test(start_paused = true)]
async fn resumed_time_runs_on() {
    let start = Instant::now();
    sleep(secs(60)).await;
    time::resume();
    let real = std::time::Instant::now();
    sleep(ms(3)).await;
    assert!(real.elapsed() >= ms(3));
    assert!(start.elapsed() >= secs(60) + ms(3));
    time::pause();
    sleep(secs(60)).await;
    assert!(start.elapsed() >= secs(120) + ms(3));
}

#[tokio::test(start_paused = true)]
async fn time_does_not_advance_to_a_timer_that_is_gone_or_postponed() {
    for put_off in [false, true] {
        let start = Instant::now();
        let task = Task::new();
        let mut gone = sleep(secs(3600));
        assert!(task.poll(&mut gone).is_pending());
        if put_off {
            gone.reset_at(start + secs(3601));
            gone.reset_at(start + Duration::MAX);
        }
        drop(gone);
        // The runtime waits only for a thread, so it waits in real time.
        let (sender, receiver) = oneshot::channel();
        let sent = thread::spawn(move || sender.send(()));
        receiver.await.unwrap();
        sent.join().unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

/// Time jumped to the deadline that the timer had before: the reset took it out of the driver, but
/// tokio still waited for it.
#[test]
fn time_does_not_advance_to_a_timer_that_was_reset_to_the_past() {
    let parks = Count::default();
    let parked = parks.clone();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || parked.add())
        .build()
        .unwrap();
    let (asked, asks) = mpsc::channel::<(usize, oneshot::Sender<()>)>();
    let count = parks.clone();
    let external = thread::spawn(move || {
        for (before, sender) in asks {
            while count.get() == before {
                thread::yield_now();
            }
            sender.send(()).unwrap();
        }
    });
    runtime.block_on(async move {
        // Repeated, because the answer may come before time has advanced.
        for _ in 0..100 {
            let start = Instant::now();
            let task = Task::new();
            let mut reset = sleep(secs(10));
            assert!(task.poll(&mut reset).is_pending());
            reset.reset_at(start);
            let (sender, receiver) = oneshot::channel();
            asked.send((parks.get(), sender)).unwrap();
            receiver.await.unwrap();
            assert_eq!(task.wakes(), 1);
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    });
    external.join().unwrap();
}

#[test]
fn time_does_not_advance_during_blocking_work() {
    let (parks, parked) = std::sync::mpsc::channel();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.on_thread_park(move || {
        let _ = parks.send(());
    });
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let start = Instant::now();
        // Until the loop has nothing left to do, or has advanced to the timeout.
        let work = tokio::task::spawn_blocking(move || parked.recv());
        let limited = timeout(secs(1), work).await;
        assert_eq!(limited.unwrap().unwrap(), Ok(()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

/// Work that tokio does not see goes on while the loop has nothing left to do. Time advanced to the
/// timeout: tokio asks no guard.
#[test]
fn time_does_not_advance_while_a_guard_holds_the_clock() {
    let (parks, parked) = mpsc::channel();
    let mut builder = Builder::new_current_thread();
    builder.on_thread_park(move || {
        let _ = parks.send(());
    });
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let start = Instant::now();
        let runtime = tokio::runtime::Handle::current();
        let clock = Handle::current().clock().clone();
        let (first, hold) = (clock.hold(), clock.hold());
        let (done, work) = oneshot::channel();
        let external = thread::spawn(move || {
            drop(first);
            // Until the loop has nothing left to do, three times.
            for _ in 0..3 {
                parked.recv().unwrap();
                runtime.spawn(async {});
            }
            done.send(hold).unwrap();
        });
        let hold = timeout(secs(1), work).await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        external.join().unwrap();

        time::advance(secs(1)).await;
        assert_eq!(start.elapsed(), secs(1), "only the program moves time");
        drop(hold);
        sleep(secs(60)).await;
        assert_eq!(start.elapsed(), secs(61));
    });
}

/// A runtime waits for its blocking tasks when it is dropped, and a guard is one for tokio.
#[test]
fn a_guard_that_outlives_its_runtime_does_not_keep_it_from_shutting_down() {
    watched(|| {
        for io in [false, true] {
            let mut builder = Builder::new_current_thread();
            let builder = builder.enable_time().start_paused(true);
            let builder = if io { builder.enable_all() } else { builder };
            let runtime = builder.build().unwrap();
            let clock = runtime.block_on(async { Handle::current().clock().clone() });
            let hold = clock.hold();
            runtime.block_on(tokio::task::yield_now());
            drop(runtime);
            drop((clock.hold(), hold));
        }
    });
}

#[tokio::test(start_paused = true)]
async fn advancing_fires_what_is_due_and_nothing_else() {
    let log = Log::new();
    let start = Instant::now();
    let nap = Duration::from_micros;
    let mut sleeps: Vec<_> = [700, 250, 250, 1_300]
        .into_iter()
        .enumerate()
        .map(|(name, us)| (log.waker(name), sleep(nap(us))))
        .collect();
    for (waker, sleep) in &mut sleeps {
        assert!(poll_with(sleep, waker).is_pending());
    }
    time::advance(nap(249)).await;
    assert_eq!(log.take(), []);
    time::advance(nap(1)).await;
    assert_eq!(log.take(), [1, 2], "in the order of arming");
    time::advance(nap(450)).await;
    assert_eq!(log.take(), [0]);
    time::advance(nap(600)).await;
    assert_eq!(log.take(), [3]);
    assert_eq!(start.elapsed(), nap(1_300));
}

#[tokio::test(start_paused = true)]
async fn a_poll_sees_the_time_to_which_tokio_has_advanced() {
    let task = Task::new();
    let mut sleep = sleep(Duration::from_micros(300));
    assert!(task.poll(&mut sleep).is_pending());
    tokio::time::advance(Duration::from_micros(300)).await;
    assert!(task.poll(&mut sleep).is_ready());
}

#[tokio::test(start_paused = true)]
async fn now_is_tokios_now() {
    for _ in 0..3 {
        assert_eq!(Instant::now(), tokio::time::Instant::now().into());
        assert_eq!(
            tokio::time::Instant::from(Instant::now()),
            tokio::time::Instant::now()
        );
        sleep(ms(17)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn timers_of_tokio_and_ours_end_in_one_order() {
    let log = Log::new();
    let note = |name: &'static str| {
        let log = log.clone();
        move |()| log.push(name)
    };
    use futures::FutureExt;
    tokio::join!(
        sleep(ms(30)).map(note("ours, 30")),
        tokio::time::sleep(ms(20)).map(note("tokio's, 20")),
        sleep(ms(10)).map(note("ours, 10")),
        tokio::time::sleep(ms(40)).map(note("tokio's, 40")),
    );
    assert_eq!(
        log.take(),
        ["ours, 10", "tokio's, 20", "ours, 30", "tokio's, 40"]
    );
}

/// Tokio's would each end up to a millisecond late, and so would what is chained.
#[tokio::test]
async fn chained_sleeps_end_together_with_one_of_their_length() {
    tokio::time::sleep(Duration::from_micros(300)).await;
    time::pause();
    let start = Instant::now();
    let log = Log::new();
    let (chained, one) = (log.clone(), log.clone());
    tokio::join!(
        async move {
            for _ in 0..3 {
                sleep(ms(10)).await;
            }
            chained.push(start.elapsed());
        },
        async move {
            sleep(ms(30)).await;
            one.push(start.elapsed());
        },
    );
    assert_eq!(log.take(), [ms(30), ms(30)]);
}

/// Where tokio's timer lets the task of the other branch run first.
#[tokio::test(start_paused = true)]
async fn a_timer_of_zero_gives_no_other_task_a_turn() {
    let spawned = tokio::spawn(async {});
    assert!(timeout(Duration::ZERO, spawned).await.is_err());
    let first = tokio::select! {
        biased;
        () = sleep(Duration::ZERO) => "the timer",
        () = async {} => "the other",
    };
    assert_eq!(first, "the timer");
    // What is ready without a turn of its own is preferred by a timeout, as in tokio.
    assert!(timeout(Duration::ZERO, async {}).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_interval_ticks_on_the_paused_clock() {
    let start = Instant::now();
    let mut interval = interval(ms(250));
    for tick in 0..8 {
        assert_eq!(interval.tick().await, start + ms(250) * tick);
    }
    assert_eq!(start.elapsed(), ms(1_750));
}

#[tokio::test(start_paused = true)]
async fn long_sleeps_are_exact_around_twelve_days_and_two_years() {
    const DAY: Duration = Duration::from_secs(86_400);
    let far = tokio::spawn(sleep(DAY * 365 * 22));
    tokio::task::yield_now().await;
    let start = Instant::now();
    time::advance(Duration::from_millis(1 << 30)).await;
    for days in [1, 12, 13, 50, 800, 804, 3650] {
        let deadline = Instant::now() + DAY * days;
        sleep_until(deadline).await;
        assert_eq!(Instant::now(), deadline, "after {days} days");
    }
    far.await.unwrap();
    assert_eq!(start.elapsed(), DAY * 365 * 22);
}

#[tokio::test(start_paused = true)]
async fn the_longest_sleep_is_thirty_years_where_time_advances_automatically() {
    let start = Instant::now();
    sleep(Duration::MAX).await;
    assert_eq!(start.elapsed(), secs(86_400 * 365 * 30));
}

#[tokio::test(start_paused = true)]
async fn a_due_timer_is_ready_at_its_first_poll_and_time_stands_still() {
    let start = Instant::now();
    sleep(Duration::ZERO).await;
    sleep_until(start - secs(1)).await;
    interval(secs(1)).tick().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_firing_works_in_a_select_loop() {
    let start = Instant::now();
    let mut idle = sleep(ms(10));
    let mut rounds = 0;
    let mut forever = pin!(pending::<()>());
    while rounds < 5 {
        tokio::select! {
            () = &mut idle => {
                rounds += 1;
                idle.reset_at(Instant::now() + ms(10));
            }
            () = &mut forever => unreachable!(),
        }
    }
    assert_eq!(start.elapsed(), ms(50));
}

#[tokio::test(start_paused = true)]
async fn timers_are_not_merged_whatever_slack_is_asked_for() {
    reveille::Handle::current().set_slack(secs(1));
    assert_eq!(reveille::Handle::current().slack(), Duration::ZERO);
    let start = Instant::now();
    let all: Vec<_> = (0..100)
        .map(|i| {
            tokio::spawn(async move {
                for round in 1..=10 {
                    sleep_until(start + ms(i) + ms(100) * round).await;
                    assert_eq!(start.elapsed(), ms(i) + ms(100) * round);
                }
            })
        })
        .collect();
    for task in all {
        task.await.unwrap();
    }
}
