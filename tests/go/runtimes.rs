//! `after_func`: where its function runs.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::time::{Instant, sleep};
use reveille::{Driver, DriverThread, ManualClock, ThreadPark, go, rt};

use crate::on::{On, everywhere};
use crate::support::{Count, manual, ms, runtime, secs, watched};

/// Go's `TestAfterFunc`: a chain of ten, each of which arms the next and then waits for long. The
/// chain does not wait for that.
#[test]
fn a_chain_of_functions_does_not_wait_for_what_they_start() {
    fn next(on: On, left: usize, done: oneshot::Sender<()>) {
        go::after_func(Duration::ZERO, move || {
            drop(on.spawn(sleep(secs(3600))));
            match left {
                0 => done.send(()).unwrap(),
                _ => next(on, left - 1, done),
            }
        });
    }
    everywhere(|on| async move {
        let start = Instant::now();
        let (sender, done) = oneshot::channel();
        next(on, 10, sender);
        done.await.unwrap();
        if on == On::Manual {
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    });
}

/// So it can spawn there, and make timers.
#[test]
fn the_function_runs_as_a_task_of_the_current_runtime() {
    everywhere(|on| async move {
        let start = Instant::now();
        let (sender, ran) = oneshot::channel();
        go::after_func(ms(2), move || {
            let in_rt = rt::Handle::try_current().is_ok();
            let in_tokio = tokio::runtime::Handle::try_current().is_ok();
            let on_tokio = matches!(on, On::Tokio | On::TokioThread);
            let both = if on_tokio {
                tokio::task::try_id().is_some()
            } else {
                true
            };
            drop(on.spawn(async move {
                sleep(ms(1)).await;
                sender.send((in_rt, in_tokio, both)).unwrap();
            }));
        });
        let on_tokio = matches!(on, On::Tokio | On::TokioThread);
        assert_eq!(ran.await.unwrap(), (!on_tokio, on_tokio, true));
        on.has_passed(start, ms(3));
    });
}

/// On one that was entered inside of the other.
#[test]
fn of_two_runtimes_the_one_that_was_entered_last_is_current() {
    watched(two_runtimes);
}

fn two_runtimes() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (sender, ran) = mpsc::channel();
    let report = || {
        let sender = sender.clone();
        move || {
            let in_tokio = tokio::runtime::Handle::try_current().is_ok();
            sender
                .send((rt::Handle::try_current().is_ok(), in_tokio))
                .unwrap();
        }
    };
    rt::block_on(async {
        let entered = tokio.enter();
        go::after_func(ms(1), report());
        assert_eq!(ran.recv().unwrap(), (false, true));
        drop(entered);
    });
    // A runtime of `rt` is entered, but its threads are the ones that run the task.
    let ours = runtime(2);
    tokio.block_on(async {
        let entered = ours.enter();
        go::after_func(ms(1), report());
        drop(entered);
        ours.block_on(sleep(ms(5)));
        assert!(ran.recv().unwrap().0);
    });
}

/// The driver of a thread, entered inside of tokio, fires it there, and it still is a task.
#[test]
fn a_timer_on_another_driver_runs_as_a_task_of_the_current_runtime() {
    watched(|| {
        On::Tokio.run(async {
            let timers = DriverThread::new().unwrap();
            let (sender, ran) = oneshot::channel();
            let entered = timers.handle().enter();
            go::after_func(ms(1), move || {
                sender.send(tokio::task::try_id().is_some()).unwrap();
            });
            drop(entered);
            assert_eq!(ran.await, Ok(true));
        });
    });
}

/// The thread that moves the clock is in no runtime, but the timer was made in one.
#[test]
fn a_timer_that_another_thread_fires_runs_in_its_runtime() {
    let clock = ManualClock::new();
    let runtime = rt::Runtime::builder()
        .clock(&clock)
        .worker_threads(1)
        .build()
        .unwrap();
    let hold = clock.hold();
    let (sender, ran) = mpsc::channel();
    let entered = runtime.enter();
    go::after_func(ms(1), move || {
        sender.send(rt::Handle::try_current().is_ok()).unwrap();
    });
    drop(entered);
    clock.advance(ms(1));
    assert!(ran.try_recv().is_err(), "no worker runs yet");
    runtime.block_on(async { rt::yield_now().await });
    assert_eq!(ran.recv(), Ok(true));
    drop(hold);
}

/// In no runtime: in the turn of the driver that is entered.
#[test]
fn without_a_runtime_it_runs_in_the_turn_of_the_entered_driver() {
    let mut driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let (sender, ran) = mpsc::channel();
    go::after_func(ms(1), move || sender.send(thread::current().id()).unwrap());
    loop {
        driver.park();
        if let Ok(thread) = ran.try_recv() {
            assert_eq!(thread, thread::current().id());
            break;
        }
    }
}

/// And without that, on the process-wide thread.
#[test]
fn without_a_driver_it_runs_on_the_process_wide_thread() {
    let (sender, ran) = mpsc::channel();
    let timer = go::after_func(ms(1), move || sender.send(thread::current().id()).unwrap());
    assert_ne!(ran.recv().unwrap(), thread::current().id());
    assert!(!timer.stop());
}

#[test]
fn stop_and_reset_tell_what_they_did() {
    everywhere(|on| async move {
        let calls = Count::default();
        let count = || {
            let calls = calls.clone();
            move || calls.add()
        };
        let stopped = go::after_func(ms(2), count());
        assert!(stopped.stop() && !stopped.stop());
        let moved = go::after_func(secs(3600), count());
        assert!(moved.reset(ms(2)));
        let again = go::after_func(ms(2), count());
        assert!(again.stop() && !again.reset(ms(1)) && again.reset(ms(3)));
        sleep(ms(5)).await;
        while calls.get() < 2 {
            sleep(ms(1)).await;
        }
        assert!(!moved.stop() && !again.reset(ms(1)));
        sleep(ms(5)).await;
        assert_eq!(calls.get(), 2, "{on:?}");
    });
}

/// As one of tokio's or of `rt` would.
#[test]
fn a_panic_in_the_function_harms_nobody() {
    everywhere(|_| async {
        go::after_func(ms(1), || panic!("a function"));
        let (sender, ran) = oneshot::channel();
        go::after_func(ms(2), move || sender.send(()).unwrap());
        ran.await.unwrap();
    });
}

/// A runtime that ends drops its tasks; so it does what was to become one.
#[test]
fn the_end_of_the_runtime_drops_the_function() {
    for on in [On::Rt, On::Manual, On::Tokio, On::TokioThread] {
        let owned = std::sync::Arc::new(());
        let held = owned.clone();
        let timer = on.run(async { go::after_func(secs(3600), move || drop(held)) });
        // Tokio tells our driver of its end when it drops its own: before this.
        assert_eq!(std::sync::Arc::strong_count(&owned), 1, "{on:?}");
        assert!(!timer.stop() && !timer.reset(ms(1)), "{on:?}");
    }
}

/// In no runtime, where it runs in the turn. A manual clock has to move for that, by a nanosecond.
#[test]
fn a_function_of_zero_is_not_called_by_the_call_itself() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let calls = Count::default();
    let count = calls.clone();
    go::after_func(Duration::ZERO, move || count.add());
    assert_eq!(calls.get(), 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(calls.get(), 1);
}

/// In a runtime it is spawned, at the time that a paused clock shows.
#[cfg(feature = "test-util")]
#[test]
fn on_a_paused_tokio_clock_time_moves_to_functions_timers_and_ticks() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        for wait in [0, 3600] {
            let (sender, ran) = oneshot::channel();
            go::after_func(secs(wait), move || sender.send(Instant::now()).unwrap());
            assert_eq!(ran.await.unwrap() - start, secs(wait));
        }
        let mut never = go::Timer::new(Duration::MAX);
        let mut ticker = go::Ticker::new(secs(3600));
        for hour in 2..5 {
            futures::select! {
                at = never => panic!("fired at {at:?}"),
                at = futures::StreamExt::select_next_some(&mut ticker) => {
                    assert_eq!(at - start, secs(hour * 3600));
                }
            }
        }
        let function = go::after_func(Duration::MAX, || panic!("called"));
        go::after(secs(1_000_000)).await;
        assert!(function.stop());
    });
}

/// By a thread that is in no runtime, or in another one, to a time that has passed already.
#[cfg(feature = "test-util")]
#[test]
fn a_function_that_another_thread_resets_runs_in_its_own_runtime() {
    fn paused() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    }
    watched(|| {
        for in_another in [false, true] {
            paused().block_on(async {
                // The driver has passed the current time.
                sleep(ms(1)).await;
                let (sender, ran) = oneshot::channel();
                let lock = std::sync::Arc::new(std::sync::Mutex::new(()));
                let (calls, locks) = (Count::default(), lock.clone());
                let count = calls.clone();
                let timer = go::after_func(secs(3600), move || {
                    count.add();
                    let _locked = locks.lock().unwrap();
                    let task = tokio::task::try_id();
                    let runtime = tokio::runtime::Handle::current().id();
                    sender.send((runtime, task.is_some())).unwrap();
                });
                let resetter = thread::spawn(move || {
                    let other = paused();
                    let _entered = in_another.then(|| other.enter());
                    let _locked = lock.lock().unwrap();
                    assert!(timer.reset(Duration::ZERO));
                    // What was spawned there runs now.
                    other.block_on(tokio::task::yield_now());
                });
                resetter.join().unwrap();
                assert_eq!(calls.get(), 0, "called by the thread that resets");
                let own = tokio::runtime::Handle::current().id();
                assert_eq!(ran.await, Ok((own, true)));
            });
        }
    });
}
