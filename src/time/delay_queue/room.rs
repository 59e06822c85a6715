//! How many values wait in a queue, and how many could?
//!
//! Room is that of the values; see `queue/room.rs`. The story of the queue is in `delay_queue`.

use super::DelayQueue;
use crate::queue::TimerQueue;

impl<T> DelayQueue<T> {
    /// Makes an empty queue with room for `capacity` values. Needs no driver.
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

    /// Returns how many values wait, those that never come due included.
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

    /// Returns whether no value waits; one that is due waits until it is taken out.
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

    /// Returns how many values the queue has room for, those that wait included.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::DelayQueue;
    ///
    /// assert_eq!(DelayQueue::<&str>::new().capacity(), 0);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Makes room for `additional` values, beyond those that wait.
    ///
    /// A queue grows by small steps anyway; this moves the allocation of what holds the values to a
    /// time of the caller's choice. What keeps them in order still grows as they come.
    ///
    /// # Panics
    ///
    /// If that would make more than 2³² - 1 values.
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

    /// Gives back the memory that the values that wait have no need of: the room is then for as
    /// many as there are.
    ///
    /// Keys stay good. Takes time in proportion to the most values that ever waited at once, and to
    /// sort those that wait now.
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

    /// Does the same as [`compact`](Self::compact): here values can be moved.
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

    /// Drops all values. The room for them stays, the keys name nothing any more.
    ///
    /// A task that waits is woken, and finds the queue empty.
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
        // Wakers and values are foreign, and may panic. The task is woken before its reason, which
        // it cannot see before this call is over, and the values go last.
        self.wake();
        if let Some(home) = &mut self.home {
            home.stop();
        }
        self.first = None;
        self.waits.clear();
        let room = self.capacity();
        self.queue.clear();
        self.queue.reserve(room);
    }
}
