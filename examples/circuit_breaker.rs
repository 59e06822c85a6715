//! A circuit breaker: a service that fails is left alone for a while.
//!
//! ```sh
//! cargo run --release --example circuit_breaker
//! ```
//!
//! Without one, each caller waits for the timeout of a service that is down, and the service is
//! flooded with retries when it comes back. The breaker lets calls pass while it is *closed*. After
//! some failures in a row it is *open*, and refuses calls at once. When it has cooled down, it lets
//! one call pass to try: if that works, it is closed again.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reveille::time::{Instant, sleep, timeout};

#[derive(Debug)]
pub(crate) struct Breaker {
    /// How many failures in a row open it.
    threshold: u32,
    /// How long it stays open.
    cool_down: Duration,
    /// How long a call may take. One that takes longer has failed.
    limit: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// How often it has opened. The end of a call that began before the last time is ignored: it
    /// says nothing about the present, also if the breaker is closed again.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call tries whether the service works again.
    Trying,
}

/// Why there is no result.
#[derive(Debug, PartialEq)]
pub(crate) enum Error<E> {
    /// The breaker is open: the service was not called.
    Open,
    TooSlow,
    Failed(E),
}

impl Breaker {
    pub(crate) fn new(threshold: u32, cool_down: Duration, limit: Duration) -> Self {
        let inner = Inner {
            state: State::Closed { failures: 0 },
            generation: 0,
        };
        Self {
            threshold,
            cool_down,
            limit,
            inner: Mutex::new(inner),
        }
    }

    /// Calls the service, unless the breaker is open.
    ///
    /// A call that is dropped before it has ended counts as a failure.
    pub(crate) async fn call<T, E>(
        &self,
        service: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error<E>> {
        let Some(generation) = self.may_pass() else {
            return Err(Error::Open);
        };
        let mut end = CallEnd {
            breaker: self,
            generation,
            works: false,
        };
        let result = match timeout(self.limit, service).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Error::Failed(error)),
            Err(_) => Err(Error::TooSlow),
        };
        end.works = result.is_ok();
        result
    }

    /// Returns the generation of a call, if it may pass.
    fn may_pass(&self) -> Option<u64> {
        let mut inner = self.lock();
        match inner.state {
            State::Closed { .. } => {}
            State::Open { until } if Instant::now() >= until => {
                inner.state = State::Trying; // this one call, and no other until it has ended
            }
            State::Open { .. } | State::Trying => return None,
        }
        Some(inner.generation)
    }

    fn ended(&self, generation: u64, works: bool) {
        let mut inner = self.lock();
        if generation != inner.generation {
            return;
        }
        let failures = match inner.state {
            _ if works => 0,
            State::Closed { failures } => failures + 1,
            // The one that tried.
            State::Open { .. } | State::Trying => self.threshold,
        };
        if failures < self.threshold {
            inner.state = State::Closed { failures };
        } else {
            inner.generation += 1;
            inner.state = State::Open {
                until: Instant::now() + self.cool_down,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the breaker how a call has ended, also if it was dropped or has panicked.
struct CallEnd<'a> {
    breaker: &'a Breaker,
    generation: u64,
    works: bool,
}

impl Drop for CallEnd<'_> {
    fn drop(&mut self) {
        self.breaker.ended(self.generation, self.works);
    }
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    const MS: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let back = start + 60 * MS;
    let service = async || {
        match Instant::now() < back {
            true => sleep(3600 * 1000 * MS).await, // it does not answer
            false => sleep(MS).await,
        }
        Ok::<_, &str>("an answer")
    };
    pollster::block_on(async {
        let breaker = Breaker::new(3, 20 * MS, 5 * MS);
        println!("The service does not answer for 60 ms; a limit of 5 ms; open for 20 ms.");
        while start.elapsed() < 100 * MS {
            let began = Instant::now();
            let result = breaker.call(service()).await;
            let took = began.elapsed();
            println!(
                "  {:>3} ms  {result:?} after {took:.1?}",
                start.elapsed().as_millis()
            );
            sleep(6 * MS).await;
        }
    });
}
