//! Properties of the streams of `StreamExt`, for random inputs and times of polls.

use std::task::Poll;

use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::Stream;
use proptest::prelude::*;
use reveille::StreamExt as _;

use crate::support::ms;
use crate::{Show, TestStream};

/// One step of a run: time passes, items come, and the stream may be polled until pending.
#[derive(Clone, Copy, Debug)]
struct Step {
    wait: u64,
    items: usize,
    polls: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![0..5_u64, 0..30_u64];
    let step = (wait, 0..4_usize, prop::bool::weighted(0.8))
        .prop_map(|(wait, items, polls)| Step { wait, items, polls });
    prop::collection::vec(step, 0..60)
}

/// The input and the output, with times. Items are numbered, as letters.
struct Run<T> {
    fed: Vec<(u64, char)>,
    out: Vec<(u64, T)>,
}

fn run<S: Stream<Item: Show>>(
    steps: &[Step],
    make: impl FnOnce(UnboundedReceiver<char>) -> S,
) -> Run<S::Item> {
    let mut stream = TestStream::new(make);
    let (mut now, mut fed, mut out) = (0, Vec::new(), Vec::new());
    for step in steps {
        now += step.wait;
        stream.at(now);
        for _ in 0..step.items {
            let item = char::from_u32(0x1_0000 + fed.len() as u32).expect("a letter");
            stream.feed(item.encode_utf8(&mut [0; 4]));
            fed.push((now, item));
        }
        if step.polls {
            assert!(
                !poll_until_pending(&mut stream, now, &mut out),
                "it has not ended"
            );
        }
    }
    stream.end();
    // A throttled stream may take a while.
    while !poll_until_pending(&mut stream, now, &mut out) {
        now += 1;
        stream.at(now);
    }
    assert_eq!(stream.close(), (0, 0));
    Run { fed, out }
}

/// Polls until pending. Returns whether the stream has ended.
fn poll_until_pending<S: Stream<Item: Show>>(
    stream: &mut TestStream<S>,
    now: u64,
    out: &mut Vec<(u64, S::Item)>,
) -> bool {
    while let Poll::Ready(item) = stream.poll() {
        let Some(item) = item else { return true };
        out.push((now, item));
    }
    false
}

fn items<T: Copy>(timed: &[(u64, T)]) -> Vec<T> {
    timed.iter().map(|&(_, item)| item).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn throttle_delays_items_and_loses_none(steps in steps(), period in 0..20_u64) {
        let run = run(&steps, |inside| inside.throttle(ms(period)));
        prop_assert_eq!(items(&run.out), items(&run.fed));
        for pair in run.out.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= period, "{:?}", pair);
        }
    }

    #[test]
    fn chunks_hold_every_item_once_in_order_and_never_too_many(
        steps in steps(),
        max_size in 1..6_usize,
        limit in 0..20_u64,
    ) {
        let run = run(&steps, |inside| inside.chunks_timeout(max_size, ms(limit)));
        for (_, chunk) in &run.out {
            prop_assert!((1..=max_size).contains(&chunk.len()), "{:?}", chunk);
        }
        let out: Vec<char> = run.out.into_iter().flat_map(|(_, chunk)| chunk).collect();
        prop_assert_eq!(out, items(&run.fed));
    }

    #[test]
    fn debounce_yields_some_items_in_order_and_the_last_one(
        steps in steps(),
        period in 0..20_u64,
    ) {
        let run = run(&steps, |inside| inside.debounce(ms(period)));
        let (fed, out) = (items(&run.fed), items(&run.out));
        prop_assert_eq!(out.last(), fed.last());
        prop_assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", out);
        for &(at, item) in run.out.iter().rev().skip(1) {
            let (came, _) = run.fed[fed.iter().position(|&fed| fed == item).expect("it was fed")];
            prop_assert!(at >= came + period, "{:?} came out at {}", item, at);
        }
    }

    #[test]
    fn limits_add_at_most_one_error_before_each_item(steps in steps(), limit in 0..20_u64) {
        let run = run(&steps, |inside| inside.timeout(ms(limit)));
        let out: Vec<Option<char>> = run.out.into_iter().map(|(_, item)| item.ok()).collect();
        prop_assert!(out.windows(2).all(|pair| pair[0].is_some() || pair[1].is_some()));
        let out: Vec<char> = out.into_iter().flatten().collect();
        prop_assert_eq!(out, items(&run.fed));
    }
}
