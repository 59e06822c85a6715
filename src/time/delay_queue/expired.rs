//! What does a value come out of a queue with?
//!
//! Its deadline, and the key that named it. The story of the queue is in `delay_queue`.

use crate::instant::Instant;
use crate::queue::Key;

/// A value that has come due, or was removed, with its deadline and the key that named it.
///
/// # Examples
///
/// ```
/// use reveille::time::{DelayQueue, Instant, delay_queue::Expired};
///
/// let now = Instant::now();
/// let mut queue = DelayQueue::new();
/// let key = queue.insert_at("ping", now);
/// let expired: Expired<&str> = queue.remove(&key);
/// assert_eq!((expired.key(), expired.deadline()), (key, now));
/// assert_eq!(expired.into_inner(), "ping");
/// ```
#[derive(Debug)]
pub struct Expired<T> {
    key: Key,
    deadline: Instant,
    value: T,
}

impl<T> Expired<T> {
    pub(super) fn new(key: Key, deadline: Instant, value: T) -> Self {
        Self {
            key,
            deadline,
            value,
        }
    }

    /// Returns the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("ping", Duration::ZERO);
    /// assert_eq!(*queue.remove(&key).get_ref(), "ping");
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.value
    }

    /// Returns the value, to be changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert(1, Duration::ZERO);
    /// let mut expired = queue.remove(&key);
    /// *expired.get_mut() += 1;
    /// assert_eq!(expired.into_inner(), 2);
    /// ```
    #[must_use]
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// Returns the value alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("ping", Duration::ZERO);
    /// assert_eq!(queue.remove(&key).into_inner(), "ping");
    /// ```
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Returns when the value was due, exactly: what it was inserted with or last reset to.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_nanos(1);
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert_at("ping", deadline);
    /// assert_eq!(queue.remove(&key).deadline(), deadline);
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns the key that named the value; it names nothing now.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("ping", Duration::ZERO);
    /// assert_eq!(queue.remove(&key).key(), key);
    /// ```
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }
}
