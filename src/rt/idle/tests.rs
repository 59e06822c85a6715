//! Sleepers without an executor.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use super::*;
use crate::rt::Reactor;
use crate::system;

fn now() -> u64 {
    system::monotonic().cast_unsigned()
}

/// The alarm of a waiter that has got up is over: it once kept on ringing, and the worker did not
/// sleep any more.
#[test]
fn a_waiter_whose_alarm_has_rung_sleeps_if_nothing_else_is_to_come() {
    let reactor = Reactor::without_io(io::ErrorKind::Other.into());
    for workers in [1, 2] {
        let beds = (0..workers).map(|_| Bed::new(workers, &reactor).unwrap());
        let idle = Idle::new(beds.collect());
        idle.lie_down(0, false);
        idle.set_until(now());
        idle.settle(0);
        idle.bed(0).sleep();
        assert!(idle.get_up(0, now(), || ()).rang);

        idle.lie_down(0, false);
        idle.settle(0);
        let (woken, waking) = (Arc::new(AtomicBool::new(false)), idle.clone());
        let wakes = woken.clone();
        let thread = thread::spawn(move || {
            wakes.store(true, SeqCst);
            waking.wake(0, || ());
        });
        idle.bed(0).sleep();
        assert!(woken.load(SeqCst), "ended by an alarm that is over");
        thread.join().unwrap();
    }
}

/// Two workers, of which the first is parked and owns the alarm.
fn one_parked() -> Arc<Idle> {
    let reactor = Reactor::without_io(io::ErrorKind::Other.into());
    let beds = (0..2).map(|_| Bed::new(2, &reactor).unwrap());
    let idle = Idle::new(beds.collect());
    idle.arrive();
    idle.arrive();
    idle.lie_down(0, false);
    idle.settle(0);
    idle
}

fn looks(idle: &Idle, worker: usize, full: &[usize]) -> Vec<usize> {
    let due = idle.slots.due();
    assert_ne!(due, NEVER);
    idle.look_at_slots(worker, due, false, |worker| full.contains(&worker))
}

/// The first look finds the task that started the looks. One that was put there since the last look
/// is left alone, until the next.
#[test]
fn task_that_lies_in_a_slot_from_one_look_to_the_next_is_found() {
    let idle = one_parked();
    assert!(idle.report(1).is_wanted());
    idle.report_full_slot(1, now());
    assert_eq!(looks(&idle, 0, &[1]), [1]);

    idle.report_full_slot(1, now());
    assert!(!idle.report(1).is_wanted());
    assert_eq!(looks(&idle, 0, &[1]), []);
    assert!(idle.report(1).is_wanted());
    assert_eq!(looks(&idle, 0, &[1]), [1]);
    // The one that looks runs no task: its own slot is no business of others.
    assert_eq!(looks(&idle, 1, &[1]), []);
}

#[test]
fn looks_end_when_no_slot_is_used_and_begin_with_the_next_put() {
    let idle = one_parked();
    idle.report_full_slot(1, now());
    idle.report_full_slot(1, now());
    assert_eq!(looks(&idle, 0, &[]), []);
    assert_eq!(looks(&idle, 0, &[]), []);
    assert!(!idle.has_looks());
    assert!(idle.report(0).is_wanted() && idle.report(1).is_wanted());
    idle.report_full_slot(1, now());
    assert!(idle.has_looks());
}

/// The longer slots are in use, the less often somebody looks, and never less than every 10 ms.
#[test]
fn looks_become_rarer_until_a_task_is_found() {
    let idle = one_parked();
    let mut waits = Vec::new();
    idle.report_full_slot(1, now());
    for _ in 0..3 {
        idle.report_full_slot(1, now());
        let due = idle.slots.due();
        assert_eq!(looks(&idle, 0, &[1]), []);
        waits.push((idle.slots.due() - due) / 1_000_000);
    }
    assert_eq!(waits, [10, 10, 10]);
    let due = idle.slots.due();
    assert_eq!(looks(&idle, 0, &[1]), [1]);
    assert_eq!(idle.slots.due() - due, 5_000_000);
}

/// It sleeps without an alarm otherwise. Then it is told that it got up to look, and the next look is
/// put off, or a successor would be woken by the same.
#[test]
fn parked_worker_gets_up_to_look() {
    let idle = one_parked();
    idle.report_full_slot(1, now());
    let due = idle.slots.due();
    // This hangs without the alarm.
    while now() < due {
        idle.bed(0).sleep();
    }
    let up = idle.get_up(0, now(), || ());
    assert!(up.must_look && !up.rang && !up.called);
    assert!(idle.slots.due() > due);
    assert_eq!(
        idle.look_at_slots(0, due, true, |worker| worker == 1),
        [1],
        "though it is not about time"
    );
}

/// Their slots are empty. The alarm of the one that waits for the timers is set back.
#[test]
fn looks_end_when_every_worker_is_parked_or_gone() {
    for parks in [true, false] {
        let idle = one_parked();
        idle.report_full_slot(1, now());
        assert!(idle.has_looks());
        match parks {
            true => idle.lie_down(1, false),
            false => idle.depart(false),
        }
        assert!(!idle.has_looks());
        assert!(idle.report(0).is_wanted() && idle.report(1).is_wanted());
        let woken = Arc::new(AtomicBool::new(false));
        let (wakes, waking) = (woken.clone(), idle.clone());
        let thread = thread::spawn(move || {
            thread::sleep(std::time::Duration::from_millis(10));
            wakes.store(true, SeqCst);
            waking.wake(0, || ());
        });
        idle.bed(0).sleep();
        assert!(woken.load(SeqCst), "ended by an alarm that is over");
        thread.join().unwrap();
    }
}

/// Nobody else could take its task.
#[test]
fn single_worker_reports_nothing() {
    let idle = Idle::new(Box::new([Bed::without_io()]));
    assert!(!idle.report(0).is_wanted());
}
