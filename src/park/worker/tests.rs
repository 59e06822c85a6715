//! What every kind of worker parker does.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

type Parker = Box<dyn WorkerPark>;

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;

/// Makes one parker of each kind.
fn parkers() -> Vec<Arc<Parker>> {
    [1, 2]
        .map(|workers| Arc::new(worker_park(workers, None).unwrap()))
        .into()
}

/// Runs `test` on a thread of its own, with each parker, and panics if it hangs.
fn on_each(test: impl Fn(&Arc<Parker>) + Send + Sync + 'static) {
    let test = Arc::new(test);
    for parker in parkers() {
        let (test, (done, finished)) = (test.clone(), mpsc::channel());
        let thread = thread::spawn(move || {
            test(&parker);
            let _ = done.send(());
        });
        if finished.recv_timeout(Duration::from_secs(300)) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("still parked after five minutes");
        }
        thread.join().unwrap();
    }
}

/// Asserts that one of ten calls of `parks` parks exactly once. It may park more often, since a
/// park may end early for no reason, or not at all, if its time is over on a busy machine.
fn assert_parks_once(mut parks: impl FnMut() -> u32) {
    let seen: Vec<_> = (0..10).map(|_| parks()).collect();
    assert!(seen.contains(&1), "parked {seen:?} times");
}

/// Asserts that a park lasts until another thread unparks it.
fn assert_parks_until_unparked(parker: &Arc<Parker>) {
    let (unparked, unparking) = (Arc::new(AtomicU32::new(0)), parker.clone());
    let unparks = unparked.clone();
    let thread = thread::spawn(move || {
        unparks.store(1, Release);
        unparking.unpark();
    });
    parker.park();
    assert_eq!(unparked.load(Acquire), 1, "ended by itself");
    thread.join().unwrap();
}

/// Parks until the clock is past `at`. Returns how often.
fn park_until(parker: &Parker, at: u64) -> u32 {
    let mut parks = 0;
    while now() < at {
        parker.park();
        parks += 1;
    }
    parks
}

/// Starts a thread that parks until the clock is past `at`. Returns once the thread runs.
fn parked_thread(parker: &Arc<Parker>, at: u64) -> thread::JoinHandle<u32> {
    let (parker, (starts, started)) = (parker.clone(), mpsc::channel());
    let thread = thread::spawn(move || {
        starts.send(()).unwrap();
        park_until(&parker, at)
    });
    started.recv().unwrap();
    thread
}

/// Another thread moves the timeout in the kernel there, and has to unpark nobody.
#[test]
fn with_several_workers_the_parker_is_an_epoll_where_there_is_one() {
    let [one, several] = &parkers()[..] else {
        panic!("two kinds");
    };
    assert!(one.set_timeout(HOUR));
    assert_eq!(several.set_timeout(HOUR), !cfg!(target_os = "linux"));
}

#[test]
fn an_unpark_before_a_park_ends_it_and_unparks_merge() {
    on_each(|parker| {
        assert_parks_once(|| {
            parker.set_timeout(NEVER);
            parker.unpark();
            parker.unpark();
            parker.park();
            // Both were one: only the timeout ends this park.
            let at = now() + 2 * MS;
            parker.set_timeout(at);
            park_until(parker, at)
        });
    });
}

#[test]
fn an_unpark_during_a_park_ends_it() {
    on_each(|parker| {
        for _ in 0..1_000 {
            let unparking = parker.clone();
            let thread = thread::spawn(move || unparking.unpark());
            parker.park();
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_timeout_is_not_early_and_ends_parks_until_it_is_set_anew() {
    on_each(|parker| {
        assert_parks_once(|| {
            let at = now() + 3 * MS;
            parker.set_timeout(at);
            let parks = park_until(parker, at);
            parker.park();
            parker.set_timeout(at);
            parker.park();
            parks
        });
        parker.set_timeout(NEVER);
        assert_parks_until_unparked(parker);
    });
}

#[test]
fn a_timeout_in_the_past_ends_the_park_at_once() {
    on_each(|parker| {
        for at in [0, 1, now()] {
            parker.set_timeout(NEVER);
            parker.set_timeout(at);
            parker.park();
        }
    });
}

#[test]
fn a_timeout_beyond_the_end_of_the_clock_ends_no_park() {
    on_each(|parker| {
        for at in [
            NEVER - 1,
            i64::MAX.cast_unsigned() + 1,
            i64::MAX.cast_unsigned(),
        ] {
            parker.set_timeout(at);
            assert_parks_until_unparked(parker);
        }
    });
}

#[test]
fn a_timeout_moved_earlier_during_a_park_takes_effect() {
    on_each(|parker| {
        for _ in 0..100 {
            parker.set_timeout(now() + HOUR);
            let at = now() + MS / 5;
            let thread = parked_thread(parker, at);
            let must_unpark = parker.set_timeout(at);
            if must_unpark {
                parker.unpark();
            }
            let parks = thread.join().unwrap();
            assert!(
                must_unpark || parks <= 1,
                "unparked by the change of the timeout"
            );
        }
    });
}

#[test]
fn a_timeout_moved_later_during_a_park_needs_no_unpark_and_ends_it_at_last() {
    on_each(|parker| {
        let mut seen = Vec::new();
        for _ in 0..100 {
            let (first, last) = (now() + MS, now() + 2 * MS);
            parker.set_timeout(first);
            let thread = parked_thread(parker, last);
            assert!(!parker.set_timeout(last), "asked for an unpark");
            // On a busy machine the first timeout may have passed by now, and have ended many
            // parks.
            let in_time = now() < first;
            let parks = thread.join().unwrap();
            seen.extend(in_time.then_some(parks));
        }
        // Once for each timeout at most, except for parks that end for no reason.
        let often = seen.iter().filter(|parks| **parks > 2).count();
        assert!(often <= seen.len() / 10, "{seen:?}");
    });
}

#[test]
fn a_timeout_that_others_keep_moving_ends_the_park_at_last() {
    on_each(|parker| {
        parker.set_timeout(NEVER);
        let (moved, parking) = (Arc::new(AtomicU32::new(0)), parker.clone());
        let last = moved.clone();
        let thread = thread::spawn(move || {
            while last.load(Acquire) == 0 {
                parking.park();
            }
        });
        let set = |at| {
            if parker.set_timeout(at) {
                parker.unpark();
            }
        };
        for round in 0..2_000 {
            set(now() + HOUR + round % 3);
            set(NEVER);
        }
        // Only the next timeout can end the park.
        moved.store(1, Release);
        if parker.set_timeout(now() + MS) {
            parker.unpark();
        }
        thread.join().unwrap();
    });
}

#[test]
fn no_unpark_is_lost_in_ten_thousand_rounds() {
    on_each(|here| {
        let there = parkers().pop().unwrap();
        let turns = Arc::new(AtomicU32::new(0));
        let wait = |parker: &Parker, turns: &AtomicU32, turn| {
            while turns.load(Relaxed) != turn {
                parker.park();
            }
        };
        let (unparking, parking, counted) = (here.clone(), there.clone(), turns.clone());
        let thread = thread::spawn(move || {
            for round in 0..10_000 {
                wait(&parking, &counted, round * 2 + 1);
                counted.fetch_add(1, AcqRel);
                unparking.unpark();
            }
        });
        for round in 0..10_000 {
            turns.fetch_add(1, AcqRel);
            there.unpark();
            wait(here, &turns, round * 2 + 2);
        }
        thread.join().unwrap();
    });
}

#[test]
fn waiting_for_io_where_there_is_none_changes_nothing() {
    on_each(|parker| {
        for waits in [true, true, false] {
            assert!(!parker.set_io(waits));
            parker.unpark();
            parker.park();
        }
    });
}

/// A thread that has decided to unpark a worker may do so after the runtime has ended.
#[test]
fn a_parker_that_is_closed_takes_unparks_and_timeouts_and_does_nothing() {
    on_each(|parker| {
        let unparking = parker.clone();
        let thread = thread::spawn(move || {
            for at in 0..1_000 {
                unparking.unpark();
                let _must_unpark = unparking.set_timeout(at);
                assert!(!unparking.set_io(at % 2 == 0));
            }
        });
        parker.close();
        parker.close();
        thread.join().unwrap();
        parker.unpark();
        parker.park();
    });
}
