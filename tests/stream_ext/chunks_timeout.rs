//! Tests of when a chunk is yielded, and what is in it.

use std::task::Poll;

use futures::stream::{self, FusedStream, Stream, StreamExt};
use reveille::StreamExt as _;
use reveille::time::sleep;

use crate::TestStream;
use crate::support::{Task, manual, ms, panic_of, secs};

#[test]
fn chunk_is_yielded_as_soon_as_it_is_full() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(3, ms(100)));
    assert_eq!(fed.feed("abcdefg").out(), "[abc][def]");
    assert_eq!(fed.at(50).feed("hij").out(), "[ghi]");
    assert_eq!(fed.feed("k").end().out(), "[jk]|");
}

#[test]
fn chunk_is_yielded_when_its_first_item_has_waited() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(10, ms(100)));
    assert_eq!(fed.at(500).out(), "");
    assert_eq!(fed.armed(), 0);
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.at(599).feed("b").out(), "");
    fed.woken();
    assert_eq!((fed.at(600).woken(), &*fed.out()), (1, "[ab]"));
    // No empty chunks.
    assert_eq!((fed.at(2_000).woken(), &*fed.out()), (0, ""));
}

#[test]
fn each_chunk_has_its_own_time() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(2, ms(100)));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.at(90).feed("bc").out(), "[ab]");
    fed.woken();
    // Not at 100, which was the time of the chunk before.
    assert_eq!((fed.at(189).woken(), &*fed.out()), (0, ""));
    assert_eq!((fed.at(190).woken(), &*fed.out()), (1, "[c]"));
}

#[test]
fn full_chunk_leaves_no_timer_armed() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(2, ms(100)));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.armed(), 1);
    assert_eq!(fed.at(50).feed("b").out(), "[ab]");
    assert_eq!(fed.armed(), 0);
    fed.woken();
    assert_eq!(fed.at(1_000).woken(), 0);
}

#[test]
fn items_available_when_the_time_is_up_are_included() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(3, ms(100)));
    assert_eq!(fed.feed("a").out(), "");
    assert_eq!(fed.at(100).feed("b").out(), "[ab]");
    assert_eq!(fed.feed("c").out(), "");
    // Full first; then the rest begins a chunk with its own time.
    assert_eq!(fed.at(230).feed("def").out(), "[cde]");
    assert_eq!(fed.at(329).out(), "");
    assert_eq!(fed.at(330).out(), "[f]");
}

#[test]
fn end_yields_the_waiting_items_and_ends() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(3, ms(100)));
    assert_eq!(fed.feed("ab").out(), "");
    fed.end();
    let Poll::Ready(Some(last)) = fed.poll() else {
        panic!("two items wait");
    };
    assert_eq!(last, ['a', 'b']);
    assert_eq!((fed.armed(), fed.stream.is_terminated()), (0, true));
    assert_eq!(fed.out(), "|");
}

#[test]
fn end_without_items_yields_no_chunk() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(3, ms(100)));
    assert_eq!(fed.end().out(), "|");
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(2, ms(100)));
    assert_eq!(fed.feed("abcd").end().out(), "[ab][cd]|");
}

#[test]
fn chunks_of_one_need_no_timer() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(1, ms(100)));
    assert_eq!(fed.feed("abc").out(), "[a][b][c]");
    assert_eq!(fed.armed(), 0);
}

#[test]
fn zero_collects_the_available_items() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(3, ms(0)));
    assert_eq!(fed.feed("abcd").out(), "[abc][d]");
    assert_eq!(fed.out(), "");
    assert_eq!(fed.feed("e").out(), "[e]");
    assert_eq!(fed.armed(), 0);
}

#[test]
fn size_without_limit_is_bounded_by_time() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(usize::MAX, ms(100)));
    let many = "x".repeat(10_000);
    assert_eq!(fed.feed(&many).out(), "");
    // It lets other tasks run now and then.
    while fed.woken() > 0 {
        assert_eq!(fed.out(), "");
    }
    assert_eq!(fed.stream.size_hint(), (1, None));
    assert_eq!(fed.at(100).out(), format!("[{many}]"));
}

/// Tokio-stream's own test: three at once, one that takes three seconds.
#[test]
fn late_item_is_a_chunk_of_its_own() {
    let mut fed = TestStream::new(|_| {
        let late = stream::iter(['4']).then(|item| sleep_first(3, item));
        stream::iter(['1', '2', '3'])
            .chain(late)
            .chunks_timeout(4, secs(2))
    });
    assert_eq!(fed.out(), "");
    assert_eq!(fed.at(1_999).out(), "");
    assert_eq!(fed.at(2_000).out(), "[123]");
    assert_eq!(fed.at(2_999).out(), "");
    assert_eq!(fed.at(3_000).out(), "[4]|");
}

/// Tokio-stream's own test: the third comes in time and fills the chunk, the fourth is late.
#[test]
fn item_in_time_fills_the_chunk() {
    let mut fed = TestStream::new(|_| {
        let third = stream::iter(['3']).then(|item| sleep_first(1, item));
        let fourth = stream::iter(['4']).then(|item| sleep_first(3, item));
        stream::iter(['1', '2'])
            .chain(third)
            .chain(fourth)
            .chunks_timeout(3, secs(2))
    });
    assert_eq!(fed.out(), "");
    assert_eq!(fed.at(1_000).out(), "[123]");
    assert_eq!(fed.at(3_999).out(), "");
    assert_eq!(fed.at(4_000).out(), "[4]|");
}

async fn sleep_first(seconds: u64, item: char) -> char {
    sleep(secs(seconds)).await;
    item
}

#[test]
fn remainder_has_the_waiting_items_and_cancels_the_timer() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(10, ms(20)));
    assert_eq!(fed.feed("abcd").out(), "");
    assert_eq!(fed.armed(), 1);
    assert_eq!(fed.stream.as_mut().into_remainder(), ['a', 'b', 'c', 'd']);
    assert_eq!(fed.armed(), 0);
    assert!(fed.stream.as_mut().into_remainder().is_empty());
    // The stream goes on with a chunk that has its own time.
    assert_eq!(fed.at(15).feed("e").out(), "");
    assert_eq!(fed.at(34).out(), "");
    assert_eq!(fed.at(35).out(), "[e]");
}

#[test]
fn dropping_the_future_of_a_chunk_loses_no_item() {
    let mut fed = TestStream::new(|inside| inside.chunks_timeout(10, ms(100)));
    let task = Task::new();
    for at in [0, 40, 80] {
        fed.at(at).feed("a");
        assert!(task.poll(&mut fed.stream.next()).is_pending());
    }
    assert_eq!((fed.at(100).out(), fed.armed()), ("[aaa]".into(), 0));
}

#[test]
fn size_of_zero_is_refused_at_the_callers_line() {
    let (message, file) = panic_of(|| stream::empty::<()>().chunks_timeout(0, secs(1)));
    assert_eq!(
        message,
        "`max_size` must be non-zero, but is 0: for chunks that only time limits, pass usize::MAX"
    );
    assert_eq!(file, file!());
}

#[test]
fn timer_uses_the_driver_entered_where_the_chunk_begins() {
    let mut chunks = stream::iter(['a']).chain(stream::pending());
    let mut chunks = std::pin::pin!((&mut chunks).chunks_timeout(2, ms(100)));
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    assert!(task.poll(&mut chunks.next()).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(100));
    assert_eq!(task.poll(&mut chunks.next()), Poll::Ready(Some(vec!['a'])));
}

#[test]
fn size_hint_counts_chunks() {
    let hint = |items: usize, max_size| {
        let items = stream::iter(vec!['x'; items]);
        items.chunks_timeout(max_size, ms(1)).size_hint()
    };
    assert_eq!(hint(0, 3), (0, Some(0)));
    assert_eq!(hint(6, 3), (2, Some(6)));
    assert_eq!(hint(7, 3), (3, Some(7)));
    assert_eq!(hint(7, usize::MAX), (1, Some(7)));
    let always = stream::repeat('x').chunks_timeout(2, ms(1));
    assert_eq!(always.size_hint(), (usize::MAX / 2 + 1, None));

    // Two items wait, and three are still to come.
    let mut fed = TestStream::new(|inside| {
        let more = stream::iter(['x'; 3]);
        inside.chain(more).chunks_timeout(3, ms(100))
    });
    assert_eq!(fed.feed("ab").out(), "");
    assert_eq!(fed.stream.size_hint(), (2, None));
    assert_eq!(fed.end().out(), "[abx][xx]|");
}

/// The timer cannot be made there, and the item is kept.
#[cfg(not(feature = "fallback"))]
#[test]
fn item_that_came_where_no_driver_was_current_is_yielded_in_time_once_one_is() {
    let task = Task::new();
    let silent = stream::iter(['a']).chain(stream::pending());
    let mut chunks = silent.chunks_timeout(2, ms(10));
    let poll = std::panic::AssertUnwindSafe(|| task.poll(&mut chunks.next()));
    assert!(std::panic::catch_unwind(poll).is_err());

    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    assert!(task.poll(&mut chunks.next()).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(10));
    assert_eq!(task.poll(&mut chunks.next()), Poll::Ready(Some(vec!['a'])));
}

#[test]
fn a_stream_that_always_has_an_item_is_limited_by_time() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    // A million, so that the test ends in any case.
    let items = stream::repeat('a').take(1_000_000);
    let mut chunks = items.chunks_timeout(usize::MAX, ms(10));
    // It lets other tasks run, and its time go on.
    for wakes in 1..4 {
        assert!(task.poll(&mut chunks.next()).is_pending());
        assert_eq!(task.wakes(), wakes);
    }
    clock.advance(ms(10));
    let Poll::Ready(Some(first)) = task.poll(&mut chunks.next()) else {
        panic!("its time is up");
    };
    assert!(task.poll(&mut chunks.next()).is_pending());
    clock.advance(ms(10));
    let rest = pollster::block_on(chunks.concat());
    assert_eq!(first.len() + rest.len(), 1_000_000);
}
