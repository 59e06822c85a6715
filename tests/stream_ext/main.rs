//! Tests of the streams of `StreamExt`.
//!
//! Each file tests one or two of the adapters; this one has what they share, and tests of all of
//! them. The output of a stream is written as a string: items as letters, `E` for an `Elapsed`,
//! chunks in brackets, `|` for the end, and nothing for pending.

#![cfg(not(loom))]

#[cfg(all(feature = "tokio", feature = "test-util"))]
mod budget;
mod chunks_timeout;
mod debounce;
mod limits;
mod panics;
mod properties;
#[path = "../support/mod.rs"]
mod support;
mod throttle;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::{self, FusedStream, Stream, StreamExt};
use reveille::StreamExt as _;
use reveille::stream::{ChunksTimeout, Debounce, Throttle, Timeout, TimeoutRepeating};
use reveille::time::error::Elapsed;
use reveille::time::{Instant, interval};
use reveille::{Driver, Entered, ManualClock};

use support::{Task, manual, ms};

/// How an item of the output is written.
trait Show {
    fn show(&self) -> String;
}

impl Show for char {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Result<char, Elapsed> {
    fn show(&self) -> String {
        self.as_ref().map_or('E', |&item| item).to_string()
    }
}

impl Show for Vec<char> {
    fn show(&self) -> String {
        format!("[{}]", self.iter().collect::<String>())
    }
}

/// A stream under test, and the channel that feeds it, on a manual clock.
struct TestStream<S> {
    stream: Pin<Box<S>>,
    feeder: Option<UnboundedSender<char>>,
    task: Task,
    seen: usize,
    clock: ManualClock,
    start: Instant,
    _entered: Entered,
    driver: Driver<()>,
}

impl<S: Stream<Item: Show>> TestStream<S> {
    fn new(make: impl FnOnce(UnboundedReceiver<char>) -> S) -> Self {
        let (clock, driver) = manual();
        let entered = driver.handle().enter();
        let (feeder, fed) = unbounded();
        Self {
            stream: Box::pin(make(fed)),
            feeder: Some(feeder),
            task: Task::new(),
            seen: 0,
            start: clock.now(),
            clock,
            _entered: entered,
            driver,
        }
    }

    /// Moves the clock to `millis` after the start.
    fn at(&mut self, millis: u64) -> &mut Self {
        self.clock
            .advance(self.start + ms(millis) - self.clock.now());
        self
    }

    fn feed(&mut self, items: &str) -> &mut Self {
        let feeder = self.feeder.as_ref().expect("the stream has not ended");
        for item in items.chars() {
            feeder.unbounded_send(item).unwrap();
        }
        self
    }

    fn end(&mut self) -> &mut Self {
        self.feeder = None;
        self
    }

    fn poll(&mut self) -> Poll<Option<S::Item>> {
        self.stream.as_mut().poll_next(&mut self.task.context())
    }

    /// Returns the output until the stream is pending or over.
    fn out(&mut self) -> String {
        let mut out = String::new();
        while let Poll::Ready(item) = self.poll() {
            let Some(item) = item else {
                out.push('|');
                break;
            };
            out.push_str(&item.show());
        }
        out
    }

    /// Returns how often the task was woken since the last call.
    fn woken(&mut self) -> usize {
        let wakes = self.task.wakes();
        wakes - std::mem::replace(&mut self.seen, wakes)
    }

    fn armed(&self) -> usize {
        self.driver.handle().armed()
    }

    /// Drops the stream. Returns how many timers are armed and how many wakers exist after that.
    fn close(self) -> (usize, usize) {
        drop((self.stream, self.feeder));
        (self.driver.handle().armed(), self.task.held())
    }
}

#[test]
fn all_are_unpin_send_and_sync_if_the_inner_stream_is() {
    type Inside = UnboundedReceiver<char>;
    fn is_unpin_send_and_sync<T: Unpin + Send + Sync>() {}
    is_unpin_send_and_sync::<Timeout<Inside>>();
    is_unpin_send_and_sync::<TimeoutRepeating<Inside>>();
    is_unpin_send_and_sync::<Throttle<Inside>>();
    is_unpin_send_and_sync::<ChunksTimeout<Inside>>();
    is_unpin_send_and_sync::<Debounce<Inside>>();
}

/// Runs `$check` with each adapter, with a period of 100 ms.
macro_rules! on_each {
    ($check:ident) => {
        $check(|inside| inside.timeout(ms(100)));
        $check(|inside| inside.timeout_repeating(interval(ms(100))));
        $check(|inside| inside.throttle(ms(100)));
        $check(|inside| inside.chunks_timeout(10, ms(100)));
        $check(|inside| inside.debounce(ms(100)));
    };
}

#[test]
fn end_drops_the_timer_and_the_waker_at_once() {
    fn check<S>(make: impl FnOnce(UnboundedReceiver<char>) -> S)
    where
        S: Stream<Item: Show> + FusedStream,
    {
        let mut fed = TestStream::new(make);
        fed.feed("ab").out();
        assert_eq!(fed.armed(), 1);
        assert!(!fed.stream.is_terminated());
        fed.at(50).end();
        assert!(fed.out().ends_with('|'));
        assert!(fed.stream.is_terminated());
        assert_eq!((fed.armed(), fed.task.held()), (0, 0));
        assert_eq!(fed.out(), "|");
        assert_eq!(fed.stream.size_hint(), (0, Some(0)));
        fed.woken();
        fed.at(1_000);
        assert_eq!((fed.woken(), fed.armed()), (0, 0));
    }
    check(|inside| inside.timeout(ms(100)));
    check(|inside| inside.timeout_repeating(interval(ms(100))));
    check(|inside| inside.chunks_timeout(10, ms(100)));
    check(|inside| inside.debounce(ms(100)));
}

#[test]
fn drop_in_the_middle_drops_the_timer_and_the_waker() {
    fn check<S: Stream<Item: Show>>(make: impl FnOnce(UnboundedReceiver<char>) -> S) {
        let mut fed = TestStream::new(make);
        fed.feed("ab").out();
        assert_eq!(fed.armed(), 1);
        assert_eq!(fed.close(), (0, 0));
    }
    on_each!(check);
}

#[test]
fn no_duration_is_too_long() {
    fn check<S: Stream<Item: Show>>(
        expected: &str,
        make: impl FnOnce(UnboundedReceiver<char>) -> S,
    ) {
        let mut fed = TestStream::new(make);
        let mut out = fed.feed("ab").out();
        fed.woken();
        fed.at(10 * 365 * 86_400_000);
        assert_eq!(fed.woken(), 0);
        out += &fed.out();
        out += &fed.feed("c").end().out();
        assert_eq!(out, expected);
    }
    check("abc|", |inside| inside.timeout(Duration::MAX));
    check("abc|", |inside| {
        inside.timeout_repeating(interval(Duration::MAX))
    });
    check("a", |inside| inside.throttle(Duration::MAX));
    check("[abc]|", |inside| {
        inside.chunks_timeout(usize::MAX, Duration::MAX)
    });
    check("c|", |inside| inside.debounce(Duration::MAX));
}

#[test]
fn stream_that_is_never_pending_arms_no_timer() {
    fn check<S: Stream>(make: impl FnOnce(stream::Repeat<char>) -> S) {
        let (_, driver) = manual();
        let _entered = driver.handle().enter();
        let task = Task::new();
        let mut stream = Box::pin(make(stream::repeat('x')));
        for _ in 0..100 {
            let _ = stream.as_mut().poll_next(&mut task.context());
            assert_eq!((driver.handle().armed(), task.held()), (0, 0));
        }
    }
    check(|inside| inside.timeout(ms(100)));
    check(|inside| inside.timeout_repeating(interval(ms(100))));
    check(|inside| inside.throttle(ms(0)));
    check(|inside| inside.chunks_timeout(10, ms(100)));
    check(|inside| inside.debounce(ms(100)));
}

#[test]
fn stream_that_panics_loses_no_item_and_leaves_nothing_behind() {
    fn check<S: Stream<Item: Show>>(
        expected: &str,
        make: impl FnOnce(UnboundedReceiver<char>) -> S,
    ) {
        let mut fed = TestStream::new(make);
        let mut out = fed.feed("a").out();
        fed.feed("b!c");
        let mut panics = 0;
        for at in [100, 200, 300] {
            fed.at(at);
            loop {
                match catch_unwind(AssertUnwindSafe(|| fed.poll())) {
                    Ok(Poll::Ready(item)) => out += &item.expect("it has not ended").show(),
                    Ok(Poll::Pending) => break,
                    Err(_) => {
                        panics += 1;
                        break;
                    }
                }
            }
        }
        assert_eq!((panics, &*out), (1, expected));
        assert_eq!(fed.close(), (0, 0));
    }
    fn panic_at_mark(inside: UnboundedReceiver<char>) -> impl Stream<Item = char> {
        inside.inspect(|&item| assert_ne!(item, '!', "panics at the mark"))
    }
    check("abcE", |inside| panic_at_mark(inside).timeout(ms(100)));
    check("abcE", |inside| {
        panic_at_mark(inside).timeout_repeating(interval(ms(100)))
    });
    check("abc", |inside| panic_at_mark(inside).throttle(ms(100)));
    check("[abc]", |inside| {
        panic_at_mark(inside).chunks_timeout(10, ms(100))
    });
    check("c", |inside| panic_at_mark(inside).debounce(ms(100)));
}
