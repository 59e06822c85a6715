//! Tests of which thread runs foreign code on tokio: wakers, and destructors of what a runtime
//! owns.
//!
//! A thread that makes, arms or drops a timer may hold a lock that this code takes: it must not be
//! the one that runs it.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::sync::mpsc::{self, Receiver};
use std::task::Waker;
use std::thread::{self, ThreadId};
use std::time::Duration;

use futures::future::join_all;
use reveille::Handle;
use reveille::time::{Instant, sleep, sleep_until};
use tokio::runtime::{Builder, Runtime};

use support::{OnDrop, ms, poll_with, secs, waker, watched};

/// A runtime without I/O, whose wake source is a timer of tokio's.
fn time_only() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Returns a waker that tells on which thread it is called.
fn telling() -> (Waker, Receiver<ThreadId>) {
    let (called, calls) = mpsc::channel();
    let waker = waker(move || called.send(thread::current().id()).unwrap());
    (waker, calls)
}

/// Tokio calls the waker of a timer that is set for a time that has passed on the thread that sets
/// it. That fired all timers that were due there and then.
#[test]
fn a_timer_that_is_armed_after_its_deadline_is_fired_by_the_runtime() {
    watched(|| {
        let runtime = time_only();
        let (mut far, mut timer) = {
            let _entered = runtime.enter();
            (sleep(secs(3600)), sleep(ms(1)))
        };
        assert!(poll_with(&mut far, Waker::noop()).is_pending());
        // From then on the deadline has passed for tokio, too.
        runtime.block_on(async { tokio::time::sleep(ms(5)).await });
        let (waker, calls) = telling();
        assert!(
            poll_with(&mut timer, &waker).is_pending(),
            "the first poll does not read the clock"
        );
        assert!(calls.try_recv().is_err(), "called by the poll");
        runtime.block_on(async {
            while calls.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        });
    });
}

/// A runtime without I/O whose clock may be paused, as it may in these tests, does not wake the
/// driver when it ends. A thread that armed a timer after that woke the tasks of all its timers.
#[cfg(unix)]
#[test]
fn a_thread_that_arms_a_timer_and_finds_the_runtime_gone_wakes_no_task() {
    // Alone, because a thread of another test may find it first.
    support::alone(|| {
        let runtime = time_only();
        let handle = runtime.block_on(async { Handle::current() });
        drop(runtime);
        let mut timer = handle.sleep(secs(3600));
        let (waker, calls) = telling();
        assert!(poll_with(&mut timer, &waker).is_pending());
        assert_ne!(calls.recv().unwrap(), thread::current().id());
        assert!(timer.is_orphaned());
    });
}

/// A runtime that has ended in such a way is noticed by a thread that makes a timer in another one.
#[cfg(unix)]
#[test]
fn a_thread_that_finds_another_runtime_gone_runs_no_destructor_of_it() {
    support::alone(|| {
        let (dropped, drops) = mpsc::channel();
        let part = OnDrop(move || dropped.send(thread::current().id()).unwrap());
        let mut builder = Builder::new_current_thread();
        let builder = builder.enable_time();
        builder.on_thread_park(move || {
            let _part = &part;
        });
        let runtime = builder.build().unwrap();
        // From now on the runtime alone owns it.
        *builder = Builder::new_current_thread();
        runtime.block_on(sleep(Duration::from_micros(10)));
        drop(runtime);
        assert!(
            drops.try_recv().is_err(),
            "the driver refers to the runtime"
        );

        let other = time_only();
        let _entered = other.enter();
        let timer = sleep(ms(1));
        assert_ne!(drops.recv().unwrap(), thread::current().id());
        drop(timer);
    });
}

/// An expiration fires a bounded number of timers before tasks run again.
#[test]
fn more_timers_that_are_due_at_once_than_an_expiration_fires_all_fire() {
    watched(|| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let all = runtime.spawn(async {
            let deadline = Instant::now() + ms(20);
            join_all((0..10_000).map(|_| sleep_until(deadline))).await;
            assert!(Instant::now() >= deadline);
        });
        runtime.block_on(all).unwrap();
    });
}
