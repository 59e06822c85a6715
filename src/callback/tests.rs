//! Tests of what only the inside of the crate can set up: a loop that panics, and the grid.

#[cfg(feature = "rt")]
use std::panic::catch_unwind;
#[cfg(feature = "rt")]
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(feature = "rt")]
use std::sync::{Arc, OnceLock};
#[cfg(feature = "rt")]
use std::time::Duration;

use super::next_on_grid;
#[cfg(feature = "rt")]
use crate::instant::LATEST_DEADLINE;
#[cfg(feature = "rt")]
use crate::{Clock, Driver, FuncTimer};

/// Returns a driver whose loop is told of cancelled timers, as those of runtimes on a clock that
/// may be paused, what its clock shows, and whether the loop panics when it is told next.
#[cfg(feature = "rt")]
fn driver_on_a_runtime() -> (Driver<()>, Arc<AtomicU64>, Arc<AtomicBool>) {
    let time = Arc::new(AtomicU64::new(0));
    let panics = Arc::new(AtomicBool::new(false));
    let (now, panic) = (time.clone(), panics.clone());
    let clock = Clock::custom(move || Duration::from_nanos(now.load(Ordering::SeqCst)));
    let driver = Driver::builder().clock(clock).build_with_unpark(move || {
        assert!(!panic.swap(false, Ordering::SeqCst), "the loop");
    });
    driver.handle().shared.set_notify_on_cancel(|| true);
    (driver, time, panics)
}

/// The reset takes the timer out before it tells the loop.
#[cfg(feature = "rt")]
#[test]
fn a_reset_to_a_time_that_has_passed_arms_a_timer_though_the_loop_panics() {
    let (mut driver, time, panics) = driver_on_a_runtime();
    time.store(5, Ordering::SeqCst);
    // A turn in which nothing is due does not note the time.
    driver.handle().call_after(Duration::ZERO, || {});
    assert_eq!(driver.turn().fired(), 1);
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let timer = driver.handle().call_after(Duration::from_secs(1), move || {
        called.fetch_add(1, Ordering::SeqCst);
    });
    let shared = &driver.handle().shared;
    shared.announce(&shared.lock(), LATEST_DEADLINE);
    panics.store(true, Ordering::SeqCst);
    assert!(catch_unwind(|| timer.reset(Duration::ZERO)).is_err());
    let called = calls.load(Ordering::SeqCst);
    assert_eq!((driver.handle().armed(), called), (1, 0));
    time.store(6, Ordering::SeqCst);
    driver.turn();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(!timer.stop());
}

/// An old wake calls a function that is armed anew meanwhile. That timer is cancelled, of which
/// the loop is told, which panics.
#[cfg(feature = "rt")]
#[test]
fn a_function_is_called_though_the_loop_that_is_told_of_its_other_timer_panics() {
    let (mut driver, time, panics) = driver_on_a_runtime();
    let own = Arc::new(OnceLock::<FuncTimer>::new());
    let (slot, parks) = (own.clone(), driver.handle().shared.clone());
    let panic = panics.clone();
    let first = Duration::from_nanos(1);
    // Fired first in the turn that fires the other one, too.
    driver.handle().call_after(first, move || {
        slot.get().unwrap().reset(Duration::ZERO);
        // Another thread of the runtime parks.
        parks.announce(&parks.lock(), LATEST_DEADLINE);
        panic.store(true, Ordering::SeqCst);
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let timer = driver.handle().call_after(first, move || {
        called.fetch_add(1, Ordering::SeqCst);
    });
    own.set(timer).unwrap();
    time.store(5, Ordering::SeqCst);
    driver.turn();
    assert!(!panics.load(Ordering::SeqCst), "the loop was told");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn the_next_time_of_the_grid_is_after_now_and_a_whole_period_after_the_last() {
    assert_eq!(next_on_grid(10, 10, 5), 15);
    assert_eq!(next_on_grid(10, 14, 5), 15);
    assert_eq!(next_on_grid(10, 15, 5), 20);
    assert_eq!(next_on_grid(10, 29, 5), 30);
    assert_eq!(next_on_grid(10, u64::MAX, 5), u64::MAX);
}

/// Another thread has reset the timer, and a turn passed that time, since the clock was read.
#[test]
fn the_next_time_is_a_period_after_a_reset_that_came_since_the_clock_was_read() {
    assert_eq!(next_on_grid(25, 10, 5), 30);
    assert_eq!(next_on_grid(25, 0, 100), 125);
}
