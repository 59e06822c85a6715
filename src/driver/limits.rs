//! [`Limits`]: how many timers a part of a program may have, and how long they may be.
//!
//! A [`Handle`] with limits refers to a [`Tenant`]: one connection, one customer, one subsystem. A
//! tenant may have a parent, whose limits hold for all its children together. Each timer of a
//! tenant has a [`Permit`], which counts in the tenant and in all its parents. Dropping the permit
//! gives it back, so it is given back exactly once. The driver keeps it beside the timer's waker,
//! and drops it when the timer fires, is removed, or the driver ends. An interval keeps its permit
//! itself until it is dropped.
//!
//! A permit is first taken in the tenant itself, then in its parent, and so on. So a tenant that
//! has reached its own limit touches no count of the others.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Handle;
use crate::instant::nanos;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// What a [`Handle`] allows: see [`Handle::limited`].
///
/// # Examples
///
/// ```
/// use reveille::Limits;
/// use std::time::Duration;
///
/// let limits = Limits::new().timers(100).longest(Duration::from_secs(3600));
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let tenant = driver.handle().limited(limits);
/// # drop(tenant);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "limits do nothing until a handle has them: see `Handle::limited`"]
pub struct Limits {
    timers: Option<usize>,
    longest: Option<Duration>,
}

impl Limits {
    /// Returns limits that allow everything.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(reveille::Limits::new(), reveille::Limits::default());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows at most `count` timers at once. Zero allows none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{LimitError, Limits};
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let tenant = driver.handle().limited(Limits::new().timers(1));
    /// let _first = tenant.try_sleep(Duration::from_secs(1)).unwrap();
    /// let error = tenant.try_sleep(Duration::from_secs(1)).unwrap_err();
    /// assert_eq!(error, LimitError::Timers { limit: 1, asked: 2, level: 0 });
    /// ```
    pub fn timers(mut self, count: usize) -> Self {
        self.timers = Some(count);
        self
    }

    /// Allows timers of at most `duration`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{LimitError, Limits};
    /// use std::time::Duration;
    ///
    /// let (limit, asked) = (Duration::from_secs(60), Duration::MAX);
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let tenant = driver.handle().limited(Limits::new().longest(limit));
    /// let error = tenant.try_sleep(asked).unwrap_err();
    /// assert_eq!(error, LimitError::Longest { limit, asked, level: 0 });
    /// ```
    pub fn longest(mut self, duration: Duration) -> Self {
        self.longest = Some(duration);
        self
    }
}

/// The error of the `try_` constructors of a [`Handle`]: the limit that refuses the timer.
///
/// # Examples
///
/// ```
/// use reveille::Limits;
/// use std::time::Duration;
///
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let tenant = driver.handle().limited(Limits::new().timers(1));
/// let _first = tenant.try_sleep(Duration::from_secs(1))?;
/// let error = tenant.try_sleep(Duration::from_secs(1)).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the limit of this handle is reached (timers at once: 1): drop one, or raise the limit"
/// );
/// # Ok::<_, reveille::LimitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// There are as many timers as are allowed.
    Timers {
        /// How many are allowed at once.
        limit: usize,
        /// How many there would have been.
        asked: usize,
        /// Whose limit it is: 0 if that of the handle that was asked, 1 if that of its parent, and
        /// so on.
        level: usize,
    },
    /// The timer is longer than is allowed.
    Longest {
        /// The longest that is allowed.
        limit: Duration,
        /// How long the timer would have been.
        asked: Duration,
        /// Whose limit it is, as above.
        level: usize,
    },
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timers {
                limit: 0, level, ..
            } => write!(
                f,
                "the limit of {} allows no timer: raise the limit",
                Owner(*level)
            ),
            Self::Timers { limit, level, .. } => write!(
                f,
                "the limit of {} is reached (timers at once: {limit}): drop one, or raise the limit",
                Owner(*level)
            ),
            Self::Longest {
                limit,
                asked,
                level,
            } => {
                match *asked {
                    Duration::MAX => f.write_str("a timer without end")?,
                    asked => write!(f, "a timer of {asked:?}")?,
                }
                let owner = Owner(*level);
                write!(
                    f,
                    " exceeds the limit of {owner} ({limit:?}): shorten it, or raise the limit"
                )
            }
        }
    }
}

/// Names the handle whose limit it is, by its level.
struct Owner(usize);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("this handle"),
            1 => f.write_str("this handle's parent"),
            level => write!(f, "a parent of this handle, {level} levels up,"),
        }
    }
}

impl Error for LimitError {}

impl Handle {
    /// Returns a handle of the same driver with limits of its own: for one tenant, connection or
    /// part of the program.
    ///
    /// The limits hold for the `try_` constructors of the new handle, of its clones, and of the
    /// handles that are made of those by `limited`, all together. What limits this handle has hold
    /// for the new one, too: it may allow less than its parent, but not more.
    ///
    /// [`try_sleep`](Self::try_sleep), [`try_sleep_until`](Self::try_sleep_until) and
    /// [`try_timeout`](Self::try_timeout) arm the timer at once and take a *permit* for it, or
    /// return an error. The permit is given back when the timer fires or is dropped, or the driver
    /// ends. A [reset](crate::time::Sleep::reset_at) before that keeps it. Once the timer has
    /// fired, it has no permit any more: if it is reset then, it waits like a plain one. An
    /// interval of [`try_interval`](Self::try_interval) keeps its permit until it is dropped.
    ///
    /// Plain constructors (`sleep`, `timeout`, `interval`, [`call_after`](Self::call_after), and
    /// the free functions where this handle is [entered](Self::enter)) take no permit and cannot
    /// fail: limits are for the code that can answer a refusal. So a tenant that has reached its
    /// limits makes nothing fail but its own calls of `try_` constructors. Its siblings are
    /// affected only if the limit of their common parent is less than theirs together.
    ///
    /// A limited handle takes 16 bytes and an allocation of 48. A timer with a permit takes 8 bytes
    /// more in the driver (allocated for 512 timers at once), and its end costs an atomic operation
    /// for the tenant and for each of its parents.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, Limits, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let driver = Driver::builder().limits(Limits::new().timers(10_000)).build(ThreadPark::new());
    /// let customer = driver.handle().limited(Limits::new().timers(100));
    /// let connection = customer.limited(Limits::new().timers(2));
    /// let wait = Duration::from_secs(30);
    /// let (first, second) = (connection.try_sleep(wait)?, connection.try_sleep(wait)?);
    /// assert!(connection.try_sleep(wait).is_err());
    /// assert!(customer.try_sleep(wait).is_ok());
    /// drop(first);
    /// assert!(connection.try_sleep(wait).is_ok());
    /// # drop(second);
    /// # Ok::<_, reveille::LimitError>(())
    /// ```
    #[must_use]
    pub fn limited(&self, limits: Limits) -> Self {
        Self {
            shared: self.shared.clone(),
            tenant: Some(Arc::new(Tenant::new(limits, self.tenant.clone()))),
        }
    }

    /// Checks how long a timer is, and takes a permit for it. `None` if there is nothing to count
    /// it: the handle has no limits, or the driver is gone.
    pub(crate) fn take_permit(&self, length: Duration) -> Result<Option<Permit>, LimitError> {
        let Some(tenant) = &self.tenant else {
            return Ok(None);
        };
        let is_closed = self.shared.is_closed();
        let permit = tenant.check_length(length).and_then(|()| match is_closed {
            true => Ok(None),
            false => Permit::take(tenant).map(Some),
        });
        if permit.is_err() {
            self.shared.counters.count_rejected();
        }
        permit
    }

    /// Returns how many permits are taken.
    #[cfg(test)]
    pub(crate) fn permits_taken(&self) -> usize {
        let tenant = self.tenant.as_ref();
        tenant.map_or(0, |tenant| tenant.taken.load(Ordering::Relaxed))
    }
}

/// What a limited handle, its clones and its children have in common.
pub(crate) struct Tenant {
    /// How many timers may have a permit, `usize::MAX` if any number.
    most: usize,
    /// The longest that a timer may be, in nanoseconds, `u64::MAX` if any length.
    longest: u64,
    /// How many permits are taken.
    taken: AtomicUsize,
    parent: Option<Arc<Tenant>>,
}

impl Tenant {
    pub(super) fn new(limits: Limits, parent: Option<Arc<Self>>) -> Self {
        Self {
            most: limits.timers.unwrap_or(usize::MAX),
            longest: limits.longest.map_or(u64::MAX, nanos),
            taken: AtomicUsize::new(0),
            parent,
        }
    }

    /// Returns this tenant, its parent, and so on.
    fn and_parents(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |tenant| tenant.parent.as_deref())
    }

    fn check_length(&self, asked: Duration) -> Result<(), LimitError> {
        // The first one, if several are as tight.
        let tenants = self.and_parents().enumerate();
        let tightest = tenants.min_by_key(|(_, tenant)| tenant.longest);
        match tightest {
            Some((level, tenant)) if nanos(asked) > tenant.longest => Err(LimitError::Longest {
                limit: Duration::from_nanos(tenant.longest),
                asked,
                level,
            }),
            _ => Ok(()),
        }
    }

    /// Takes a permit of this tenant alone, which is the parent at `level` of the one that asks.
    fn take_one(&self, level: usize) -> Result<(), LimitError> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        // Relaxed: a count orders nothing else, and a read-modify-write always finds the latest.
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        match taken {
            Ok(_) => Ok(()),
            Err(taken) => Err(LimitError::Timers {
                limit: self.most,
                asked: taken.saturating_add(1),
                level,
            }),
        }
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shows the permits that are taken, of how many, and the longest length of a timer; then the same
/// of its parents, of which there may be very many.
impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (level, tenant) in self.and_parents().enumerate().take(SHOWN) {
            if level > 0 {
                f.write_str(", within ")?;
            }
            write!(f, "{} of ", tenant.taken.load(Ordering::Relaxed))?;
            match tenant.most {
                usize::MAX => f.write_str("any number")?,
                most => write!(f, "{most}")?,
            }
            if tenant.longest < u64::MAX {
                let longest = Duration::from_nanos(tenant.longest);
                write!(f, " (up to {longest:?} each)")?;
            }
        }
        if self.and_parents().nth(SHOWN).is_some() {
            f.write_str(", within ..")?;
        }
        Ok(())
    }
}

/// A tenant may have very many parents, one above the other: they are dropped one by one.
impl Drop for Tenant {
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut tenant) = parent.and_then(Arc::into_inner) {
            parent = tenant.parent.take();
        }
    }
}

/// A permit for one timer, in a tenant and all its parents. It is given back when it is dropped.
pub(crate) struct Permit(Arc<Tenant>);

impl Permit {
    fn take(tenant: &Arc<Tenant>) -> Result<Self, LimitError> {
        for (level, one) in tenant.and_parents().enumerate() {
            if let Err(error) = one.take_one(level) {
                tenant.and_parents().take(level).for_each(Tenant::give_back);
                return Err(error);
            }
        }
        Ok(Self(tenant.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.and_parents().for_each(Tenant::give_back);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
