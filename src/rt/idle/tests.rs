//! Parked workers without an executor.

mod io_absence;
mod timer_absence;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use super::*;
use crate::park::worker::{park_without_io, worker_park};
use crate::system;

fn now() -> u64 {
    system::monotonic().cast_unsigned()
}

/// A worker without tasks, which counts how often it is told to fire.
#[derive(Default)]
struct Worker {
    fired: usize,
    expects_long_tasks: bool,
    has_no_io: bool,
}

impl ParkContext for Worker {
    fn is_stopping(&self) -> bool {
        false
    }

    fn lender_polls(&self) -> bool {
        false
    }

    fn takes_tasks(&self) -> bool {
        true
    }

    fn has_work(&self) -> bool {
        false
    }

    fn has_io(&self) -> bool {
        false
    }

    fn collect_io(&mut self) {}

    fn has_collected_io(&self) -> bool {
        !self.has_no_io
    }

    fn expects_short_tasks(&self) -> bool {
        !self.expects_long_tasks
    }

    fn fire(&mut self) -> usize {
        self.fired += 1;
        2
    }

    fn advance(&mut self) {}
}

fn idle(workers: usize) -> Arc<Idle> {
    let parkers = (0..workers).map(|_| worker_park(workers, None).unwrap());
    Idle::new(
        parkers.collect(),
        workers,
        Clock::monotonic(),
        SharedSlack::new(0),
    )
}

/// Parks the first worker, and asserts that nothing but an unpark ends that.
fn assert_parks_until_unparked(idle: &Arc<Idle>) {
    let (unparked, unparking) = (Arc::new(AtomicBool::new(false)), idle.clone());
    let unparks = unparked.clone();
    let thread = thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(10));
        unparks.store(true, SeqCst);
        unparking.notify(0);
    });
    idle.parkers[0].park();
    assert!(unparked.load(SeqCst), "ended by a timeout that is over");
    thread.join().unwrap();
}

/// The timeout of an owner that runs again is over. It once went on to end each park.
#[test]
fn an_owner_whose_timeout_has_ended_parks_if_nothing_else_is_to_come() {
    for workers in [1, 2] {
        let (idle, mut worker) = (idle(workers), Worker::default());
        idle.transition_to_parked(0, false);
        idle.set_until(now());
        idle.prepare_parker(0);
        idle.parkers[0].park();
        idle.leave_parked_and_fire(0, &mut worker);
        assert_eq!(worker.fired, 1);

        idle.transition_to_parked(0, false);
        idle.prepare_parker(0);
        assert_parks_until_unparked(&idle);
    }
}

/// Two workers, of which the first is parked and owns the driver.
fn one_parked() -> Arc<Idle> {
    let idle = idle(2);
    idle.add_thread();
    idle.add_thread();
    idle.transition_to_parked(0, false);
    idle.prepare_parker(0);
    idle
}

/// Checks the slots when it is time, on behalf of `worker`; those of `full` are full.
fn checks(idle: &Idle, worker: usize, full: &[usize]) -> Vec<usize> {
    let due = idle.lifo_watch.due();
    assert_ne!(due, NEVER);
    while now() < due {
        thread::yield_now();
    }
    idle.check_slots(worker, false, |worker| full.contains(&worker))
}

/// The first look finds the task that started the looks. One that was put there since the last look
/// is left alone, until the next.
#[test]
fn task_that_lies_in_a_slot_from_one_check_to_the_next_is_found() {
    let idle = one_parked();
    assert!(idle.report_flag(1).is_raised());
    idle.report_full_slot(1);
    assert_eq!(checks(&idle, 0, &[1]), [1]);

    idle.report_full_slot(1);
    assert!(!idle.report_flag(1).is_raised());
    assert_eq!(checks(&idle, 0, &[1]), []);
    assert!(idle.report_flag(1).is_raised());
    assert_eq!(checks(&idle, 0, &[1]), [1]);
    // The checking worker runs no task: it will get to its own slot.
    assert_eq!(checks(&idle, 1, &[1]), []);
}

#[test]
fn checks_end_when_no_slot_is_used_and_begin_with_the_next_put() {
    let idle = one_parked();
    idle.report_full_slot(1);
    idle.report_full_slot(1);
    assert_eq!(checks(&idle, 0, &[]), []);
    assert_eq!(checks(&idle, 0, &[]), []);
    assert!(!idle.checks_slots());
    assert!(idle.report_flag(0).is_raised() && idle.report_flag(1).is_raised());
    idle.report_full_slot(1);
    assert!(idle.checks_slots());
}

/// The longer slots are in use, the rarer the checks are, up to one every 10 ms.
#[test]
fn checks_become_rarer_until_a_task_is_found() {
    let idle = one_parked();
    let mut waits = Vec::new();
    idle.report_full_slot(1);
    for _ in 0..3 {
        idle.report_full_slot(1);
        assert_eq!(checks(&idle, 0, &[1]), []);
        waits.push(idle.lifo_watch.period() / 1_000_000);
    }
    assert_eq!(waits, [10, 10, 10]);
    assert_eq!(checks(&idle, 0, &[1]), [1]);
    assert_eq!(idle.lifo_watch.period() / 1_000_000, 5);
}

/// It has no other timeout. Then it is told to check the slots, and the next check is put off, or
/// the same timeout would unpark its successor.
#[test]
fn parked_worker_is_unparked_to_check_the_slots() {
    let idle = one_parked();
    idle.report_full_slot(1);
    let due = idle.lifo_watch.due();
    // This hangs without a timeout.
    while now() < due {
        idle.parkers[0].park();
    }
    let mut worker = Worker::default();
    let unparked = idle.leave_parked_and_fire(0, &mut worker);
    assert!(unparked.must_check_lifo_slots && !unparked.searching && worker.fired == 0);
    assert!(idle.lifo_watch.due() > due);
    assert_eq!(
        idle.check_slots(0, true, |worker| worker == 1),
        [1],
        "though it is not about time"
    );
}

/// Their slots are empty. The timeout of the driver owner is set back.
#[test]
fn checks_end_when_every_worker_is_parked_or_gone() {
    for parks in [true, false] {
        let idle = one_parked();
        idle.report_full_slot(1);
        idle.report_full_slot(1);
        assert!(idle.checks_slots() && !idle.report_flag(1).is_raised());
        match parks {
            true => idle.transition_to_parked(1, false),
            false => idle.remove_thread(false),
        }
        assert!(!idle.checks_slots());
        assert!(idle.report_flag(0).is_raised() && idle.report_flag(1).is_raised());
        assert_parks_until_unparked(&idle);
    }
}

/// No other worker could take its task.
#[test]
fn single_worker_reports_nothing() {
    let idle = Idle::new(
        Box::new([park_without_io()]),
        1,
        Clock::monotonic(),
        SharedSlack::new(0),
    );
    assert!(!idle.report_flag(0).is_raised());
}
