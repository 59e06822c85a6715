//! Tests of streams that use up the budget that tokio gives to a task.
//!
//! Such a stream is busy, and yields at each poll without an item. When the timer is polled after
//! it, no budget is left.

use std::pin::pin;

use futures::stream::{self, Stream, StreamExt};
use reveille::StreamExt as _;
use reveille::time::{Instant, advance, interval_at};

use crate::Show;
use crate::support::ms;

/// Yields one item at once, and then works through a hundred budgets for the next.
fn greedy() -> impl Stream<Item = char> {
    let work = stream::once(async {
        for _ in 0..12_800 {
            tokio::task::consume_budget().await;
        }
        'z'
    });
    stream::iter(['a']).chain(work)
}

/// Polls, waits for 5 ms, and returns what comes next.
async fn after_5_ms<S: Stream<Item: Show>>(stream: S) -> String {
    let mut stream = pin!(stream);
    assert!(futures::poll!(stream.next()).is_pending());
    advance(ms(5)).await;
    stream.next().await.expect("it has not ended").show()
}

#[tokio::test(start_paused = true)]
async fn stream_that_uses_up_the_budget_is_limited() {
    let mut limited = Box::pin(greedy().timeout(ms(5)));
    assert_eq!(limited.next().await, Some(Ok('a')));
    assert_eq!(after_5_ms(limited).await, "E");
}

#[tokio::test(start_paused = true)]
async fn stream_that_uses_up_the_budget_is_reported_at_ticks() {
    let beat = interval_at(Instant::now() + ms(5), ms(5));
    let mut limited = Box::pin(greedy().timeout_repeating(beat));
    assert_eq!(limited.next().await, Some(Ok('a')));
    assert_eq!(after_5_ms(limited).await, "E");
}

#[tokio::test(start_paused = true)]
async fn chunk_of_a_stream_that_uses_up_the_budget_is_yielded_in_time() {
    assert_eq!(after_5_ms(greedy().chunks_timeout(10, ms(5))).await, "[a]");
}

#[tokio::test(start_paused = true)]
async fn item_of_a_stream_that_uses_up_the_budget_is_debounced() {
    assert_eq!(after_5_ms(greedy().debounce(ms(5))).await, "a");
}
