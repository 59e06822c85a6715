//! What can time do to a stream?
//!
//! Limit the wait for each item ([`Timeout`], [`TimeoutRepeating`]), keep items apart
//! ([`Throttle`]), gather them ([`ChunksTimeout`]), or wait until they have settled ([`Debounce`]).
//! Each is made by the method of [`StreamExt`] of that name.
//!
//! In all of them the stream inside is asked before the time: an item that is there when its time
//! is up is taken. And a timer is armed only while it may yet end something: once the stream inside
//! has ended, no waker of ours is held, and it is not polled again. (`Throttle`, which has nothing
//! to add then, leaves that to the stream inside.)
//!
//! Each room under `stream/` tells one of them.

mod chunks_timeout;
mod debounce;
mod throttle;
mod timeout;
mod timeout_repeating;

use std::time::Duration;

use futures_core::Stream;

pub use self::chunks_timeout::ChunksTimeout;
pub use self::debounce::Debounce;
pub use self::throttle::Throttle;
pub use self::timeout::Timeout;
pub use self::timeout_repeating::TimeoutRepeating;
use crate::time::interval::Interval;

/// What time can do to a stream, as methods of every stream.
///
/// `timeout`, `timeout_repeating`, `throttle` and `chunks_timeout` have the names, arguments and
/// meanings of those of `tokio_stream::StreamExt`; `debounce` is our own. No method here is one of
/// `futures::StreamExt`; to use both traits, import this one without its name:
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
/// Next to `tokio_stream::StreamExt`, which has methods of the same names, `s.timeout(limit)` is
/// ambiguous: take the others from `futures::StreamExt`, or write
/// `reveille::StreamExt::timeout(s, limit)`.
///
/// No duration is too long here: one beyond the clock's end (292 years) means never.
pub trait StreamExt: Stream {
    /// Limits the wait for each item to `duration`.
    ///
    /// The items come out as `Ok`. If none comes for `duration`, counted from this call and then
    /// from each item, one [`Elapsed`](crate::time::error::Elapsed) comes out, and then nothing
    /// until the next item, which starts the count anew.
    ///
    /// ```text
    /// timeout(3)         0  1  2  3  4  5  6  7  8  9
    /// the stream inside     a  b                 c  |
    /// comes out             a  b        E        c  |
    /// ```
    ///
    /// An item that is there when the limit is up wins. Zero gives one `Elapsed` wherever the
    /// stream has to wait.
    ///
    /// Called where no driver is entered and no runtime runs, it counts from the first poll instead,
    /// on the driver that is current there.
    ///
    /// # Panics
    ///
    /// When first polled: if there is no [current driver](crate::Handle::current) by then.
    ///
    /// # Cancel safety
    ///
    /// Waiting for the next item may be given up at any time: the count goes on.
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

    /// Reports at each tick of `interval` that no item has come.
    ///
    /// The items come out as `Ok`, and each starts the interval over: its next tick is one period
    /// later. At each tick until then an [`Elapsed`](crate::time::error::Elapsed) comes out. An
    /// [`interval`](crate::time::interval()) ticks at once the first time, so a stream that has to
    /// wait for its first item begins with an `Elapsed`; use
    /// [`interval_at`](crate::time::interval_at) where it should not.
    ///
    /// ```text
    /// a period of 3      0  1  2  3  4  5  6  7  8  9
    /// the stream inside     a                    b  |
    /// comes out          E  a        E        E  b  |
    /// ```
    ///
    /// An item that is there when a tick is due wins. Ticks that were missed come out as the
    /// interval's [`MissedTickBehavior`](crate::time::MissedTickBehavior) says.
    ///
    /// # Cancel safety
    ///
    /// Waiting for the next item may be given up at any time: no item and no tick is lost.
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
    /// The first item is free. After an item, the stream inside is not polled until `duration` has
    /// passed, so nothing is dropped: what comes meanwhile waits where it is.
    ///
    /// ```text
    /// throttle(3)        0  1  2  3  4  5  6  7  8  9  10
    /// the stream inside     a  b  c              d  |
    /// comes out             a        b        c        d
    /// ```
    ///
    /// The end is delayed like an item, by what is left of `duration`. Zero delays nothing.
    ///
    /// The timer is made by the first poll, so this may be called where no driver is current.
    ///
    /// # Panics
    ///
    /// When first polled: if there is no [current driver](crate::Handle::current).
    ///
    /// # Cancel safety
    ///
    /// Waiting for the next item may be given up at any time: no item is lost.
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

    /// Gathers items into chunks of `max_size`, or fewer if the first has waited for `duration`.
    ///
    /// A chunk comes out when it is full, when `duration` has passed since its first item, or when
    /// the stream ends, whichever is first. No chunk is empty.
    ///
    /// ```text
    /// chunks_timeout(3, 4)  0  1  2  3  4  5  6  7  8  9  10 11
    /// the stream inside        a  b  c  d                 e  |
    /// comes out                     abc             d        e|
    /// ```
    ///
    /// Time is asked only when the stream inside is pending: one that always has an item fills
    /// every chunk. Zero gathers what is there without waiting. Pass [`usize::MAX`] for chunks that
    /// only time limits.
    ///
    /// The timer is made with the first item of each chunk, so this may be called where no driver
    /// is current; it must be where the stream is polled.
    ///
    /// # Panics
    ///
    /// If `max_size` is zero. When polled: if there is no
    /// [current driver](crate::Handle::current) to time a chunk.
    ///
    /// # Cancel safety
    ///
    /// Waiting for the next chunk may be given up at any time: no item is lost.
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

    /// Lets an item out once no newer one has come for `duration`; a newer one replaces it.
    ///
    /// ```text
    /// debounce(3)        0  1  2  3  4  5  6  7  8  9  10
    /// the stream inside     a  b     c           d  e  |
    /// comes out                               c        e|
    /// ```
    ///
    /// The end of the stream lets the item that waits out at once. An item counts as come when it
    /// is polled for: one that is there when the older one's time is up replaces it. While the
    /// stream inside always has an item, none comes out. Zero lets every item out.
    ///
    /// The timer is made with the first item that has to wait, so this may be called where no driver
    /// is current; it must be where the stream is polled.
    ///
    /// # Panics
    ///
    /// When polled: if there is no [current driver](crate::Handle::current) to time an item.
    ///
    /// # Cancel safety
    ///
    /// Waiting for the next item may be given up at any time: the item that waits is kept, and its
    /// time goes on.
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
