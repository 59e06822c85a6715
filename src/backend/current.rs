//! Which driver is current on this thread?
//!
//! The one entered last; else that of the runtime that the thread is in (see `host`).

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::backend::{fallback, host};
use crate::handle::Handle;
use crate::sync::thread_local;

thread_local! {
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Keeps a driver current on this thread until dropped; see [`Handle::enter`].
///
/// Dropping it makes the driver current again that was so before, if any.
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
    previous: Option<Handle>,
    /// The guard belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // The old value is dropped after the borrow: its drop may run foreign code.
        let _ = CURRENT.try_with(|current| current.replace(previous));
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
        f.write_str("no timer driver is entered on this thread: call Handle::enter, or make the timer through a Handle")
    }
}

impl Error for NoDriver {}

impl Handle {
    /// Makes this driver the current one of this thread until the guard is dropped.
    ///
    /// The free functions of [`time`](crate::time) then use it. Guards nest; drop them in the
    /// reverse order of their making, as scopes do.
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
        let handle = Some(self.clone());
        let previous = CURRENT
            .try_with(|current| current.replace(handle))
            .unwrap_or(None);
        Entered {
            previous,
            not_send: PhantomData,
        }
    }

    /// Returns the driver entered on this thread, else that of the tokio runtime that the thread is
    /// in (feature `tokio`), else that of the process-wide thread.
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
        let error = match Self::try_current() {
            Ok(handle) => return handle,
            Err(error) => error,
        };
        match fallback::handle() {
            Ok(Some(handle)) => handle,
            Ok(None) => panic!("{error}"),
            Err(start) => panic!("{error}; the process-wide timer thread cannot start: {start}"),
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

    /// The driver entered on this thread.
    pub(crate) fn entered() -> Option<Self> {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    /// Asks the driver entered on this thread, without taking a reference to it.
    ///
    /// `ask` runs no foreign code: the place of the current driver is borrowed meanwhile.
    #[inline]
    pub(crate) fn ask_current<T>(ask: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        CURRENT
            .try_with(|current| current.borrow().as_ref().and_then(ask))
            .ok()
            .flatten()
    }

    /// The driver that takes over a timer whose own is gone, if there is one.
    pub(crate) fn heir() -> Option<Self> {
        let current = Self::try_current()
            .ok()
            .filter(|handle| !handle.is_closed());
        current.or_else(|| fallback::handle().ok().flatten())
    }
}
