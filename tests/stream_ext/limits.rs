//! Tests of `Timeout` and `TimeoutRepeating`: limits on the wait for an item.

use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use reveille::StreamExt as _;
use reveille::time::{MissedTickBehavior, interval, interval_at, sleep};

use crate::TestStream;
use crate::support::{Task, manual, ms};

#[test]
fn items_in_time_are_yielded_without_errors() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    assert_eq!(fed.feed("a").out(), "a");
    assert_eq!(fed.at(99).feed("bc").out(), "bc");
    assert_eq!(fed.at(198).out(), "");
    assert_eq!(fed.feed("d").end().out(), "d|");
}

#[test]
fn wait_ends_at_its_limit_to_the_nanosecond() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    assert_eq!(fed.out(), "");
    fed.clock.advance(ms(100) - Duration::from_nanos(1));
    assert_eq!((fed.woken(), &*fed.out()), (0, ""));
    fed.clock.advance(Duration::from_nanos(1));
    assert_eq!((fed.woken(), &*fed.out()), (1, "E"));
    assert_eq!(fed.armed(), 0);
}

#[test]
fn first_limit_counts_from_the_call() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    fed.at(60);
    assert_eq!(fed.out(), "");
    assert_eq!((fed.at(99).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(100).woken(), &*fed.out()), (1, "E"));
}

#[test]
fn wait_that_goes_on_is_reported_once() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(50)));
    assert_eq!(fed.feed("a").out(), "a");
    assert_eq!(fed.at(51).out(), "E");
    fed.woken();
    assert_eq!((fed.at(101).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(900).woken(), &*fed.out()), (0, ""));
    // The item starts the count again.
    assert_eq!((fed.feed("b").woken(), &*fed.out()), (1, "b"));
    assert_eq!((fed.at(949).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(950).woken(), &*fed.out()), (1, "E"));
    assert_eq!(fed.end().out(), "|");
}

#[test]
fn each_item_moves_the_limit_in_place() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    for at in (0..1_000).step_by(90) {
        assert_eq!((fed.at(at).feed("a").out(), fed.armed()), ("a".into(), 1));
    }
    // Woken by the channel for each item but the first, and never by the timer.
    assert_eq!(fed.woken(), 11);
    assert_eq!((fed.at(1_089).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(1_090).woken(), &*fed.out()), (1, "E"));
}

#[test]
fn limit_counts_from_when_the_item_was_yielded_not_from_the_next_poll() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    assert!(fed.feed("a").poll().is_ready());
    assert_eq!(fed.at(99).out(), "");
    assert_eq!(fed.at(100).out(), "E");
}

#[test]
fn item_available_when_the_limit_is_up_is_yielded() {
    for late in [100, 170] {
        let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
        assert_eq!(fed.out(), "");
        assert_eq!(fed.at(late).feed("a").out(), "a");
        assert_eq!(fed.at(late + 99).out(), "");
        assert_eq!(fed.at(late + 100).out(), "E");
    }
}

#[test]
fn limit_of_zero_reports_each_wait() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(0)));
    assert_eq!(fed.out(), "E");
    assert_eq!(fed.feed("ab").out(), "abE");
    assert_eq!(fed.feed("c").end().out(), "c|");
}

/// Tokio-stream's own example: even items take 200 ms, because the stream sleeps.
#[test]
fn stream_that_sleeps_itself_is_limited_too() {
    let mut fed = TestStream::new(|_| {
        let slow = stream::iter('1'..='4').then(|item| async move {
            if item == '2' || item == '4' {
                sleep(ms(200)).await;
            }
            item
        });
        slow.timeout(ms(100))
    });
    assert_eq!(fed.out(), "1");
    assert_eq!(fed.at(99).out(), "");
    assert_eq!(fed.at(150).out(), "E");
    assert_eq!(fed.at(250).out(), "23");
    assert_eq!(fed.at(310).out(), "");
    assert_eq!(fed.at(370).out(), "E");
    assert_eq!(fed.at(490).out(), "4|");
}

/// The period is 100 ms; the first tick is at once.
#[test]
fn each_tick_is_reported_until_an_item_comes() {
    let mut fed = TestStream::new(|inside| inside.timeout_repeating(interval(ms(100))));
    assert_eq!(fed.out(), "E");
    for tick in [100, 200, 300] {
        assert_eq!((fed.at(tick - 1).woken(), &*fed.out()), (0, ""));
        assert_eq!((fed.at(tick).woken(), &*fed.out()), (1, "E"));
    }
    // The item starts the interval over.
    assert_eq!((fed.at(350).feed("a").woken(), &*fed.out()), (1, "a"));
    assert_eq!((fed.at(449).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(450).woken(), &*fed.out()), (1, "E"));
    assert_eq!((fed.at(550).woken(), &*fed.out()), (1, "E"));
    assert_eq!(fed.end().out(), "|");
}

#[test]
fn first_tick_comes_when_the_interval_says() {
    let mut fed = TestStream::new(|inside| inside.timeout_repeating(interval(ms(100))));
    assert_eq!(fed.feed("a").out(), "a");
    assert_eq!(fed.at(99).out(), "");
    assert_eq!(fed.at(100).out(), "E");

    let mut fed = TestStream::new(|inside| {
        let start = reveille::time::Instant::now() + ms(30);
        inside.timeout_repeating(interval_at(start, ms(100)))
    });
    assert_eq!(fed.at(29).out(), "");
    assert_eq!(fed.at(30).out(), "E");
    assert_eq!(fed.at(130).out(), "E");
}

#[test]
fn item_available_at_a_tick_is_yielded() {
    let mut fed = TestStream::new(|inside| inside.timeout_repeating(interval(ms(100))));
    assert_eq!(fed.out(), "E");
    assert_eq!(fed.at(100).feed("a").out(), "a");
    assert_eq!(fed.at(199).out(), "");
    assert_eq!(fed.at(200).out(), "E");
}

#[test]
fn missed_ticks_are_reported_as_the_interval_says() {
    for (behavior, expected) in [
        (MissedTickBehavior::Burst, "EEE"),
        (MissedTickBehavior::Delay, "E"),
        (MissedTickBehavior::Skip, "E"),
    ] {
        let mut fed = TestStream::new(|inside| {
            let mut beat = interval(ms(100));
            beat.set_missed_tick_behavior(behavior);
            inside.timeout_repeating(beat)
        });
        assert_eq!(fed.out(), "E");
        assert_eq!(fed.at(350).out(), expected, "{behavior:?}");
    }
}

#[test]
fn dropping_the_future_of_an_item_loses_nothing_and_the_count_goes_on() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    let task = Task::new();
    for at in [0, 30, 60] {
        fed.at(at);
        assert!(task.poll(&mut fed.stream.next()).is_pending());
    }
    assert_eq!((fed.armed(), fed.at(100).out()), (1, "E".into()));
    fed.feed("ab");
    assert!(task.poll(&mut fed.stream.next()).is_ready());
    assert_eq!(fed.out(), "b");
}

#[test]
fn limits_stay_on_the_driver_that_they_were_made_on() {
    let mut fed = TestStream::new(|inside| inside.timeout(ms(100)));
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    assert_eq!(fed.feed("a").out(), "a");
    clock.advance(ms(500));
    assert_eq!((driver.handle().armed(), fed.armed()), (0, 1));
    assert_eq!(fed.at(100).out(), "E");
}

#[test]
fn size_hints_count_what_time_may_add() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    let three = || stream::iter(['x'; 3]);
    assert_eq!(three().timeout(ms(1)).size_hint(), (3, Some(7)));
    let repeating = three().timeout_repeating(interval(ms(1)));
    assert_eq!(repeating.size_hint(), (3, None));
    let always = stream::repeat('x').timeout(ms(1));
    assert_eq!(always.size_hint(), (usize::MAX, None));
}

#[test]
fn size_hint_does_not_count_an_error_already_yielded() {
    // The second item is never ready; only its place is left.
    let mut fed = TestStream::new(|_| {
        let second = stream::once(std::future::pending());
        stream::iter(['a']).chain(second).timeout(ms(100))
    });
    assert_eq!(fed.stream.size_hint(), (2, Some(5)));
    assert_eq!(fed.out(), "a");
    assert_eq!(fed.stream.size_hint(), (1, Some(3)));
    assert_eq!(fed.at(100).out(), "E");
    assert_eq!(fed.stream.size_hint(), (1, Some(2)));
}
