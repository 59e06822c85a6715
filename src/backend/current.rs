//! Which driver is current on this thread?
//!
//! The one entered last, unless the thread has entered a tokio runtime since: then that runtime's
//! (see `host`), as the innermost context decides inside tokio, too. A driver further out would be
//! no use: its loop usually waits for the call that is inside.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::backend::fallback;
use crate::backend::host::{self, Inside};
use crate::backend::stack::{Key, Stack};
use crate::driver::Handle;
use crate::sync::thread_local;
use crate::system;

thread_local! {
    static CURRENT: RefCell<Stack<Entry>> = const { RefCell::new(Stack::new()) };
}

/// A driver that is entered, and inside of which tokio runtime.
struct Entry {
    driver: Handle,
    inside: Inside,
}

/// The innermost driver, unless a tokio runtime was entered inside of it.
#[inline]
fn innermost(entries: &Stack<Entry>) -> Option<&Handle> {
    let entry = entries.innermost()?;
    entry.inside.is_innermost().then_some(&entry.driver)
}

/// Keeps a driver current on this thread until dropped; see [`Handle::enter`].
///
/// Guards may be dropped in any order. Dropping the innermost makes the driver of the innermost
/// guard that is left current again, if any; dropping another changes nothing for now. A guard that
/// is leaked with [`mem::forget`](std::mem::forget) is never dropped: its driver stays entered.
///
/// # Examples
///
/// ```
/// use reveille::{Driver, Entered, ThreadPark, time};
///
/// let driver = Driver::new(ThreadPark::new());
/// let _entered: Entered = driver.handle().enter();
/// let sleep = time::sleep(time::Duration::from_millis(1)); // on that driver
/// # drop(sleep);
/// ```
#[derive(Debug)]
#[must_use = "the driver is current only while the guard lives"]
pub struct Entered {
    /// `None` if the thread was past the end of its thread-locals: then nothing is current there.
    key: Option<Key>,
    /// The guard belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            // Dropped after the borrow: it may be the last handle, and run foreign code.
            drop(CURRENT.try_with(|current| current.borrow_mut().remove(key)));
        }
    }
}

/// No driver is current on this thread; what [`Handle::try_current`] fails with.
///
/// # Examples
///
/// ```
/// use reveille::{Handle, time::error::NoDriver};
///
/// let error: NoDriver = Handle::try_current().unwrap_err();
/// assert!(error.to_string().starts_with("no timer driver is entered"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoDriver;

impl fmt::Display for NoDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no timer driver is entered on this thread: call Handle::enter, or make the timer through \
             a Handle{}",
            host::WITHOUT
        )
    }
}

impl Error for NoDriver {}

/// Panics: a function that pauses or moves a clock was called where there is none.
#[cfg(feature = "test-util")]
#[cold]
#[track_caller]
pub(crate) fn no_clock(function: &str) -> ! {
    panic!(
        "there is no clock to {function}, since no timer driver is entered on this thread: call it \
         inside of reveille::rt::block_on, or after Handle::enter{}",
        host::WITHOUT
    );
}

impl Handle {
    /// Makes this driver the current one of this thread until the guard is dropped.
    ///
    /// The free functions of [`time`](crate::time) then use it. Guards nest: the driver of the one
    /// made last is current, in whatever order the others are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, Handle, ThreadPark};
    ///
    /// let driver = Driver::new(ThreadPark::new());
    /// let entered = driver.handle().enter();
    /// assert!(Handle::try_current().is_ok());
    /// drop(entered);
    /// assert!(Handle::try_current().is_err());
    /// ```
    pub fn enter(&self) -> Entered {
        let entry = Entry {
            driver: self.clone(),
            inside: Inside::now(),
        };
        let key = CURRENT.try_with(|current| current.borrow_mut().push(entry));
        Entered {
            key: key.ok(),
            not_send: PhantomData,
        }
    }

    /// Returns the driver entered on this thread, else that of the tokio runtime that the thread is
    /// in (feature `tokio`), else that of the process-wide thread. If there is both a driver and a
    /// runtime, the one that was entered last serves, as the inner one of two runtimes does.
    ///
    /// A runtime's driver is made with the first call and gone with the runtime. It rides on the
    /// runtime's own loop: on Linux on its I/O, to the nanosecond; without that on its time, to the
    /// millisecond. A runtime that has neither is served by the process-wide thread. That starts
    /// with the first call that needs it, and lives as long as the process.
    ///
    /// # Panics
    ///
    /// If no driver is current and the crate was built without the feature `fallback`, or the
    /// system refuses to start the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let sleep = reveille::Handle::current().sleep(std::time::Duration::from_millis(1));
    /// # drop(sleep);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Ok(handle) => handle,
            Err(error) => Self::process_wide(error, system::monotonic()),
        }
    }

    /// The process-wide thread, because there is no driver else.
    #[cold]
    #[track_caller]
    fn process_wide(error: NoDriver, now: i64) -> Self {
        match fallback::handle(now) {
            Ok(Some(handle)) => handle,
            Ok(None) => no_fallback(error),
            Err(start) => panic!("{error}; the process-wide timer thread cannot start: {start}"),
        }
    }

    /// What a timer refers to that is made where no driver is current, until its first poll.
    #[cold]
    #[track_caller]
    pub(crate) fn stand_in(error: NoDriver) -> Self {
        // Not a closure: that would hide where the caller is.
        match fallback::stand_in() {
            Some(handle) => handle,
            None => no_fallback(error),
        }
    }

    /// Returns the driver entered on this thread, or that of the tokio runtime that it is in.
    ///
    /// # Errors
    ///
    /// If there is none; the process-wide thread is neither asked nor started.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = reveille::Handle::try_current().unwrap_err();
    /// assert!(error.to_string().contains("Handle::enter"));
    /// ```
    #[track_caller]
    pub fn try_current() -> Result<Self, NoDriver> {
        match Self::entered() {
            Some(handle) => Ok(handle),
            None => host::handle().ok_or(NoDriver),
        }
    }

    /// The driver entered on this thread, unless a tokio runtime was entered inside of it.
    pub(crate) fn entered() -> Option<Self> {
        CURRENT
            .try_with(|current| innermost(&current.borrow()).cloned())
            .ok()
            .flatten()
    }

    /// Asks the driver entered on this thread, without taking a reference to it.
    ///
    /// `ask` runs no foreign code: the place of the current driver is borrowed meanwhile.
    #[inline]
    pub(crate) fn ask_current<T>(ask: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        CURRENT
            .try_with(|current| innermost(&current.borrow()).and_then(ask))
            .ok()
            .flatten()
    }

    /// The driver of a timer that is polled for the first time and has none yet; `now` is what the
    /// system's clock shows.
    pub(crate) fn serving(now: i64) -> Self {
        Self::living().unwrap_or_else(|| Self::process_wide(NoDriver, now))
    }

    /// The innermost driver that lives, of those entered on this thread and the tokio runtime's.
    pub(crate) fn living() -> Option<Self> {
        let lives = |handle: &Self| !handle.is_closed();
        let around = |entries: &Stack<Entry>| {
            let drivers = entries.around().map(|entry| &entry.driver);
            drivers.into_iter().find(|handle| lives(handle)).cloned()
        };
        match Self::try_current() {
            Ok(handle) if lives(&handle) => Some(handle),
            Ok(_) => {
                let outer = CURRENT.try_with(|current| around(&current.borrow()));
                let outer = outer.ok().flatten();
                outer.or_else(|| host::handle().filter(lives))
            }
            Err(NoDriver) => None,
        }
    }

    /// The driver that takes over a timer whose own is gone, if there is one.
    pub(crate) fn heir() -> Option<Self> {
        Self::living().or_else(|| fallback::handle(system::monotonic()).ok().flatten())
    }
}

#[cold]
#[track_caller]
fn no_fallback(error: NoDriver) -> ! {
    panic!(
        "{error}; or enable the feature `fallback` of reveille: a process-wide thread drives the \
         timers that are made where there is no driver"
    );
}
