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
    state: Mutex<State>,
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

/// Which calls pass.
#[derive(Clone, Copy, Debug)]
enum Call {
    Normal,
    Try,
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
        let state = Mutex::new(State::Closed { failures: 0 });
        Self {
            threshold,
            cool_down,
            limit,
            state,
        }
    }

    /// Calls the service, unless the breaker is open.
    ///
    /// A call that is dropped before it has ended counts as a failure.
    pub(crate) async fn call<T, E>(
        &self,
        service: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error<E>> {
        let Some(call) = self.may_pass() else {
            return Err(Error::Open);
        };
        let mut end = CallEnd {
            breaker: self,
            call,
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

    fn may_pass(&self) -> Option<Call> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Some(Call::Normal),
            State::Open { until } if Instant::now() >= until => {
                *state = State::Trying; // this one call, and no other until it has ended
                Some(Call::Try)
            }
            State::Open { .. } | State::Trying => None,
        }
    }

    fn ended(&self, call: Call, works: bool) {
        let mut state = self.lock();
        let failures = match (*state, call) {
            (State::Closed { .. }, _) | (State::Trying, Call::Try) if works => 0,
            (State::Closed { failures }, _) => failures + 1,
            (State::Trying, Call::Try) => self.threshold,
            // One that had begun before the breaker opened says nothing about the present.
            (State::Open { .. }, _) | (State::Trying, Call::Normal) => return,
        };
        *state = match failures < self.threshold {
            true => State::Closed { failures },
            false => State::Open {
                until: Instant::now() + self.cool_down,
            },
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the breaker how a call has ended, also if it was dropped or has panicked.
struct CallEnd<'a> {
    breaker: &'a Breaker,
    call: Call,
    works: bool,
}

impl Drop for CallEnd<'_> {
    fn drop(&mut self) {
        self.breaker.ended(self.call, self.works);
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
