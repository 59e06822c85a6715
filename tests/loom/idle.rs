//! Workers that lie down, and those who push work or arm timers just then.
//!
//! What goes wrong when one of these fails: a task of `reveille::rt` lies in a queue, or is past its
//! deadline, and every worker sleeps. Here that is a deadlock, which loom reports.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::pool::Pool;
use crate::time::Sleep;
use crate::{Clock, ManualClock};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::support::{LONG, Line, Task, check, ns, poll};

/// In beds whose alarm is moved under the sleeper, and in those where it has to be woken for that.
const BEDS: [bool; 2] = [false, true];

/// Sleeps and searches as a worker does until it has a task; which it then has to itself.
fn work(pool: &Pool, worker: usize, mut searching: bool) {
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

/// What a worker is wanted for besides tasks. It is told after the fact, by a wake of its own.
#[derive(Clone)]
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sleeps as a worker does until the flag is up.
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

/// A timer of `worker` that is armed.
pub(crate) fn armed(pool: &Pool, worker: usize, nanos: u64, waker: &Waker) -> Sleep {
    let mut sleep = pool.timers(worker).sleep(ns(nanos));
    if poll(&mut sleep, waker) {
        waker.wake_by_ref();
    }
    sleep
}

/// Either it sees the task when it looks for the last time, or it is seen and woken.
#[test]
fn last_worker_to_lie_down_finds_what_is_pushed() {
    check(None, || {
        let pool = Pool::new(1, true, None);
        let line = Line::new();
        let pusher = pool.clone();
        let pushing = line.spawn(move || pusher.push());
        line.cross();
        work(&pool, 0, false);
        pushing.join().unwrap();
    });
}

/// The push sees somebody search and wakes nobody: then that one must see the push.
#[test]
fn searcher_that_finds_nothing_sees_the_push_that_relied_on_it() {
    check(Some(3), || {
        let pool = Pool::new(2, true, None);
        assert!(pool.idle().start_search(false));
        let line = Line::new();
        let pusher = pool.clone();
        let pushing = line.spawn(move || pusher.push());
        line.cross();
        work(&pool, 0, true);
        pushing.join().unwrap();
    });
}

/// The second push sees somebody search, who takes the first task and is then busy: it has to wake
/// another for the second.
#[test]
fn searcher_that_finds_work_wakes_another_for_the_second_push() {
    check(Some(3), || {
        let pool = Pool::new(2, true, None);
        pool.push();
        assert!(pool.idle().start_search(false));
        let line = Line::new();
        let sleeper = pool.clone();
        let sleeping = line.spawn(move || work(&sleeper, 1, false));
        let pusher = pool.clone();
        let pushing = line.spawn(move || pusher.push());
        line.cross();
        work(&pool, 0, true);
        // Its task lasts until the other one has run.
        sleeping.join().unwrap();
        pushing.join().unwrap();
    });
}

/// Who is woken searches, until it says otherwise: for the other push that will do.
#[test]
fn two_pushes_at_once_wake_one_worker_in_all() {
    check(Some(3), || {
        let pool = Pool::new(2, true, None);
        for worker in [0, 1] {
            pool.begin_park(worker);
        }
        let line = Line::new();
        let pusher = pool.clone();
        let pushing = line.spawn(move || pusher.push());
        line.cross();
        pool.push();
        pushing.join().unwrap();
        assert_eq!((pool.unparks(0), pool.unparks(1)), (0, 1));
    });
}

#[test]
fn worker_that_lies_down_is_woken_for_what_is_its_own() {
    check(None, || {
        let pool = Pool::new(1, true, None);
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let line = Line::new();
        let waking = line.spawn(move || waker.wake());
        line.cross();
        wait(&pool, 0, &flag);
        waking.join().unwrap();
    });
}

/// A stranger arms while the worker lies down: it attends with the timer in view, or is told of it.
#[test]
fn timer_armed_while_the_last_worker_lies_down_fires() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(1, moves, None);
            let flag = Flag::new();
            let waker = main_of(&pool, 0, &flag);
            let line = Line::new();
            let stranger = pool.clone();
            let arming = line.spawn(move || armed(&stranger, 0, 20, &waker));
            line.cross();
            wait(&pool, 0, &flag);
            drop(arming.join().unwrap());
        });
    }
}

/// As before, with an alarm that is set, but for later.
#[test]
fn timer_armed_earlier_than_all_while_the_waiter_sleeps_fires() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(1, moves, None);
            let late = Task::new();
            let _late = late.sleep(&pool.timers(0), LONG);
            let flag = Flag::new();
            let waker = main_of(&pool, 0, &flag);
            let line = Line::new();
            let stranger = pool.clone();
            let arming = line.spawn(move || armed(&stranger, 0, 20, &waker));
            line.cross();
            wait(&pool, 0, &flag);
            drop(arming.join().unwrap());
            assert_eq!(late.wakes(), 0);
        });
    }
}

/// The waiter is woken for work and does not come back; the one who sleeps on has to be told when
/// the alarm rings.
#[test]
fn heir_of_a_waiter_that_is_woken_gets_its_alarm() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            let flag = Flag::new();
            let waker = main_of(&pool, 1, &flag);
            let _sleep = armed(&pool, 1, 20, &waker);
            pool.begin_park(0);
            let line = Line::new();
            let heir = pool.clone();
            let sleeping = line.spawn(move || wait(&heir, 1, &flag));
            line.cross();
            pool.notify(0);
            sleeping.join().unwrap();
        });
    }
}

/// Who arms sets the alarm of a waiter that is one no longer, or the heir is told.
#[test]
fn timer_armed_while_the_waiter_changes_fires() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            pool.begin_park(0);
            let flag = Flag::new();
            let waker = main_of(&pool, 1, &flag);
            let line = Line::new();
            let heir = pool.clone();
            let sleeping = line.spawn(move || wait(&heir, 1, &flag));
            let stranger = pool.clone();
            let arming = line.spawn(move || armed(&stranger, 0, 20, &waker));
            line.cross();
            pool.notify(0);
            sleeping.join().unwrap();
            drop(arming.join().unwrap());
        });
    }
}

/// It answers the ring itself: an heir would only be woken for what is past.
#[test]
fn waiter_that_gets_up_for_its_alarm_leaves_no_past_alarm_behind() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            let task = Task::new();
            let _sleep = task.sleep(&pool.timers(0), ns(20));
            pool.begin_park(0);
            pool.set_time(20);
            let line = Line::new();
            let heir = pool.clone();
            let lying = line.spawn(move || {
                heir.begin_park(1);
            });
            line.cross();
            pool.end_park(0);
            lying.join().unwrap();
            assert_eq!((task.wakes(), pool.timeout(1)), (1, u64::MAX));
            assert_eq!(pool.unparks(1), 0);
        });
    }
}

/// A busy worker looks at a timer that is gone, and the announcement with it; then it arms the next
/// one and is busy for good.
#[test]
fn timer_armed_after_a_look_that_fired_nothing_is_not_overslept() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            let gone = Task::new();
            drop(gone.sleep(&pool.timers(0), ns(5)));
            pool.set_time(10);
            let flag = Flag::new();
            let waker = main_of(&pool, 1, &flag);
            let line = Line::new();
            let sleeper = pool.clone();
            let sleeping = line.spawn(move || wait(&sleeper, 1, &flag));
            line.cross();
            pool.poll_timers(usize::MAX);
            let sleep = armed(&pool, 0, 20, &waker);
            sleeping.join().unwrap();
            drop(sleep);
        });
    }
}

/// Everybody sleeps, time is held, and the hold goes just then.
#[test]
fn worker_gets_up_to_move_time_when_the_last_hold_goes() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(1, true, Some(Clock::from(&clock)));
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let _sleep = armed(&pool, 0, 20, &waker);
        let hold = clock.hold();
        let line = Line::new();
        let releasing = line.spawn(move || drop(hold));
        line.cross();
        wait(&pool, 0, &flag);
        releasing.join().unwrap();
    });
}

/// The only timer there is, armed by a stranger after another one that is gone.
#[test]
fn worker_gets_up_to_move_time_to_what_a_stranger_arms() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let pool = Pool::new(1, true, Some(Clock::from(&clock)));
        let flag = Flag::new();
        let waker = main_of(&pool, 0, &flag);
        let line = Line::new();
        let stranger = pool.clone();
        let arming = line.spawn(move || {
            drop(armed(&stranger, 0, 10, Waker::noop()));
            armed(&stranger, 0, 20, &waker)
        });
        line.cross();
        wait(&pool, 0, &flag);
        drop(arming.join().unwrap());
    });
}

/// Looks at the slots as a worker does that has nothing else to do, until so many tasks have run.
fn help(pool: &Pool, worker: usize, ran: &AtomicUsize, tasks: usize) {
    let mut must_look = false;
    while ran.load(Ordering::Relaxed) < tasks {
        let taken = pool.take_stuck(worker, must_look);
        must_look = false;
        if taken > 0 {
            ran.fetch_add(taken, Ordering::Relaxed);
        } else {
            must_look = pool.park(worker, false, || false).must_look;
        }
    }
}

/// The worker that put it there blocks for it, and the other one parks just then: it gets up to look,
/// or has seen that it must.
#[test]
fn task_in_the_slot_of_a_worker_that_blocks_is_taken_by_one_that_parks() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            pool.idle().add_present();
            pool.idle().add_present();
            let ran = AtomicUsize::new(0);
            let line = Line::new();
            let putter = pool.clone();
            let putting = line.spawn(move || putter.put(1));
            line.cross();
            help(&pool, 0, &ran, 1);
            putting.join().unwrap();
        });
    }
}

/// It takes the first task out again itself, unless the other one has been faster; then it puts in the
/// second one and blocks. Looks begin and end meanwhile.
#[test]
fn tasks_in_a_slot_run_once_each_and_the_last_one_is_not_forgotten() {
    for moves in BEDS {
        check(Some(3), move || {
            let pool = Pool::new(2, moves, None);
            pool.idle().add_present();
            pool.idle().add_present();
            let ran = Arc::new(AtomicUsize::new(0));
            let line = Line::new();
            let (putter, runs) = (pool.clone(), ran.clone());
            let putting = line.spawn(move || {
                putter.put(1);
                if putter.take(1) {
                    runs.fetch_add(1, Ordering::Relaxed);
                }
                putter.put(1);
            });
            line.cross();
            help(&pool, 0, &ran, 2);
            putting.join().unwrap();
            assert_eq!(ran.load(Ordering::Relaxed), 2);
            assert!(!pool.take(1));
        });
    }
}

/// One worker uses its slot and leaves while the other one parks: the looks end, and the alarm that
/// was set for them does not ring any more.
#[test]
fn looks_end_when_the_last_worker_that_is_awake_leaves() {
    check(Some(3), || {
        let pool = Pool::new(2, true, None);
        pool.idle().add_present();
        pool.idle().add_present();
        let line = Line::new();
        let leaver = pool.clone();
        let leaving = line.spawn(move || {
            leaver.put(1);
            assert!(leaver.take(1));
            leaver.idle().remove_present(false);
        });
        line.cross();
        pool.begin_park(0);
        leaving.join().unwrap();
        assert_eq!(pool.timeout(0), u64::MAX);
    });
}
