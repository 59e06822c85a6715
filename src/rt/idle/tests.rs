//! Parked workers without an executor.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use super::standby::RELIEF;
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
}

impl ParkContext for Worker {
    fn is_stopping(&self) -> bool {
        false
    }

    fn lender_polls(&self) -> bool {
        false
    }

    fn runs_tasks(&self) -> bool {
        true
    }

    fn has_work(&self) -> bool {
        false
    }

    fn has_io(&self) -> bool {
        false
    }

    fn collect_io(&mut self) {}

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
        idle.transition_from_parked(0, &mut worker);
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
    let due = idle.slots.due();
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
        waits.push(idle.slots.period() / 1_000_000);
    }
    assert_eq!(waits, [10, 10, 10]);
    assert_eq!(checks(&idle, 0, &[1]), [1]);
    assert_eq!(idle.slots.period() / 1_000_000, 5);
}

/// It has no other timeout. Then it is told to check the slots, and the next check is put off, or
/// the same timeout would unpark its successor.
#[test]
fn parked_worker_is_unparked_to_check_the_slots() {
    let idle = one_parked();
    idle.report_full_slot(1);
    let due = idle.slots.due();
    // This hangs without a timeout.
    while now() < due {
        idle.parkers[0].park();
    }
    let mut worker = Worker::default();
    let unparked = idle.transition_from_parked(0, &mut worker);
    assert!(unparked.must_check_slots && !unparked.searching && worker.fired == 0);
    assert!(idle.slots.due() > due);
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

/// A parker that no worker blocks in, on a clock that the test moves.
#[derive(Default)]
struct TestPark {
    now: AtomicU64,
    timeout: AtomicU64,
    waits_for_io: AtomicBool,
}

impl crate::park::worker::WorkerPark for Arc<TestPark> {
    fn park(&self) {}

    fn unpark(&self) {}

    fn set_timeout(&self, at: u64) -> bool {
        self.timeout.store(at, SeqCst);
        false
    }

    fn moves_timeout(&self) -> bool {
        true
    }

    fn set_io(&self, waits: bool) -> bool {
        self.waits_for_io.store(waits, SeqCst);
        false
    }

    fn now(&self) -> u64 {
        self.now.load(SeqCst)
    }

    fn close(&self) {}
}

/// Workers whose parkers the test looks into.
struct Workers {
    idle: Arc<Idle>,
    parkers: Vec<Arc<TestPark>>,
}

impl Workers {
    /// All of them are parked, and the first one is the owner, until `until`.
    fn parked(count: usize, until: u64) -> Self {
        let parkers: Vec<Arc<TestPark>> = (0..count).map(|_| Arc::default()).collect();
        let boxed = |parker: &Arc<TestPark>| Box::new(parker.clone()) as Box<_>;
        let boxed = parkers.iter().map(boxed).collect();
        let idle = Idle::new(boxed, count, Clock::monotonic(), SharedSlack::new(0));
        let workers = Self { idle, parkers };
        workers.idle.note_fired(2);
        for worker in 0..count {
            workers.idle.transition_to_parked(worker, false);
            if worker == 0 {
                workers.idle.set_until(until);
            }
            workers.idle.prepare_parker(worker);
        }
        workers
    }

    fn park(&self, worker: usize) {
        self.idle.transition_to_parked(worker, false);
        self.idle.prepare_parker(worker);
    }

    fn leaves(&self, worker: usize, now: u64) -> Unparked {
        self.leaves_as(worker, now, &mut Worker::default())
    }

    fn leaves_as(&self, worker: usize, now: u64, context: &mut Worker) -> Unparked {
        self.parkers[worker].now.store(now, SeqCst);
        self.idle.transition_from_parked(worker, context)
    }

    fn owner(&self) -> Option<usize> {
        self.idle.lock().owner
    }

    fn timeout(&self, worker: usize) -> u64 {
        self.parkers[worker].timeout.load(SeqCst)
    }

    fn waits_for_io(&self, worker: usize) -> bool {
        self.parkers[worker].waits_for_io.load(SeqCst)
    }
}

const DUE: u64 = 1_000_000;

/// The other worker, which stands by, is not scheduled: its timeout is set for later, and it does
/// not wait for I/O.
#[test]
fn owner_that_is_back_soon_is_the_owner_again() {
    let workers = Workers::parked(2, DUE);
    assert_eq!(
        (workers.timeout(0), workers.timeout(1)),
        (DUE, DUE + RELIEF)
    );
    assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));

    workers.leaves(0, DUE);
    assert!(workers.idle.is_relieved(0) && !workers.idle.is_relieved(1));
    assert_eq!(workers.timeout(1), DUE + RELIEF);
    assert!(!workers.waits_for_io(1));

    let next = DUE + 10 * RELIEF;
    workers.idle.set_until(next);
    assert_eq!(workers.timeout(1), DUE + RELIEF);
    workers.park(0);
    assert_eq!(workers.owner(), Some(0));
    assert_eq!(
        (workers.timeout(0), workers.timeout(1)),
        (next, next + RELIEF)
    );
    assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));
    assert!(!workers.idle.is_relieved(0));
}

/// It counts as searching: what the one that is away has left in its queue has to be looked for.
#[test]
fn standby_searches_if_the_owner_is_not_back_in_time() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    assert!(workers.leaves(1, DUE + RELIEF).searching);
    assert!(!workers.idle.is_relieved(0));
    workers.idle.end_search();

    workers.park(1);
    assert_eq!(workers.owner(), Some(1));
    assert!(workers.waits_for_io(1));
    workers.park(0);
    assert_eq!(workers.owner(), Some(1));
}

/// The timer is armed by a task of the worker that is away, which runs on. Nothing is set for it: if
/// that worker comes back in time, that would be two system calls in vain.
#[test]
fn timer_that_is_due_before_the_owner_is_expected_back_fires_then() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.set_until(DUE + 1);
    assert_eq!(workers.timeout(1), DUE + RELIEF);
    let mut standby = Worker::default();
    workers.leaves_as(1, DUE + RELIEF, &mut standby);
    assert_eq!(standby.fired, 1);
    assert!(!workers.idle.is_relieved(0));
}

/// Its thread has not been scheduled since. The standby would otherwise park in vain until it is.
#[test]
fn standby_fires_for_an_owner_that_does_not_leave_its_parker() {
    let workers = Workers::parked(2, DUE);
    let (mut standby, mut owner) = (Worker::default(), Worker::default());
    workers.leaves_as(1, DUE + RELIEF, &mut standby);
    assert_eq!((standby.fired, workers.owner()), (1, Some(0)));
    assert_eq!(workers.timeout(0), NEVER);
    assert!(!workers.idle.is_relieved(1));
    workers.leaves_as(0, DUE + RELIEF, &mut owner);
    assert_eq!(owner.fired, 0);
}

/// The other one gets the timeout of any owner at once, and waits for I/O.
#[test]
fn owner_whose_tasks_are_long_is_not_away() {
    let workers = Workers::parked(2, DUE);
    let mut context = Worker {
        expects_long_tasks: true,
        ..Worker::default()
    };
    workers.leaves_as(0, DUE, &mut context);
    assert!(!workers.idle.is_relieved(0));
    assert_eq!(workers.timeout(1), NEVER);
    assert!(workers.waits_for_io(1));
}

/// A worker runs, and may set the owner's timeout at any time.
#[test]
fn no_worker_stands_by_unless_all_are_parked() {
    let workers = Workers::parked(3, DUE);
    let timeouts = |workers: &Workers| [0, 1, 2].map(|worker| workers.timeout(worker));
    assert_eq!(timeouts(&workers), [DUE, NEVER, DUE + RELIEF]);
    workers.idle.notify(2);
    assert!(!workers.idle.lock().absence.is_standby_due(2, NEVER));
    workers.leaves(0, DUE);
    assert!(!workers.idle.is_relieved(0));
    assert_eq!(workers.owner(), Some(1));
}

/// A single task that sleeps over and over would pay for two timeouts.
#[test]
fn no_worker_stands_by_unless_several_timers_fire_at_once() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.note_fired(1);
    workers.idle.set_until(2 * DUE);
    workers.park(0);
    assert_eq!((workers.timeout(0), workers.timeout(1)), (2 * DUE, NEVER));
    workers.leaves(0, 2 * DUE);
    assert!(!workers.idle.is_relieved(0));
}

/// It is unparked for new work, and the third worker relieves the one that is away.
#[test]
fn relief_is_handed_on_by_a_standby_that_is_unparked() {
    let workers = Workers::parked(3, DUE);
    workers.leaves(0, DUE);
    assert_eq!(workers.owner(), Some(2));
    workers.idle.notify(2);
    assert_eq!(workers.owner(), Some(1));
    assert_eq!(workers.timeout(1), DUE + RELIEF);
    assert!(workers.idle.is_relieved(0));
    assert!(workers.leaves(1, DUE + RELIEF).searching);
}

/// Another thread unparks the owner when it is about to park again, so it is no longer in the list.
#[test]
fn owner_that_is_unparked_on_its_way_back_takes_nothing_back() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.transition_to_parked(0, false);
    workers.idle.notify(0);
    workers.idle.prepare_parker(0);
    assert_eq!(workers.owner(), Some(1));
    assert!(workers.idle.is_relieved(0));
}
