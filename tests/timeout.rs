//! Tests of `Timeout`: whether the future or the deadline comes first, and what a timeout costs.

#![cfg(not(loom))]

mod support;

use std::future::{Ready, pending, ready};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use reveille::time::error::{Elapsed, Error};
use reveille::time::{Timeout, timeout, timeout_at};

use support::{OnDrop, Task, manual, ms, secs};

#[test]
fn is_unpin_send_and_sync_if_its_future_is() {
    fn is_unpin_send_and_sync<T: Unpin + Send + Sync>() {}
    is_unpin_send_and_sync::<Timeout<Ready<()>>>();
    is_unpin_send_and_sync::<Elapsed>();
}

#[test]
fn a_future_that_is_ready_at_once_arms_no_timer() {
    let (_, driver) = manual();
    let task = Task::new();
    let mut limited = driver.handle().timeout(secs(1), ready(5));
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(5)));
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
}

#[test]
fn free_functions_use_the_driver_that_is_entered() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut after = timeout(ms(5), pending::<()>());
    let mut at = timeout_at(clock.now() + ms(5), pending::<()>());
    assert!(task.poll(&mut after).is_pending());
    assert!(task.poll(&mut at).is_pending());
    assert_eq!(driver.handle().armed(), 2);
    clock.advance(ms(5));
    assert_eq!(task.wakes(), 2);
    assert!(matches!(task.poll(&mut after), Poll::Ready(Err(_))));
    assert!(matches!(task.poll(&mut at), Poll::Ready(Err(_))));
}

#[test]
fn zero_and_the_past_still_poll_the_future_once() {
    let (clock, driver) = manual();
    clock.advance(ms(5));
    let task = Task::new();
    let past = clock.now() - ms(1);
    let handle = driver.handle();
    assert_eq!(
        task.poll(&mut handle.timeout(Duration::ZERO, ready(1))),
        Poll::Ready(Ok(1))
    );
    assert_eq!(
        task.poll(&mut handle.timeout_at(past, ready(1))),
        Poll::Ready(Ok(1))
    );
    let mut late = handle.timeout(Duration::ZERO, pending::<()>());
    assert!(matches!(task.poll(&mut late), Poll::Ready(Err(_))));
    let mut late = handle.timeout_at(past, pending::<()>());
    assert!(matches!(task.poll(&mut late), Poll::Ready(Err(_))));
}

#[test]
fn future_that_is_ready_after_the_deadline_still_wins() {
    let (clock, driver) = manual();
    let task = Task::new();
    let (sender, receiver) = oneshot::channel();
    let mut limited = driver.handle().timeout(ms(5), receiver);
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(50));
    sender.send(7).unwrap();
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(Ok(7))));
}

#[test]
fn a_future_that_is_ready_in_time_wakes_the_task_and_cancels_the_timer() {
    let (clock, driver) = manual();
    let task = Task::new();
    let (sender, receiver) = oneshot::channel();
    let mut limited = driver.handle().timeout(ms(100), receiver);
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(90));
    sender.send(7).unwrap();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(Ok(7))));
    drop(limited);
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
    clock.advance(secs(1));
    assert_eq!(task.wakes(), 1);
}

#[test]
fn deadline_ends_a_future_that_waits_and_wakes_the_task() {
    let (clock, driver) = manual();
    let task = Task::new();
    let (_sender, receiver) = oneshot::channel::<()>();
    let mut limited = driver.handle().timeout(ms(100), receiver);
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(99));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    let Poll::Ready(Err(elapsed)) = task.poll(&mut limited) else {
        panic!("the deadline has passed");
    };
    assert_eq!(elapsed.to_string(), "deadline has elapsed");
    assert_eq!(
        std::io::Error::from(elapsed).kind(),
        std::io::ErrorKind::TimedOut
    );
}

#[test]
fn no_limit_is_too_long() {
    let (clock, driver) = manual();
    let task = Task::new();
    for limit in [Duration::MAX, secs(u64::MAX), secs(u64::MAX / 10)] {
        let mut limited = driver.handle().timeout(limit, pending::<()>());
        assert!(task.poll(&mut limited).is_pending());
        clock.advance(secs(10 * 365 * 86_400));
        assert!(task.poll(&mut limited).is_pending());
    }
    assert_eq!(task.wakes(), 0);
}

#[test]
fn an_elapsed_timeout_polled_again_polls_its_future_again() {
    let (clock, driver) = manual();
    let task = Task::new();
    let (sender, receiver) = oneshot::channel();
    let mut limited = driver.handle().timeout(ms(5), receiver);
    assert!(task.poll(&mut limited).is_pending());
    clock.advance(ms(5));
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Err(_))));
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Err(_))));
    sender.send(7).unwrap();
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(Ok(7))));
}

#[test]
fn drop_drops_the_future_and_the_timer() {
    let (_, driver) = manual();
    let task = Task::new();
    let (dropped, seen) = mpsc::channel();
    let guard = OnDrop(move || dropped.send(()).unwrap());
    let future = async move {
        let _guard = guard;
        pending::<()>().await;
    };
    let mut limited = Box::pin(driver.handle().timeout(ms(5), future));
    assert!(task.poll(&mut limited).is_pending());
    assert_eq!(
        (driver.handle().armed(), seen.try_recv().is_ok()),
        (1, false)
    );
    drop(limited);
    assert_eq!(
        (driver.handle().armed(), seen.try_recv().is_ok()),
        (0, true)
    );
    assert_eq!(task.held(), 0);
}

#[test]
fn into_inner_returns_the_future_and_cancels_the_timer() {
    let (_, driver) = manual();
    let task = Task::new();
    let (sender, receiver) = oneshot::channel();
    let mut limited = driver.handle().timeout(ms(5), receiver);
    assert!(task.poll(&mut limited).is_pending());
    let mut receiver = limited.into_inner();
    assert_eq!(driver.handle().armed(), 0);
    sender.send(7).unwrap();
    assert_eq!(task.poll(&mut receiver), Poll::Ready(Ok(7)));
}

#[test]
fn nested_timeouts_end_at_the_shorter_limit() {
    let (clock, driver) = manual();
    let task = Task::new();
    for (outer, inner) in [(5, 50), (50, 5)] {
        let inside = driver.handle().timeout(ms(inner), pending::<()>());
        let mut limited = driver.handle().timeout(ms(outer), inside);
        assert!(task.poll(&mut limited).is_pending());
        clock.advance(ms(5));
        match task.poll(&mut limited) {
            Poll::Ready(Err(_)) => assert_eq!(outer, 5),
            Poll::Ready(Ok(Err(_))) => assert_eq!(inner, 5),
            other => panic!("{other:?}"),
        }
    }
}

/// tokio #4314: the future wakes itself at each poll and is never ready.
#[test]
fn a_future_that_always_wakes_itself_still_times_out() {
    struct Busy;

    impl Future for Busy {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    let (clock, driver) = manual();
    let task = Task::new();
    let mut limited = driver.handle().timeout(ms(5), Busy);
    for polls in 1..=5 {
        assert!(task.poll(&mut limited).is_pending());
        assert_eq!((task.wakes(), driver.handle().armed()), (polls, 1));
        clock.advance(ms(1));
    }
    assert!(matches!(task.poll(&mut limited), Poll::Ready(Err(_))));
}

#[test]
fn each_error_has_one_kind_and_a_message() {
    let kinds = [Error::shutdown(), Error::at_capacity(), Error::invalid()].map(|error| {
        [
            error.is_shutdown(),
            error.is_at_capacity(),
            error.is_invalid(),
        ]
    });
    assert_eq!(
        kinds,
        [
            [true, false, false],
            [false, true, false],
            [false, false, true]
        ]
    );
}
