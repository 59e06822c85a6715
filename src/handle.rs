//! What do threads share with a driver, and who interrupts whom?
//!
//! Behind every [`Handle`] lies one `Shared`: a lock around the timers, and three words that are
//! written under that lock and read without it, so that the common questions cost a load:
//!
//! - `elapsed`: the clock as the last turn saw it. A deadline at or before it has passed.
//! - `drained`: every timer with a deadline at or before it has left the store, and its index may
//!   be somebody else's. A timer with a later deadline that was armed still owns its index; if the
//!   value is gone from the store, it has fired. `drained <= elapsed`.
//! - `next`: a lower bound of the earliest deadline. Below it nothing is due.
//!
//! Foreign code (wakers, unparkers, clocks) runs with the lock released. To wake or drop a waker, a
//! function here returns it or collects it first; to learn the time, it reads the clock before.
//!
//! # The park protocol
//!
//! The parking thread announces, under the lock, until when it will sleep (`parked_until`), lets
//! go, and blocks. Who arms a timer earlier than that clears the announcement, under the same lock,
//! and then unparks. So exactly one of two things happens: the arming thread comes first, and the
//! parker computes its sleep with the new timer in view; or it comes second, sees the announcement
//! and unparks, and an unpark that arrives before the thread blocks makes the block return. Cleared
//! by the first to interrupt, the announcement also makes it one interruption, and none while the
//! driver runs.
//!
//! The story goes on in `handle/ask.rs` (what anybody may ask a driver), in `fire` (taking due timers
//! out), then in `driver` (turn and park).

mod ask;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::clock::Clock;
use crate::instant::NEVER;
use crate::park::Unpark;
use crate::slack::Limit;
use crate::store::Store;
use crate::sync::{
    Line, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
    lock,
};

/// The value of `parked_until` while the driver runs.
pub(crate) const AWAKE: u64 = 0;

/// The value of `elapsed` once the driver is gone.
const CLOSED: u64 = u64::MAX;

/// A reference to a [`Driver`](crate::Driver) through which any thread makes timers.
///
/// Clones refer to the same driver. A handle may outlive its driver: then
/// [`is_closed`](Self::is_closed) says so, and timers made through it run on another driver (see
/// [`Sleep`](crate::time::Sleep)).
///
/// # Examples
///
/// ```
/// use reveille::{Driver, ThreadPark};
/// use std::time::Duration;
///
/// let mut driver = Driver::new(ThreadPark::new());
/// let handle = driver.handle().clone();
/// let sleep = std::thread::spawn(move || handle.sleep(Duration::from_secs(3600))).join().unwrap();
/// assert!(sleep.deadline() > driver.handle().now());
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

// No foreign code runs under a lock, so a panic of a waker or an unpark leaves no half of a change.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    notifier: Box<dyn Notifier>,
    /// Whether the loop is told, too, when the timer is gone that it would wake for: on a clock that
    /// may be paused, it would move time on to it, or wait for it in vain.
    exact: AtomicBool,
    /// That of the loop that wakes for the timers, and of all drivers on it.
    slack: Limit,
    words: Line<Words>,
    state: Line<Mutex<State>>,
}

/// What a driver tells the loop that waits for its timers: the driver's own loop, or that of a runtime
/// with many drivers. Called with no lock held.
pub(crate) trait Notifier: Send + Sync {
    /// Tells that the announced time is wrong: a timer was armed that is earlier, or, if the loop is
    /// told of that, the timer is gone that it waits for.
    fn rearm(&self);

    /// Makes the loop look at everything again, whatever was announced: at the timers, the slack and
    /// the clock, which may have jumped.
    fn interrupt(&self);
}

/// A loop that was unparked looks at everything anyway.
impl<U: Unpark> Notifier for U {
    fn rearm(&self) {
        self.unpark();
    }

    fn interrupt(&self) {
        self.unpark();
    }
}

/// Written under the lock of `Shared::state`, but for `awake` and `note_turn`; read without it.
struct Words {
    elapsed: AtomicU64,
    drained: AtomicU64,
    next: AtomicU64,
    /// Until when the driver's thread sleeps, or `AWAKE`.
    parked_until: AtomicU64,
    /// What the clock showed when the driver's loop last looked at its timers, or zero. For people.
    turned: AtomicU64,
}

/// Guarded by the lock of `Shared::state`.
pub(crate) struct State {
    pub(crate) timers: Store<Waker>,
    closed: bool,
}

/// What became of an attempt to arm a timer; the waker comes back to be dropped outside the lock.
pub(crate) enum Arm {
    /// Armed, under this index.
    Armed(u32),
    /// Its deadline has passed.
    Due,
    /// The driver is gone.
    Closed,
}

/// What became of an attempt to move an armed timer.
pub(crate) enum Reset {
    Moved,
    /// The new deadline has passed: the timer is out, and its waker the caller's to wake.
    Due(Waker),
    /// The timer has fired, or the driver is gone.
    Gone,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        notifier: Box<dyn Notifier>,
        exact: bool,
        slack: Limit,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            clock,
            notifier,
            exact: AtomicBool::new(exact),
            slack,
            words: Line(Words {
                elapsed: AtomicU64::new(0),
                drained: AtomicU64::new(0),
                next: AtomicU64::new(NEVER),
                parked_until: AtomicU64::new(AWAKE),
                turned: AtomicU64::new(0),
            }),
            state: Line(Mutex::new(State {
                timers: Store::new(),
                closed: false,
            })),
        });
        let follower: Weak<Self> = Arc::downgrade(&shared);
        shared.clock.follow(follower);
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state.0)
    }

    /// Whether a turn or the driver's end has passed `deadline`; [`is_closed`](Self::is_closed)
    /// tells the two apart.
    #[inline]
    pub(crate) fn has_elapsed(&self, deadline: u64) -> bool {
        // Acquire: pairs with the release in `set_elapsed`, so that who finds a timer elapsed also
        // sees what happened before the turn.
        deadline <= self.words.0.elapsed.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.words.0.elapsed.load(Ordering::Acquire) == CLOSED
    }

    /// Arms a timer, and interrupts the driver if it would sleep past `deadline`.
    ///
    /// `waker` is taken only if the answer is `Armed`.
    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: &mut Option<Waker>) -> Arm {
        let mut state = self.lock();
        if state.closed {
            return Arm::Closed;
        }
        if deadline <= self.words.0.elapsed.load(Ordering::Relaxed) {
            return Arm::Due;
        }
        let Some(waker) = waker.take() else {
            // Not so: the caller brings one. (By value and back it costs 15 instructions more.)
            return Arm::Due;
        };
        let index = state.timers.insert(deadline, waker);
        let interrupt = self.announce(deadline);
        drop(state);
        if interrupt {
            self.notifier.rearm();
        }
        Arm::Armed(index)
    }

    /// Moves an armed timer from the deadline `old`.
    #[inline]
    pub(crate) fn reset(&self, index: u32, old: u64, deadline: u64) -> Reset {
        let mut state = self.lock();
        if !self.owns(&state, old) {
            return Reset::Gone;
        }
        if deadline <= self.words.0.elapsed.load(Ordering::Relaxed) {
            // The store holds no deadline that has elapsed: see `drained`.
            let waker = state.timers.take(index);
            // Out of the store like a timer that is dropped: the loop must not wait for it any more.
            let interrupt = self.withdraw(old);
            drop(state);
            if interrupt {
                self.notifier.rearm();
            }
            return waker.map_or(Reset::Gone, Reset::Due);
        }
        if !state.timers.reset(index, deadline) {
            return Reset::Gone;
        }
        let interrupt = self.announce(deadline) || self.withdraw(old);
        drop(state);
        if interrupt {
            self.notifier.rearm();
        }
        Reset::Moved
    }

    /// Removes an armed timer and returns its waker, `None` if it has fired.
    #[inline]
    pub(crate) fn cancel(&self, index: u32, deadline: u64) -> Option<Waker> {
        // Acquire: the turn that took the timer out happened before.
        if deadline <= self.words.0.drained.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        if !self.owns(&state, deadline) {
            return None;
        }
        let waker = state.timers.take(index);
        if self.withdraw(deadline) {
            drop(state);
            self.notifier.rearm();
        }
        waker
    }

    /// Exchanges the waker of an armed timer; `false` leaves `waker` alone: the timer has fired.
    pub(crate) fn replace_waker(&self, index: u32, deadline: u64, waker: &mut Waker) -> bool {
        let mut state = self.lock();
        if !self.owns(&state, deadline) {
            return false;
        }
        let Some(armed) = state.timers.value_mut(index) else {
            return false;
        };
        std::mem::swap(armed, waker);
        true
    }

    /// Makes the driver's loop look at its timers and its clock again.
    ///
    /// Whatever it has announced: it may have read the clock and not announced anything yet.
    pub(crate) fn interrupt(&self) {
        self.notifier.interrupt();
    }

    /// Announces under the lock that the driver's thread sleeps until `until`, in clock time.
    pub(crate) fn announce_park(&self, _state: &State, until: u64) {
        self.words.0.parked_until.store(until, Ordering::Relaxed);
    }

    /// Whether the driver has announced a sleep that is neither over nor interrupted.
    pub(crate) fn is_parked(&self) -> bool {
        self.words.0.parked_until.load(Ordering::Relaxed) != AWAKE
    }

    /// Sets whether the loop is told of timers that are gone, and ends the announcement: what was
    /// announced before may be for a timer that went without a word.
    #[cfg(any(feature = "rt", loom))]
    pub(crate) fn set_exact(&self, exact: bool) {
        // Under the lock, as every withdrawal and every announcement: a timer that goes after the next
        // announcement finds the flag as it is now.
        let _state = self.lock();
        self.exact.store(exact, Ordering::Relaxed);
        self.awake();
    }

    /// Notes that the driver's loop looks at its timers, at `now`.
    #[inline]
    pub(crate) fn note_turn(&self, now: u64) {
        // Relaxed: the number stands for itself. A nanosecond more at most, since zero is for never.
        self.words.0.turned.store(now | 1, Ordering::Relaxed);
    }

    /// When the driver's loop last looked at its timers, `None` if it never has.
    pub(crate) fn last_turn(&self) -> Option<u64> {
        let turned = self.words.0.turned.load(Ordering::Relaxed);
        (turned > 0).then_some(turned)
    }

    /// Ends the announcement: the driver runs.
    pub(crate) fn awake(&self) {
        // Relaxed, and without the lock: at worst a timer armed at this very moment interrupts a
        // driver that has just woken.
        self.words.0.parked_until.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether something may be due at `now`; `false` is sure.
    pub(crate) fn may_be_due(&self, now: u64) -> bool {
        // Relaxed: a timer armed at the same time may as well be armed just after.
        self.words.0.next.load(Ordering::Relaxed) <= now
    }

    /// Publishes under the lock what the clock showed, never going back, and returns that.
    pub(crate) fn set_elapsed(&self, state: &State, now: u64) -> u64 {
        let before = self.words.0.elapsed.load(Ordering::Relaxed);
        if before >= now || state.closed {
            return before;
        }
        self.words.0.elapsed.store(now, Ordering::Release);
        now
    }

    /// Returns, under the lock, how far the store is drained.
    pub(crate) fn drained(&self, _state: &State) -> u64 {
        self.words.0.drained.load(Ordering::Relaxed)
    }

    /// Publishes under the lock how far the store is drained and what may come next.
    pub(crate) fn set_drained(&self, _state: &State, drained: u64, next: u64) {
        self.words.0.drained.store(drained, Ordering::Release);
        self.words.0.next.store(next, Ordering::Relaxed);
    }

    /// Takes all timers out for good; they are the caller's to wake.
    pub(crate) fn close(&self) -> Store<Waker> {
        let mut state = self.lock();
        state.closed = true;
        self.words.0.elapsed.store(CLOSED, Ordering::Release);
        std::mem::replace(&mut state.timers, Store::new())
    }

    /// Marks the driver as gone without taking its lock: this process was forked from the driver's,
    /// and a thread that is not here may have held it.
    ///
    /// Its timers then count as fired, so that dropping one takes no lock either.
    #[cfg(not(loom))]
    pub(crate) fn abandon(&self) {
        self.words.0.drained.store(CLOSED, Ordering::Release);
        self.words.0.elapsed.store(CLOSED, Ordering::Release);
    }

    /// Whether a timer armed for `deadline` still owns its index.
    fn owns(&self, state: &State, deadline: u64) -> bool {
        !state.closed && deadline > self.drained(state)
    }

    /// Notes, under the lock, that a timer for `deadline` is gone; whether the driver must be told.
    #[inline]
    fn withdraw(&self, deadline: u64) -> bool {
        // The flag first: elsewhere it is all that is asked.
        let until = &self.words.0.parked_until;
        let told = self.exact.load(Ordering::Relaxed)
            && (deadline..NEVER).contains(&until.load(Ordering::Relaxed));
        if told {
            self.awake();
        }
        told
    }

    /// Notes a new deadline, under the lock; whether the driver must be interrupted for it.
    #[inline]
    fn announce(&self, deadline: u64) -> bool {
        let words = &self.words.0;
        if deadline < words.next.load(Ordering::Relaxed) {
            words.next.store(deadline, Ordering::Relaxed);
        }
        let interrupt = deadline < words.parked_until.load(Ordering::Relaxed);
        if interrupt {
            words.parked_until.store(AWAKE, Ordering::Relaxed);
        }
        interrupt
    }
}
