//! [`Instant`], a point in time as one integer: nanoseconds on the axis of `system`.
//!
//! As an integer it is added and compared in one instruction, and takes half the memory of an
//! instant of `std`. Which clock [`Instant::now`] reads is decided in `time/now.rs`.

#[cfg(feature = "tokio")]
mod tokio;

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use crate::system;

/// A point in time, to the nanosecond. It is opaque and only useful with [`Duration`].
///
/// It corresponds to a [`std::time::Instant`] and converts both ways. It reaches 292 years into the
/// future, and everything beyond is *never*: adding too much gives the farthest instant, which no
/// clock reaches.
///
/// Instants of one clock can be compared with each other. Instants of drivers with different clocks
/// (for example, if one of them is manual) can be compared and subtracted, but the result has no
/// meaning.
///
/// # Examples
///
/// ```
/// use reveille::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later - start, Duration::from_millis(5));
/// assert_eq!(start - later, Duration::ZERO); // never negative, never a panic
/// assert!(start + Duration::MAX > later); // the farthest instant; no panic
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// The deadline that never comes, where deadlines are counted in nanoseconds.
pub(crate) const NEVER: u64 = u64::MAX;

/// The latest deadline that comes: at that time every timer is due that can ever be.
pub(crate) const LATEST_DEADLINE: u64 = NEVER - 1;

/// Returns `duration` in nanoseconds, [`NEVER`] if they do not fit.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    checked_nanos(duration).unwrap_or(NEVER)
}

#[inline]
fn checked_nanos(duration: Duration) -> Option<u64> {
    let secs = duration.as_secs().checked_mul(1_000_000_000)?;
    secs.checked_add(u64::from(duration.subsec_nanos()))
}

impl Instant {
    /// A fixed instant, from which a simulation can count.
    ///
    /// A program that only compares instants and adds durations to this one does the same in each
    /// run, and prints the same: its `Debug` shows the time since the origin. A [`ManualClock`] can
    /// [start here](crate::ManualClock::starting_at). Where it is on the system's clock differs
    /// from one machine and one start to another; it is never later than [`now`](Self::now).
    ///
    /// [`ManualClock`]: crate::ManualClock
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{TimerQueue, time::{Duration, Instant}};
    ///
    /// let mut events = TimerQueue::new();
    /// events.insert(Instant::ORIGIN + Duration::from_secs(90), "arrival");
    /// let now = events.next_deadline().unwrap();
    /// assert_eq!(now - Instant::ORIGIN, Duration::from_secs(90));
    /// assert_eq!(format!("{now:?}"), "Instant(90s)");
    /// ```
    pub const ORIGIN: Self = Self(0);

    /// Creates an instant from one of `std`.
    ///
    /// # Examples
    ///
    /// ```
    /// let std = std::time::Instant::now();
    /// assert_eq!(reveille::time::Instant::from_std(std).into_std(), std);
    /// ```
    #[must_use]
    pub fn from_std(std: std::time::Instant) -> Self {
        Self(system::from_std(std))
    }

    /// Converts into an instant of `std`.
    ///
    /// The conversion is exact, unless the instant is centuries away and the platform cannot
    /// represent it: then the result is an unspecified instant within the lifetime of this process.
    ///
    /// # Examples
    ///
    /// ```
    /// let std = std::time::Instant::now();
    /// assert_eq!(reveille::time::Instant::from_std(std).into_std(), std);
    /// ```
    #[must_use]
    pub fn into_std(self) -> std::time::Instant {
        system::to_std(self.0)
    }

    /// Returns the time from `earlier` to this instant, or zero if `earlier` is later.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// assert_eq!(start.duration_since(start + Duration::from_secs(1)), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.checked_duration_since(earlier).unwrap_or_default()
    }

    /// Returns the time from `earlier` to this instant, or `None` if `earlier` is later.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// assert_eq!(start.checked_duration_since(start + Duration::from_secs(1)), None);
    /// ```
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        (self.0 >= earlier.0).then(|| Duration::from_nanos(self.0.abs_diff(earlier.0)))
    }

    /// Returns the same as [`duration_since`](Self::duration_since); it exists because tokio's and
    /// `std`'s instants have it.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// let later = start + Duration::from_secs(1);
    /// assert_eq!(later.saturating_duration_since(start), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }

    /// Returns this instant plus `duration`, or `None` if an instant of `std` could not be as far,
    /// as with [`Duration::MAX`].
    ///
    /// Those reach billions of years on most systems. Beyond 292 years this returns the farthest
    /// instant, as `+` does, so that a program which asks for a deadline in a thousand years gets
    /// one that never comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// assert!(now.checked_add(Duration::from_secs(1000 * 365 * 86_400)).is_some());
    /// assert!(now.checked_add(Duration::MAX).is_none());
    /// ```
    #[expect(
        clippy::must_use_candidate,
        reason = "not in tokio either, and a program that is ported may deny warnings"
    )]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.into_std().checked_add(duration)?;
        Some(*self + duration)
    }

    /// Returns this instant minus `duration`, or `None` if that is before the earliest instant.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// assert_eq!(now.checked_sub(Duration::ZERO), Some(now));
    /// ```
    // Without `must_use`, for the same reason.
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        let nanos = checked_nanos(duration)?;
        self.0.checked_sub_unsigned(nanos).map(Self)
    }

    /// Returns the instant at a position on the axis of `system`.
    pub(crate) const fn at(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Returns the position of the instant on the axis of `system`.
    pub(crate) const fn nanos(self) -> i64 {
        self.0
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(
            f,
            "Instant({sign}{:?})",
            Duration::from_nanos(self.0.unsigned_abs())
        )
    }
}

impl From<std::time::Instant> for Instant {
    fn from(std: std::time::Instant) -> Self {
        Self::from_std(std)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> Self {
        instant.into_std()
    }
}

/// Saturates at the farthest instant, which never comes.
impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        let sum = checked_nanos(duration).and_then(|nanos| self.0.checked_add_unsigned(nanos));
        Self(sum.unwrap_or(i64::MAX))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Saturates at zero, if `earlier` is later.
impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

/// Saturates at the earliest instant, 292 years before the clock's zero.
impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).unwrap_or(Self(i64::MIN))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}
