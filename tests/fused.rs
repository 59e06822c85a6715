//! When `futures::select!` leaves out a timer: only once its end was reported.

#![cfg(not(loom))]

mod support;

use std::future::{pending, ready};

use futures::StreamExt;
use futures::future::FusedFuture;
use futures::stream::FusedStream;
use reveille::time::{DelayQueue, interval, sleep, sleep_until, timeout};

use support::{Task, manual, ms, secs};

#[test]
fn sleep_is_terminated_once_a_poll_was_ready_and_until_it_is_reset() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut sleep = sleep(ms(1));
    assert!(task.poll(&mut sleep).is_pending() && !sleep.is_terminated());
    clock.advance(ms(1));
    assert!(sleep.is_elapsed() && !sleep.is_terminated());
    assert!(task.poll(&mut sleep).is_ready() && sleep.is_terminated());
    sleep.reset_at(clock.now() + ms(1));
    assert!(!sleep.is_terminated());
    clock.advance(ms(1));
    assert!(task.poll(&mut sleep).is_ready() && sleep.is_terminated());
}

/// Left out of a `select!`, its end would never be seen.
#[test]
fn sleep_that_a_reset_has_ended_is_terminated_only_after_the_next_poll() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut sleep = sleep(secs(1));
    clock.advance(ms(1));
    assert!(task.poll(&mut sleep).is_pending());
    for _ in 0..2 {
        sleep.reset_at(clock.now() - ms(1));
        assert!(!sleep.is_terminated());
        assert!(task.poll(&mut sleep).is_ready() && sleep.is_terminated());
        sleep.reset_at(clock.now() + secs(1));
        assert!(task.poll(&mut sleep).is_pending() && !sleep.is_terminated());
    }
}

/// The timer that gives way has not reported its end.
#[test]
fn sleep_that_gives_way_is_not_terminated() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let gave_way = (0..1000).any(|_| {
        let mut sleep = sleep_until(clock.now());
        let is_pending = task.poll(&mut sleep).is_pending();
        assert_eq!(sleep.is_terminated(), !is_pending);
        is_pending
    });
    assert!(gave_way);
}

#[test]
fn timeout_is_terminated_once_a_poll_was_ready() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut completes = timeout(secs(1), ready(7));
    assert!(!completes.is_terminated());
    assert!(task.poll(&mut completes).is_ready() && completes.is_terminated());

    let mut elapses = timeout(secs(1), pending::<()>());
    assert!(task.poll(&mut elapses).is_pending() && !elapses.is_terminated());
    clock.advance(secs(1));
    assert!(task.poll(&mut elapses).is_ready() && elapses.is_terminated());
}

#[test]
fn interval_is_never_terminated() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut interval = interval(ms(1));
    assert!(interval.poll_tick(&mut Task::new().context()).is_ready());
    assert!(!interval.is_terminated());
}

/// An empty queue is ready with `None` at once: a loop would spin.
#[test]
fn delay_queue_is_terminated_while_it_is_empty() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut queue = DelayQueue::new();
    assert!(queue.is_terminated());
    queue.insert(1, ms(1));
    assert!(task.poll(&mut queue.next()).is_pending() && !queue.is_terminated());
    clock.advance(ms(1));
    assert!(task.poll(&mut queue.next()).is_ready() && queue.is_terminated());
    queue.insert(2, ms(1));
    assert!(!queue.is_terminated());
}

#[cfg(feature = "rt")]
#[test]
fn join_handle_is_terminated_once_its_output_was_taken() {
    reveille::rt::block_on(async {
        let mut task = reveille::rt::spawn(async { 7 });
        assert!(!task.is_terminated());
        assert_eq!((&mut task).await.unwrap(), 7);
        assert!(task.is_terminated());
    });
}
