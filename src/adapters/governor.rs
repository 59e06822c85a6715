//! [governor](https://docs.rs/governor/0.10)'s rate limiters on a clock of this crate: feature
//! `governor`.
//!
//! A limiter with a [`GovernorClock`] obeys a manual or paused clock, so a test of it does not
//! wait. The functions of this module wait for such a limiter, on the timers of this crate, as
//! governor's methods of the same names do for its own clocks.
//!
//! # Examples
//!
//! ```
//! use governor::{Quota, RateLimiter};
//! use reveille::adapters::governor::{GovernorClock, until_ready};
//! use reveille::ManualClock;
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let start = clock.now();
//! let hourly = Quota::with_period(Duration::from_secs(3600)).unwrap();
//! let limiter = RateLimiter::direct_with_clock(hourly, GovernorClock::with_clock(&clock));
//! clock.simulate(async {
//!     for _ in 0..25 {
//!         until_ready(&limiter).await; // at once, then every hour
//!     }
//! });
//! assert_eq!(clock.now() - start, Duration::from_secs(24 * 3600));
//! ```

use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Add;
use std::time::Duration;

use governor::clock::Reference;
use governor::middleware::RateLimitingMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::KeyedStateStore;
use governor::state::{DirectStateStore, NotKeyed};
use governor::{InsufficientCapacity, NotUntil, RateLimiter};

use crate::clock::Clock;
use crate::driver::Handle;
use crate::instant::Instant;
use crate::time::sleep;

/// A clock for the rate limiters of governor.
///
/// A limiter counts from when it was made, so the clock is the same for all its life.
///
/// # Examples
///
/// ```
/// use governor::{Quota, RateLimiter};
/// use reveille::{ManualClock, adapters::governor::GovernorClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let every_second = Quota::with_period(Duration::from_secs(1)).unwrap();
/// let limiter = RateLimiter::direct_with_clock(every_second, GovernorClock::with_clock(&clock));
/// assert!(limiter.check().is_ok());
/// assert!(limiter.check().is_err());
/// clock.advance(Duration::from_secs(1));
/// assert!(limiter.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct GovernorClock {
    clock: Clock,
}

impl GovernorClock {
    /// Takes the clock of the driver that is [current](Handle::current), else the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// use governor::clock::Clock;
    /// use reveille::{adapters::governor::GovernorClock, time::Instant};
    ///
    /// assert!(Instant::from(GovernorClock::new().now()) <= Instant::now());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        let clock = Handle::try_current().map(|driver| driver.clock().clone());
        Self {
            clock: clock.unwrap_or_default(),
        }
    }

    /// Takes `clock`: a [`Clock`], or a reference to a [`ManualClock`](crate::ManualClock).
    ///
    /// # Examples
    ///
    /// See [`GovernorClock`].
    #[must_use]
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self {
            clock: clock.into(),
        }
    }
}

impl Default for GovernorClock {
    fn default() -> Self {
        Self::new()
    }
}

impl governor::clock::Clock for GovernorClock {
    type Instant = GovernorInstant;

    fn now(&self) -> GovernorInstant {
        GovernorInstant(self.clock.now())
    }
}

/// An instant on a [`GovernorClock`], which converts into an [`Instant`].
///
/// # Examples
///
/// ```
/// use governor::clock::Clock;
/// use reveille::{ManualClock, adapters::governor::GovernorClock, time::Instant};
///
/// let clock = ManualClock::new();
/// let now = GovernorClock::with_clock(&clock).now();
/// assert_eq!(Instant::from(now), clock.now());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GovernorInstant(Instant);

impl From<GovernorInstant> for Instant {
    fn from(instant: GovernorInstant) -> Self {
        instant.0
    }
}

/// Saturates at the farthest instant.
impl Add<Nanos> for GovernorInstant {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        Self(self.0 + Duration::from(duration))
    }
}

impl Reference for GovernorInstant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        (self.0 - earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        self.0.checked_sub(duration.into()).map_or(*self, Self)
    }
}

/// Waits until `limiter` lets one more through.
///
/// The timer is on the driver that is [current](Handle::current), which should be on the clock of
/// the limiter.
///
/// # Panics
///
/// In the same cases as [`sleep`].
///
/// # Cancel safety
///
/// Dropping the future takes nothing from the limiter.
///
/// # Examples
///
/// See the [module](self).
pub async fn until_ready<S, M>(
    limiter: &RateLimiter<NotKeyed, S, GovernorClock, M>,
) -> M::PositiveOutcome
where
    S: DirectStateStore,
    M: RateLimitingMiddleware<GovernorInstant, NegativeOutcome = NotUntil<GovernorInstant>>,
{
    loop {
        match limiter.check() {
            Ok(outcome) => return outcome,
            Err(not_until) => wait(&not_until, limiter.clock()).await,
        }
    }
}

/// Waits until `limiter` lets `n` more through at once.
///
/// Otherwise like [`until_ready`].
///
/// # Errors
///
/// If `n` is more than the limiter ever lets through at once.
///
/// # Examples
///
/// ```
/// use governor::{Quota, RateLimiter};
/// use reveille::{ManualClock, adapters::governor::{GovernorClock, until_n_ready}};
/// use std::{num::NonZeroU32, time::Duration};
///
/// let clock = ManualClock::new();
/// let two = NonZeroU32::new(2).unwrap();
/// let quota = Quota::with_period(Duration::from_secs(1)).unwrap().allow_burst(two);
/// let limiter = RateLimiter::direct_with_clock(quota, GovernorClock::with_clock(&clock));
/// let start = clock.now();
/// clock.simulate(async {
///     until_n_ready(&limiter, two).await.unwrap(); // at once
///     until_n_ready(&limiter, two).await.unwrap();
///     assert_eq!(clock.now() - start, Duration::from_secs(2));
///     assert!(until_n_ready(&limiter, NonZeroU32::new(3).unwrap()).await.is_err());
/// });
/// ```
pub async fn until_n_ready<S, M>(
    limiter: &RateLimiter<NotKeyed, S, GovernorClock, M>,
    n: NonZeroU32,
) -> Result<M::PositiveOutcome, InsufficientCapacity>
where
    S: DirectStateStore,
    M: RateLimitingMiddleware<GovernorInstant, NegativeOutcome = NotUntil<GovernorInstant>>,
{
    loop {
        match limiter.check_n(n)? {
            Ok(outcome) => return Ok(outcome),
            Err(not_until) => wait(&not_until, limiter.clock()).await,
        }
    }
}

/// Waits until `limiter` lets one more through for `key`, such as the address of a client.
///
/// Otherwise like [`until_ready`].
///
/// # Examples
///
/// ```
/// use governor::{Quota, RateLimiter};
/// use reveille::{ManualClock, adapters::governor::{GovernorClock, until_key_ready}};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// let quota = Quota::with_period(Duration::from_secs(1)).unwrap();
/// let limiter = RateLimiter::hashmap_with_clock(quota, GovernorClock::with_clock(&clock));
/// clock.simulate(async {
///     until_key_ready(&limiter, &"one").await;
///     until_key_ready(&limiter, &"another").await; // at once, too
///     assert_eq!(clock.now(), start);
/// });
/// ```
pub async fn until_key_ready<K, S, M>(
    limiter: &RateLimiter<K, S, GovernorClock, M>,
    key: &K,
) -> M::PositiveOutcome
where
    K: Hash + Eq + Clone,
    S: KeyedStateStore<K>,
    M: RateLimitingMiddleware<GovernorInstant, NegativeOutcome = NotUntil<GovernorInstant>>,
{
    loop {
        match limiter.check_key(key) {
            Ok(outcome) => return outcome,
            Err(not_until) => wait(&not_until, limiter.clock()).await,
        }
    }
}

async fn wait(not_until: &NotUntil<GovernorInstant>, clock: &GovernorClock) {
    let now = governor::clock::Clock::now(clock);
    sleep(not_until.wait_time_from(now)).await;
}
