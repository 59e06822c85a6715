//! A callback is stopped, moved and fired at once.
//!
//! Each answer has to be exact: of a stop and the call that it would prevent exactly one happens.
//! And what is decided must reach the driver, or a function is never called, or is kept for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::support::{LONG, Race, Room, Time, at_once, check, ns};
use crate::{Driver, FuncTimer, Handle};

/// Counts the calls of a function, and tells whether the function was freed.
#[derive(Clone)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    fn function(&self) -> impl Fn() + Send + use<> {
        let calls = self.0.clone();
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn after(&self, handle: &Handle, duration: Duration) -> FuncTimer {
        handle.call_after(duration, self.function())
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn is_freed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Parks until there was a call.
fn park_until_called(driver: &mut Driver<Room>, calls: &Calls) {
    while calls.get() == 0 {
        driver.park();
    }
}

/// Two threads stop a function that is due: exactly one of the three prevails.
#[test]
fn stops_against_the_call() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let calls = Calls::new();
        let timer = calls.after(driver.handle(), ns(1));
        let other = timer.clone();
        time.set(5);
        let (theirs, ours) = at_once(
            move || other.stop(),
            || {
                driver.turn();
                timer.stop()
            },
        );
        assert_eq!(calls.get() + usize::from(theirs) + usize::from(ours), 1);
        drop(timer);
        assert!(calls.is_freed());
        assert_eq!(driver.handle().armed(), 0);
    });
}

/// A function that is due is moved: it is called once, and later if the reset says so.
#[test]
fn reset_against_the_call() {
    for nanos in [3, 10] {
        check(None, move || {
            let time = Time::new();
            let mut driver = time.turner();
            let calls = Calls::new();
            let timer = calls.after(driver.handle(), ns(1));
            time.set(5);
            let resetter = move || timer.reset(ns(nanos));
            let (moved, early) = at_once(resetter, || {
                driver.turn();
                calls.get()
            });
            assert_eq!(early, usize::from(!moved), "the new time has not come");
            time.set(5 + nanos);
            driver.turn();
            assert_eq!(calls.get(), 1);
            assert!(calls.is_freed());
        });
    }
}

/// A stop, a reset and the call: what the answers say holds in one order of the three.
#[test]
fn stop_and_reset_against_the_call() {
    check(Some(3), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let calls = Calls::new();
        let timer = calls.after(driver.handle(), ns(1));
        let (stops, resets) = (timer.clone(), timer.clone());
        time.set(5);
        let stopper = race.spawn(move || stops.stop());
        let resetter = race.spawn(move || resets.reset(ns(10)));
        race.enter();
        driver.turn();
        let early = calls.get();
        let (stopped, moved) = (stopper.join().unwrap(), resetter.join().unwrap());
        time.set(20);
        driver.turn();
        // Called at first: both are too late. Stopped last: never called. Else it is called later.
        match (early, stopped, moved) {
            (1, false, false) => assert_eq!(calls.get(), 1),
            (0, true, true) => assert_eq!(calls.get(), 0),
            (0, true, false) => assert_eq!(calls.get(), 1),
            outcome => panic!("{outcome:?} is no order of the three"),
        }
        assert_eq!(driver.handle().armed(), 0);
        drop(timer);
        assert!(calls.is_freed());
    });
}

/// Two threads move a function nearer. If the driver were left with the old time, the loop would
/// sleep for ever.
#[test]
fn resets_against_each_other_and_the_park() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = time.driver();
        let calls = Calls::new();
        let timer = calls.after(driver.handle(), LONG);
        let other = timer.clone();
        let resetter = move || other.reset(ns(20));
        let (others, moved) = at_once(resetter, || {
            let moved = timer.reset(ns(10));
            park_until_called(&mut driver, &calls);
            moved
        });
        assert!(moved || others, "the one that came first");
        assert!(time.get() >= 10 && calls.get() == 1);
        drop(timer);
        assert!(calls.is_freed());
    });
}

/// Two threads stop and reset a function. One may leave to the other what is to be done in the
/// driver: at the end the driver has what the last of them asked for, and nothing else.
#[test]
fn resets_and_stops_against_each_other() {
    for stops in [false, true] {
        check(None, move || {
            let time = Time::new();
            let driver = time.turner();
            let calls = Calls::new();
            let timer = calls.after(driver.handle(), LONG);
            let other = timer.clone();
            let stopper = move || match stops {
                true => other.stop(),
                false => other.reset(ns(7)),
            };
            at_once(stopper, || {
                timer.reset(ns(3));
                timer.reset(ns(5));
            });
            let armed = driver.handle().armed();
            let next = driver.next_deadline();
            assert_eq!(armed, usize::from(timer.stop()));
            let nears = [5, 7].map(|nanos| Some(driver.handle().now() + ns(nanos)));
            assert!(armed == 0 || nears.contains(&next));
            assert_eq!(driver.handle().armed(), 0);
            drop(timer);
            assert!(calls.is_freed());
        });
    }
}

/// A function is armed, or moved nearer, by another thread while the loop parks.
#[test]
fn arm_and_reset_against_the_park() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = time.driver();
        let calls = Calls::new();
        let (handle, counted) = (driver.handle().clone(), calls.clone());
        let armer = move || {
            let timer = counted.after(&handle, LONG);
            assert!(timer.reset(ns(3)));
        };
        at_once(armer, || park_until_called(&mut driver, &calls));
        assert_eq!(calls.get(), 1);
        assert!(calls.is_freed());
    });
}

/// A function that is called again and again is stopped while it is called.
#[test]
fn stop_of_a_series_against_its_call() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = time.turner();
        let calls = Calls::new();
        let timer = driver.handle().call_every(ns(2), calls.function());
        time.set(3);
        let (stopped, _) = at_once(move || timer.stop(), || driver.turn());
        assert!(stopped, "a series does not end by itself");
        let before = calls.get();
        time.set(9);
        driver.turn();
        assert_eq!(calls.get(), before);
        assert!(before <= 1 && calls.is_freed());
        assert_eq!(driver.handle().armed(), 0);
    });
}

/// The period of a series changes while it is called: it goes on, with the new one.
#[test]
fn reset_of_a_series_against_its_call() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = time.turner();
        let calls = Calls::new();
        let timer = driver.handle().call_every(ns(2), calls.function());
        let resets = timer.clone();
        time.set(3);
        at_once(move || assert!(resets.reset(ns(10))), || driver.turn());
        let before = calls.get();
        assert!(before <= 1);
        time.set(12);
        driver.turn();
        assert_eq!(calls.get(), before, "called with the old period");
        time.set(13);
        driver.turn();
        assert_eq!(calls.get(), before + 1);
        assert!(timer.stop());
    });
}

/// The driver ends while its function is moved: it is freed, and not called.
#[test]
fn reset_against_the_end_of_the_driver() {
    for every in [false, true] {
        check(Some(3), move || {
            let time = Time::new();
            let driver = time.turner();
            let calls = Calls::new();
            let timer = match every {
                false => calls.after(driver.handle(), ns(1)),
                true => driver.handle().call_every(ns(1), calls.function()),
            };
            let resetter = move || {
                timer.reset(ns(5));
                timer
            };
            let (timer, _) = at_once(resetter, || drop(driver));
            time.set(9);
            assert!(!timer.stop() && !timer.reset(ns(1)));
            assert!(calls.is_freed() && calls.get() == 0);
        });
    }
}
