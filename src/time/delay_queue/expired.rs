//! [`Expired`], a value that was taken out of a [`DelayQueue`](super::DelayQueue).
//!
//! It carries the deadline of the value and its key, as that of `tokio_util` does.

use crate::instant::Instant;
use crate::queue::Key;

/// A value that has come due or was removed, with its deadline and its former key.
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

    /// Returns a reference to the value.
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

    /// Returns a mutable reference to the value.
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

    /// Returns the value, and drops the deadline and the key.
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

    /// Returns the exact deadline of the value: the one that it was inserted with or last reset to.
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

    /// Returns the key that named the value. It no longer names one.
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
