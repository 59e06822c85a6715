//! [`Histogram`] and [`BatchSizes`]: how often something took how long, and how many at once.
//!
//! Both have a fixed number of buckets, so that counting is one increment and a driver's figures
//! take a fixed amount of memory. The buckets of times are eight to each power of two, from 8 µs
//! to 1 s; what is shorter or longer has one bucket each. So a quantile is exact to an eighth.

use std::fmt;
use std::time::Duration;

/// Below 2^13 ns, about 8 µs, there is one bucket.
const FIRST_POWER: u32 = 13;
/// From 2^30 ns on, about a second, there is one bucket.
const LAST_POWER: u32 = 30;
/// Two to this power is how many buckets each power of two has.
const SPLIT_BITS: u32 = 3;
const SPLIT: usize = 1 << SPLIT_BITS;

/// How many buckets a histogram of times has.
pub(in crate::driver) const BUCKETS: usize = (LAST_POWER - FIRST_POWER) as usize * SPLIT + 2;

/// How many buckets sizes of batches have: 1, 2 to 3, 4 to 7, and so on, up to 64.
pub(in crate::driver) const BATCH_BUCKETS: usize = 7;

/// Returns the bucket of a time in nanoseconds.
#[inline]
pub(in crate::driver) fn bucket_of(nanos: u64) -> usize {
    if nanos < 1 << FIRST_POWER {
        return 0;
    }
    let power = nanos.ilog2();
    if power >= LAST_POWER {
        return BUCKETS - 1;
    }
    let within = (nanos >> (power - SPLIT_BITS)) as usize % SPLIT;
    1 + (power - FIRST_POWER) as usize * SPLIT + within
}

/// Returns the shortest time that belongs into a bucket.
#[inline]
pub(in crate::driver) fn lower_bound(bucket: usize) -> u64 {
    if bucket == 0 {
        return 0;
    }
    let (power, within) = ((bucket - 1) / SPLIT, (bucket - 1) % SPLIT);
    ((SPLIT + within) as u64) << (power as u32 + FIRST_POWER - SPLIT_BITS)
}

/// Returns the bucket of a batch of `size` timers, at least one.
#[inline]
pub(in crate::driver) fn batch_bucket(size: u64) -> usize {
    (size.ilog2() as usize).min(BATCH_BUCKETS - 1)
}

/// How often something took how long, in buckets; see [`Stats::lateness`](crate::Stats::lateness).
///
/// # Examples
///
/// ```
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let stats = driver.handle().stats();
/// assert!(stats.lateness().p50() <= stats.lateness().max());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum: 0,
            max: 0,
        }
    }
}

impl Histogram {
    pub(in crate::driver) fn add(&mut self, buckets: [u64; BUCKETS], sum: u64, max: u64) {
        for (to, from) in self.buckets.iter_mut().zip(buckets) {
            *to += from;
        }
        self.sum = self.sum.wrapping_add(sum);
        self.max = self.max.max(max);
    }

    /// Returns how many times were counted.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().lateness().count(), 0);
    /// ```
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of all times.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert!(driver.handle().stats().lateness().sum().is_zero());
    /// ```
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Returns the longest time, exactly; zero if none was counted.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert!(driver.handle().stats().lateness().max().is_zero());
    /// ```
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// Returns the median; see [`quantile`](Self::quantile).
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// println!("half of the timers: {:?}", driver.handle().stats().lateness().p50());
    /// ```
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Returns what nine of ten times did not exceed; see [`quantile`](Self::quantile).
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// println!("nine of ten: {:?}", driver.handle().stats().lateness().p90());
    /// ```
    #[must_use]
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// Returns what 99 of 100 times did not exceed; see [`quantile`](Self::quantile).
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// println!("99 of 100: {:?}", driver.handle().stats().lateness().p99());
    /// ```
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// Returns what 999 of 1000 times did not exceed; see [`quantile`](Self::quantile).
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// println!("999 of 1000: {:?}", driver.handle().stats().lateness().p99_9());
    /// ```
    #[must_use]
    pub fn p99_9(&self) -> Duration {
        self.quantile(0.999)
    }

    /// Returns what this share of all times did not exceed, from 0 to 1. Zero if none was counted.
    ///
    /// The result is the upper end of the bucket, but at most [`max`](Self::max). So it is never
    /// too short, and too long by an eighth at most; below 8 µs and from 1.07 s on there is one
    /// bucket.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let stats = driver.handle().stats();
    /// assert_eq!(stats.lateness().quantile(1.0), stats.lateness().max());
    /// ```
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= rank.max(1) {
                return bound.min(self.max());
            }
        }
        self.max()
    }

    /// Returns for each bucket, in ascending order, the time that all times in it are shorter than,
    /// and how many there are. The last bucket has no bound: `Duration::MAX`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let stats = driver.handle().stats();
    /// let above_a_millisecond: u64 = stats
    ///     .lateness()
    ///     .buckets()
    ///     .filter(|&(bound, _)| bound > Duration::from_millis(1))
    ///     .map(|(_, count)| count)
    ///     .sum();
    /// assert_eq!(above_a_millisecond, 0);
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.buckets.iter().enumerate().map(|(bucket, &count)| {
            let bound = match bucket + 1 {
                BUCKETS => Duration::MAX,
                next => Duration::from_nanos(lower_bound(next)),
            };
            (bound, count)
        })
    }
}

/// Shows how many times were counted, the quantiles, and the longest time.
impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        let (p50, p90, p99) = (self.p50(), self.p90(), self.p99());
        let (p99_9, max) = (self.p99_9(), self.max());
        write!(
            f,
            "{count} (p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, p99.9 {p99_9:.1?}, \
             max {max:.1?})"
        )
    }
}

/// How many timers fired at once; see [`Stats::batch_sizes`](crate::Stats::batch_sizes).
///
/// # Examples
///
/// ```
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let stats = driver.handle().stats();
/// for (size, batches) in stats.batch_sizes().buckets() {
///     println!("{batches} batches of at most {size} timers");
/// }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BatchSizes {
    buckets: [u64; BATCH_BUCKETS],
}

impl BatchSizes {
    pub(in crate::driver) fn add(&mut self, buckets: [u64; BATCH_BUCKETS]) {
        for (to, from) in self.buckets.iter_mut().zip(buckets) {
            *to += from;
        }
    }

    /// Returns how many batches there were.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.handle().stats().batch_sizes().count(), 0);
    /// ```
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns for each bucket, in ascending order, the largest size in it, and how many batches
    /// there are: of 1 timer, of 2 to 3, of 4 to 7, and so on; the last is of 64, the most.
    ///
    /// # Examples
    ///
    /// ```
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let stats = driver.handle().stats();
    /// let sizes: Vec<u64> = stats.batch_sizes().buckets().map(|(size, _)| size).collect();
    /// assert_eq!(sizes, [1, 3, 7, 15, 31, 63, 64]);
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let buckets = self.buckets.iter().enumerate();
        buckets.map(|(bucket, &count)| (((2 << bucket) - 1).min(64), count))
    }
}

/// Shows the buckets that are not empty.
impl fmt::Debug for BatchSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buckets = self.buckets().filter(|&(_, count)| count > 0);
        f.debug_map()
            .entries(buckets.map(|(size, count)| (format!("up to {size}"), count)))
            .finish()
    }
}
