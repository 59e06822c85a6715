//! Tests of clocks and wakers that panic while a stream yields an item: it is not lost, and nothing
//! is early.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::task::Poll::{self, Pending, Ready};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::{self, Stream, StreamExt as _};
use reveille::time::{interval, timeout};
use reveille::{Clock, Driver, Entered, StreamExt as _};

use crate::support::{Dial, OnDrop, Task, manual, ms, owning, secs};

/// A clock that panics while it is told to, and a driver on it.
struct TestClock {
    dial: Dial,
    panics: Arc<AtomicBool>,
    _entered: Entered,
    driver: Driver<()>,
}

impl TestClock {
    fn new() -> Self {
        let (dial, panics) = (Dial::default(), Arc::new(AtomicBool::new(false)));
        let (clock, asked) = (dial.clock(), panics.clone());
        let epoch = clock.now();
        let clock = Clock::custom(move || {
            assert!(!asked.load(Ordering::SeqCst), "the clock's own panic");
            clock.now() - epoch
        });
        let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
        Self {
            dial,
            panics,
            _entered: driver.handle().enter(),
            driver,
        }
    }

    /// Sets the time and fires what is due. After that the clock panics, if `panics` is set.
    fn set(&mut self, millis: u64, panics: bool) {
        self.panics.store(false, Ordering::SeqCst);
        self.dial.set(ms(millis));
        self.driver.turn();
        self.panics.store(panics, Ordering::SeqCst);
    }
}

/// A stream that the test feeds, on such a clock.
struct TestStream<S> {
    clock: TestClock,
    feeder: UnboundedSender<u32>,
    stream: S,
    task: Task,
}

impl<S: Stream + Unpin> TestStream<S> {
    fn new(adapt: impl FnOnce(UnboundedReceiver<u32>) -> S) -> Self {
        let clock = TestClock::new();
        let (feeder, fed) = unbounded();
        Self {
            clock,
            feeder,
            stream: adapt(fed),
            task: Task::new(),
        }
    }

    fn feed(&self, item: u32) {
        self.feeder.unbounded_send(item).unwrap();
    }

    fn at(&mut self, millis: u64) -> Poll<Option<S::Item>> {
        self.clock.set(millis, false);
        self.poll()
    }

    fn poll(&mut self) -> Poll<Option<S::Item>> {
        let stream = std::pin::Pin::new(&mut self.stream);
        stream.poll_next(&mut self.task.context())
    }
}

/// Yields an item while the clock panics, and then waits for another one.
fn limit_begins_with_the_poll_after_the_panic<S, E>(mut fed: TestStream<S>)
where
    S: Stream<Item = Result<u32, E>> + Unpin,
{
    fed.feed(1);
    fed.clock.set(50, true);
    assert!(matches!(fed.poll(), Ready(Some(Ok(1)))));
    for at in [90, 150, 189] {
        assert!(fed.at(at).is_pending(), "the limit is early: {at}");
    }
    assert!(matches!(fed.at(190), Ready(Some(Err(_)))));
}

#[test]
fn a_stream_with_a_limit_yields_its_item_although_the_clock_panics() {
    limit_begins_with_the_poll_after_the_panic(TestStream::new(|fed| fed.timeout(ms(100))));
    limit_begins_with_the_poll_after_the_panic(TestStream::new(|fed| {
        fed.timeout_repeating(interval(ms(100)))
    }));
}

#[test]
fn a_throttled_stream_yields_its_item_although_the_clock_panics() {
    let mut fed = TestStream::new(|fed| fed.throttle(ms(100)));
    (1..4).for_each(|item| fed.feed(item));
    assert_eq!([0, 99].map(|at| fed.at(at)), [Ready(Some(1)), Pending]);
    // The driver has fired the timer, so the clock is first read for the item.
    fed.clock.set(100, true);
    assert_eq!(fed.poll(), Ready(Some(2)));
    assert_eq!([150, 249].map(|at| fed.at(at)), [Pending, Pending]);
    assert_eq!(fed.at(250), Ready(Some(3)));
}

#[test]
fn a_debounced_stream_keeps_its_item_until_its_time_although_the_clock_panics() {
    let mut fed = TestStream::new(|fed| fed.debounce(ms(100)));
    fed.feed(1);
    assert_eq!(fed.at(0), Pending);
    fed.feed(2);
    fed.clock.set(50, true);
    catch_unwind(AssertUnwindSafe(|| fed.poll())).unwrap_err();
    assert_eq!([90, 150, 189].map(|at| fed.at(at)), [Pending; 3]);
    assert_eq!(fed.at(190), Ready(Some(2)));
}

/// After some results in a row the clock is read, to see whether the task should yield.
#[test]
fn a_timeout_yields_its_output_although_the_clock_panics() {
    let mut clock = TestClock::new();
    let mut timeouts = [(); 100].map(|()| timeout(secs(1), std::future::ready(7)));
    clock.set(1, true);
    let task = Task::new();
    for limited in &mut timeouts {
        assert_eq!(task.poll(limited), Ready(Ok(7)));
    }
}

/// Polls the stream with a waker whose drop panics, and of which the timer has the last clone.
fn arm_with_a_bad_waker<S: Stream + Unpin>(stream: &mut S) {
    let bad = owning(OnDrop(|| panic!("a waker's own panic")));
    let stream = std::pin::Pin::new(stream);
    assert!(
        stream
            .poll_next(&mut Context::from_waker(&bad))
            .is_pending()
    );
}

/// Items, a wait, and the end. It must not be polled after that.
fn ends_after_a_wait<const N: usize>(items: [u32; N]) -> impl Stream<Item = u32> + Unpin {
    let (mut items, mut polls) = (items.into_iter(), 0);
    stream::poll_fn(move |_| {
        let item = items.next();
        polls += usize::from(item.is_none());
        match (item, polls) {
            (Some(item), _) => Ready(Some(item)),
            (None, 1) => Pending,
            (None, 2) => Ready(None),
            (None, _) => unreachable!("it was polled after its end"),
        }
    })
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_does_not_make_a_stream_go_on_after_its_end() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut limited = ends_after_a_wait([]).timeout(secs(1));
    arm_with_a_bad_waker(&mut limited);
    catch_unwind(AssertUnwindSafe(|| task.poll(&mut limited.next()))).unwrap_err();
    assert_eq!(task.poll(&mut limited.next()), Ready(None));
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_loses_no_item_at_the_end_of_a_stream() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut settled = ends_after_a_wait([1, 2]).debounce(secs(1));
    arm_with_a_bad_waker(&mut settled);
    assert_eq!(task.poll(&mut settled.next()), Ready(Some(2)));
    assert_eq!(task.poll(&mut settled.next()), Ready(None));
    let mut chunks = ends_after_a_wait([1, 2]).chunks_timeout(3, secs(1));
    arm_with_a_bad_waker(&mut chunks);
    assert_eq!(task.poll(&mut chunks.next()), Ready(Some(vec![1, 2])));
    assert_eq!(task.poll(&mut chunks.next()), Ready(None));
}
