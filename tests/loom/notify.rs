//! A thread in `block_on` is told of its future while it becomes a worker, or ceases to be one.
//!
//! What goes wrong when one of these fails: the future was woken, and its thread is parked in the
//! other one of its two parks. Here that is a deadlock, which loom reports.

use std::task::Waker;

use super::idle::{Flag, armed, wait};
use super::parker::Timeouts;
use super::pool::Pool;
use crate::rt::local::ThreadUnparker;
use crate::{ManualClock, Park, ThreadPark};

use super::support::{Race, check};

/// A thread parks by itself, begins to run worker 0, and parks in that worker's parker.
#[test]
fn thread_that_becomes_a_worker_finds_what_it_is_notified_of() {
    for timeouts in [Timeouts::Fixed, Timeouts::Moved] {
        check(Some(3), move || {
            let pool = Pool::new(1, timeouts, None);
            let flag = Flag::new();
            let park = ThreadPark::new();
            let notifier = ThreadUnparker::of_thread(park.unparker());
            let race = Race::new();
            let (raise, notifies, of) = (flag.clone(), notifier.clone(), pool.clone());
            let waking = race.spawn(move || {
                raise.raise();
                notifies.notify(of.idle());
            });
            race.enter();
            notifier.set_worker(Some(0));
            wait(&pool, 0, &flag);
            waking.join().unwrap();
        });
    }
}

/// Another thread has borrowed the worker: this one parks by itself again.
#[test]
fn thread_that_is_a_worker_no_longer_finds_what_it_is_notified_of() {
    check(Some(3), || {
        let pool = Pool::new(1, Timeouts::Moved, None);
        let flag = Flag::new();
        let mut park = ThreadPark::new();
        let notifier = ThreadUnparker::of_thread(park.unparker());
        notifier.set_worker(Some(0));
        let race = Race::new();
        let (raise, notifies, of) = (flag.clone(), notifier.clone(), pool.clone());
        let waking = race.spawn(move || {
            raise.raise();
            notifies.notify(of.idle());
        });
        race.enter();
        notifier.set_worker(None);
        while !flag.is_up() {
            park.park(None);
        }
        waking.join().unwrap();
    });
}

/// Time that stands still is held for a thread that waits, from the moment when it is notified.
/// When it runs again it keeps time by itself, and no hold may be left: time would stand still for
/// good.
#[test]
fn no_hold_is_left_for_a_thread_that_waits_no_longer() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(1, Timeouts::Moved, Some(clock.clone().into()));
        let park = ThreadPark::new();
        let notifier = ThreadUnparker::of_thread(park.unparker());
        notifier.begin_wait();
        let race = Race::new();
        let (notifies, of) = (notifier.clone(), pool.clone());
        let waking = race.spawn(move || notifies.notify(of.idle()));
        race.enter();
        drop(notifier.end_wait());
        waking.join().unwrap();
        assert!(notifier.end_wait().is_none());
    });
}

/// One thread wakes the future of another, which is about to wait, and then pauses the clock, which
/// ran until then. Time does not move on to a timer before the woken thread has run.
#[test]
fn time_stands_still_from_a_wake_until_the_woken_thread_runs() {
    check(Some(3), || {
        let pool = Pool::new(1, Timeouts::Moved, None);
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        let flag = Flag::new();
        let mut park = ThreadPark::new();
        let notifier = ThreadUnparker::of_thread(park.unparker());
        let held = pool.idle().clock().hold_if_movable();
        let race = Race::new();
        let (raise, notifies, of) = (flag.clone(), notifier.clone(), pool.clone());
        let waking = race.spawn(move || {
            raise.raise();
            notifies.notify(of.idle());
            of.pause();
            assert!(!of.idle().clock().advance_when_idle());
        });
        race.enter();
        // What `block_on` does when its thread has nothing to do.
        notifier.begin_wait();
        let kept = if flag.is_up() {
            held
        } else {
            drop(held);
            while !flag.is_up() {
                park.park(None);
            }
            pool.idle().clock().hold_if_movable()
        };
        drop(notifier.end_wait());
        waking.join().unwrap();
        drop(kept);
    });
}
