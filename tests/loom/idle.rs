//! Workers that park, and threads that push tasks or arm timers at that moment.
//!
//! What goes wrong when one of these fails: a task of `reveille::rt` lies in a queue, or is past
//! its deadline, and every worker is parked. Here that is a deadlock, which loom reports.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::parker::Timeouts;
use super::pool::Pool;
use crate::time::Sleep;
use crate::{Clock, ManualClock};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::support::{LONG, Race, Task, at_once, check, ns, poll};

/// Both kinds of parkers.
const PARKERS: [Timeouts; 2] = [Timeouts::Fixed, Timeouts::Moved];

/// When a timer is due that is armed while an owner is away, in nanoseconds: long after the timer
/// deputy has taken over.
const LONG_AFTER: u64 = 1_000_000;

/// Runs `model` with each kind of parkers, in all orders with at most `preemptions`.
pub(super) fn check_each(parkers: [Timeouts; 2], preemptions: usize, model: fn(Timeouts)) {
    for parkers in parkers {
        check(Some(preemptions), move || model(parkers));
    }
}

/// Does what [`at_once`] does, and gives the other thread the pool.
pub(super) fn beside<T: 'static, U>(
    pool: &Arc<Pool>,
    there: impl FnOnce(&Arc<Pool>) -> T + 'static,
    here: impl FnOnce() -> U,
) -> (T, U) {
    let pool = pool.clone();
    at_once(move || there(&pool), here)
}

/// Parks and searches as a worker does, until it has taken a task.
pub(super) fn work(pool: &Pool, worker: usize, mut searching: bool) {
    loop {
        if pool.pop() {
            if searching {
                pool.found();
            }
            return;
        }
        searching = pool.park(worker, searching, || false).searching;
    }
}

/// What a worker is wanted for besides tasks. The flag is raised before the worker is unparked for
/// it.
#[derive(Clone)]
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Parks as a worker does until the flag is up.
pub(crate) fn wait(pool: &Pool, worker: usize, flag: &Flag) {
    let mut searching = false;
    while !flag.is_up() {
        searching = pool.park(worker, searching, || flag.is_up()).searching;
    }
    if searching {
        pool.found();
    }
}

/// A task that raises a flag and wakes a worker, as a main future does.
struct Main {
    pool: Arc<Pool>,
    worker: usize,
    flag: Flag,
}

impl Wake for Main {
    fn wake(self: Arc<Self>) {
        self.flag.raise();
        self.pool.notify(self.worker);
    }
}

pub(crate) fn main_of(pool: &Arc<Pool>, worker: usize, flag: &Flag) -> Waker {
    let (pool, flag) = (pool.clone(), flag.clone());
    Waker::from(Arc::new(Main { pool, worker, flag }))
}

/// Returns a timer of `worker` that is armed, or has woken its task because it was due.
pub(crate) fn armed(pool: &Pool, worker: usize, nanos: u64, waker: &Waker) -> Sleep {
    let mut sleep = pool.timers(worker).sleep(ns(nanos));
    if poll(&mut sleep, waker) {
        waker.wake_by_ref();
    }
    sleep
}

/// Either the worker sees the task when it looks for the last time, or it is seen, and unparked.
#[test]
fn last_worker_to_park_finds_what_is_pushed() {
    check(None, || {
        let pool = Pool::new(1, Timeouts::Moved, None);
        beside(&pool, |pool| pool.push(), || work(&pool, 0, false));
    });
}

/// The pushing thread sees a worker search and unparks none: then that worker must see the push.
#[test]
fn searching_worker_that_finds_nothing_sees_the_push_that_relied_on_it() {
    check(Some(3), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        assert!(pool.idle().try_start_search());
        beside(&pool, |pool| pool.push(), || work(&pool, 0, true));
    });
}

/// The second push sees a worker search, which takes the first task and is then busy: it has to
/// unpark another worker for the second.
#[test]
fn searching_worker_that_finds_work_unparks_another_for_the_second_push() {
    check(Some(3), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        pool.push();
        assert!(pool.idle().try_start_search());
        let race = Race::new();
        let parker = pool.clone();
        let parking = race.spawn(move || work(&parker, 1, false));
        let pusher = pool.clone();
        let pushing = race.spawn(move || pusher.push());
        race.enter();
        work(&pool, 0, true);
        // Its task lasts until the other one has run.
        parking.join().unwrap();
        pushing.join().unwrap();
    });
}

/// While the worker searches, no other is unparked for two pushes. It parks, finds the first task
/// in its last look, and is then busy: it has to unpark another worker for the second.
#[test]
fn worker_that_finds_work_in_its_last_look_unparks_another_for_the_second_push() {
    check(Some(2), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        assert!(pool.idle().try_start_search());
        let race = Race::new();
        let parker = pool.clone();
        let parking = race.spawn(move || work(&parker, 1, false));
        let pusher = pool.clone();
        let pushing = race.spawn(move || {
            pusher.push();
            pusher.push();
        });
        race.enter();
        let searching = pool.park(0, true, || false).searching;
        work(&pool, 0, searching);
        // Its task lasts until the other one has run.
        parking.join().unwrap();
        pushing.join().unwrap();
    });
}

/// A worker that is unparked searches until it has found a task: that will do for the other push.
#[test]
fn two_pushes_at_once_unpark_one_worker_in_all() {
    check(Some(3), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        for worker in [0, 1] {
            pool.begin_park(worker);
        }
        beside(&pool, |pool| pool.push(), || pool.push());
        assert_eq!((pool.unparks(0), pool.unparks(1)), (0, 1));
    });
}

#[test]
fn worker_that_parks_is_unparked_for_what_is_its_own() {
    check(None, || {
        let pool = Pool::new(1, Timeouts::Moved, None);
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        at_once(move || waker.wake(), || wait(&pool, 0, &flag));
    });
}

/// An external thread arms while the worker parks: the worker replans with the timer in view, or is
/// told.
#[test]
fn timer_armed_while_the_last_worker_parks_fires() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(1, timeouts, None);
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let arming = move |pool: &Arc<Pool>| armed(pool, 0, 20, &waker);
        drop(beside(&pool, arming, || wait(&pool, 0, &flag)));
    });
}

/// As before, with a timeout that is set, but for later.
#[test]
fn timer_armed_earlier_than_all_while_the_owner_is_parked_fires() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(1, timeouts, None);
        let late = Task::new();
        let _late = late.sleep(&pool.timers(0), LONG);
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let arming = move |pool: &Arc<Pool>| armed(pool, 0, 20, &waker);
        drop(beside(&pool, arming, || wait(&pool, 0, &flag)));
        assert_eq!(late.wakes(), 0);
    });
}

/// The owner is unparked for work and does not come back: the worker that stays parked takes over
/// its timeout.
#[test]
fn successor_of_an_owner_that_is_unparked_gets_its_timeout() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let flag = Flag::new();
        let waker = main_of(&pool, 1, &flag);
        let _sleep = armed(&pool, 1, 20, &waker);
        pool.begin_park(0);
        beside(&pool, move |pool| wait(pool, 1, &flag), || pool.notify(0));
    });
}

/// The thread that arms sets the timeout of a worker that is the owner no longer, or its
/// successor's.
#[test]
fn timer_armed_while_the_owner_changes_fires() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        pool.begin_park(0);
        let flag = Flag::new();
        let waker = main_of(&pool, 1, &flag);
        let race = Race::new();
        let successor = pool.clone();
        let parking = race.spawn(move || wait(&successor, 1, &flag));
        let external = pool.clone();
        let arming = race.spawn(move || armed(&external, 0, 20, &waker));
        race.enter();
        pool.notify(0);
        parking.join().unwrap();
        drop(arming.join().unwrap());
    });
}

/// It fires what is due itself: a successor would only be unparked for what is past.
#[test]
fn owner_whose_timeout_ends_leaves_no_past_timeout_behind() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let task = Task::new();
        let _sleep = task.sleep(&pool.timers(0), ns(20));
        pool.begin_park(0);
        pool.set_time(20);
        beside(&pool, |pool| pool.begin_park(1), || pool.end_park(0));
        assert!(task.wakes() == 1 && pool.timeout(1) > 20);
        assert_eq!(pool.unparks(1), 0);
    });
}

/// It unparks no worker for the task that it leaves in its queue, if the other worker has parked in
/// time to stand by. Then it is busy for good.
#[test]
fn task_that_an_owner_leaves_while_it_is_away_is_taken_by_its_deputy() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        pool.begin_park(0);
        pool.set_time(20);
        beside(
            &pool,
            |pool| work(pool, 1, false),
            || {
                pool.end_park(0);
                pool.leave(0);
            },
        );
    });
}

/// It arms another timer before it is busy for good.
#[test]
fn timer_that_is_due_while_the_owner_is_away_fires() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        pool.begin_park(0);
        pool.set_time(20);
        let flag = Flag::new();
        let waker = main_of(&pool, 1, &flag);
        let ((), sleep) = beside(
            &pool,
            move |pool| wait(pool, 1, &flag),
            || {
                pool.end_park(0);
                armed(&pool, 0, 30, &waker)
            },
        );
        drop(sleep);
    });
}

/// The owner parks again just when the timer deputy takes over.
#[test]
fn timer_fires_that_an_owner_has_armed_while_it_was_away() {
    check(Some(2), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        pool.begin_park(0);
        pool.begin_park(1);
        pool.set_time(20);
        pool.end_park(0);
        let flag = Flag::new();
        let sleep = armed(&pool, 0, LONG_AFTER, &main_of(&pool, 1, &flag));
        let deputy = move |pool: &Arc<Pool>| {
            pool.set_time(LONG_AFTER);
            pool.end_park(1);
            wait(pool, 1, &flag);
        };
        // It does not leave its parker again.
        beside(&pool, deputy, || pool.begin_park(0));
        drop(sleep);
    });
}

/// A busy worker polls for a timer that was cancelled, which clears the announcement. Then it arms
/// the next one and is busy for good.
#[test]
fn timer_armed_after_a_poll_that_fired_nothing_is_not_missed() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let gone = Task::new();
        drop(gone.sleep(&pool.timers(0), ns(5)));
        pool.set_time(10);
        let flag = Flag::new();
        let waker = main_of(&pool, 1, &flag);
        let ((), sleep) = beside(
            &pool,
            move |pool| wait(pool, 1, &flag),
            || {
                pool.poll_timers(usize::MAX);
                armed(&pool, 0, 20, &waker)
            },
        );
        drop(sleep);
    });
}

/// Every worker is parked, time is held, and the hold is dropped at that moment.
#[test]
fn worker_moves_time_when_the_last_hold_is_dropped() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(1, Timeouts::Moved, Some(Clock::from(&clock)));
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let _sleep = armed(&pool, 0, 20, &waker);
        let hold = clock.hold();
        at_once(move || drop(hold), || wait(&pool, 0, &flag));
    });
}

/// The only timer there is, armed by an external thread after another one that was cancelled.
#[test]
fn worker_moves_time_to_what_an_external_thread_arms() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(1, Timeouts::Moved, Some(Clock::from(&clock)));
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let arming = move |pool: &Arc<Pool>| {
            drop(armed(pool, 0, 10, Waker::noop()));
            armed(pool, 0, 20, &waker)
        };
        drop(beside(&pool, arming, || wait(&pool, 0, &flag)));
    });
}

/// A clock that another runtime shares is paused while this one is made. If this one missed that,
/// its parked worker would not be told of a timer that is cancelled, and therefore not of a later
/// one, for which it has to move time.
#[test]
fn pause_of_the_clock_while_a_runtime_is_made_is_not_missed() {
    check(Some(3), || {
        let clock = Clock::custom(|| ns(0));
        let race = Race::new();
        let shared = clock.clone();
        let pausing = race.spawn(move || assert!(shared.freeze()));
        race.enter();
        let pool = Pool::new(1, Timeouts::Moved, Some(clock));
        pausing.join().unwrap();
        let cancelled = armed(&pool, 0, 10, Waker::noop());
        pool.begin_park(0);
        let unparks = pool.unparks(0);
        drop(cancelled);
        let _later = armed(&pool, 0, 20, Waker::noop());
        assert_eq!(pool.unparks(0), unparks + 1);
    });
}

/// One worker wakes the main future of another, which parks at that moment, and parks itself. Time
/// does not move on to a timer while the woken worker is on its way back.
#[test]
fn time_stands_still_for_a_worker_that_finds_its_main_future_woken_when_it_parks() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        let start = clock.now();
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        let (flag, end) = (Flag::new(), Flag::new());
        let (waker, ends) = (main_of(&pool, 0, &flag), end.clone());
        let waking = move |pool: &Arc<Pool>| {
            waker.wake();
            wait(pool, 1, &ends);
        };
        beside(&pool, waking, || {
            wait(&pool, 0, &flag);
            assert_eq!(clock.now(), start);
            main_of(&pool, 1, &end).wake();
        });
    });
}

/// A second worker parks at the moment when the last hold on time is dropped, and has asked before
/// that whether time may move. The first one, which is unparked for it, finds that the second has
/// not parked yet.
#[test]
fn time_moves_when_its_last_hold_is_dropped_while_the_second_worker_parks() {
    check(Some(2), || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        let (flag, end) = (Flag::new(), Flag::new());
        let waker = main_of(&pool, 0, &flag);
        let _sleep = armed(&pool, 0, 20, &waker);
        let hold = clock.hold();
        let race = Race::new();
        let (other, ends) = (pool.clone(), end.clone());
        let parking = race.spawn(move || wait(&other, 1, &ends));
        race.enter();
        // Another thread would drop it at any time. This is the moment that matters, without a
        // third thread to model.
        let hold = std::cell::Cell::new(Some(hold));
        let is_wanted = || {
            drop(hold.take());
            flag.is_up()
        };
        let mut searching = false;
        while !flag.is_up() {
            searching = pool.park(0, searching, is_wanted).searching;
        }
        main_of(&pool, 1, &end).wake();
        if searching {
            pool.found();
        }
        parking.join().unwrap();
    });
}

/// One worker leaves at the end of a runtime, while the other one parks. Time moves for that one.
#[test]
fn time_moves_for_the_last_worker_when_another_one_leaves() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        pool.stop();
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let _sleep = armed(&pool, 0, 20, &waker);
        let leaving = |pool: &Arc<Pool>| pool.idle().remove_thread(true);
        beside(&pool, leaving, || wait(&pool, 0, &flag));
    });
}

/// The driver owner collects I/O, and is still among the parked workers, while the other one parks.
/// Time does not move on to a timer before the tasks have run whose I/O it was.
#[test]
fn time_stands_still_while_the_driver_owner_collects_io() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        let start = clock.now();
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        let (flag, end) = (Flag::new(), Flag::new());
        let parking = std::cell::Cell::new(None);
        let collect = || {
            let (other, ends) = (pool.clone(), end.clone());
            parking.set(Some(loom::thread::spawn(move || wait(&other, 1, &ends))));
            flag.raise();
        };
        pool.end_park_by_io(0);
        let unparked = pool.park_and_collect(0, false, || flag.is_up(), || false, collect);
        assert_eq!(clock.now(), start);
        main_of(&pool, 1, &end).wake();
        if unparked.searching {
            pool.found();
        }
        parking.take().unwrap().join().unwrap();
    });
}

/// I/O has ended the park of the driver owner, which has not left its parker, or has and collects,
/// while the other worker is the last one to park. That one leaves the I/O to the owner or collects
/// it, and does not move time past the task whose I/O it was.
#[test]
fn time_stands_still_while_io_is_ready_that_has_ended_the_owners_park() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        let start = clock.now();
        let _sleep = armed(&pool, 0, 20, Waker::noop());
        let (ready, end, race) = (Arc::new(Mutex::new(true)), Flag::new(), Race::new());
        let park = |worker: usize| {
            let (pool, ready, end) = (pool.clone(), ready.clone(), end.clone());
            move || {
                let has_io = || *ready.lock().unwrap();
                let collect = || *ready.lock().unwrap() = false;
                let unparked =
                    pool.park_and_collect(worker, false, || end.is_up(), has_io, collect);
                if unparked.searching {
                    pool.found();
                }
            }
        };
        pool.end_park_by_io(0);
        let other = race.spawn(park(1));
        race.enter();
        park(0)();
        main_of(&pool, 1, &end).wake();
        other.join().unwrap();
        assert_eq!(clock.now(), start);
    });
}

/// I/O is ready when the last worker parks, and then no longer, because another thread has dropped
/// the descriptor. If that worker relied on the driver owner to collect it, which is not woken, no
/// worker would move time.
#[test]
fn time_moves_although_io_that_was_ready_is_gone_before_it_is_collected() {
    check(None, || {
        let clock = ManualClock::new();
        let pool = Pool::new(2, Timeouts::Moved, Some(Clock::from(&clock)));
        let (ready, fired) = (AtomicBool::new(true), Flag::new());
        let _sleep = armed(&pool, 1, 20, &main_of(&pool, 1, &fired));
        pool.begin_park(0);
        let has_io = || ready.swap(false, Ordering::Relaxed);
        let mut searching = false;
        while !fired.is_up() {
            let is_wanted = || fired.is_up();
            let unparked = pool.park_and_collect(1, searching, is_wanted, has_io, || {});
            searching = unparked.searching;
        }
        assert!(!ready.load(Ordering::Relaxed));
    });
}

/// As before, on a clock that runs until another thread pauses it, just when the owner has left its
/// parker.
#[test]
fn time_stands_still_while_the_driver_owner_collects_io_if_the_clock_is_paused_meanwhile() {
    check(Some(3), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        let start = pool.idle().clock().now();
        let (flag, end) = (Flag::new(), Flag::new());
        let parking = std::cell::Cell::new(None);
        let collect = || {
            if flag.is_up() {
                return;
            }
            pool.pause();
            let (other, ends) = (pool.clone(), end.clone());
            parking.set(Some(loom::thread::spawn(move || {
                let _sleep = armed(&other, 1, 20, Waker::noop());
                wait(&other, 1, &ends);
            })));
            flag.raise();
        };
        pool.end_park_by_io(0);
        let unparked = pool.park_and_collect(0, false, || flag.is_up(), || false, collect);
        assert_eq!(pool.idle().clock().now(), start);
        main_of(&pool, 1, &end).wake();
        if unparked.searching {
            pool.found();
        }
        parking.take().unwrap().join().unwrap();
    });
}

/// Checks the slots as a worker does that has nothing else to do, until so many tasks have run.
fn help(pool: &Pool, worker: usize, ran: &AtomicUsize, tasks: usize) {
    let mut must_check_lifo_slots = false;
    while ran.load(Ordering::Relaxed) < tasks {
        let taken = pool.take_stuck(worker, must_check_lifo_slots);
        must_check_lifo_slots = false;
        if taken > 0 {
            ran.fetch_add(taken, Ordering::Relaxed);
        } else {
            must_check_lifo_slots = pool.park(worker, false, || false).must_check_lifo_slots;
        }
    }
}

/// The worker that put it there blocks for it, and the other one parks at that moment: it is
/// unparked to check the slots, or has seen that it must.
#[test]
fn task_in_the_slot_of_a_worker_that_blocks_is_taken_by_one_that_parks() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let ran = AtomicUsize::new(0);
        beside(&pool, |pool| pool.put(1), || help(&pool, 0, &ran, 1));
    });
}

/// The worker takes the first task out again itself, unless the other one was faster. Then it puts
/// in the second one and blocks. Checks begin and end meanwhile.
#[test]
fn tasks_in_a_slot_run_once_each_and_the_last_one_is_not_forgotten() {
    check_each(PARKERS, 3, |timeouts| {
        let pool = Pool::new(2, timeouts, None);
        let ran = Arc::new(AtomicUsize::new(0));
        let runs = ran.clone();
        let putting = move |pool: &Arc<Pool>| {
            pool.put(1);
            if pool.take(1) {
                runs.fetch_add(1, Ordering::Relaxed);
            }
            pool.put(1);
        };
        beside(&pool, putting, || help(&pool, 0, &ran, 2));
        assert_eq!(ran.load(Ordering::Relaxed), 2);
        assert!(!pool.take(1));
    });
}

/// One worker uses its slot and leaves while the other one parks: the checks end, and no timeout is
/// left for them.
#[test]
fn checks_end_when_the_last_worker_that_runs_leaves() {
    check(Some(3), || {
        let pool = Pool::new(2, Timeouts::Moved, None);
        let leaving = |pool: &Arc<Pool>| {
            pool.put(1);
            assert!(pool.take(1));
            pool.idle().remove_thread(false);
        };
        beside(&pool, leaving, || pool.begin_park(0));
        assert_eq!(pool.timeout(0), u64::MAX);
    });
}
