//! The length and the capacity of a [`DelayQueue`], and what changes them for all values at once.
//!
//! The values are in a [`TimerQueue`], which does the work; clearing also wakes the waiting task.

use super::DelayQueue;
use crate::queue::TimerQueue;

impl<T> DelayQueue<T> {
    /// Creates an empty queue with memory for `capacity` values. Needs no driver.
    ///
    /// # Panics
    ///
    /// If `capacity` is more than 2³² - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::DelayQueue;
    ///
    /// let queue = DelayQueue::<&str>::with_capacity(10);
    /// assert_eq!(queue.capacity(), 10);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            queue: TimerQueue::with_capacity(capacity),
            ..Self::new()
        }
    }

    /// Returns the number of waiting values, including those that never come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// queue.insert("foo", Duration::from_secs(5));
    /// assert_eq!(queue.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether no value waits. A value that is due still waits until it is taken out.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// queue.insert("foo", Duration::ZERO);
    /// assert!(!queue.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns for how many values the queue has memory, including the waiting ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::DelayQueue;
    ///
    /// assert_eq!(DelayQueue::<&str>::new().capacity(), 0);
    /// ```
    #[expect(
        clippy::must_use_candidate,
        reason = "as in tokio: a program that is ported may deny warnings"
    )]
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Reserves memory for at least `additional` values in addition to the waiting ones.
    ///
    /// A queue grows in small steps anyway; this lets the caller choose when the table of values is
    /// allocated. The index that keeps them in order still grows as they are inserted.
    ///
    /// # Panics
    ///
    /// If the total would be more than 2³² - 1 values.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// queue.insert("foo", Duration::from_secs(5));
    /// queue.reserve(10);
    /// assert!(queue.capacity() >= 11);
    /// ```
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        self.queue.reserve(additional);
    }

    /// Frees the memory that the waiting values do not need. Afterwards the capacity equals the
    /// number of values.
    ///
    /// Their keys stay valid. Takes time in proportion to the most values that ever waited at once,
    /// plus the time to sort the waiting ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::with_capacity(10);
    /// queue.insert(5, Duration::from_secs(5));
    /// let key = queue.insert(10, Duration::from_secs(10));
    /// let last = queue.insert(15, Duration::from_secs(15));
    /// queue.remove(&key);
    ///
    /// queue.compact();
    /// assert_eq!(queue.capacity(), 2);
    /// assert_eq!(queue.remove(&last).into_inner(), 15);
    /// ```
    pub fn compact(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Does the same as [`compact`](Self::compact).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::DelayQueue;
    ///
    /// let mut queue = DelayQueue::<&str>::with_capacity(10);
    /// queue.shrink_to_fit();
    /// assert_eq!(queue.capacity(), 0);
    /// ```
    pub fn shrink_to_fit(&mut self) {
        self.compact();
    }

    /// Drops all values and keeps the capacity. Their keys no longer name a value.
    ///
    /// A waiting task is woken, and finds the queue empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// queue.clear();
    /// assert!(queue.is_empty() && queue.get(&key).is_none());
    /// ```
    pub fn clear(&mut self) {
        if self.is_empty() {
            return;
        }
        // Wakers and values are foreign code, which may panic. The task can be woken before the
        // change, because it cannot look at the queue before this call returns; the values are
        // dropped last.
        self.wake();
        if let Some(timer) = &mut self.timer {
            timer.disarm();
        }
        self.first = None;
        self.waits.clear();
        let capacity = self.capacity();
        self.queue.clear();
        self.queue.reserve(capacity);
    }
}
