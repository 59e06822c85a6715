//! A retry with exponential back-off, jitter and a deadline for the whole, by the crate `backon`.
//!
//! ```sh
//! cargo run --release --features patterns --example retry
//! ```
//!
//! `backon` decides how long to pause and how often to try. It takes any function that sleeps, and
//! [`time::sleep`](reveille::time::sleep) is one. The deadline is a [`Context`]: it ends the whole,
//! in the middle of an attempt or of a pause, and whatever is called inside can read from it how
//! much time is left.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use reveille::time::{Instant, sleep};
use reveille::{Context, ContextError};

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// It may work the next time.
    Temporary(&'static str),
    /// It would fail again.
    Permanent(&'static str),
}

/// The operation was given up.
#[derive(Debug, PartialEq)]
pub(crate) struct GaveUp {
    /// How many attempts were begun.
    pub(crate) attempts: usize,
    /// Why the last one failed that has ended.
    pub(crate) last: Option<Failure>,
    /// The end of the context, if that was the reason to give up.
    pub(crate) ended: Option<ContextError>,
}

/// Pauses of 1 s, 2 s, 4 s and 8 s: five attempts.
pub(crate) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_factor(2.0)
        .with_max_delay(Duration::from_secs(60))
        .with_max_times(4)
}

/// Calls `operation` until it works, fails for good, has failed too often, or `context` ends.
pub(crate) async fn retry<T, F: Future<Output = Result<T, Failure>>>(
    context: &Context,
    pauses: impl BackoffBuilder,
    mut operation: impl FnMut() -> F,
) -> Result<T, GaveUp> {
    let (mut attempts, mut last) = (0, None);
    let attempt = || {
        attempts += 1;
        operation()
    };
    let all = attempt
        .retry(pauses)
        .sleep(sleep)
        .when(|failure| matches!(failure, Failure::Temporary(_)))
        .notify(|failure, _pause| last = Some(failure.clone()));
    let ended = match context.run(all).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failure)) => {
            last = Some(failure);
            None
        }
        Err(ended) => Some(ended),
    };
    Err(GaveUp {
        attempts,
        last,
        ended,
    })
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gave up after {} attempts", self.attempts)?;
        if let Some(Failure::Temporary(why) | Failure::Permanent(why)) = &self.last {
            write!(f, ", the last: {why}")?;
        }
        Ok(())
    }
}

impl Error for GaveUp {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.ended.as_ref().map(|ended| ended as _)
    }
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    // A hundredth of the pauses, with jitter: each is up to twice as long, at random, so that many
    // clients do not come back together.
    let pauses = pauses()
        .with_min_delay(Duration::from_millis(10))
        .with_jitter();
    let start = Instant::now();
    let call = |works_from: usize| {
        let mut number = 0;
        move || {
            number += 1;
            println!("  {:>3} ms  attempt {number}", start.elapsed().as_millis());
            let works = number >= works_from;
            async move {
                sleep(Duration::from_millis(2)).await;
                works
                    .then_some("an answer")
                    .ok_or(Failure::Temporary("connection refused"))
            }
        }
    };
    pollster::block_on(async {
        println!("The fourth attempt works:");
        let result = retry(&Context::background(), pauses, call(4)).await;
        println!("  {result:?}");

        println!("None works, and there are 50 ms in all:");
        let context = Context::background().with_timeout(Duration::from_millis(50));
        let error = retry(&context, pauses, call(99)).await.unwrap_err();
        println!("  {error}; {:?}", error.ended);

        println!("It would fail again:");
        let refused = || async { Err::<(), _>(Failure::Permanent("no such user")) };
        let result = retry(&Context::background(), pauses, refused).await;
        println!("  {result:?}");
    });
}
