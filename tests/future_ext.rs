//! Tests of `FutureExt`: its methods do the same as the free functions.

#![cfg(not(loom))]

mod support;

use std::future::{pending, ready};
use std::task::Poll;

use futures::FutureExt;
use futures::channel::oneshot;
use reveille::FutureExt as _;
use reveille::time::Timeout;

use support::{Task, manual, ms, secs};

#[test]
fn timeout_counts_from_the_call() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut limited: Timeout<_> = pending::<()>().timeout(ms(100));
    clock.advance(ms(60));
    assert!(task.poll(&mut limited).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(39));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Err(_))));
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
}

#[test]
fn timeout_at_ends_at_the_deadline() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut limited: Timeout<_> = pending::<()>().timeout_at(clock.now() + ms(100));
    clock.advance(ms(60));
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(39));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Err(_))));
}

#[test]
fn a_ready_future_wins_over_a_limit_of_zero_or_in_the_past() {
    let (clock, driver) = manual();
    clock.advance(ms(5));
    let _entered = driver.handle().enter();
    let task = Task::new();
    let past = clock.now() - ms(1);
    assert_eq!(task.poll(&mut ready(1).timeout(ms(0))), Poll::Ready(Ok(1)));
    assert_eq!(
        task.poll(&mut ready(2).timeout_at(past)),
        Poll::Ready(Ok(2))
    );
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
}

#[test]
fn completion_in_time_wakes_the_task_and_dropping_cancels_the_timer() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let (sender, receiver) = oneshot::channel();
    let mut limited = receiver.timeout(secs(1));
    assert!(task.poll(&mut limited).is_pending());
    sender.send(7).unwrap();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(Ok(7))));
    drop(limited);
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
}

#[test]
fn works_beside_the_methods_of_futures() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut chain = ready(20).map(|x| x + 1).timeout(secs(1)).map(Result::ok);
    assert_eq!(task.poll(&mut chain), Poll::Ready(Some(21)));
}

#[test]
fn nested_limits_end_at_the_shorter() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut limited = pending::<()>().timeout(ms(5)).timeout(ms(50));
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(5));
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Ok(Err(_)))));
}
