//! [`TimerQueue`], the public timer store: values with deadlines, without clocks or futures.
//!
//! It wraps the `store` for programs that run a loop of their own: deadlines are instants, and a
//! key never names another timer than the one that it was made for.
//!
//! - Q1 a key holds the number of an insertion, and the index of the entry that it filled.
//!   Insertions are numbered in 64 bits, so a stale key never becomes valid again.
//! - Q2 the store's deadline for an instant is its 64 bits with the highest one flipped, so that
//!   unsigned numbers have the order of the instants. The farthest instant is the store's
//!   [`NEVER`].
//! - Q3 `shrink_to_fit` moves the timers to the entries from zero on, in the order of their
//!   numbers. `numbers_by_index` holds these numbers. So a timer that is not at the index in its
//!   key is at the index at which a binary search finds its number in `numbers_by_index`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use crate::instant::{Instant, NEVER};
use crate::store::Store;

/// Values that come due, each at its deadline.
///
/// The queue has no clock, no lock and no waker. Values are inserted with a deadline, and those
/// that are due are taken out in order of deadline; values with equal deadlines in the order in
/// which they were inserted or last reset. [`insert`](Self::insert), [`remove`](Self::remove),
/// [`reset`](Self::reset), [`next_deadline`](Self::next_deadline) and [`pop_due`](Self::pop_due)
/// all do a bounded amount of work, however many timers wait: none pauses to sort a large heap, to
/// grow a large buffer, or to clean up after timers that were removed.
///
/// Deadlines are exact to the nanosecond, whatever clock they come from, also in the past. Adding a
/// duration that is too long gives the farthest instant; a timer with that deadline never comes
/// due.
///
/// The value of a removed timer is returned or dropped at once. Its place in the order, about 20
/// bytes, is freed as more timers are removed, so that these places stay in proportion to the
/// waiting timers. The table of timers keeps the size that the most timers ever waiting at once
/// needed, as the buffer of a [`Vec`] does, until [`shrink_to_fit`](Self::shrink_to_fit).
///
/// # Examples
///
/// A server that closes idle connections:
///
/// ```
/// use reveille::TimerQueue;
/// use reveille::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let idle = Duration::from_secs(30);
/// let mut queue = TimerQueue::new();
/// let one = queue.insert(start + idle, "connection 1");
/// let two = queue.insert(start + idle, "connection 2");
///
/// // Ten seconds later there is traffic on the first, and the second is closed by the other side.
/// let now = start + Duration::from_secs(10);
/// assert!(queue.reset(one, now + idle));
/// assert_eq!(queue.remove(two), Some("connection 2"));
///
/// // A loop would wait for the next event, but at most until this instant.
/// assert_eq!(queue.next_deadline(), Some(now + idle));
/// assert!(queue.pop_due(now).is_none());
///
/// let now = start + Duration::from_secs(40);
/// while let Some(due) = queue.pop_due(now) {
///     assert_eq!(due.value, "connection 1");
/// }
/// assert!(queue.is_empty());
/// ```
///
/// In a loop that waits for a channel, with a timer that is periodic and does not drift:
///
/// ```
/// use std::sync::mpsc::{self, RecvTimeoutError};
/// use std::thread;
///
/// use reveille::TimerQueue;
/// use reveille::time::{Duration, Instant};
///
/// fn main() {
///     let (sender, keys) = mpsc::channel();
///     thread::spawn(move || {
///         thread::sleep(Duration::from_millis(50));
///         sender.send("key") // and the loop ends, since the sender is dropped
///     });
///
///     let period = Duration::from_millis(16);
///     let mut queue = TimerQueue::new();
///     queue.insert(Instant::now() + period, "frame");
///     loop {
///         // No timer means no limit. A deadline that has passed gives zero: the subtraction saturates.
///         let timeout = queue.next_deadline().map(|at| at - Instant::now());
///         match keys.recv_timeout(timeout.unwrap_or(Duration::MAX)) {
///             Ok(key) => println!("{key}"),
///             Err(RecvTimeoutError::Timeout) => {}
///             Err(RecvTimeoutError::Disconnected) => break,
///         }
///         let now = Instant::now();
///         while let Some(due) = queue.pop_due(now) {
///             println!("{}", due.value);
///             // After a stall this makes up for each period. To skip them, insert at `now + period`.
///             queue.insert(due.deadline + period, due.value);
///         }
///     }
/// }
/// ```
pub struct TimerQueue<T> {
    store: Store<Item<T>>,
    next_number: NonZeroU64,
    /// Finds the timers that are not at the index in their keys: see Q3.
    numbers_by_index: Vec<NonZeroU64>,
}

// No value is ever pinned.
impl<T> Unpin for TimerQueue<T> {}

/// The value that the store holds for a timer.
struct Item<T> {
    /// The number of its insertion.
    number: NonZeroU64,
    value: T,
}

impl<T> Item<T> {
    #[inline]
    fn key(&self, index: u32) -> Key {
        let number = self.number;
        Key { index, number }
    }
}

/// Names one timer of a [`TimerQueue`], or one value of a
/// [`DelayQueue`](crate::time::DelayQueue).
///
/// Once its timer is removed or has come due, a key names nothing, and it never names another timer
/// of its queue. Another queue cannot tell it from one of its own keys: use a key only with the
/// queue that returned it.
///
/// # Examples
///
/// ```
/// use reveille::{Key, TimerQueue, time::Instant};
///
/// let mut queue = TimerQueue::new();
/// let key: Key = queue.insert(Instant::now(), "old");
/// queue.remove(key);
/// queue.insert(Instant::now(), "new");
/// assert!(!queue.contains(key));
/// ```
#[derive(Clone, Copy)]
pub struct Key {
    /// The index of the timer when the key was made.
    index: u32,
    /// The number of its insertion.
    number: NonZeroU64,
}

impl Key {
    /// Returns the number of the key's insertion, among all insertions into its queue.
    pub(crate) fn number(self) -> u64 {
        self.number.get()
    }
}

/// Compares the numbers of the insertions alone, since the timers' indices may change.
impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.number).finish()
    }
}

/// A timer that came due, taken out by [`TimerQueue::pop_due`].
///
/// # Examples
///
/// ```
/// use reveille::{Due, TimerQueue, time::Instant};
///
/// let now = Instant::now();
/// let mut queue = TimerQueue::new();
/// let key = queue.insert(now, "ping");
/// let Some(Due { value, deadline, .. }) = queue.pop_due(now) else { unreachable!() };
/// assert_eq!((value, deadline), ("ping", now));
/// assert!(!queue.contains(key));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Due<T> {
    /// The key that named the timer. It no longer names one.
    pub key: Key,
    /// The instant that the timer was set to.
    pub deadline: Instant,
    /// The timer's value.
    pub value: T,
}

/// Returns the deadline in the store for an instant.
#[inline]
fn store_deadline(instant: Instant) -> u64 {
    instant.nanos().cast_unsigned() ^ 1 << 63
}

/// Returns the instant for a deadline in the store: the inverse of [`store_deadline`].
#[inline]
fn instant(store_deadline: u64) -> Instant {
    Instant::at((store_deadline ^ 1 << 63).cast_signed())
}

impl<T> TimerQueue<T> {
    /// Creates an empty queue. Allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    ///
    /// let queue = TimerQueue::<&str>::new();
    /// assert!(queue.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            store: Store::new(),
            next_number: NonZeroU64::MIN,
            numbers_by_index: Vec::new(),
        }
    }

    /// Creates an empty queue with memory for `n` timers.
    ///
    /// # Panics
    ///
    /// If `n` is more than 2³² - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    ///
    /// let queue = TimerQueue::<&str>::with_capacity(1000);
    /// assert_eq!(queue.len(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_capacity(n: usize) -> Self {
        let mut queue = Self::new();
        queue.reserve(n);
        queue
    }

    /// Adds a timer and returns the key that names it.
    ///
    /// # Panics
    ///
    /// If 2³² - 1 timers wait already.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(now + Duration::from_millis(200), 'a');
    /// queue.insert(now + Duration::from_millis(100), 'b');
    /// assert_eq!(queue.get(key), Some(&'a'));
    /// assert_eq!(queue.next_deadline(), Some(now + Duration::from_millis(100)));
    /// ```
    #[inline]
    pub fn insert(&mut self, deadline: Instant, value: T) -> Key {
        let number = self.next_number;
        // The numbers last for 584 years of one insertion each nanosecond.
        self.next_number = number.saturating_add(1);
        let item = Item { number, value };
        let index = self.store.insert(store_deadline(deadline), item);
        Key { index, number }
    }

    /// Removes a timer and returns its value, or `None` if the key names no timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(Instant::now(), "ping");
    /// assert_eq!(queue.remove(key), Some("ping"));
    /// assert_eq!(queue.remove(key), None);
    /// ```
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let index = self.index(key)?;
        self.store.take(index).map(|item| item.value)
    }

    /// Moves a timer's deadline, earlier or later. Returns whether the key names a timer.
    ///
    /// Among equal deadlines the timer now comes last.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(now, "lease");
    /// assert!(queue.reset(key, now + Duration::from_secs(60)));
    /// assert!(queue.pop_due(now).is_none());
    /// ```
    #[inline]
    pub fn reset(&mut self, key: Key, deadline: Instant) -> bool {
        self.index(key)
            .is_some_and(|index| self.store.reset(index, store_deadline(deadline)))
    }

    /// Returns the earliest deadline, or `None` if no timer can come due.
    ///
    /// Takes `&mut self` because it sorts the timers that are due soon.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// assert_eq!(queue.next_deadline(), None);
    /// queue.insert(now + Duration::from_secs(1), ());
    /// assert_eq!(queue.next_deadline(), Some(now + Duration::from_secs(1)));
    /// ```
    #[inline]
    pub fn next_deadline(&mut self) -> Option<Instant> {
        match self.store.next_deadline() {
            NEVER => None,
            next => Some(instant(next)),
        }
    }

    /// Returns the key, deadline and value of the earliest timer, or `None` if none can come due.
    ///
    /// This is the timer that [`pop_due`](Self::pop_due) takes out next. Takes `&mut self` because
    /// it sorts the timers that are due soon.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// queue.insert(now + Duration::from_millis(2), "late");
    /// let early = queue.insert(now, "early");
    /// assert_eq!(queue.peek(), Some((early, now, &"early")));
    /// ```
    #[inline]
    pub fn peek(&mut self) -> Option<(Key, Instant, &T)> {
        let (index, deadline, item) = self.store.peek()?;
        Some((item.key(index), instant(deadline), &item.value))
    }

    /// Takes out the earliest timer and returns it, if its deadline is at or before `now`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::{Duration, Instant};
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// queue.insert(now + Duration::from_millis(2), "late");
    /// queue.insert(now + Duration::from_millis(1), "early");
    ///
    /// let due = queue.pop_due(now + Duration::from_millis(1)).unwrap();
    /// assert_eq!((due.value, due.deadline), ("early", now + Duration::from_millis(1)));
    /// assert!(queue.pop_due(now + Duration::from_millis(1)).is_none());
    /// ```
    #[inline]
    #[must_use = "it takes a value out of the queue"]
    pub fn pop_due(&mut self, now: Instant) -> Option<Due<T>> {
        let (index, deadline, item) = self.store.pop(store_deadline(now))?;
        let Item { number, value } = item;
        Some(Due {
            key: Key { index, number },
            deadline: instant(deadline),
            value,
        })
    }

    /// Returns a timer's value.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(Instant::now(), 7);
    /// assert_eq!(queue.get(key), Some(&7));
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let (_, item) = self.store.get(self.index(key)?)?;
        Some(&item.value)
    }

    /// Returns a mutable reference to a timer's value.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(Instant::now(), 7);
    /// *queue.get_mut(key).unwrap() += 1;
    /// assert_eq!(queue.remove(key), Some(8));
    /// ```
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let item = self.store.value_mut(self.index(key)?)?;
        Some(&mut item.value)
    }

    /// Returns a timer's deadline: the instant that it was inserted with or last reset to.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(now, ());
    /// assert_eq!(queue.deadline(key), Some(now));
    /// ```
    #[inline]
    #[must_use]
    pub fn deadline(&self, key: Key) -> Option<Instant> {
        let (deadline, _) = self.store.get(self.index(key)?)?;
        Some(instant(deadline))
    }

    /// Returns whether a key names a waiting timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(now, ());
    /// assert!(queue.contains(key));
    /// queue.pop_due(now);
    /// assert!(!queue.contains(key));
    /// ```
    #[inline]
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.index(key).is_some()
    }

    /// Returns the number of waiting timers, including those that never come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// queue.insert(Instant::now(), ());
    /// assert_eq!(queue.len(), 1);
    /// ```
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Returns whether no timer waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    ///
    /// assert!(TimerQueue::<()>::new().is_empty());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an iterator over all waiting timers, in no particular order.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let now = Instant::now();
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(now, 7);
    /// assert!(queue.iter().eq([(key, now, &7)]));
    /// ```
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Key, Instant, &T)> {
        let timers = self.store.iter();
        Counted {
            timers: timers
                .map(|(index, deadline, item)| (item.key(index), instant(deadline), &item.value)),
            left: self.len(),
        }
    }

    /// Drops all timers and frees their memory.
    ///
    /// Takes time in proportion to the most timers that ever waited at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// let key = queue.insert(Instant::now(), ());
    /// queue.clear();
    /// assert!(!queue.contains(key));
    /// ```
    pub fn clear(&mut self) {
        // The old store is dropped once the new one is in place, so that the queue is empty even if
        // dropping a value panics. The numbers of insertions go on, so that old keys stay stale.
        self.numbers_by_index = Vec::new();
        drop(std::mem::replace(&mut self.store, Store::new()));
    }

    /// Reserves memory for at least `more` timers in addition to the waiting ones.
    ///
    /// A queue grows in small steps anyway; this lets the caller choose when the table of timers is
    /// allocated. The index that keeps them in order still grows as they are inserted.
    ///
    /// # Panics
    ///
    /// If the total would be more than 2³² - 1 timers.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    ///
    /// let mut queue = TimerQueue::<&str>::new();
    /// queue.reserve(1000);
    /// assert!(queue.capacity() >= 1000);
    /// ```
    #[track_caller]
    pub fn reserve(&mut self, more: usize) {
        self.store.reserve(more);
    }

    /// Returns for how many timers the queue has memory, including the waiting ones.
    ///
    /// This counts the table of timers. The index that keeps them in order grows and shrinks in
    /// small steps.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    ///
    /// assert_eq!(TimerQueue::<&str>::new().capacity(), 0);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.store.capacity()
    }

    /// Frees the memory that the waiting timers do not need. Their keys stay valid.
    ///
    /// Takes time in proportion to the most timers that ever waited at once, plus the time to sort
    /// the waiting ones. During the call it needs twice the memory of the waiting ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::TimerQueue;
    /// use reveille::time::Instant;
    ///
    /// let mut queue = TimerQueue::new();
    /// let keys = [1, 2, 3].map(|value| queue.insert(Instant::now(), value));
    /// queue.remove(keys[0]);
    /// queue.remove(keys[1]);
    /// queue.shrink_to_fit();
    /// assert_eq!(queue.capacity(), 1);
    /// assert_eq!(queue.get(keys[2]), Some(&3));
    /// ```
    pub fn shrink_to_fit(&mut self) {
        // In the order of insertion, so that a binary search finds the timer of a key.
        self.store.compact(|item| item.number);
        let mut numbers = Vec::with_capacity(self.len());
        numbers.extend(self.store.iter().map(|(_, _, item)| item.number));
        self.numbers_by_index = numbers;
    }

    /// Returns the index of a key's timer.
    #[inline]
    fn index(&self, key: Key) -> Option<u32> {
        if self.is_at(key.index, key) {
            return Some(key.index);
        }
        self.moved_to(key)
    }

    #[cold]
    fn moved_to(&self, key: Key) -> Option<u32> {
        let index = self.numbers_by_index.binary_search(&key.number).ok()? as u32;
        // The timer may be gone since, and another one may have its index.
        self.is_at(index, key).then_some(index)
    }

    #[inline]
    fn is_at(&self, index: u32, key: Key) -> bool {
        self.store
            .get(index)
            .is_some_and(|(_, item)| item.number == key.number)
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for TimerQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// An iterator that knows how many timers are left.
struct Counted<I> {
    timers: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let timer = self.timers.next()?;
        self.left -= 1;
        Some(timer)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

#[cfg(all(test, not(loom)))]
mod tests;
