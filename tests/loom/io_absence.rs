//! An owner that is away for I/O, the worker that waits in its place, and a peer that sends more.
//!
//! What goes wrong when one of these fails: a task of `reveille::rt` waits for a socket that is
//! ready, or is past its deadline, and every worker that could see to it is parked. Here that is a
//! deadlock, which loom reports.

use std::sync::Arc;
use std::task::Waker;

use super::idle::{Flag, armed, beside, check_each, main_of, wait, work};
use super::parker::Timeouts;
use super::pool::Pool;
use super::support::Race;

/// So often a worker has looked for I/O between two parks that it looks again soon.
const LOOKS: usize = 60;

/// Both kinds of parkers that wait for I/O.
const PARKERS: [Timeouts; 2] = [Timeouts::Moved, Timeouts::MovedWithoutIo];

/// Two workers. The first one was the owner, and has left its parker for I/O; the second one is
/// about to block.
fn away(parkers: Timeouts) -> Arc<Pool> {
    let pool = Pool::new(2, parkers, None);
    pool.begin_park(0);
    pool.begin_park(1);
    pool.end_park(0);
    assert!(pool.idle().is_away_for_io(0));
    pool
}

/// Has a worker look for I/O all the time between two parks.
fn look_often(pool: &Pool, worker: usize) {
    (0..LOOKS).for_each(|_| pool.idle().note_io_look(worker));
}

/// Parks and collects as a worker does, until some worker has collected what was sent.
fn serve(pool: &Arc<Pool>, worker: usize, done: &Flag) {
    let collect = || {
        if pool.collect() {
            main_of(pool, 1 - worker, done).wake();
        }
    };
    let mut searching = false;
    while !done.is_up() {
        let is_wanted = || done.is_up();
        let unparked = pool.park_and_collect(worker, searching, is_wanted, || false, collect);
        searching = unparked.searching;
    }
    if searching {
        pool.found();
    }
}

/// Goes on with a park that has begun, and then does the same.
fn serve_on(pool: &Arc<Pool>, worker: usize, done: &Flag) {
    pool.block(worker);
    if pool.collect() {
        main_of(pool, 1 - worker, done).wake();
    }
    pool.end_park(worker);
    serve(pool, worker, done);
}

/// Goes on with a park that has begun, and then works until it has taken a task.
fn work_on(pool: &Arc<Pool>, worker: usize) {
    pool.block(worker);
    pool.end_park(worker);
    work(pool, worker, false);
}

/// Sends while the second worker, which is about to block, may be the only one to collect it.
fn send(pool: &Arc<Pool>) {
    let done = Flag::new();
    beside(pool, move |pool| serve_on(pool, 1, &done), || pool.send());
}

/// A peer sends and the second worker does `serve`, while this thread does `here`.
fn send_during(
    pool: &Arc<Pool>,
    serve: fn(&Arc<Pool>, usize, &Flag),
    here: impl FnOnce(&Arc<Pool>, &Flag),
) {
    let (done, race) = (Flag::new(), Race::new());
    let (other, ends) = (pool.clone(), done.clone());
    let serving = race.spawn(move || serve(&other, 1, &ends));
    let peer = pool.clone();
    let sending = race.spawn(move || peer.send());
    race.enter();
    here(pool, &done);
    serving.join().unwrap();
    sending.join().unwrap();
}

/// Either waits for it, whichever is the owner by then.
#[test]
fn what_comes_while_the_owner_comes_back_is_collected() {
    check_each(PARKERS, 2, |parkers| {
        send_during(&away(parkers), serve_on, |pool, done| serve(pool, 0, done));
    });
}

/// A task of the owner blocks its thread.
#[test]
fn what_comes_while_the_owner_does_not_come_back_is_collected() {
    check_each(PARKERS, 3, |parkers| send(&away(parkers)));
}

/// Its loop returns while it is away, so that its thread polls a main future.
#[test]
fn what_comes_while_the_owner_that_is_away_leaves_its_loop_is_collected() {
    check_each(PARKERS, 3, |parkers| {
        send_during(&away(parkers), serve_on, |pool, _| {
            pool.idle().end_io_absence(0);
        });
    });
}

/// It has looked for I/O all the time, so the other one takes over later, once it no longer does.
#[test]
fn owner_that_looks_for_io_and_then_no_longer_is_relieved() {
    check_each(PARKERS, 3, |parkers| {
        let pool = away(parkers);
        look_often(&pool, 0);
        send(&pool);
    });
}

/// A worker that parks leaves the I/O to one that looks for it all the time, and then is busy.
#[test]
fn io_that_is_left_to_a_busy_worker_is_collected() {
    check_each(PARKERS, 3, |parkers| {
        let pool = Pool::new(2, parkers, None);
        look_often(&pool, 0);
        pool.begin_park(1);
        assert!(pool.idle().is_away_for_io(0));
        send(&pool);
    });
}

/// It is due before the owner would be relieved.
#[test]
fn timer_that_is_armed_while_the_owner_is_away_for_io_fires() {
    check_each(PARKERS, 3, |parkers| {
        let (pool, flag) = (away(parkers), Flag::new());
        let waker = main_of(&pool, 1, &flag);
        let parking = move |pool: &Arc<Pool>| {
            pool.block(1);
            pool.end_park(1);
            wait(pool, 1, &flag);
        };
        let ((), _sleep) = beside(&pool, parking, || armed(&pool, 0, 30, &waker));
    });
}

/// And so does one that was armed before.
#[test]
fn owner_is_not_away_for_io_when_a_timer_is_due_soon() {
    check_each(PARKERS, 2, |parkers| {
        let pool = Pool::new(2, parkers, None);
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        pool.begin_park(0);
        pool.begin_park(1);
        pool.end_park(0);
        assert!(!pool.idle().is_away_for_io(0));
        assert_eq!(pool.timeout(1), 20);
    });
}

/// It is unparked for a task while it waits for I/O, and is busy for good.
#[test]
fn what_comes_while_the_owner_is_unparked_for_a_task_is_collected() {
    check_each(PARKERS, 3, |parkers| {
        let pool = Pool::new(2, parkers, None);
        pool.begin_park(0);
        send_during(&pool, serve, |pool, _| {
            pool.notify(0);
        });
    });
}

/// The other worker parks meanwhile, so the owner may be away or not. It unparks no worker for the
/// task if it is. Then it is busy for good.
#[test]
fn task_that_an_owner_leaves_while_it_is_away_for_io_is_taken_by_its_deputy() {
    check_each(PARKERS, 3, |parkers| {
        let pool = Pool::new(2, parkers, None);
        pool.begin_park(0);
        beside(
            &pool,
            |pool| work(pool, 1, false),
            || {
                pool.end_park(0);
                pool.leave_for_io(0);
            },
        );
    });
}

/// It has looked so often that it may stay away once more, and leaves the task when its deputy has
/// found that, or before.
#[test]
fn task_that_an_owner_leaves_that_looks_for_io_often_is_taken_by_its_deputy() {
    check_each(PARKERS, 3, |parkers| {
        let pool = away(parkers);
        look_often(&pool, 0);
        beside(&pool, |pool| work_on(pool, 1), || pool.leave_for_io(0));
    });
}

/// The worker that parks leaves the I/O to this one, which finds some, leaves a task, and is busy
/// for good.
#[test]
fn task_of_a_worker_that_counts_as_away_because_it_looks_for_io_is_taken() {
    check_each(PARKERS, 3, |parkers| {
        let pool = Pool::new(2, parkers, None);
        look_often(&pool, 0);
        beside(&pool, |pool| work(pool, 1, false), || pool.leave_for_io(0));
    });
}

/// It leaves a task and then its loop, so that its thread polls a main future: its deputy
/// no longer has a relief, so it has to be unparked for the task before.
#[test]
fn task_that_an_owner_leaves_with_its_loop_is_taken() {
    check_each(PARKERS, 3, |parkers| {
        let pool = away(parkers);
        beside(
            &pool,
            |pool| work_on(pool, 1),
            || {
                pool.leave_for_io(0);
                // As `Worker::run` does: `Pool::make_stealable`, then this.
                pool.idle().notify_one();
                pool.idle().end_io_absence(0);
            },
        );
    });
}
