//! What can be asked of a queue without changing it?
//!
//! The timers by key, and all of them. The story of the queue is in `queue`.

use super::{Item, Key, TimerQueue, instant};
use crate::instant::Instant;

impl<T> TimerQueue<T> {
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
        self.find(key).map(|(_, item)| &item.value)
    }

    /// Returns a timer's value, to be changed.
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
        let item = self.store.value_mut(key.index)?;
        (item.generation == key.generation).then_some(&mut item.value)
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
        let (place, _) = self.find(key)?;
        Some(instant(place))
    }

    /// Returns whether a key names a timer that waits.
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
        self.find(key).is_some()
    }

    /// Returns how many timers wait, those that never come due included.
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

    /// Returns all timers that wait, in no particular order.
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
    pub fn iter(&self) -> impl Iterator<Item = (Key, Instant, &T)> {
        self.store.iter().map(|(index, place, item)| {
            let key = Key {
                index,
                generation: item.generation,
            };
            (key, instant(place), &item.value)
        })
    }

    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<(u64, &Item<T>)> {
        self.store
            .get(key.index)
            .filter(|(_, item)| item.generation == key.generation)
    }
}
