//! What holds for every kind of bed.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::instant::NEVER;
use crate::system;

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;

/// One bed of each kind there is.
fn beds() -> Vec<Arc<Bed>> {
    let reactor = Reactor::without_io(io::ErrorKind::Other.into());
    [1, 2]
        .map(|workers| Arc::new(Bed::new(workers, &reactor).unwrap()))
        .into()
}

fn now() -> u64 {
    u64::try_from(system::monotonic()).unwrap()
}

/// Runs `test` on a thread of its own, on each bed, and panics if it hangs.
fn on_each(test: impl Fn(&Arc<Bed>) + Send + Sync + 'static) {
    let test = Arc::new(test);
    for bed in beds() {
        let (test, (done, finished)) = (test.clone(), mpsc::channel());
        let thread = thread::spawn(move || {
            test(&bed);
            let _ = done.send(());
        });
        if finished.recv_timeout(Duration::from_secs(300)) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("still asleep after five minutes");
        }
        thread.join().unwrap();
    }
}

/// Asserts that of some tries of `sleeps`, which may return early for no reason or find its time
/// over on a busy machine, one falls asleep exactly once.
fn assert_sleeps_once(mut sleeps: impl FnMut() -> u32) {
    let seen: Vec<_> = (0..10).map(|_| sleeps()).collect();
    assert!(seen.contains(&1), "fell asleep {seen:?} times");
}

/// Asserts that a sleep lasts until it is woken from outside.
fn assert_sleeps_until_woken(bed: &Arc<Bed>) {
    let (woken, waking) = (Arc::new(AtomicU32::new(0)), bed.clone());
    let wakes = woken.clone();
    let thread = thread::spawn(move || {
        wakes.store(1, Release);
        waking.wake();
    });
    bed.sleep();
    assert_eq!(woken.load(Acquire), 1, "ended by itself");
    thread.join().unwrap();
}

/// Sleeps until the clock is past `at`; how many times it fell asleep for that.
fn sleep_until(bed: &Bed, at: u64) -> u32 {
    let mut sleeps = 0;
    while now() < at {
        bed.sleep();
        sleeps += 1;
    }
    sleeps
}

/// A thread that sleeps until the clock is past `at`, and has begun to.
fn sleeper(bed: &Arc<Bed>, at: u64) -> thread::JoinHandle<u32> {
    let (bed, (lying, lies)) = (bed.clone(), mpsc::channel());
    let thread = thread::spawn(move || {
        lying.send(()).unwrap();
        sleep_until(&bed, at)
    });
    lies.recv().unwrap();
    thread
}

#[test]
fn with_several_workers_the_bed_is_an_epoll_where_there_is_one() {
    let kinds = beds();
    assert!(matches!(kinds[0].0, Kind::Thread(_)));
    assert_eq!(
        matches!(kinds[1].0, Kind::Epoll(_)),
        cfg!(target_os = "linux")
    );
}

#[test]
fn a_wake_before_a_sleep_ends_it_and_wakes_merge() {
    on_each(|bed| {
        assert_sleeps_once(|| {
            bed.set_alarm(NEVER);
            bed.wake();
            bed.wake();
            bed.sleep();
            // Both were one: only the alarm ends this.
            let at = now() + 2 * MS;
            bed.set_alarm(at);
            sleep_until(bed, at)
        });
    });
}

#[test]
fn a_wake_during_a_sleep_ends_it() {
    on_each(|bed| {
        for _ in 0..1_000 {
            let waking = bed.clone();
            let thread = thread::spawn(move || waking.wake());
            bed.sleep();
            thread.join().unwrap();
        }
    });
}

#[test]
fn an_alarm_is_not_early_and_rings_until_it_is_set_anew() {
    on_each(|bed| {
        assert_sleeps_once(|| {
            let at = now() + 3 * MS;
            bed.set_alarm(at);
            let sleeps = sleep_until(bed, at);
            bed.sleep();
            bed.set_alarm(at);
            bed.sleep();
            sleeps
        });
        bed.set_alarm(NEVER);
        assert_sleeps_until_woken(bed);
    });
}

#[test]
fn an_alarm_in_the_past_ends_the_sleep_at_once() {
    on_each(|bed| {
        for at in [0, 1, now()] {
            bed.set_alarm(NEVER);
            bed.set_alarm(at);
            bed.sleep();
        }
    });
}

#[test]
fn an_alarm_beyond_the_end_of_the_clock_does_not_ring() {
    on_each(|bed| {
        for at in [
            NEVER - 1,
            i64::MAX.cast_unsigned() + 1,
            i64::MAX.cast_unsigned(),
        ] {
            bed.set_alarm(at);
            assert_sleeps_until_woken(bed);
        }
    });
}

#[test]
fn an_alarm_moved_earlier_during_a_sleep_takes_effect() {
    on_each(|bed| {
        for _ in 0..100 {
            bed.set_alarm(now() + HOUR);
            let at = now() + MS / 5;
            let thread = sleeper(bed, at);
            let must_wake = bed.set_alarm(at);
            if must_wake {
                bed.wake();
            }
            let sleeps = thread.join().unwrap();
            assert!(must_wake || sleeps <= 1, "woken by the alarm's moving");
        }
    });
}

#[test]
fn an_alarm_moved_later_during_a_sleep_needs_no_wake_and_ends_it_at_last() {
    on_each(|bed| {
        let mut seen = Vec::new();
        for _ in 0..100 {
            let (first, last) = (now() + MS / 10, now() + MS);
            bed.set_alarm(first);
            let thread = sleeper(bed, last);
            assert!(!bed.set_alarm(last), "asked for a wake");
            seen.push(thread.join().unwrap());
        }
        // Once for each alarm at most, but for sleeps that end for no reason.
        let often = seen.iter().filter(|sleeps| **sleeps > 2).count();
        assert!(often < 10, "{seen:?}");
    });
}

#[test]
fn an_alarm_that_others_keep_moving_ends_the_sleep_at_last() {
    on_each(|bed| {
        bed.set_alarm(NEVER);
        let (moved, sleeping) = (Arc::new(AtomicU32::new(0)), bed.clone());
        let last = moved.clone();
        let thread = thread::spawn(move || {
            while last.load(Acquire) == 0 {
                sleeping.sleep();
            }
        });
        let set = |at| {
            if bed.set_alarm(at) {
                bed.wake();
            }
        };
        for round in 0..2_000 {
            set(now() + HOUR + round % 3);
            set(NEVER);
        }
        // The next alarm is the only thing that can end the sleep.
        moved.store(1, Release);
        if bed.set_alarm(now() + MS) {
            bed.wake();
        }
        thread.join().unwrap();
    });
}

#[test]
fn no_wake_is_lost_in_ten_thousand_rounds() {
    on_each(|here| {
        let there = beds().pop().unwrap();
        let turns = Arc::new(AtomicU32::new(0));
        let wait = |bed: &Bed, turns: &AtomicU32, turn| {
            while turns.load(Relaxed) != turn {
                bed.sleep();
            }
        };
        let (waking, sleeping, counted) = (here.clone(), there.clone(), turns.clone());
        let thread = thread::spawn(move || {
            for round in 0..10_000 {
                wait(&sleeping, &counted, round * 2 + 1);
                counted.fetch_add(1, AcqRel);
                waking.wake();
            }
        });
        for round in 0..10_000 {
            turns.fetch_add(1, AcqRel);
            there.wake();
            wait(here, &turns, round * 2 + 2);
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_watch_without_io_changes_nothing() {
    on_each(|bed| {
        for watch in [true, true, false] {
            assert!(!bed.set_watch(watch));
            bed.wake();
            bed.sleep();
        }
    });
}

/// A thread that has decided to wake a worker may get to it when the runtime has ended.
#[test]
fn a_bed_that_is_closed_takes_wakes_and_alarms_and_does_nothing() {
    on_each(|bed| {
        let waking = bed.clone();
        let thread = thread::spawn(move || {
            for at in 0..1_000 {
                waking.wake();
                let _must_wake = waking.set_alarm(at);
                assert!(!waking.set_watch(at % 2 == 0));
            }
        });
        bed.close();
        bed.close();
        thread.join().unwrap();
        bed.wake();
        bed.sleep();
    });
}
