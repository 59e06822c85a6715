//! Stop, reset and firing race: Go's `TestStopResult`, `TestResetResult`, `TestConcurrentTimerReset`
//! and `TestMultiWakeupTimer`.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use futures::lock::Mutex;
use reveille::go::{self, Ticker, Timer};
use reveille::time::sleep;

use crate::on::everywhere;
use crate::support::{Count, ms, secs};

const MICRO: Duration = Duration::from_micros(1);

/// If a stop says that it came too late, the value is received; if not, it never is.
#[test]
fn a_stop_prevents_the_value_exactly_if_it_says_so() {
    everywhere(|on| async move {
        let rounds = join_all((0..20).map(|_| {
            on.spawn(async move {
                for _ in 0..50 {
                    let mut timer = Timer::new(MICRO * 50);
                    let remote = timer.remote();
                    let other = on.spawn(async move {
                        go::after(MICRO * 50).await;
                        remote.stop()
                    });
                    match select(&mut timer, Box::pin(other)).await {
                        Either::Left((_, other)) => assert!(!other.await, "stopped and received"),
                        Either::Right((stopped, _)) if stopped => {
                            assert_eq!(futures::FutureExt::now_or_never(&mut timer), None);
                        }
                        // Too late: it must be there.
                        Either::Right(_) => panic!("not stopped, and not received"),
                    }
                }
            })
        }));
        rounds.await;
    });
}

/// The same for a reset: exactly one of the two values comes.
#[test]
fn a_reset_prevents_the_value_exactly_if_it_says_so() {
    everywhere(|on| async move {
        let rounds = join_all((0..20).map(|_| {
            on.spawn(async move {
                for _ in 0..50 {
                    let mut timer = Timer::new(MICRO * 50);
                    let remote = timer.remote();
                    let other = on.spawn(async move {
                        go::after(MICRO * 50).await;
                        remote.reset(secs(3600))
                    });
                    match select(&mut timer, Box::pin(other)).await {
                        Either::Left((_, other)) => assert!(!other.await, "moved and received"),
                        Either::Right((moved, _)) => {
                            assert!(moved, "not moved, and not received");
                            assert_eq!(futures::FutureExt::now_or_never(&mut timer), None);
                        }
                    }
                    assert!(timer.stop(), "it was reset, moved or not");
                }
            })
        }));
        rounds.await;
    });
}

/// The same for functions, with two that stop.
#[test]
fn a_function_is_called_exactly_if_no_stop_prevented_it() {
    everywhere(|on| async move {
        let rounds = join_all((0..20).map(|_| {
            on.spawn(async move {
                for _ in 0..50 {
                    let (sender, called) = oneshot::channel();
                    let timer = go::after_func(MICRO * 50, move || sender.send(()).unwrap());
                    let stops = [timer.clone(), timer].map(|timer| {
                        on.spawn(async move {
                            go::after(MICRO * 50).await;
                            timer.stop()
                        })
                    });
                    let stopped = join_all(stops)
                        .await
                        .into_iter()
                        .filter(|stop| *stop)
                        .count();
                    // If it was stopped, it is dropped with the timer, and the channel with it.
                    let called = usize::from(called.await.is_ok());
                    assert_eq!(stopped + called, 1);
                }
            })
        }));
        rounds.await;
    });
}

/// Eight tasks reset, and eight stop: nothing but some order of them.
#[test]
fn many_tasks_reset_and_stop_one_timer() {
    everywhere(|on| async move {
        let mut timer = Timer::new(secs(3600));
        let calls = Count::default();
        let count = calls.clone();
        let function = go::after_func(secs(3600), move || count.add());
        let tasks = (0..16).map(|n| {
            let (remote, function) = (timer.remote(), function.clone());
            on.spawn(async move {
                for _ in 0..1000 {
                    if n % 2 == 0 {
                        remote.reset(secs(3600));
                        function.reset(secs(3600));
                    } else {
                        remote.stop();
                        function.stop();
                    }
                }
            })
        });
        join_all(tasks).await;
        timer.reset(ms(1));
        (&mut timer).await;
        function.reset(ms(1));
        while calls.get() == 0 {
            sleep(ms(1)).await;
        }
        assert_eq!(calls.get(), 1);
    });
}

/// A function that is due and moved all the time is called once, and only when it is no longer
/// moved.
#[test]
fn a_function_that_is_put_off_is_called_once() {
    everywhere(|on| async move {
        for _ in 0..100 {
            let calls = Count::default();
            let count = calls.clone();
            let timer = go::after_func(MICRO * 20, move || count.add());
            let movers = (0..2).map(|_| {
                let timer = timer.clone();
                on.spawn(async move {
                    for wait in 10.. {
                        if !timer.reset(MICRO * 20) {
                            break;
                        }
                        sleep(MICRO * wait).await;
                    }
                })
            });
            join_all(movers).await;
            assert!(!timer.stop());
            while calls.get() == 0 {
                sleep(MICRO).await;
            }
            assert_eq!(calls.get(), 1);
        }
    });
}

/// Go's `TestTickerConcurrentStress` and `TestMultiWakeupTicker`: tasks share one ticker.
#[test]
fn many_tasks_receive_from_one_ticker() {
    everywhere(|on| async move {
        let ticker = Arc::new(Mutex::new(Ticker::new(MICRO)));
        let tasks = (0..10).map(|_| {
            let ticker = ticker.clone();
            on.spawn(async move {
                for _ in 0..100 {
                    let mut ticker = ticker.lock().await;
                    let tick = Box::pin(ticker.tick());
                    drop(select(tick, go::after(ms(1))).await);
                }
            })
        });
        join_all(tasks).await;
    });
}
