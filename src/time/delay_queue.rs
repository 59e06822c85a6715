//! [`DelayQueue`]: values that are given out when they are due.
//!
//! It exists for programs that wait for many values rather than for one future each, and consists
//! of a [`TimerQueue`] of the values and one [`Sleep`](super::Sleep) for the earliest of them. The
//! `Sleep` is made with the first value and moved in place as long as its driver is there.

// - D1 `first` is the earliest value that can come due. So the `TimerQueue` is asked for it only by
//   operations that may change which value that is.
// - D2 while `waiting` holds a waker, the `Sleep` is armed to wake that task no later than `first`
//   is due, or has woken it. A woken task has to poll, and that poll restores D2.
// - D3 all fields are consistent before a waker is woken or dropped, because that may panic.
//
// Deadlines in `queue` and `first` are in queue time: see `delay_queue/timer.rs`. Capacity and
// length are in `delay_queue/capacity.rs`.

mod capacity;
mod expired;
mod timer;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::{FusedStream, Stream};

use crate::instant::Instant;
use crate::panic::catch_panic;
use crate::queue::TimerQueue;
use crate::time::delay_queue::timer::{QueueTimer, UnboundWaits};

pub use self::expired::Expired;
pub use crate::queue::Key;

/// A queue of values, each with a deadline, that is a stream of the values that are due.
///
/// [`insert`](Self::insert) takes a value and returns a [`Key`], which removes it or moves its
/// deadline. [`poll_expired`](Self::poll_expired), or the [`Stream`], returns the values that are
/// due, in order of deadline; values with equal deadlines in the order in which they were inserted
/// or last reset.
///
/// While the queue is empty the stream yields `None`; it goes on once there are values again. A
/// value that was inserted for [`Duration::MAX`] never comes due and keeps the stream pending.
/// `futures::select!` leaves an empty queue out if it is given the queue itself, as in
/// `expired = queue.select_next_some()`. With `queue.next()` a loop would spin while the queue is
/// empty, and `queue.fuse()` ends for good at the first `None`.
///
/// Deadlines are exact to the nanosecond. A value is never returned early. A value whose deadline
/// has passed is returned by the next poll, whether or not the driver has turned since, unless the
/// queue [yields](super#yielding).
///
/// The task that polled last is woken when a value comes due. It is woken at once in these cases: a
/// value is inserted, or moved, before all others; the queue becomes empty, or is so no longer; a
/// change reveals a value that is due already. A task that such a change has woken is not woken by
/// another one until it has polled.
///
/// # Drivers
///
/// The queue uses the driver that is [current](crate::Handle::current) where the first value is
/// inserted, and measures all durations on that driver's clock. Creating a queue needs no driver.
/// If no driver is current at the first insertion, the queue takes the one that is current when it
/// is given another value, one of its values is reset, or it is polled while some value can come
/// due, like a [`Sleep`](super::Sleep). If the clock of that driver is not the system's, values
/// that were inserted for a duration wait for the whole of it from then on, and values that were
/// inserted for an instant wait until that clock shows the instant.
///
/// If the driver is dropped, the waiting task is woken, and the queue moves to another driver like
/// a [`Sleep`](super::Sleep): the values keep the time that they had left, and their deadlines are
/// given on the new clock from then on. If there is no other driver, or the clock was a manual or a
/// paused one, the values stay in the queue, and a poll returns them only if their deadlines have
/// passed. Once no value can come due any more, the next insertion moves the queue to the driver
/// that is current there.
///
/// # Cancel safety
///
/// A value is taken out only by a poll that returns it, so a future of the next item can be dropped
/// without losing a value.
///
/// # Examples
///
/// A cache whose entries expire:
///
/// ```
/// use futures::StreamExt;
/// use reveille::time::{DelayQueue, Duration, delay_queue};
/// use std::collections::HashMap;
///
/// #[derive(Default)]
/// struct Cache {
///     entries: HashMap<&'static str, (u32, delay_queue::Key)>,
///     expirations: DelayQueue<&'static str>,
/// }
///
/// let life = Duration::from_millis(1);
/// let mut cache = Cache::default();
/// for (name, value) in [("one", 1), ("two", 2), ("three", 3)] {
///     let key = cache.expirations.insert(name, life);
///     cache.entries.insert(name, (value, key));
/// }
/// let (_, key) = cache.entries.remove("two").unwrap();
/// cache.expirations.remove(&key);
///
/// pollster::block_on(async {
///     while let Some(expired) = cache.expirations.next().await {
///         cache.entries.remove(expired.get_ref());
///     }
///     assert!(cache.entries.is_empty());
/// });
/// ```
pub struct DelayQueue<T> {
    /// The values, with deadlines in queue time.
    queue: TimerQueue<T>,
    first: Option<First>,
    /// The timer, from the first insertion on.
    timer: Option<QueueTimer>,
    /// The waker of the task that polled last, unless it was woken or got a value since.
    waiting: Option<Waker>,
    waits: UnboundWaits,
}

/// The key and the deadline of the value that is due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    key: Key,
    deadline: Instant,
}

impl<T> DelayQueue<T> {
    /// Creates an empty queue. Allocates nothing, and needs no driver.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::DelayQueue;
    ///
    /// let queue = DelayQueue::<&str>::new();
    /// assert!(queue.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: TimerQueue::new(),
            first: None,
            timer: None,
            waiting: None,
            waits: UnboundWaits::default(),
        }
    }

    /// Adds a value that is due at `when`, and returns the key that names it.
    ///
    /// A value with a deadline in the past is due at once, in order of deadline. A value with the
    /// farthest instant as its deadline, which is the result of adding too much, never comes due.
    ///
    /// # Panics
    ///
    /// If this is the first value, no driver is [current](crate::Handle::current) and the feature
    /// `fallback` is off, or if 2³² - 1 values wait already.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert_at("foo", deadline);
    /// assert_eq!(queue.remove(&key).deadline(), deadline);
    /// ```
    #[track_caller]
    pub fn insert_at(&mut self, value: T, when: Instant) -> Key {
        let deadline = self.ensure_timer().to_queue_time(when);
        self.add(value, deadline, None)
    }

    /// Adds a value that is due `timeout` from now, and returns the key that names it.
    ///
    /// With a `timeout` of zero it is due at once. If the deadline is beyond the clock's end (292
    /// years), as with `Duration::MAX`, it never comes due.
    ///
    /// # Panics
    ///
    /// If this is the first value, no driver is [current](crate::Handle::current) and the feature
    /// `fallback` is off, or if 2³² - 1 values wait already.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    ///
    /// let mut queue = DelayQueue::new();
    /// let key = queue.insert("foo", Duration::from_secs(5));
    /// queue.insert("never", Duration::MAX);
    /// assert_eq!(queue.remove(&key).into_inner(), "foo");
    /// ```
    #[track_caller]
    pub fn insert(&mut self, value: T, timeout: Duration) -> Key {
        let timer = self.ensure_timer();
        let unbound = timer.is_unbound();
        let deadline = timer.to_queue_time(timer.now() + timeout);
        self.add(value, deadline, unbound.then_some(timeout))
    }

    /// Removes a value before it is due, and returns it.
    ///
    /// # Panics
    ///
    /// If the key names no value, because it was removed or has come due.
    /// [`try_remove`](Self::try_remove) returns `None` instead.
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

    /// Removes a value before it is due and returns it, or returns `None` if the key names no
    /// value.
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
        // The clock and the waker may panic, and the value must not be lost. If the clock does, the
        // timer is still armed for the value that was removed, which is no later (D2).
        catch_panic(|| {
            if self.is_first(*key) {
                self.replace_first();
            } else if self.queue.is_empty() {
                // A value that never comes due is not the first.
                self.wake();
            }
        });
        Some(Expired::new(*key, deadline, value))
    }

    /// Moves a value's deadline to `timeout` from now.
    ///
    /// Otherwise like [`reset_at`](Self::reset_at). With `Duration::MAX` the value never comes due.
    ///
    /// # Panics
    ///
    /// If the key names no value, because it was removed or has come due.
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
        match &self.timer {
            Some(timer) => {
                let deadline = timer.to_queue_time(timer.now() + timeout);
                let wait = timer.is_unbound().then_some(timeout);
                self.move_to(*key, deadline, wait);
            }
            None => unknown(*key),
        }
    }

    /// Moves a value's deadline, earlier or later.
    ///
    /// A value that is moved to the past is due at once. Among equal deadlines the value now comes
    /// last.
    ///
    /// # Panics
    ///
    /// If the key names no value, because it was removed or has come due.
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
        match &self.timer {
            Some(timer) => self.move_to(*key, timer.to_queue_time(when), None),
            None => unknown(*key),
        }
    }

    /// Returns the exact deadline of a value: the one that it was inserted with or last reset to.
    ///
    /// # Panics
    ///
    /// If the key names no value, because it was removed or has come due.
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

    /// Returns the key of the value that [`poll_expired`](Self::poll_expired) returns next, even if
    /// it is not due yet, or `None` if no value can come due.
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

    /// Returns a reference to a waiting value, or `None` if the key names no value.
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

    /// Returns a mutable reference to a waiting value, or `None` if the key names no value.
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

    /// Polls for the next value that is due. Yields `None` if the queue is empty.
    ///
    /// The task is registered to be woken if the poll is pending or returns `None`. If it returns a
    /// value, the task has to poll again for the next one.
    ///
    /// # Panics
    ///
    /// If the queue needs the process-wide thread and the system refuses to start it.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::time::{DelayQueue, Duration};
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut queue = DelayQueue::new();
    /// assert!(matches!(queue.poll_expired(&mut cx), Poll::Ready(None)));
    /// queue.insert("later", Duration::from_secs(60));
    /// assert!(queue.poll_expired(&mut cx).is_pending());
    /// queue.insert("now", Duration::ZERO);
    /// match queue.poll_expired(&mut cx) {
    ///     Poll::Ready(Some(expired)) => assert_eq!(expired.into_inner(), "now"),
    ///     _ => unreachable!("it is due"),
    /// }
    /// ```
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired<T>>> {
        if self.first.is_some() && self.is_unbound() {
            self.bind_to_current_or_fallback();
        }
        let (Some(first), Some(timer)) = (self.first, &mut self.timer) else {
            return self.poll_none_due(cx);
        };
        if timer.poll(first.deadline, cx).is_pending() {
            self.register(cx);
            return Poll::Pending;
        }
        // Before the value is taken out, because its drop may panic.
        drop(self.waiting.take());
        // The timer has ended, so the first value is due: there is no need to read the clock.
        let due = self.queue.pop_due(first.deadline);
        debug_assert!(due.is_some(), "D1: {first:?}");
        let expired =
            due.map(|due| Expired::new(due.key, timer.to_clock_time(due.deadline), due.value));
        self.find_first();
        Poll::Ready(expired)
    }

    /// Adds a value. `unbound_wait` is the duration for which it was inserted, if the queue has no
    /// driver yet.
    fn add(&mut self, value: T, deadline: Instant, unbound_wait: Option<Duration>) -> Key {
        let was_empty = self.queue.is_empty();
        let key = self.queue.insert(deadline, value);
        self.waits.set(key, unbound_wait);
        // Among equal deadlines the new one comes last. With an empty queue the first deadline is
        // NEVER, so a value that never comes due does not become the first.
        if deadline < self.first_deadline() {
            self.first = Some(First { key, deadline });
            self.wake();
        } else if was_empty {
            self.wake();
        }
        key
    }

    /// Moves a value. `unbound_wait` is as in [`add`](Self::add).
    #[track_caller]
    fn move_to(&mut self, key: Key, deadline: Instant, unbound_wait: Option<Duration>) {
        if !self.queue.reset(key, deadline) {
            unknown(key);
        }
        self.waits.set(key, unbound_wait);
        if self.is_first(key) {
            self.replace_first();
        } else if deadline < self.first_deadline() {
            self.first = Some(First { key, deadline });
            self.wake();
        }
    }

    /// Polls a queue in which no value can come due.
    #[cold]
    fn poll_none_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired<T>>> {
        self.register(cx);
        if let Some(timer) = &mut self.timer {
            timer.disarm();
        }
        if self.queue.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn register(&mut self, cx: &mut Context<'_>) {
        match &mut self.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waiting = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Returns the timer. Creates it if this is the first value, and replaces it if its driver is
    /// gone and no value needs its clock any more. If it is unbound, binds it to the current
    /// driver.
    #[track_caller]
    fn ensure_timer(&mut self) -> &mut QueueTimer {
        if self.first.is_none()
            && let Some(successor) = self.timer.as_ref().and_then(QueueTimer::successor)
        {
            self.timer = Some(successor);
        }
        self.bind_if_unbound();
        // Not a closure, because `track_caller` does not see through one.
        match &mut self.timer {
            Some(timer) => timer,
            timer @ None => timer.insert(QueueTimer::on_current_driver()),
        }
    }

    /// Returns when the first value is due, or the farthest instant if none can come due.
    fn first_deadline(&self) -> Instant {
        self.first.map_or(QueueTimer::NEVER, |first| first.deadline)
    }

    /// Asks the `TimerQueue` which value is the first now.
    fn find_first(&mut self) {
        self.first = self
            .queue
            .peek()
            .map(|(key, deadline, _)| First { key, deadline });
    }

    /// Finds the first value after the previous one was removed or moved, and restores D2 for it.
    fn replace_first(&mut self) {
        let before = self.first_deadline();
        self.find_first();
        let Some(timer) = &mut self.timer else {
            return;
        };
        let Some(first) = self.first else {
            // Caught, because it drops a waker, and the task has to be woken all the same.
            catch_panic(|| timer.disarm());
            if self.queue.is_empty() {
                self.wake();
            }
            return;
        };
        if self.waiting.is_none() || first.deadline == before {
            return;
        }
        // A value that is due already wakes the task now: the driver may not have turned yet.
        if first.deadline < before || timer.has_passed(first.deadline) {
            self.wake();
        } else {
            timer.postpone(first.deadline);
        }
    }

    fn known_deadline(&self, key: &Key) -> Option<Instant> {
        let timer = self.timer.as_ref()?;
        self.queue.deadline(*key).map(|at| timer.to_clock_time(at))
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
         return None instead"
    );
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

// No value is ever pinned.
impl<T> Unpin for DelayQueue<T> {}

impl<T> Stream for DelayQueue<T> {
    type Item = Expired<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Expired<T>>> {
        self.get_mut().poll_expired(cx)
    }
}

/// Terminated while it is empty: `futures::select!` leaves it out then, and takes it up again once
/// there is a value.
impl<T> FusedStream for DelayQueue<T> {
    fn is_terminated(&self) -> bool {
        self.is_empty()
    }
}

impl<T> fmt::Debug for DelayQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayQueue")
            .field("len", &self.len())
            .field("first", &self.first)
            .field("waiting", &self.waiting.is_some())
            .field("unbound_waits", &self.waits.len())
            .finish_non_exhaustive()
    }
}
