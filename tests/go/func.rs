//! `Handle::call_after`: a function that is called in the driver's turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use reveille::{Driver, FuncTimer, Handle, ManualClock, ThreadPark};

use crate::support::{Count, Dial, Log, Task, manual, manual_counting_unparks, ms, secs};

/// A timer that a function of its own can reach.
type Slot = Arc<OnceLock<FuncTimer>>;

fn counting(handle: &Handle, after: Duration) -> (FuncTimer, Count) {
    let calls = Count::default();
    let called = calls.clone();
    (handle.call_after(after, move || called.add()), calls)
}

#[test]
fn it_is_called_when_it_is_due_on_the_thread_that_turns() {
    let (clock, driver) = manual();
    let log = Log::new();
    for (name, after) in [("c", 3), ("a", 1), ("b", 1), ("d", 4)] {
        let (log, clock) = (log.clone(), clock.clone());
        driver.handle().call_after(ms(after), move || {
            log.push((name, clock.now(), thread::current().id()));
        });
    }
    let (start, here) = (clock.now(), thread::current().id());
    clock.advance(ms(3));
    let at = |name, after| (name, start + ms(after), here);
    assert_eq!(log.take(), [at("a", 1), at("b", 1), at("c", 3)]);
    assert_eq!(driver.handle().armed(), 1);
}

/// Callbacks and futures are in one order.
#[test]
fn callbacks_and_tasks_are_fired_in_the_order_of_their_deadlines() {
    let (clock, driver) = manual();
    let log = Log::new();
    let handle = driver.handle();
    let call = |name: &'static str, after| {
        let log = log.clone();
        handle.call_after(ms(after), move || log.push(name));
    };
    let sleep = |name: &'static str, after| {
        let mut sleep = handle.sleep(ms(after));
        let waker = log.waker(name);
        assert!(crate::support::poll_with(&mut sleep, &waker).is_pending());
        sleep
    };
    call("second", 2);
    let _sleeps = [sleep("first", 1), sleep("third", 2)];
    call("fourth", 3);
    clock.advance(ms(3));
    assert_eq!(log.take(), ["first", "second", "third", "fourth"]);
}

/// The call that makes or resets it may hold locks that the function takes.
#[test]
fn a_callback_that_is_due_already_is_called_in_a_later_turn_and_not_at_once() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    dial.set(ms(5));
    driver.turn();
    let lock = Arc::new(Mutex::new(()));
    let takes = |lock: &Arc<Mutex<()>>| {
        let lock = lock.clone();
        move || drop(lock.try_lock().expect("it is locked"))
    };
    let guard = lock.lock().unwrap();
    let zero = driver.handle().call_after(Duration::ZERO, takes(&lock));
    let moved = driver.handle().call_after(secs(1), takes(&lock));
    assert!(moved.reset(Duration::ZERO));
    drop(guard);
    dial.set(ms(6));
    assert_eq!(driver.turn().fired(), 2);
    assert!(!zero.stop() && !moved.stop());
}

#[test]
fn stop_tells_whether_it_prevented_the_call() {
    let (clock, driver) = manual();
    let (timer, calls) = counting(driver.handle(), ms(1));
    assert!(timer.clone().stop() && !timer.stop());
    clock.advance(ms(9));
    assert_eq!((calls.get(), driver.handle().armed()), (0, 0));

    let (timer, calls) = counting(driver.handle(), ms(1));
    clock.advance(ms(1));
    assert!(!timer.stop());
    assert_eq!(calls.get(), 1);
}

/// Earlier, later, and again after a stop, as in Go; but not after it was called.
#[test]
fn reset_moves_the_call_until_it_was_made() {
    let (clock, driver) = manual();
    let (timer, calls) = counting(driver.handle(), ms(10));
    assert!(timer.reset(ms(20)));
    clock.advance(ms(19));
    assert!(timer.reset(ms(5)));
    clock.advance(ms(4));
    assert_eq!(calls.get(), 0);
    assert!(timer.stop() && !timer.reset(ms(1)) && timer.reset(ms(2)));
    clock.advance(ms(1));
    assert_eq!(calls.get(), 0);
    clock.advance(ms(1));
    assert_eq!(calls.get(), 1);
    assert!(!timer.reset(ms(1)));
    clock.advance(ms(9));
    assert_eq!((calls.get(), driver.handle().armed()), (1, 0));
}

#[test]
fn the_longest_durations_are_never() {
    let (clock, driver) = manual();
    let (timer, calls) = counting(driver.handle(), Duration::MAX);
    let (reset, _) = counting(driver.handle(), ms(1));
    assert!(reset.reset(secs(u64::MAX)));
    clock.advance(Duration::MAX);
    assert_eq!(calls.get(), 0);
    assert!(timer.stop() && reset.stop());
}

/// As of any timer: once, and only if it is earlier than what the loop waits for.
#[test]
fn arming_a_callback_interrupts_a_loop_that_would_wake_too_late() {
    let (_clock, driver, unparks) = manual_counting_unparks();
    let _ = driver.next_timeout();
    let (first, _) = counting(driver.handle(), ms(5));
    assert_eq!(unparks.get(), 1);
    let _ = driver.next_timeout();
    let (_later, _) = counting(driver.handle(), ms(9));
    assert_eq!(unparks.get(), 1);
    assert!(first.reset(ms(1)));
    assert_eq!(unparks.get(), 2);
}

/// The panic hook reports it, and the turn goes on.
#[test]
fn a_panic_harms_no_other_timer() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(3));
    assert!(task.poll(&mut sleep).is_pending());
    let (before, first) = counting(driver.handle(), ms(1));
    let bad = driver.handle().call_after(ms(2), || panic!("a callback"));
    let (_after, last) = counting(driver.handle(), ms(4));
    clock.advance(ms(9));
    assert_eq!((first.get(), task.wakes(), last.get()), (1, 1, 1));
    assert!(!bad.stop() && !bad.reset(ms(1)) && !before.stop());
}

/// Itself, others, futures: no lock is held while it runs.
#[test]
fn a_callback_may_make_stop_move_and_drop_timers() {
    let (clock, driver) = manual();
    let (stopped, never) = counting(driver.handle(), ms(5));
    let (moved, later) = counting(driver.handle(), ms(5));
    let task = Task::new();
    let mut sleep = driver.handle().sleep(ms(5));
    assert!(task.poll(&mut sleep).is_pending());
    let (handle, made, own) = (driver.handle().clone(), Count::default(), Slot::default());
    let (count, slot) = (made.clone(), own.clone());
    let timer = driver.handle().call_after(ms(1), move || {
        assert!(stopped.stop() && moved.reset(ms(9)));
        drop(sleep);
        let this = slot.get().unwrap();
        assert!(!this.stop() && !this.reset(ms(1)), "it has begun");
        let count = count.clone();
        handle.call_after(ms(1), move || count.add());
    });
    own.set(timer).unwrap();
    clock.advance(ms(9));
    assert_eq!((never.get(), later.get(), made.get()), (0, 0, 1));
    clock.advance(ms(1));
    assert_eq!((later.get(), task.wakes()), (1, 0));
    assert_eq!(driver.handle().armed(), 0);
}

/// The last reference to the driver may be the function's own.
#[test]
fn a_callback_may_drop_the_last_handle() {
    let (clock, driver) = manual();
    let handle = driver.handle().clone();
    let dropped = Count::default();
    let (count, last) = (dropped.clone(), handle.clone());
    handle.call_after(ms(1), move || {
        drop(driver);
        drop(last);
        count.add();
    });
    drop(handle);
    clock.advance(ms(1));
    assert_eq!(dropped.get(), 1);
}

/// A chain of zeros does not keep the turn from ending.
#[test]
fn a_callback_that_makes_the_next_one_lets_the_turn_end() {
    fn chain(handle: &Handle, calls: &Count) {
        let (next, count) = (handle.clone(), calls.clone());
        handle.call_after(Duration::ZERO, move || {
            count.add();
            chain(&next, &count);
        });
    }
    let mut driver = Driver::new(ThreadPark::new());
    let calls = Count::default();
    chain(driver.handle(), &calls);
    for _ in 0..100 {
        let before = calls.get();
        while calls.get() == before {
            driver.park();
        }
        assert_eq!(calls.get(), before + 1, "one in each turn");
    }
}

/// It is not called, and what it owns is freed with the driver.
#[test]
fn the_end_of_the_driver_drops_the_function() {
    let (clock, driver) = manual();
    let handle = driver.handle().clone();
    let owned = Arc::new(());
    let owns = || {
        let owned = owned.clone();
        move || panic!("called, with {owned:?}")
    };
    let timers = [
        handle.call_after(ms(1), owns()),
        handle.call_after(Duration::MAX, owns()),
        handle.call_every(ms(1), owns()),
    ];
    drop(driver);
    clock.advance(secs(1));
    assert_eq!(Arc::strong_count(&owned), 1);
    for timer in timers {
        assert!(!timer.stop() && !timer.reset(ms(1)));
    }
    let late = handle.call_after(Duration::ZERO, owns());
    assert_eq!(Arc::strong_count(&owned), 1);
    assert!(!late.stop() && !late.reset(ms(1)));
}

/// An unpark is foreign code: it may use the very timer that it is called for.
#[test]
fn an_unpark_may_stop_the_timer_that_interrupts_the_loop() {
    let own = Slot::default();
    let slot = own.clone();
    let clock = reveille::ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(move || {
        slot.get().map(FuncTimer::stop);
    });
    let (timer, calls) = counting(driver.handle(), secs(5));
    own.set(timer.clone()).unwrap();
    let _ = driver.next_timeout();
    assert!(timer.reset(ms(1)), "and the unpark stops it");
    assert_eq!(driver.handle().armed(), 0);
    clock.advance(secs(9));
    assert_eq!(calls.get(), 0);
    assert!(!timer.stop());
}

/// Its panic goes to the caller, and the timer can still be moved and stopped.
#[test]
fn an_unpark_that_panics_does_not_break_the_timer() {
    let clock = reveille::ManualClock::new();
    let panics = Arc::new(Mutex::new(false));
    let armed = panics.clone();
    let driver = Driver::builder().clock(&clock).build_with_unpark(move || {
        let panics = *armed.lock().unwrap();
        assert!(!panics, "an unpark");
    });
    let (timer, calls) = counting(driver.handle(), secs(5));
    let _ = driver.next_timeout();
    *panics.lock().unwrap() = true;
    let moved = timer.clone();
    let (message, _) = crate::support::panic_of(move || moved.reset(ms(1)));
    assert_eq!(message, "an unpark");
    *panics.lock().unwrap() = false;
    assert!(timer.reset(ms(3)));
    clock.advance(ms(2));
    assert_eq!(calls.get(), 0);
    clock.advance(ms(1));
    assert_eq!(calls.get(), 1);
    assert!(!timer.stop());
}

/// A driver whose unpark calls a function, and then panics, once it is told to.
fn unpark_panics(call: impl Fn() + Send + Sync + 'static) -> (ManualClock, Driver<()>, Switch) {
    let (clock, switch) = (ManualClock::new(), Switch::default());
    let on = switch.clone();
    let driver = Driver::builder().clock(&clock).build_with_unpark(move || {
        if on.load(Ordering::SeqCst) {
            call();
            panic!("an unpark");
        }
    });
    (clock, driver, switch)
}

type Switch = Arc<AtomicBool>;

/// What the unpark decides is left to the thread that has called it.
#[test]
fn an_unpark_that_resets_the_timer_and_panics_leaves_it_armed_for_that() {
    let own = Slot::default();
    let slot = own.clone();
    let (clock, driver, panics) = unpark_panics(move || {
        slot.get().map(|timer| timer.reset(ms(3)));
    });
    let (timer, calls) = counting(driver.handle(), secs(5));
    own.set(timer.clone()).unwrap();
    let _ = driver.next_timeout();
    panics.store(true, Ordering::SeqCst);
    let moved = timer.clone();
    let (message, _) = crate::support::panic_of(move || moved.reset(ms(1)));
    assert_eq!(message, "an unpark");
    panics.store(false, Ordering::SeqCst);
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(2));
    assert_eq!(calls.get(), 0);
    clock.advance(ms(1));
    assert_eq!(calls.get(), 1);
    assert!(!timer.stop());
}

/// Whether the timer was moved, or armed after a stop.
#[test]
fn a_timer_is_stopped_after_the_unpark_for_it_has_panicked() {
    for stopped in [false, true] {
        let (clock, driver, panics) = unpark_panics(|| {});
        let (timer, calls) = counting(driver.handle(), secs(5));
        assert!(!stopped || timer.stop());
        let _other = driver.handle().call_after(secs(9), || {});
        let _ = driver.next_timeout();
        panics.store(true, Ordering::SeqCst);
        let moved = timer.clone();
        let (message, _) = crate::support::panic_of(move || moved.reset(ms(1)));
        assert_eq!(message, "an unpark");
        assert_eq!(driver.handle().armed(), 2);
        panics.store(false, Ordering::SeqCst);
        assert!(timer.stop());
        assert_eq!(driver.handle().armed(), 1, "the other one");
        clock.advance(secs(8));
        assert_eq!(calls.get(), 0);
    }
}

/// A closure that owns something is freed with its timer.
#[test]
fn an_unpark_that_panics_keeps_nothing_of_the_timer() {
    let (_clock, driver, panics) = unpark_panics(|| {});
    let owned = Arc::new(());
    let held = owned.clone();
    let timer = driver
        .handle()
        .call_after(Duration::MAX, move || drop(held));
    let _other = driver.handle().call_after(secs(9), || {});
    let _ = driver.next_timeout();
    assert!(timer.stop());
    panics.store(true, Ordering::SeqCst);
    let armed = timer.clone();
    crate::support::panic_of(move || armed.reset(ms(1)));
    assert!(timer.stop());
    drop(timer);
    assert_eq!(Arc::strong_count(&owned), 1);
}

/// A turn has seen the time that the clock shows: only a later time is a new turn's.
#[test]
fn a_function_of_zero_waits_for_a_clock_at_rest_if_a_turn_has_seen_its_time() {
    let dial = Dial::default();
    let mut driver = dial.driver();
    dial.set(ms(1));
    // No turn has seen this time yet.
    let (_timer, first) = counting(driver.handle(), Duration::ZERO);
    assert_eq!((driver.turn().fired(), first.get()), (1, 1));
    let (timer, second) = counting(driver.handle(), Duration::ZERO);
    assert_eq!((driver.turn().fired(), second.get()), (0, 0));
    dial.set(ms(1) + Duration::from_nanos(1));
    assert_eq!((driver.turn().fired(), second.get()), (1, 1));
    assert!(!timer.stop());
}
