//! [`ThreadPark`], the park of a thread whose loop has no poller.
//!
//! Its documentation holds on every platform. The blocking is in one file for each, `futex.rs` or
//! `portable.rs`: both define the same two types, `Parker` and `Unparker`, and neither knows of the
//! other.
//!
//! Invariant: only the owner of the `ThreadPark` parks, since `park` takes `&mut self` and the
//! type cannot be cloned. So one thread at a time parks on a token.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use super::{Park, Unpark};

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
use super::futex as imp;
#[cfg(any(not(target_os = "linux"), loom, shuttle))]
use super::portable as imp;

/// Blocks the calling thread: the default [`Park`], for a thread that waits for nothing else.
///
/// The token is this object's own. It is not the one of [`std::thread::park`], which belongs to
/// the whole thread, so that any library may swallow it.
///
/// # Precision
///
/// A timeout is never early: unless an unpark or a signal ends the park, it lasts at least that
/// long. How much longer it lasts:
///
/// - **Linux**: nanosecond timeouts; the wake-up itself takes some tens of microseconds. The
///   [timer slack] of the thread, 50 µs unless changed, is lowered for the time of the wait and
///   then restored.
/// - **macOS** and the BSDs: nanosecond timeouts; the system may coalesce a wake-up with others,
///   the longer the wait the later.
/// - **Windows**: whole milliseconds, rounded up, on a system tick of up to 15.6 ms.
///
/// # Cost
///
/// Unparking a thread that is awake is one atomic operation, and so is parking when a token is
/// there. The operating system is entered only to block and to wake a thread that is blocked. A
/// parked thread wakes up for nothing but an unpark, its timeout, or a signal.
///
/// [timer slack]: https://man7.org/linux/man-pages/man2/PR_SET_TIMERSLACK.2const.html
///
/// # Examples
///
/// ```
/// use reveille::{Park, ThreadPark, Unpark};
/// use std::time::{Duration, Instant};
///
/// let mut park = ThreadPark::new();
///
/// // Nobody unparks: this waits for its timeout.
/// let start = Instant::now();
/// let timeout = Duration::from_millis(2);
/// while start.elapsed() < timeout {
///     park.park(Some(timeout.saturating_sub(start.elapsed())));
/// }
///
/// // The token comes first: this does not wait at all.
/// park.unparker().unpark();
/// park.park(None);
/// ```
pub struct ThreadPark {
    parker: imp::Parker,
    // `Send` but not `Sync`, on every platform alike: the parker of some is not `Sync`.
    _not_sync: PhantomData<Cell<()>>,
}

impl ThreadPark {
    /// Creates a park without a token.
    ///
    /// It is bound to no thread: whichever thread calls [`park`](Park::park) is the one blocked.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Park, ThreadPark};
    /// use std::time::Duration;
    ///
    /// let mut park = ThreadPark::new();
    /// park.park(Some(Duration::from_micros(10)));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        ThreadPark {
            parker: imp::Parker::new(),
            _not_sync: PhantomData,
        }
    }
}

impl Park for ThreadPark {
    type Unpark = ThreadUnpark;

    fn unparker(&self) -> ThreadUnpark {
        ThreadUnpark {
            unparker: self.parker.unparker(),
        }
    }

    fn park(&mut self, timeout: Option<Duration>) {
        self.parker.park(timeout);
    }
}

impl Default for ThreadPark {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ThreadPark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPark").finish_non_exhaustive()
    }
}

/// Interrupts a [`ThreadPark`] from any thread.
///
/// Clones interrupt the same park. It may outlive the park and then does nothing.
///
/// # Examples
///
/// ```
/// use reveille::{Park, ThreadPark, Unpark};
///
/// let mut park = ThreadPark::new();
/// let unpark = park.unparker();
///
/// unpark.unpark();
/// unpark.clone().unpark(); // merges with the first
/// park.park(None);
/// ```
#[derive(Clone)]
pub struct ThreadUnpark {
    unparker: imp::Unparker,
}

/// A waker that unparks: for an executor of one future, whose loop polls it after each park.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, Park, ThreadPark};
/// use std::{pin::pin, task::{Context, Waker}, time::Duration};
///
/// let park = ThreadPark::new();
/// let waker = Waker::from(park.unparker());
/// let mut driver = Driver::new(park);
/// let mut sleep = pin!(driver.handle().sleep(Duration::from_millis(1)));
/// while sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
///     driver.park();
/// }
/// # use std::future::Future;
/// ```
impl From<ThreadUnpark> for Waker {
    fn from(unpark: ThreadUnpark) -> Self {
        Self::from(Arc::new(UnparkWaker(unpark)))
    }
}

struct UnparkWaker(ThreadUnpark);

impl Wake for UnparkWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl Unpark for ThreadUnpark {
    fn unpark(&self) {
        self.unparker.unpark();
    }
}

impl fmt::Debug for ThreadUnpark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadUnpark").finish_non_exhaustive()
    }
}
