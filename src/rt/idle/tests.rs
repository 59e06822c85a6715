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
        idle.lie_down(0, false, false);
        idle.set_until(now());
        idle.settle(0);
        idle.bed(0).sleep();
        assert!(idle.get_up(0, now(), || ()).rang);

        idle.lie_down(0, false, false);
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
