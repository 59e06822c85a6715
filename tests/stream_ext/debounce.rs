//! Tests of which items `Debounce` yields, and when.

use std::task::Poll;
use std::time::Duration;

use futures::stream::{self, FusedStream, Stream, StreamExt};
use reveille::StreamExt as _;

use crate::TestStream;
use crate::support::{OnDrop, Task, manual, ms};

#[test]
fn item_is_yielded_to_the_nanosecond_once_no_newer_one_has_come() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.at(30).feed("a").out(), "");
    fed.clock.advance(ms(100) - Duration::from_nanos(1));
    assert_eq!((fed.woken(), &*fed.out()), (0, ""));
    fed.clock.advance(Duration::from_nanos(1));
    assert_eq!((fed.woken(), &*fed.out()), (1, "a"));
    assert_eq!(fed.armed(), 0);
    // Only once.
    assert_eq!((fed.at(1_000).woken(), &*fed.out()), (0, ""));
}

#[test]
fn newer_item_replaces_and_starts_over() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    for (at, item) in [(0, "a"), (99, "b"), (150, "c"), (249, "d")] {
        assert_eq!((fed.at(at).feed(item).out(), fed.armed()), ("".into(), 1));
    }
    // Woken by the channel, but never by the timer.
    assert_eq!(fed.woken(), 3);
    assert_eq!((fed.at(348).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(349).woken(), &*fed.out()), (1, "d"));
}

#[test]
fn of_items_available_together_the_newest_is_yielded() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.feed("abc").out(), "");
    assert_eq!(fed.at(100).out(), "c");
}

#[test]
fn item_available_when_the_time_is_up_replaces_the_older() {
    for late in [100, 170] {
        let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
        assert_eq!(fed.feed("a").out(), "");
        assert_eq!(fed.at(late).feed("b").out(), "");
        assert_eq!(fed.at(late + 99).out(), "");
        assert_eq!(fed.at(late + 100).out(), "b");
    }
}

#[test]
fn end_yields_the_waiting_item_at_once() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.at(10).feed("b").end().poll(), Poll::Ready(Some('b')));
    assert_eq!((fed.armed(), fed.stream.is_terminated()), (0, true));
    assert_eq!(fed.out(), "|");
}

#[test]
fn end_without_a_waiting_item_is_the_end() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.end().out(), "|");
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.at(100).out(), "a");
    assert_eq!(fed.end().out(), "|");
}

#[test]
fn zero_yields_every_item() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(0)));
    assert_eq!(fed.feed("abc").out(), "abc");
    assert_eq!(fed.armed(), 0);
    assert_eq!(fed.feed("d").end().out(), "d|");
}

/// No item is ever yielded, but the thread must be able to run something else.
#[test]
fn stream_that_always_has_an_item_yields() {
    let mut fed = TestStream::new(|_| stream::repeat('x').debounce(ms(100)));
    for _ in 0..10 {
        assert!(fed.poll().is_pending());
        assert_eq!((fed.woken(), fed.armed()), (1, 0));
    }
}

#[test]
fn end_after_many_items_is_reached() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    fed.feed(&"x".repeat(1_000)).feed("y").end();
    let mut polls = 1;
    while fed.poll() != Poll::Ready(Some('y')) {
        assert_eq!(fed.woken(), 1);
        polls += 1;
    }
    assert_eq!((polls, &*fed.out()), (1_001 / 64 + 1, "|"));
}

#[test]
fn replaced_item_is_dropped_at_once_and_the_last_with_the_stream() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let drops = std::cell::Cell::new(0);
    let item = |_| OnDrop(|| drops.set(drops.get() + 1));
    let items = stream::iter(0..3).map(item).chain(stream::pending());
    let mut settled = Box::pin(items.debounce(ms(100)));
    assert!(task.poll(&mut settled.next()).is_pending());
    assert_eq!(drops.get(), 2);
    drop(settled);
    assert_eq!((drops.get(), driver.handle().armed()), (3, 0));
}

#[test]
fn dropping_the_future_of_an_item_keeps_it_and_its_time() {
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    let task = Task::new();
    fed.feed("a");
    for at in [0, 50, 99] {
        fed.at(at);
        assert!(task.poll(&mut fed.stream.next()).is_pending());
    }
    fed.at(100);
    assert_eq!(task.poll(&mut fed.stream.next()), Poll::Ready(Some('a')));
}

#[test]
fn size_hint_is_sure_of_the_last_item_only() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    assert_eq!(
        stream::iter(['x'; 3]).debounce(ms(1)).size_hint(),
        (1, Some(3))
    );
    assert_eq!(
        stream::empty::<()>().debounce(ms(1)).size_hint(),
        (0, Some(0))
    );
    let mut fed = TestStream::new(|inside| inside.debounce(ms(100)));
    assert_eq!(fed.stream.size_hint(), (0, None));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.stream.size_hint(), (1, None));
}
