//! Tests of how far apart the items of a throttled stream are.

use std::task::Poll;

use futures::FutureExt;
use futures::stream::{self, FusedStream, Stream, StreamExt};
use reveille::StreamExt as _;

use crate::TestStream;
use crate::support::{Task, manual, ms};

#[test]
fn first_item_is_not_delayed_and_each_later_one_by_a_period() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert_eq!(fed.feed("abc").out(), "a");
    assert_eq!((fed.at(99).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(100).woken(), &*fed.out()), (1, "b"));
    assert_eq!((fed.at(199).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(200).woken(), &*fed.out()), (1, "c"));
}

/// Tokio-stream's own test.
#[test]
fn stream_that_always_has_an_item_is_slowed_down() {
    let mut fed = TestStream::new(|_| stream::repeat('x').throttle(ms(100)));
    assert_eq!(fed.out(), "x");
    assert_eq!((fed.at(90).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(191).woken(), &*fed.out()), (1, "x"));
    // It counts from the item, not from when that was due.
    assert_eq!((fed.at(290).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(291).woken(), &*fed.out()), (1, "x"));
}

#[test]
fn item_that_comes_after_the_period_is_yielded_at_once() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert_eq!(fed.feed("a").out(), "a");
    assert_eq!(fed.at(100).out(), "");
    // The wait is over: no timer is armed, and only an item wakes the task.
    assert_eq!((fed.armed(), fed.woken()), (0, 1));
    assert_eq!((fed.at(500).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.feed("b").woken(), &*fed.out()), (1, "b"));
    assert_eq!(fed.at(599).feed("c").out(), "");
    assert_eq!(fed.at(600).out(), "c");
}

#[test]
fn inner_stream_is_not_polled_before_the_period_is_over() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert_eq!(fed.feed("a").out(), "a");
    fed.woken();
    // The task is not registered with the channel, so the channel does not wake it.
    assert_eq!((fed.feed("b").woken(), &*fed.out()), (0, ""));
    assert_eq!(fed.at(100).out(), "b");
}

#[test]
fn end_is_delayed_like_an_item() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert_eq!(fed.feed("a").end().out(), "a");
    assert!(!fed.stream.is_terminated());
    assert_eq!(fed.at(99).out(), "");
    assert_eq!(fed.at(100).out(), "|");
    assert!(fed.stream.is_terminated());
    assert_eq!((fed.armed(), fed.task.held()), (0, 0));
}

#[test]
fn end_before_the_first_item_is_not_delayed() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert_eq!(fed.end().out(), "|");
}

#[test]
fn zero_delays_nothing() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(0)));
    assert_eq!(fed.feed("abc").out(), "abc");
    assert_eq!(fed.armed(), 0);
    assert_eq!(fed.feed("d").end().out(), "d|");
}

#[test]
fn no_timer_is_armed_before_a_task_waits() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    assert!(fed.feed("ab").poll().is_ready());
    assert_eq!(fed.armed(), 0);
    assert!(fed.poll().is_pending());
    assert_eq!(fed.armed(), 1);
    fed.woken();
    assert_eq!((fed.at(100).woken(), fed.armed()), (1, 0));
}

#[test]
fn dropping_the_future_of_an_item_loses_none_and_hurries_none() {
    let mut fed = TestStream::new(|inside| inside.throttle(ms(100)));
    let task = Task::new();
    assert_eq!(fed.feed("ab").out(), "a");
    for at in [10, 50, 99] {
        fed.at(at);
        assert!(task.poll(&mut fed.stream.next()).is_pending());
    }
    fed.at(100);
    assert_eq!(task.poll(&mut fed.stream.next()), Poll::Ready(Some('b')));
}

#[test]
fn inner_stream_can_be_borrowed_and_taken_out() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    let mut calm = stream::iter(1..=4).throttle(ms(100));
    assert_eq!(calm.next().now_or_never(), Some(Some(1)));
    assert_eq!(calm.get_ref().size_hint(), (3, Some(3)));
    assert_eq!(calm.size_hint(), (3, Some(3)));
    assert_eq!(calm.get_mut().next().now_or_never(), Some(Some(2)));
    assert_eq!(calm.next().now_or_never(), None);
    assert_eq!(driver.handle().armed(), 1);
    let rest = calm.into_inner();
    assert_eq!(driver.handle().armed(), 0);
    assert_eq!(rest.collect::<Vec<_>>().now_or_never(), Some(vec![3, 4]));
}
