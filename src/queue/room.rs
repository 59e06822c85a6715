//! How many timers does a queue have room for?
//!
//! What is counted is the table that holds them. What keeps them in order grows and shrinks by
//! small steps as they come and go.

use super::TimerQueue;

impl<T> TimerQueue<T> {
    /// Makes an empty queue with room for `n` timers.
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

    /// Makes room for `more` timers, beyond those that wait.
    ///
    /// A queue grows by small steps anyway; this moves the allocation of what holds the timers to a
    /// time of the caller's choice. What keeps them in order still grows as they come.
    ///
    /// # Panics
    ///
    /// If that would make more than 2³² - 1 timers.
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

    /// Returns how many timers the queue has room for, those that wait included.
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

    /// Gives back the memory that the timers that wait have no need of.
    ///
    /// They are moved together; their keys stay good. Takes time in proportion to the most timers
    /// that ever waited at once, and to sort those that wait now; until it is done, memory for them
    /// twice.
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
        // In the order of insertion, so that a key finds its timer by halving.
        self.store.compact(|item| item.generation);
        let mut moved = Vec::with_capacity(self.len());
        moved.extend(self.store.iter().map(|(_, _, item)| item.generation));
        self.moved = moved;
    }
}
