//! What can be done with a value that waits?
//!
//! By its key: look at it, move its deadline, take it out. The story of the queue is in
//! `delay_queue`.

use std::time::Duration;

use super::{DelayQueue, Expired, First, Key};
use crate::instant::Instant;

impl<T> DelayQueue<T> {
    /// Takes a value out before it is due.
    ///
    /// # Panics
    ///
    /// If the key names no value: it was removed, or has come due.
    /// [`try_remove`](Self::try_remove) does not.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// assert_eq!(queue.remove(&key).into_inner(), "foo");
    /// ```
    #[track_caller]
    pub fn remove(&mut self, key: &Key) -> Expired<T> {
        match self.try_remove(key) {
            Some(expired) => expired,
            None => unknown(*key),
        }
    }

    /// Takes a value out before it is due, or returns `None` if the key names none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// assert_eq!(queue.try_remove(&key).map(|removed| removed.into_inner()), Some("foo"));
    /// assert!(queue.try_remove(&key).is_none());
    /// ```
    pub fn try_remove(&mut self, key: &Key) -> Option<Expired<T>> {
        let deadline = self.known_deadline(key)?;
        let value = self.queue.remove(*key)?;
        self.waits.remove(*key);
        if self.is_first(*key) {
            self.replace_first();
        } else if self.queue.is_empty() {
            // It never came due, so it was not the first.
            self.wake();
        }
        Some(Expired::new(*key, deadline, value))
    }

    /// Moves a value's deadline to `timeout` from now.
    ///
    /// Like [`reset_at`](Self::reset_at) in all else; `Duration::MAX` is never.
    ///
    /// # Panics
    ///
    /// If the key names no value: it was removed, or has come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// let before = queue.deadline(&key);
    /// queue.reset(&key, Duration::from_secs(10));
    /// assert!(queue.deadline(&key) > before);
    /// ```
    #[track_caller]
    pub fn reset(&mut self, key: &Key, timeout: Duration) {
        self.bind_if_unbound();
        match &self.home {
            Some(home) => self.move_to(*key, home.inside(home.now() + timeout)),
            None => unknown(*key),
        }
        if self.is_unbound() {
            self.waits.insert(*key, timeout);
        }
    }

    /// Moves a value's deadline, earlier or later.
    ///
    /// What is moved to the past is due at once. Among equal deadlines the value now comes last.
    ///
    /// # Panics
    ///
    /// If the key names no value: it was removed, or has come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_secs(10);
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// queue.reset_at(&key, deadline);
    /// assert_eq!(queue.deadline(&key), deadline);
    /// ```
    #[track_caller]
    pub fn reset_at(&mut self, key: &Key, when: Instant) {
        self.bind_if_unbound();
        match &self.home {
            Some(home) => self.move_to(*key, home.inside(when)),
            None => unknown(*key),
        }
    }

    #[track_caller]
    fn move_to(&mut self, key: Key, deadline: Instant) {
        if !self.queue.reset(key, deadline) {
            unknown(key);
        }
        self.waits.remove(key);
        if self.is_first(key) {
            self.replace_first();
        } else if deadline < self.first_deadline() {
            self.first = Some(First { key, deadline });
            self.wake();
        }
    }

    /// Returns when a value is due, exactly: what it was inserted with or last reset to.
    ///
    /// # Panics
    ///
    /// If the key names no value: it was removed, or has come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let soon = queue.insert("foo", Duration::from_secs(5));
    /// let later = queue.insert("bar", Duration::from_secs(10));
    /// assert!(queue.deadline(&soon) < queue.deadline(&later));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn deadline(&self, key: &Key) -> Instant {
        match self.known_deadline(key) {
            Some(deadline) => deadline,
            None => unknown(*key),
        }
    }

    /// Returns the key of the value that [`poll_expired`](Self::poll_expired) gives out next, due
    /// or not; `None` if none can come due.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// queue.insert("foo", Duration::from_secs(10));
    /// let soon = queue.insert("bar", Duration::from_secs(5));
    /// assert_eq!(queue.peek(), Some(soon));
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<Key> {
        self.first.map(|first| first.key)
    }

    /// Returns a value that waits, or `None` if the key names none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// assert_eq!(queue.get(&key), Some(&"foo"));
    /// ```
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&T> {
        self.queue.get(*key)
    }

    /// Returns a value that waits, to be changed, or `None` if the key names none.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert(1, Duration::from_secs(5));
    /// *queue.get_mut(&key).unwrap() += 1;
    /// assert_eq!(queue.remove(&key).into_inner(), 2);
    /// ```
    #[must_use]
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut T> {
        self.queue.get_mut(*key)
    }

    fn known_deadline(&self, key: &Key) -> Option<Instant> {
        let home = self.home.as_ref()?;
        self.queue.deadline(*key).map(|at| home.outside(at))
    }

    fn is_first(&self, key: Key) -> bool {
        self.first.is_some_and(|first| first.key == key)
    }
}

#[cold]
#[track_caller]
fn unknown(key: Key) -> ! {
    panic!(
        "{key:?} names no value of this queue: it was removed, or has come due; try_remove and get \
         answer None instead"
    );
}
