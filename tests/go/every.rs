//! `Handle::call_every`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use reveille::{Clock, Driver, FuncTimer, Handle, ManualClock, ThreadPark};

use crate::on::{On, everywhere};
use crate::support::{Count, Dial, Log, manual, ms, panic_of, secs};

/// A timer that logs the milliseconds at which it is called.
fn logging(driver: &Driver<()>, clock: &ManualClock, period: Duration) -> (FuncTimer, Log<u128>) {
    let (log, start) = (Log::new(), clock.now());
    let (calls, clock) = (log.clone(), clock.clone());
    let call = move || calls.push((clock.now() - start).as_millis());
    (driver.handle().call_every(period, call), log)
}

#[test]
fn it_is_called_each_period_until_it_is_stopped() {
    let (clock, driver) = manual();
    let (timer, log) = logging(&driver, &clock, ms(10));
    clock.advance(ms(35));
    assert_eq!(log.take(), [10, 20, 30]);
    assert!(timer.stop() && !timer.stop());
    clock.advance(ms(35));
    assert_eq!((log.take(), driver.handle().armed()), (vec![], 0));
    assert!(!timer.reset(ms(1)));
    clock.advance(ms(35));
    assert_eq!(log.take(), []);
}

#[test]
fn reset_changes_the_period_and_begins_now() {
    let (clock, driver) = manual();
    let (timer, log) = logging(&driver, &clock, ms(10));
    clock.advance(ms(15));
    assert!(timer.reset(ms(2)));
    clock.advance(ms(4));
    assert!(timer.reset(ms(20)));
    clock.advance(ms(50));
    assert_eq!(log.take(), [10, 17, 19, 39, 59]);
}

/// Go's formula for periodic timers: calls that were missed are left out, and the grid is kept.
#[test]
fn a_late_loop_calls_once_and_goes_on_with_the_grid() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let calls = Count::default();
    let count = calls.clone();
    driver.handle().call_every(ms(10), move || count.add());
    let mut at = |millis, expected| {
        dial.set(ms(millis));
        driver.turn();
        assert_eq!(calls.get(), expected, "at {millis}");
    };
    at(9, 0);
    at(10, 1);
    at(57, 2);
    at(59, 2);
    at(60, 3);
    at(80, 4);
    at(89, 4);
    at(90, 5);
}

/// It may take longer than its period: then it is called again in the next turn, and not in this.
#[test]
fn a_function_that_is_slower_than_its_period_lets_the_turn_end() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    let (calls, slow) = (Count::default(), dial.clone());
    let count = calls.clone();
    driver.handle().call_every(ms(10), move || {
        count.add();
        slow.set(ms(25 * count.get() as u64));
    });
    dial.set(ms(10));
    for turn in 1..=4 {
        assert_eq!(driver.turn().fired(), 1);
        assert_eq!(calls.get(), turn);
    }
}

#[test]
fn a_function_may_stop_and_reset_its_own_timer() {
    let (clock, driver) = manual();
    let own = Arc::new(OnceLock::<FuncTimer>::new());
    let (log, start) = (Log::new(), clock.now());
    let (slot, calls, now) = (own.clone(), log.clone(), clock.clone());
    let timer = driver.handle().call_every(ms(10), move || {
        let this = slot.get().unwrap();
        let at = (now.now() - start).as_millis();
        calls.push(at);
        match at {
            20 => assert!(this.reset(ms(3))),
            26 => assert!(this.stop() && !this.stop() && !this.reset(ms(1))),
            _ => {}
        }
    });
    own.set(timer).unwrap();
    clock.advance(secs(1));
    assert_eq!(log.take(), [10, 20, 23, 26]);
    assert_eq!(driver.handle().armed(), 0);
    // The function was dropped when it returned, or it would keep its own timer for ever.
    assert_eq!(Arc::strong_count(&own), 1);
}

#[test]
fn a_function_that_panics_is_not_called_again_and_is_dropped() {
    let (clock, driver) = manual();
    let owned = Arc::new(());
    let held = owned.clone();
    let bad = driver
        .handle()
        .call_every(ms(1), move || panic!("with {held:?}"));
    let (_timer, log) = logging(&driver, &clock, ms(1));
    clock.advance(ms(3));
    assert_eq!(log.take(), [1, 2, 3]);
    assert_eq!(Arc::strong_count(&owned), 1);
    assert!(!bad.stop() && !bad.reset(ms(1)));
}

#[test]
fn a_period_of_zero_panics_at_the_callers_line() {
    let words = "the period of a callback must be non-zero";
    let zero = || manual().1.handle().call_every(Duration::ZERO, || {});
    let (message, file) = panic_of(zero);
    assert!(
        message.contains(words) && file == file!(),
        "{message} {file}"
    );
    let reset = || {
        manual()
            .1
            .handle()
            .call_every(ms(1), || {})
            .reset(Duration::ZERO)
    };
    let (message, file) = panic_of(reset);
    assert!(
        message.contains(words) && file == file!(),
        "{message} {file}"
    );
    // For one call it is no error.
    let once = manual().1.handle().call_after(ms(1), || {});
    once.reset(Duration::ZERO);
}

#[test]
fn the_longest_period_is_never() {
    let (clock, driver) = manual();
    let (timer, log) = logging(&driver, &clock, Duration::MAX);
    clock.advance(secs(1 << 32));
    assert!(log.take().is_empty() && timer.reset(secs(1 << 32)));
    // It ends where the clock does.
    clock.advance(Duration::MAX);
    assert!(!log.take().is_empty());
}

/// On a real clock, in a loop that parks.
#[test]
fn it_is_never_early() {
    let mut driver = Driver::new(ThreadPark::new());
    let start = driver.handle().now();
    let (log, handle) = (Log::new(), driver.handle().clone());
    let calls = log.clone();
    let timer = driver
        .handle()
        .call_every(ms(2), move || calls.push(handle.now()));
    let mut times = Vec::new();
    while times.len() < 5 {
        driver.park();
        times.extend(log.take());
    }
    assert!(timer.stop());
    for (n, at) in (1..).zip(times) {
        assert!(at >= start + ms(2) * n, "call {n}");
    }
}

/// Another thread may turn the driver meanwhile, or the function itself moves the clock.
#[test]
fn a_function_that_is_due_again_while_it_runs_is_called_afterwards() {
    let (clock, driver) = manual();
    let own = Arc::new(OnceLock::<FuncTimer>::new());
    let (log, start) = (Log::new(), clock.now());
    let (slot, calls, now) = (own.clone(), log.clone(), clock.clone());
    let timer = driver.handle().call_every(ms(10), move || {
        let at = (now.now() - start).as_millis();
        calls.push(at);
        if at == 10 {
            assert!(slot.get().unwrap().reset(ms(5)));
            now.advance(ms(7));
            calls.push(0);
        }
    });
    own.set(timer.clone()).unwrap();
    clock.advance(ms(10));
    assert_eq!(log.take(), [10, 0]);
    clock.advance(ms(8));
    assert_eq!(log.take(), [17, 20, 25]);
    assert!(timer.stop());
}

/// By a worker, in tokio's own turn, or while an idle runtime moves the clock.
#[test]
fn it_is_called_by_the_loop_of_every_executor() {
    everywhere(|on| async move {
        let (sender, mut calls) = mpsc::unbounded();
        let timers = Handle::current();
        let (start, clock) = (timers.now(), timers.clone());
        let timer = timers.call_every(ms(2), move || {
            let _ = sender.unbounded_send(clock.now());
        });
        for n in 1..=5 {
            let at = calls.next().await.unwrap();
            assert!(at >= start + ms(2) * n, "{on:?}: call {n} is early");
            assert!(on != On::Manual || at == start + ms(2) * n);
        }
        assert!(timer.stop());
        // Its function is dropped, and with it the sender.
        while calls.next().await.is_some() {}
    });
}

/// The clock panics when the callback reads it. What is due is called, and goes on with its grid.
#[test]
fn a_clock_that_panics_once_ends_no_series() {
    let (now, panics) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (time, once) = (now.clone(), panics.clone());
    let clock = Clock::custom(move || {
        assert!(!once.swap(false, Ordering::SeqCst), "a clock");
        ms(time.load(Ordering::SeqCst))
    });
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    // It comes first, in the turn that calls the other one.
    let set = panics.clone();
    let before = move || set.store(true, Ordering::SeqCst);
    driver.handle().call_after(ms(10), before);
    let calls = Count::default();
    let count = calls.clone();
    let timer = driver.handle().call_every(ms(10), move || count.add());
    for (at, expected) in [(10, 1), (19, 1), (20, 2), (35, 3), (39, 3), (40, 4)] {
        now.store(at, Ordering::SeqCst);
        driver.turn();
        assert_eq!(calls.get(), expected, "at {at}");
        assert!(!panics.load(Ordering::SeqCst), "the clock has panicked");
    }
    assert!(timer.stop());
}
