//! Tests of the owner that is away for I/O.

use super::super::io_absence::IO_RELIEF_AFTER;
use super::timer_absence::Workers;
use super::*;

const LATE: u64 = 100 * IO_RELIEF_AFTER;
const NOW: u64 = 1_000;

/// Two workers that have woken for one timer alone the last time; the first one is the owner.
fn parked(count: usize, until: u64) -> Workers {
    let workers = Workers::parked(count, until);
    // No worker stands by for timers.
    workers.idle.note_fired_by_timeout(1);
    (1..count).for_each(|worker| {
        workers.leaves(worker, 0);
        workers.park(worker);
    });
    workers
}

/// Asserts that the owner, if it leaves its parker so, is not away: the other worker waits for I/O.
fn assert_not_away(mut owner: Worker) {
    let workers = parked(2, LATE);
    workers.leaves_as(0, NOW, &mut owner);
    assert!(!workers.idle.is_away_for_io(0));
    assert!(workers.waits_for_io(1));
}

#[test]
fn owner_that_is_back_soon_waits_for_io_again_and_nothing_is_set() {
    let workers = parked(2, LATE);
    assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));
    for now in [NOW, 2 * NOW, 3 * NOW] {
        workers.leaves(0, now);
        assert_eq!(workers.keeper(), Some(1));
        assert!(workers.idle.is_away_for_io(0) && !workers.idle.is_away_for_timers(0));
        assert!(!workers.waits_for_io(1));
        workers.park(0);
        assert_eq!(workers.keeper(), Some(0));
        assert!(workers.waits_for_io(0) && !workers.waits_for_io(1));
        // Since the first absence.
        assert_eq!(
            (workers.timeout(0), workers.timeout(1)),
            (LATE, NOW + IO_RELIEF_AFTER)
        );
    }
    // It ends in vain. Then it is set for the next absence alone.
    workers.leaves(1, NOW + IO_RELIEF_AFTER);
    workers.park(1);
    assert_eq!(workers.timeout(1), NEVER);
}

#[test]
fn owner_that_does_not_come_back_is_relieved() {
    let workers = parked(2, LATE);
    workers.leaves(0, NOW);
    assert!(workers.leaves(1, NOW + IO_RELIEF_AFTER).searching);
    workers.idle.end_search();
    workers.park(1);
    assert_eq!((workers.keeper(), workers.timeout(1)), (Some(1), LATE));
    assert!(workers.waits_for_io(1));
    workers.park(0);
    assert!(!workers.waits_for_io(0));
}

#[test]
fn owner_that_looks_for_io_often_stays_away_until_it_does_not() {
    let workers = parked(2, LATE);
    workers.leaves(0, NOW);
    (0..1_000).for_each(|_| workers.idle.note_io_look(0));
    assert!(!workers.leaves(1, NOW + IO_RELIEF_AFTER).searching);
    workers.park(1);
    assert_eq!(
        (workers.keeper(), workers.timeout(1)),
        (Some(1), NOW + 2 * IO_RELIEF_AFTER)
    );
    assert!(!workers.waits_for_io(1));
    // Too seldom: I/O would wait for it.
    (0..10).for_each(|_| workers.idle.note_io_look(0));
    assert!(workers.leaves(1, NOW + 2 * IO_RELIEF_AFTER).searching);
}

#[test]
fn timer_that_is_due_soon_keeps_the_owner_from_being_away() {
    let workers = parked(2, NOW + IO_RELIEF_AFTER);
    workers.leaves(0, NOW);
    assert!(!workers.idle.is_away_for_io(0));
    assert_eq!(workers.timeout(1), NOW + IO_RELIEF_AFTER);
    assert!(workers.waits_for_io(1));
}

#[test]
fn timer_that_is_armed_during_the_absence_is_on_time() {
    let workers = parked(2, LATE);
    workers.leaves(0, NOW);
    workers.idle.set_until(2 * NOW);
    assert_eq!(workers.timeout(1), 2 * NOW);
    let mut other = Worker::default();
    workers.leaves_as(1, 2 * NOW, &mut other);
    assert_eq!(other.fired, 1);
}

#[test]
fn owner_whose_tasks_are_long_is_not_away() {
    assert_not_away(Worker {
        expects_long_tasks: true,
        ..Worker::default()
    });
}

#[test]
fn absence_goes_over_to_the_next_worker_if_the_one_that_waits_is_unparked() {
    let workers = parked(3, LATE);
    workers.leaves(0, NOW);
    let waiting = workers.keeper().unwrap();
    workers.idle.notify(waiting);
    let next = workers.keeper().unwrap();
    assert!(next != waiting && next != 0);
    assert_eq!(workers.timeout(next), NOW + IO_RELIEF_AFTER);
    assert!(!workers.waits_for_io(next));
    workers.park(0);
    assert_eq!(
        (workers.keeper(), workers.timeout(next)),
        (Some(0), NOW + IO_RELIEF_AFTER)
    );
}

#[test]
fn worker_that_parks_leaves_io_to_one_that_is_collecting_it() {
    let workers = parked(2, LATE);
    workers.leaves(1, NOW);
    workers.leaves(0, NOW);
    workers.idle.while_collecting(0, || {
        // Worker 1 tries to, too.
        workers.idle.while_collecting(1, || {});
        workers.park(1);
    });
    assert!(workers.idle.is_away_for_io(0) && !workers.waits_for_io(1));
    assert_eq!(workers.timeout(1), NOW + IO_RELIEF_AFTER);
    // The other one takes long after that.
    assert!(workers.leaves(1, NOW + IO_RELIEF_AFTER).searching);
    workers.idle.end_search();
    workers.park(1);
    assert!(!workers.idle.is_away_for_io(0) && workers.waits_for_io(1));
}

#[test]
fn worker_that_parks_leaves_io_to_one_that_looks_for_it_all_the_time() {
    let workers = parked(2, LATE);
    workers.leaves(1, NOW);
    workers.leaves(0, NOW);
    (0..20).for_each(|_| workers.idle.note_io_look(0));
    workers.park(1);
    assert!(workers.idle.is_away_for_io(0) && !workers.waits_for_io(1));
    assert_eq!(workers.timeout(1), NOW + IO_RELIEF_AFTER);
    workers.park(0);
    assert_eq!(workers.keeper(), Some(0));
    assert!(workers.waits_for_io(0));
}

#[test]
fn worker_that_parks_waits_for_io_if_the_other_one_looks_seldom() {
    let workers = parked(2, LATE);
    workers.leaves(1, NOW);
    workers.leaves(0, NOW);
    // In the time since the last note, which is that of the start of the clock.
    workers.parkers[1].now.store(IO_RELIEF_AFTER, SeqCst);
    (0..20).for_each(|_| workers.idle.note_io_look(0));
    workers.park(1);
    assert!(!workers.idle.is_away_for_io(0) && workers.waits_for_io(1));
}

/// Its thread polls a main future, or leaves the runtime: nothing would look for I/O for 2 ms.
#[test]
fn owner_that_leaves_its_loop_hands_the_io_over_at_once() {
    let workers = parked(2, LATE);
    workers.leaves(0, NOW);
    assert!(!workers.waits_for_io(1));
    workers.idle.end_io_absence(1);
    assert!(workers.idle.is_away_for_io(0), "another worker's end");
    workers.idle.end_io_absence(0);
    assert!(!workers.idle.is_away_for_io(0));
    assert!(workers.waits_for_io(1));
    assert_eq!((workers.keeper(), workers.timeout(1)), (Some(1), LATE));
    workers.park(0);
    assert_eq!(workers.keeper(), Some(1));
    assert!(!workers.waits_for_io(0));
}

/// Others would have to be unparked for that.
#[test]
fn io_is_handed_over_to_a_worker_that_can_be_made_to_wait_for_it_while_it_is_parked() {
    for leaves_for_long in [true, false] {
        let workers = parked(4, LATE);
        [1, 3]
            .into_iter()
            .for_each(|worker| workers.needs_unpark_for_io(worker));
        let mut context = Worker {
            expects_long_tasks: leaves_for_long,
            ..Worker::default()
        };
        workers.leaves_as(0, NOW, &mut context);
        assert_eq!(workers.keeper(), Some(2));
        assert_eq!(workers.idle.is_away_for_io(0), !leaves_for_long);
    }
}

/// Which costs each event something, or each of these waits.
#[test]
fn parkers_decide_after_many_waits_for_io_whether_they_take_it_while_they_are_parked() {
    let workers = parked(2, LATE);
    let reviews = |worker: usize| {
        let [by_others, by_itself] = &workers.parkers[worker].reviews;
        (by_others.load(SeqCst), by_itself.load(SeqCst))
    };
    for _ in 0..1023 {
        workers.leaves(0, NOW);
        workers.park(0);
    }
    assert_eq!((reviews(0), reviews(1)), ((0, 0), (0, 0)));
    workers.leaves(0, NOW);
    assert_eq!((reviews(0), reviews(1)), ((0, 1), (1, 0)));
    (0..1023).for_each(|_| workers.idle.note_io_look(1));
    assert_eq!((reviews(0), reviews(1)), ((0, 1), (1, 0)));
    workers.idle.note_io_look(1);
    assert_eq!((reviews(0), reviews(1)), ((1, 1), (1, 1)));
}

/// It has found work in its last look, or there is no descriptor at all.
#[test]
fn owner_that_has_not_asked_for_io_is_not_away() {
    assert_not_away(Worker {
        has_no_io: true,
        ..Worker::default()
    });
}

/// The timer deputy kept the owner from being away until the next timer.
#[test]
fn owner_is_away_for_io_although_another_worker_stands_by_for_timers_that_are_far_off() {
    let workers = Workers::parked(2, LATE);
    assert_ne!(workers.timeout(1), NEVER, "it stands by");
    workers.leaves(0, NOW);
    assert!(workers.idle.is_away_for_io(0));
    assert_eq!(workers.timeout(1), NOW + IO_RELIEF_AFTER);
    workers.park(0);
    assert_eq!(workers.keeper(), Some(0));

    let workers = Workers::parked(2, NOW + IO_RELIEF_AFTER);
    workers.leaves(0, NOW);
    assert!(!workers.idle.is_away_for_io(0), "a timer is due soon");
}

/// A worker that parked took the looks of the time before for a sign that it still looks.
#[test]
fn io_is_not_left_to_a_worker_that_was_relieved() {
    let workers = parked(2, LATE);
    workers.leaves(1, NOW);
    workers.leaves(0, NOW);
    (0..500).for_each(|_| workers.idle.note_io_look(0));
    workers.park(1);
    assert!(workers.idle.is_away_for_io(0));
    // It has no more looks: relieved.
    assert!(workers.leaves(1, NOW + IO_RELIEF_AFTER).searching);
    workers.idle.end_search();
    workers.park(1);
    assert!(workers.waits_for_io(1) && !workers.idle.is_away_for_io(0));
}
