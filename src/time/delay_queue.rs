//! What if not a task waits, but a value?
//!
//! A [`DelayQueue`] gives each of its values back when that is due, to whoever polls it. It is the
//! second user of the timer store: a [`TimerQueue`] of the values, and one [`Sleep`](super::Sleep),
//! made with the first value and moved in place ever after, for the earliest of them.
//!
//! - D1 `first` is the earliest value that can come due. So only what moves the earliest has to ask
//!   the store for it.
//! - D2 while `waiting` holds a waker, the `Sleep` will wake that task no later than `first` is due.
//!   A task that was woken has to poll, and the poll makes it true again: nothing is owed to it
//!   until then.
//! - D3 what is inside is in order before a waker is woken or dropped: it may panic.
//!
//! Inside, deadlines are on the clock of the queue's first driver; `home` has them for the one it
//! is on now. The story goes on in `delay_queue/home.rs` and `unbound.rs` (values that come before
//! there is a driver), then in `keyed.rs` (what is done with a key) and `room.rs` (how many values
//! there are, and room for).

mod expired;
mod home;
mod keyed;
mod room;
mod unbound;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

use crate::instant::Instant;
use crate::queue::TimerQueue;
use crate::time::delay_queue::home::Home;
use crate::time::delay_queue::unbound::Waits;

pub use self::expired::Expired;
pub use crate::queue::Key;

/// Values that come due, each at its deadline, given out by a stream.
///
/// [`insert`](Self::insert) takes a value and returns a [`Key`], which removes it or moves its
/// deadline. [`poll_expired`](Self::poll_expired), or the [`Stream`], gives back what is due, in
/// order of deadline; equal deadlines in order of insertion or of their last reset.
///
/// While the queue is empty the stream yields `None`; it goes on once there are values again. A
/// value that was inserted for [`Duration::MAX`] never comes due and keeps the stream pending.
///
/// Deadlines are exact to the nanosecond. A value is never given out early, and one whose deadline
/// has passed is so at the next poll, whether or not the driver has turned since, unless the task
/// has to [give way](super#giving-way).
///
/// The task that polled last is woken when a value comes due, and at once when a value comes to be
/// the earliest, when the queue becomes empty or is no more so, and when a change brings something
/// forward that is due. Once woken it is not woken again for such changes until it has polled.
///
/// # Drivers
///
/// The queue runs on the driver that is [current](crate::Handle::current) where the first value is
/// inserted, and takes all durations on its clock. Making a queue needs none. If none is entered there
/// and no runtime runs, it takes the driver on which it is first polled, or given another value, like a
/// [`Sleep`](super::Sleep); on another clock than the system's, values that were inserted for a while
/// wait for all of it from then on, and others for their instant as that clock has it.
///
/// If that driver is dropped, the task that waits is woken, and the queue moves to another driver
/// like a [`Sleep`](super::Sleep): the values keep the time that they had left, and deadlines read
/// on the new clock from then on. If there is none to move to, or the clock was one moved by hand,
/// the values stay, and come out only if their deadlines have passed when the queue is polled. With
/// nothing left to come due it starts over on the driver current at the next insertion.
///
/// # Cancel safety
///
/// A value is taken out only by a poll that returns it: a future of the next item can be dropped.
///
/// # Examples
///
/// A cache whose entries go after a while:
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
    /// The values; deadlines as in `home`.
    queue: TimerQueue<T>,
    first: Option<First>,
    /// The timer, from the first insertion on.
    home: Option<Home>,
    /// Who polled last, unless woken since, or given a value.
    waiting: Option<Waker>,
    waits: Waits,
}

/// The value that is due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    key: Key,
    deadline: Instant,
}

impl<T> DelayQueue<T> {
    /// Makes an empty queue. Allocates nothing, and needs no driver.
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
            home: None,
            waiting: None,
            waits: Waits::default(),
        }
    }

    /// Adds a value that is due at `when`, and returns the key that names it.
    ///
    /// What is in the past is due at once, in order of deadline; the farthest instant, which is what
    /// adding too much comes to, never is.
    ///
    /// # Panics
    ///
    /// If it is the first value, there is no [current driver](crate::Handle::current), and the feature
    /// `fallback` is off; or if 2³² - 1 values wait already.
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
        let deadline = self.home().inside(when);
        self.add(value, deadline)
    }

    /// Adds a value that is due `timeout` from now, and returns the key that names it.
    ///
    /// Zero is due at once. Beyond the clock's end (292 years), as with `Duration::MAX`, it never
    /// is.
    ///
    /// # Panics
    ///
    /// If it is the first value, there is no [current driver](crate::Handle::current), and the feature
    /// `fallback` is off; or if 2³² - 1 values wait already.
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
        let home = self.home();
        let unbound = home.is_unbound();
        let deadline = home.inside(home.now() + timeout);
        let key = self.add(value, deadline);
        if unbound {
            self.waits.insert(key, timeout);
        }
        key
    }

    fn add(&mut self, value: T, deadline: Instant) -> Key {
        let was_empty = self.queue.is_empty();
        let key = self.queue.insert(deadline, value);
        // Among equals it comes last; and what never comes due is not earlier than nothing.
        if deadline < self.first_deadline() {
            self.first = Some(First { key, deadline });
            self.wake();
        } else if was_empty {
            self.wake();
        }
        key
    }

    /// Polls for the next value that is due, `None` if the queue is empty.
    ///
    /// `Pending` and `None` register the task, a value does not: who wants another polls again.
    ///
    /// # Panics
    ///
    /// If the queue needs the process-wide thread, and the system refuses to start it.
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
            self.bind_to_serving();
        }
        let (Some(first), Some(home)) = (self.first, &mut self.home) else {
            return self.poll_nothing(cx);
        };
        if home.poll(first.deadline, cx).is_pending() {
            self.register(cx);
            return Poll::Pending;
        }
        // The timer has ended, so the first is due: there is no need to ask what time it is.
        let due = self.queue.pop_due(first.deadline);
        debug_assert!(due.is_some(), "D1: {first:?}");
        let expired = due.map(|due| Expired::new(due.key, home.outside(due.deadline), due.value));
        self.find_first();
        self.waiting = None;
        Poll::Ready(expired)
    }

    /// The poll of a queue in which nothing can come due.
    #[cold]
    fn poll_nothing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired<T>>> {
        self.register(cx);
        if let Some(home) = &mut self.home {
            home.stop();
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

    /// The timer; makes it if this is the first value, and anew if its driver is gone and nothing
    /// needs its clock any more. Unbound, it takes the driver that is current now.
    #[track_caller]
    fn home(&mut self) -> &mut Home {
        if self.first.is_none()
            && let Some(heir) = self.home.as_ref().and_then(Home::heir)
        {
            self.home = Some(heir);
        }
        self.bind_if_unbound();
        // Not a closure: that would hide where the caller is.
        match &mut self.home {
            Some(home) => home,
            home @ None => home.insert(Home::here()),
        }
    }

    /// When the first value is due, the farthest instant if none can come due.
    fn first_deadline(&self) -> Instant {
        self.first.map_or(Home::NEVER, |first| first.deadline)
    }

    /// Asks the store which value is the first now.
    fn find_first(&mut self) {
        self.first = self
            .queue
            .peek()
            .map(|(key, deadline, _)| First { key, deadline });
    }

    /// Finds the first value after the last one was removed or moved, and makes D2 true for it.
    fn replace_first(&mut self) {
        let before = self.first_deadline();
        self.find_first();
        let Some(home) = &mut self.home else {
            return;
        };
        let Some(first) = self.first else {
            home.stop();
            if self.queue.is_empty() {
                self.wake();
            }
            return;
        };
        if self.waiting.is_none() || first.deadline == before {
            return;
        }
        // What is due is worth a wake now: the driver may not have turned yet.
        if first.deadline < before || home.has_passed(first.deadline) {
            self.wake();
        } else {
            home.put_off(first.deadline);
        }
    }
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whatever the values are: none is ever pinned.
impl<T> Unpin for DelayQueue<T> {}

impl<T> Stream for DelayQueue<T> {
    type Item = Expired<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Expired<T>>> {
        self.get_mut().poll_expired(cx)
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
