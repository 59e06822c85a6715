//! What are the timers of someone who wants neither clocks nor futures?
//!
//! [`TimerQueue`]: the `store`, with instants for deadlines and with keys that no other timer ever
//! answers to.
//!
//! - Q1 a key is the number of an insertion, and the index of the entry that it filled. Insertions
//!   are numbered in 64 bits, so a key that is stale is stale for ever.
//! - Q2 an instant and its place in the store's order are the same 64 bits, but for the sign; the
//!   farthest instant is the store's [`NEVER`].
//! - Q3 `moved` has the numbers that the entries from zero on had when they were last moved
//!   together, and they rise. A timer that is not where its key says is where its number is there.
//!
//! This is the top of the timer store; the same store serves the driver from `handle` on.

mod look;
mod room;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use crate::instant::{Instant, NEVER};
use crate::store::Store;

/// Values that come due, each at its deadline.
///
/// A queue of its own: it has no clock, no lock and no waker. Deadlines go in, the values that are
/// due come out, in order of deadline; equal deadlines in order of insertion or of their last
/// reset. [`insert`](Self::insert), [`remove`](Self::remove), [`reset`](Self::reset),
/// [`next_deadline`](Self::next_deadline) and [`pop_due`](Self::pop_due) all do a bounded amount of
/// work, however many timers wait: none pauses to put a large heap in order, grow a large buffer
/// or sweep out what was removed.
///
/// Deadlines are exact to the nanosecond, whatever clock they come from, also in the past. The
/// farthest instant, which is what adding too much comes to, never comes due.
///
/// A removed timer's value is given back or dropped at once. The queue's own bookkeeping for it,
/// some 20 bytes, goes as more timers are removed, so that it stays in proportion to the timers
/// that wait. The table of timers keeps the size of the most that ever waited at once, like the
/// buffer of a [`Vec`], until [`shrink_to_fit`](Self::shrink_to_fit).
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
/// // Ten seconds on there is traffic on the first, and the second is closed by the other side.
/// let now = start + Duration::from_secs(10);
/// assert!(queue.reset(one, now + idle));
/// assert_eq!(queue.remove(two), Some("connection 2"));
///
/// // This is how long to wait for the next event, or until something is due.
/// assert_eq!(queue.next_deadline(), Some(now + idle));
/// assert!(queue.pop_due(now).is_none());
///
/// let now = start + Duration::from_secs(40);
/// while let Some(due) = queue.pop_due(now) {
///     assert_eq!(due.value, "connection 1");
/// }
/// assert!(queue.is_empty());
/// ```
pub struct TimerQueue<T> {
    store: Store<Item<T>>,
    /// The number of the next insertion.
    generation: NonZeroU64,
    /// Where timers went that are not where their keys say: see Q3.
    moved: Vec<NonZeroU64>,
}

// No value is ever pinned.
impl<T> Unpin for TimerQueue<T> {}

/// What the store holds of a timer.
struct Item<T> {
    generation: NonZeroU64,
    value: T,
}

impl<T> Item<T> {
    #[inline]
    fn key(&self, index: u32) -> Key {
        let generation = self.generation;
        Key { index, generation }
    }
}

/// Names one timer of a [`TimerQueue`], or one value of a
/// [`DelayQueue`](crate::time::DelayQueue).
///
/// Once its timer is removed or has come due a key names nothing, and never names another timer of
/// its queue. Another queue takes it for one of its own: keep keys and queues together.
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
    /// Where the timer lay when the key was made.
    index: u32,
    generation: NonZeroU64,
}

impl Key {
    /// Which insertion it was, of all into one queue.
    pub(crate) fn number(self) -> u64 {
        self.generation.get()
    }
}

/// By the number of the insertion alone: the timer may have been moved in between.
impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.generation.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.generation).finish()
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
/// assert_eq!(queue.pop_due(now), Some(Due { key, deadline: now, value: "ping" }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<T> {
    /// What named the timer, and names nothing now.
    pub key: Key,
    /// When the timer was due: the instant it was set to.
    pub deadline: Instant,
    /// The timer's value.
    pub value: T,
}

/// Where an instant lies in the order of the store.
#[inline]
fn place(instant: Instant) -> u64 {
    instant.nanos().cast_unsigned() ^ 1 << 63
}

/// Undoes [`place`].
#[inline]
fn instant(place: u64) -> Instant {
    Instant::at((place ^ 1 << 63).cast_signed())
}

impl<T> TimerQueue<T> {
    /// Makes an empty queue. Allocates nothing.
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
            generation: NonZeroU64::MIN,
            moved: Vec::new(),
        }
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
        let generation = self.generation;
        // At one insertion a nanosecond the numbers last for 584 years.
        self.generation = generation.saturating_add(1);
        let item = Item { generation, value };
        let index = self.store.insert(place(deadline), item);
        Key { index, generation }
    }

    /// Takes a timer out and returns its value, or `None` if the key names none.
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

    /// Moves a timer's deadline, earlier or later, and returns whether the key names one.
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
            .is_some_and(|index| self.store.reset(index, place(deadline)))
    }

    /// Returns the earliest deadline, or `None` if no timer can come due.
    ///
    /// Takes `&mut self` because it puts in order what is about to come due.
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
    /// It is the one that [`pop_due`](Self::pop_due) takes out next. Takes `&mut self` because it
    /// puts in order what is about to come due.
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
        let (index, place, item) = self.store.peek()?;
        Some((item.key(index), instant(place), &item.value))
    }

    /// Takes out the earliest timer if it is due, that is if its deadline is at or before `now`.
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
    pub fn pop_due(&mut self, now: Instant) -> Option<Due<T>> {
        let (index, deadline, item) = self.store.pop(place(now))?;
        let Item { generation, value } = item;
        Some(Due {
            key: Key { index, generation },
            deadline: instant(deadline),
            value,
        })
    }

    /// Drops all timers, and gives their memory back.
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
        // The old store is dropped when the new one is in place: a value whose drop panics leaves
        // an empty queue. The insertions count on, so that the old keys stay stale.
        self.moved = Vec::new();
        drop(std::mem::replace(&mut self.store, Store::new()));
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

#[cfg(test)]
mod tests;
