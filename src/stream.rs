//! Streams that depend on time, made by the methods of [`StreamExt`].
//!
//! They limit the wait for each item ([`Timeout`], [`TimeoutRepeating`]), let time pass between
//! items ([`Throttle`]), collect them into chunks ([`ChunksTimeout`]), or wait until no newer item
//! comes ([`Debounce`]). Each of these five has the name of its method. An
//! [`Interval`] is a stream itself; [`IntervalStream`] is for code that
//! wraps it.
//!
//! All of them but `Throttle` poll the inner stream before the timer, so an item that is available
//! when the time is up is still taken. Once the inner stream has ended, no timer is armed, and the
//! inner stream is not polled again. (`Throttle` polls the inner stream only once the time is up.
//! It keeps no note of the end, and polls the inner stream again.)

mod chunks_timeout;
mod debounce;
mod interval;
mod throttle;
mod timeout;
mod timeout_repeating;

use std::time::Duration;

use futures_core::Stream;

pub use self::chunks_timeout::ChunksTimeout;
pub use self::debounce::Debounce;
pub use self::interval::IntervalStream;
pub use self::throttle::Throttle;
pub use self::timeout::Timeout;
pub use self::timeout_repeating::TimeoutRepeating;
use crate::time::interval::Interval;

/// Time limits and more, as methods of every stream.
///
/// `timeout`, `timeout_repeating`, `throttle` and `chunks_timeout` have the names, arguments and
/// meanings of those of `tokio_stream::StreamExt`; `debounce` is an addition. The methods of
/// `futures::StreamExt` have other names; to use both traits, import this one as `_`:
///
/// ```
/// use futures::{StreamExt, stream};
/// use reveille::StreamExt as _;
/// use std::time::Duration;
///
/// pollster::block_on(async {
///     let doubled = stream::iter([1, 2]).map(|x| 2 * x).throttle(Duration::from_millis(1));
///     assert_eq!(doubled.collect::<Vec<_>>().await, [2, 4]);
/// });
/// ```
///
/// If `tokio_stream::StreamExt` is imported, too, which has methods of the same names,
/// `s.timeout(limit)` is ambiguous: import `futures::StreamExt` instead of it, or write
/// `reveille::StreamExt::timeout(s, limit)`.
///
/// No duration is too long: one beyond the clock's end (292 years) means never.
pub trait StreamExt: Stream {
    /// Limits the wait for each item to `duration`.
    ///
    /// The items are yielded as `Ok`. If none comes for `duration`, counted from this call and then
    /// from each item, the stream yields one [`Elapsed`](crate::time::error::Elapsed), and then
    /// nothing until the next item, which starts the count again.
    ///
    /// ```text
    /// timeout(3)         0  1  2  3  4  5  6  7  8  9
    /// the inner stream      a  b                 c  |
    /// yields                a  b        E        c  |
    /// ```
    ///
    /// An item that is available when the limit is up is yielded instead of the `Elapsed`. With a
    /// `duration` of zero, the stream yields one `Elapsed` wherever it has to wait.
    ///
    /// If no driver is [current](crate::Handle::current) at this call, the stream counts from its
    /// first poll, on the driver that is current there.
    ///
    /// # Panics
    ///
    /// Without the feature `fallback`, the first poll panics if no driver is
    /// [current](crate::Handle::current) by then.
    ///
    /// # Cancel safety
    ///
    /// A future of the next item can be dropped at any time: the count goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use reveille::StreamExt as _;
    /// use std::time::Duration;
    ///
    /// pollster::block_on(async {
    ///     let silent = stream::iter([1]).chain(stream::pending());
    ///     let mut limited = silent.timeout(Duration::from_millis(1));
    ///     assert_eq!(limited.next().await, Some(Ok(1)));
    ///     assert!(limited.next().await.unwrap().is_err());
    /// });
    /// ```
    fn timeout(self, duration: Duration) -> Timeout<Self>
    where
        Self: Sized,
    {
        Timeout::new(self, duration)
    }

    /// Yields an error at each tick of `interval` while no item comes.
    ///
    /// The items are yielded as `Ok`, and each starts the interval over: its next tick is one
    /// period later. At each tick before the next item, the stream yields an
    /// [`Elapsed`](crate::time::error::Elapsed). The first tick of an
    /// [`interval`](crate::time::interval()) comes at once, so a stream that has to wait for its
    /// first item begins with an `Elapsed`; to avoid that, use
    /// [`interval_at`](crate::time::interval_at).
    ///
    /// ```text
    /// a period of 3      0  1  2  3  4  5  6  7  8  9
    /// the inner stream      a                    b  |
    /// yields             E  a        E        E  b  |
    /// ```
    ///
    /// An item that is available when a tick is due is yielded instead of the `Elapsed`. About
    /// missed ticks, see [`MissedTickBehavior`](crate::time::MissedTickBehavior).
    ///
    /// # Cancel safety
    ///
    /// A future of the next item can be dropped at any time: no item and no tick is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use reveille::{StreamExt as _, time::{Duration, interval}};
    ///
    /// pollster::block_on(async {
    ///     let silent = stream::iter([1]).chain(stream::pending());
    ///     let mut limited = silent.timeout_repeating(interval(Duration::from_millis(1)));
    ///     assert_eq!(limited.next().await, Some(Ok(1)));
    ///     assert!(limited.next().await.unwrap().is_err());
    ///     assert!(limited.next().await.unwrap().is_err());
    /// });
    /// ```
    fn timeout_repeating(self, interval: Interval) -> TimeoutRepeating<Self>
    where
        Self: Sized,
    {
        TimeoutRepeating::new(self, interval)
    }

    /// Lets at least `duration` pass between two items.
    ///
    /// The first item is not delayed. After an item, the inner stream is not polled until
    /// `duration` has passed. So no item is dropped: items that come meanwhile stay in the inner
    /// stream.
    ///
    /// ```text
    /// throttle(3)        0  1  2  3  4  5  6  7  8  9  10
    /// the inner stream      a  b  c              d  |
    /// yields                a        b        c        d
    /// ```
    ///
    /// The end is delayed like an item, by the rest of `duration`. A `duration` of zero delays
    /// nothing.
    ///
    /// The timer is made by the first poll, so this may be called where no driver is current.
    ///
    /// # Panics
    ///
    /// Without the feature `fallback`, the first poll panics if no driver is
    /// [current](crate::Handle::current).
    ///
    /// # Cancel safety
    ///
    /// A future of the next item can be dropped at any time: no item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use reveille::{StreamExt as _, time::{Duration, Instant}};
    ///
    /// pollster::block_on(async {
    ///     let start = Instant::now();
    ///     let items = stream::iter(["a", "b", "c"]).throttle(Duration::from_millis(1));
    ///     assert_eq!(items.collect::<Vec<_>>().await, ["a", "b", "c"]);
    ///     assert!(start.elapsed() >= Duration::from_millis(2));
    /// });
    /// ```
    fn throttle(self, duration: Duration) -> Throttle<Self>
    where
        Self: Sized,
    {
        Throttle::new(self, duration)
    }

    /// Collects items into chunks of `max_size`, or fewer if the first item has waited for
    /// `duration`.
    ///
    /// A chunk is yielded when it is full, when `duration` has passed since its first item, or when
    /// the stream ends, whichever is first. No chunk is empty.
    ///
    /// ```text
    /// chunks_timeout(3, 4)  0  1  2  3  4  5  6  7  8  9  10 11
    /// the inner stream         a  b  c  d                 e  |
    /// yields                        abc             d        e|
    /// ```
    ///
    /// The timer is polled only when the inner stream is pending, or when a poll has taken 1024
    /// items: it then lets other tasks run, too. So a stream that always has an item fills every
    /// chunk of up to 1024. With a `duration` of zero, a chunk holds the items that are available
    /// without waiting, 1024 at most. Pass [`usize::MAX`] for chunks that are limited by time
    /// alone.
    ///
    /// The timer is made with the first item of each chunk, so this may be called where no driver
    /// is current.
    ///
    /// # Panics
    ///
    /// If `max_size` is zero. Without the feature `fallback`, a poll panics if it needs a timer and
    /// no driver is [current](crate::Handle::current).
    ///
    /// # Cancel safety
    ///
    /// A future of the next chunk can be dropped at any time: no item is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use reveille::StreamExt as _;
    /// use std::time::Duration;
    ///
    /// let silent = stream::iter([1, 2, 3, 4]).chain(stream::pending());
    /// let mut chunks = silent.chunks_timeout(3, Duration::from_millis(1));
    /// pollster::block_on(async {
    ///     assert_eq!(chunks.next().await, Some(vec![1, 2, 3])); // full
    ///     assert_eq!(chunks.next().await, Some(vec![4])); // 1 ms old
    /// });
    /// ```
    #[track_caller]
    fn chunks_timeout(self, max_size: usize, duration: Duration) -> ChunksTimeout<Self>
    where
        Self: Sized,
    {
        ChunksTimeout::new(self, max_size, duration)
    }

    /// Yields an item once no newer one has come for `duration`. A newer item replaces it.
    ///
    /// ```text
    /// debounce(3)        0  1  2  3  4  5  6  7  8  9  10
    /// the inner stream      a  b     c           d  e  |
    /// yields                                  c        e|
    /// ```
    ///
    /// When the inner stream ends, the waiting item is yielded at once. The time of an item counts
    /// from the poll that takes it, and an item that is available when the time of the older one is
    /// up replaces that. While the inner stream always has an item, none is yielded. With a
    /// `duration` of zero, every item is yielded.
    ///
    /// The timer is made by the first poll, so this may be called where no driver is current.
    ///
    /// # Panics
    ///
    /// Without the feature `fallback`, the first poll panics if no driver is
    /// [current](crate::Handle::current).
    ///
    /// # Cancel safety
    ///
    /// A future of the next item can be dropped at any time: the waiting item is kept, and its time
    /// goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use reveille::StreamExt as _;
    /// use std::time::Duration;
    ///
    /// pollster::block_on(async {
    ///     let typed = stream::iter(["r", "re", "rev"]).chain(stream::pending());
    ///     let mut settled = typed.debounce(Duration::from_millis(1));
    ///     assert_eq!(settled.next().await, Some("rev"));
    /// });
    /// ```
    fn debounce(self, duration: Duration) -> Debounce<Self>
    where
        Self: Sized,
    {
        Debounce::new(self, duration)
    }
}

impl<S: Stream + ?Sized> StreamExt for S {}
