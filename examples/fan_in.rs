//! Several producers and one timeout: what has come by then is kept.
//!
//! ```sh
//! cargo run --release --features patterns --example fan_in
//! ```

use std::time::Duration;

use futures::channel::mpsc::{self, SendError, Sender};
use futures::{SinkExt, Stream, StreamExt, select_biased, stream};
use reveille::rt;
use reveille::time::{Instant, interval, sleep};

/// Receives from both until they have ended or `limit` has passed. Returns what came, in order, and
/// whether that is all.
pub(crate) async fn gather<T>(
    one: impl Stream<Item = T> + Unpin,
    two: impl Stream<Item = T> + Unpin,
    limit: Duration,
) -> (Vec<T>, bool) {
    let mut came = Vec::new();
    // One timer for the whole loop: it is not made anew, and not reset, by what comes.
    let mut limit = sleep(limit);
    let mut both = stream::select(one, two);
    loop {
        select_biased! {
            value = both.next() => match value {
                Some(value) => {
                    came.push(value);
                    // While there is always another value, the timer below is never polled.
                    if Instant::now() >= limit.deadline() {
                        return (came, false);
                    }
                }
                None => return (came, true), // both have ended
            },
            // Below the other: a value that comes at the limit is still received.
            _ = limit => return (came, false),
        }
    }
}

/// Sends `count` values, one each `period`. Ends if nobody receives them any more.
pub(crate) async fn produce(
    name: &'static str,
    count: u32,
    period: Duration,
    mut channel: Sender<(&'static str, u32)>,
) -> Result<(), SendError> {
    let mut ticks = interval(period);
    ticks.tick().await; // the first is at once
    for number in 1..=count {
        ticks.tick().await;
        channel.send((name, number)).await?;
    }
    Ok(())
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    rt::block_on(async {
        for limit in [100, 25] {
            let limit = Duration::from_millis(limit);
            let start = Instant::now();
            let (to_one, one) = mpsc::channel(0);
            let (to_two, two) = mpsc::channel(0);
            rt::spawn(produce("quick", 3, Duration::from_millis(5), to_one));
            rt::spawn(produce("slow", 3, Duration::from_millis(20), to_two));
            let (came, all) = gather(one, two, limit).await;
            println!(
                "limit {limit:?}: {} values after {:?}",
                came.len(),
                start.elapsed()
            );
            println!(
                "  {came:?}{}",
                if all { "" } else { ", and no more in time" }
            );
        }
    });
}
