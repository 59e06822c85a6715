//! What can be asked of a queue without changing it?
//!
//! The timers by key, and all of them. The story of the queue is in `queue`.

use super::{Key, TimerQueue, instant};
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
        let (_, item) = self.store.get(self.index(key)?)?;
        Some(&item.value)
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
        let (place, _) = self.store.get(self.index(key)?)?;
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
        self.index(key).is_some()
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
        self.store
            .iter()
            .map(|(index, place, item)| (item.key(index), instant(place), &item.value))
    }

    /// Returns where a key's timer lies.
    #[inline]
    pub(super) fn index(&self, key: Key) -> Option<u32> {
        if self.lies_at(key.index, key) {
            return Some(key.index);
        }
        self.moved_to(key)
    }

    #[cold]
    fn moved_to(&self, key: Key) -> Option<u32> {
        let index = self.moved.binary_search(&key.generation).ok()? as u32;
        // It may have gone since, and another timer be there.
        self.lies_at(index, key).then_some(index)
    }

    #[inline]
    fn lies_at(&self, index: u32, key: Key) -> bool {
        self.store
            .get(index)
            .is_some_and(|(_, item)| item.generation == key.generation)
    }
}
