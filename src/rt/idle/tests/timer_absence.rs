//! Tests of the worker that stands by while the owner fires timers.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::*;

/// How much later than the driver owner the timer deputy wakes where there is no slack.
const RELIEF_AFTER: u64 = 250_000;

/// A parker that no worker blocks in, on a clock that the test moves.
#[derive(Default)]
pub(super) struct TestPark {
    pub(super) now: AtomicU64,
    timeout: AtomicU64,
    waits_for_io: AtomicBool,
    /// Whether it has to be unparked for I/O that it is to wait for.
    needs_unpark_for_io: AtomicBool,
    /// How often it has reviewed that, for its own worker and for others.
    pub(super) reviews: [AtomicU64; 2],
}

impl crate::park::worker::WorkerPark for Arc<TestPark> {
    fn park(&self) {}

    fn unpark(&self) {}

    fn set_timeout(&self, at: u64) -> bool {
        self.timeout.store(at, SeqCst);
        false
    }

    fn sets_timeout_while_parked(&self) -> bool {
        true
    }

    fn set_io(&self, waits: bool) -> bool {
        self.waits_for_io.store(waits, SeqCst);
        false
    }

    fn sets_io_while_parked(&self) -> bool {
        !self.needs_unpark_for_io.load(SeqCst)
    }

    fn review_io(&self, is_own: bool) {
        self.reviews[usize::from(is_own)].fetch_add(1, SeqCst);
    }

    fn now(&self) -> u64 {
        self.now.load(SeqCst)
    }

    fn close(&self) {}
}

/// Workers whose parkers the test looks into.
pub(super) struct Workers {
    pub(super) idle: Arc<Idle>,
    pub(super) parkers: Vec<Arc<TestPark>>,
}

impl Workers {
    /// All of them are parked, and the first one is the owner, until `until`.
    pub(super) fn parked(count: usize, until: u64) -> Self {
        Self::parked_without(0, count, until, 0)
    }

    /// The first `without` of them have no thread. The others are parked, and the first one of
    /// those is the owner, until `until`.
    fn parked_without(without: usize, count: usize, until: u64, slack: u64) -> Self {
        let parkers: Vec<Arc<TestPark>> = (0..count).map(|_| Arc::default()).collect();
        let boxed = |parker: &Arc<TestPark>| Box::new(parker.clone()) as Box<_>;
        let boxed = parkers.iter().map(boxed).collect();
        let idle = Idle::new(boxed, count, Clock::monotonic(), SharedSlack::new(slack));
        let workers = Self { idle, parkers };
        workers.idle.note_fired_by_timeout(2);
        (without..count).for_each(|_| workers.idle.add_thread());
        for worker in without..count {
            workers.idle.transition_to_parked(worker, false);
            if worker == without {
                workers.idle.set_until(until);
            }
            workers.idle.prepare_parker(worker);
        }
        workers
    }

    pub(super) fn park(&self, worker: usize) {
        self.idle.transition_to_parked(worker, false);
        self.idle.prepare_parker(worker);
    }

    pub(super) fn leaves(&self, worker: usize, now: u64) -> Unparked {
        self.leaves_as(worker, now, &mut Worker::default())
    }

    pub(super) fn leaves_as(&self, worker: usize, now: u64, context: &mut Worker) -> Unparked {
        self.parkers[worker].now.store(now, SeqCst);
        self.idle.leave_parked_and_fire(worker, context)
    }

    pub(super) fn keeper(&self) -> Option<usize> {
        self.idle.lock().keeper
    }

    pub(super) fn timeout(&self, worker: usize) -> u64 {
        self.parkers[worker].timeout.load(SeqCst)
    }

    /// Makes a worker one that has to be unparked for I/O.
    pub(super) fn needs_unpark_for_io(&self, worker: usize) {
        let flag = &self.parkers[worker].needs_unpark_for_io;
        flag.store(true, SeqCst);
    }

    pub(super) fn waits_for_io(&self, worker: usize) -> bool {
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
        (DUE, DUE + RELIEF_AFTER)
    );
    assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));

    workers.leaves(0, DUE);
    assert!(workers.idle.is_away_for_timers(0) && !workers.idle.is_away_for_timers(1));
    assert_eq!(workers.timeout(1), DUE + RELIEF_AFTER);
    assert!(!workers.waits_for_io(1));

    let next = DUE + 10 * RELIEF_AFTER;
    workers.idle.set_until(next);
    assert_eq!(workers.timeout(1), DUE + RELIEF_AFTER);
    workers.park(0);
    assert_eq!(workers.keeper(), Some(0));
    assert_eq!(
        (workers.timeout(0), workers.timeout(1)),
        (next, next + RELIEF_AFTER)
    );
    assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));
    assert!(!workers.idle.is_away_for_timers(0));
}

/// It counts as searching: what the one that is away has left in its queue has to be looked for.
#[test]
fn deputy_searches_if_the_owner_is_not_back_in_time() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    assert!(workers.leaves(1, DUE + RELIEF_AFTER).searching);
    assert!(!workers.idle.is_away_for_timers(0));
    workers.idle.end_search();

    workers.park(1);
    assert_eq!(workers.keeper(), Some(1));
    assert!(workers.waits_for_io(1));
    workers.park(0);
    assert_eq!(workers.keeper(), Some(1));
}

/// The timer is armed by a task of the worker that is away, which runs on. Nothing is set for it:
/// if that worker comes back in time, that would be two system calls in vain.
#[test]
fn timer_that_is_due_before_the_owner_is_expected_back_fires_then() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.set_until(DUE + 1);
    assert_eq!(workers.timeout(1), DUE + RELIEF_AFTER);
    let mut deputy = Worker::default();
    workers.leaves_as(1, DUE + RELIEF_AFTER, &mut deputy);
    assert_eq!(deputy.fired, 1);
    assert!(!workers.idle.is_away_for_timers(0));
}

/// Its thread has not been scheduled since. The timer deputy would otherwise park in vain until it
/// is.
#[test]
fn deputy_fires_for_an_owner_that_does_not_leave_its_parker() {
    let workers = Workers::parked(2, DUE);
    let (mut deputy, mut owner) = (Worker::default(), Worker::default());
    workers.leaves_as(1, DUE + RELIEF_AFTER, &mut deputy);
    assert_eq!((deputy.fired, workers.keeper()), (1, Some(0)));
    assert_eq!(workers.timeout(0), NEVER);
    assert!(!workers.idle.is_away_for_timers(1));
    workers.leaves_as(0, DUE + RELIEF_AFTER, &mut owner);
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
    assert!(!workers.idle.is_away_for_timers(0));
    assert_eq!(workers.timeout(1), NEVER);
    assert!(workers.waits_for_io(1));
}

/// A worker runs, and may set the owner's timeout at any time.
#[test]
fn no_worker_stands_by_unless_all_are_parked() {
    let workers = Workers::parked(3, DUE);
    let timeouts = |workers: &Workers| [0, 1, 2].map(|worker| workers.timeout(worker));
    assert_eq!(timeouts(&workers), [DUE, NEVER, DUE + RELIEF_AFTER]);
    workers.idle.notify(2);
    assert!(!workers.idle.lock().deputies.is_timer_deputy_due(2, NEVER));
    workers.leaves(0, DUE);
    assert!(!workers.idle.is_away_for_timers(0));
    assert_eq!(workers.keeper(), Some(1));
}

/// The first worker has no thread while none is in `block_on`: it does not run, and no timer deputy
/// was there because it never parked. When a thread begins to run it, it is a worker that runs.
#[test]
fn worker_stands_by_while_the_first_one_has_no_thread() {
    let workers = Workers::parked_without(1, 3, DUE, 0);
    assert_eq!(workers.keeper(), Some(1));
    assert_eq!(
        (workers.timeout(1), workers.timeout(2)),
        (DUE, DUE + RELIEF_AFTER)
    );
    workers.leaves(1, DUE);
    assert!(workers.idle.is_away_for_timers(1));

    workers.idle.add_thread();
    workers.idle.set_until(2 * DUE);
    workers.park(1);
    assert_eq!((workers.timeout(1), workers.timeout(2)), (2 * DUE, NEVER));
}

/// A single task that sleeps over and over would pay for two timeouts.
#[test]
fn no_worker_stands_by_unless_several_timers_fire_at_once() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.note_fired_by_timeout(1);
    workers.idle.set_until(2 * DUE);
    workers.park(0);
    assert_eq!((workers.timeout(0), workers.timeout(1)), (2 * DUE, NEVER));
    workers.leaves(0, 2 * DUE);
    assert!(!workers.idle.is_away_for_timers(0));
}

/// It is unparked for new work, and the third worker relieves the one that is away.
#[test]
fn relief_is_handed_on_by_a_deputy_that_is_unparked() {
    let workers = Workers::parked(3, DUE);
    workers.leaves(0, DUE);
    assert_eq!(workers.keeper(), Some(2));
    workers.idle.notify(2);
    assert_eq!(workers.keeper(), Some(1));
    assert_eq!(workers.timeout(1), DUE + RELIEF_AFTER);
    assert!(workers.idle.is_away_for_timers(0));
    assert!(workers.leaves(1, DUE + RELIEF_AFTER).searching);
}

/// Another thread unparks the owner when it is about to park again, so it is no longer in the list.
#[test]
fn owner_that_is_unparked_on_its_way_back_takes_nothing_back() {
    let workers = Workers::parked(2, DUE);
    workers.leaves(0, DUE);
    workers.idle.transition_to_parked(0, false);
    workers.idle.notify(0);
    workers.idle.prepare_parker(0);
    assert_eq!(workers.keeper(), Some(1));
    assert!(workers.idle.is_away_for_timers(0));
}

/// It brings more tasks at once. The second worker was unparked for them at each wake-up.
#[test]
fn a_long_slack_leaves_the_driver_owner_more_time() {
    for (slack, more) in [(300_000, 0), (400_000, 50_000), (1 << 30, 350_000)] {
        let workers = Workers::parked_without(0, 2, DUE, slack);
        assert_eq!(workers.timeout(1), DUE + RELIEF_AFTER + more);
        assert_eq!(workers.idle.timer_work_limit(), 150_000 + more);
    }
}
