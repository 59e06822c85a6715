//! The current driver of a thread: the one entered last, or that of a tokio runtime.
//!
//! The free functions make their timers on it. If the thread has entered a tokio runtime since, the
//! runtime's driver is current (see `tokio_driver`), just as tokio uses its innermost runtime. The
//! driver that was entered before is mostly of no use then: if a task has called tokio's
//! `block_on`, that driver's loop cannot turn, because its thread is inside the call.
//!
//! Say a thread enters runtime A, then a driver, then A once more. The driver stays current, because
//! tokio does not tell how often a thread has entered A.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::backend::fallback;
// Without the feature `tokio` this is `without_tokio.rs`: a thread is in no runtime.
use crate::backend::tokio_driver::{self, RuntimeAtEntry};
use crate::driver::{DriverRef, Handle};
use crate::sync::thread_local;
use crate::system;

thread_local! {
    static CURRENT: RefCell<Stack<Entry>> = const { RefCell::new(Stack::new()) };
}

/// A driver that is entered, and the tokio runtime in which it was entered.
struct Entry {
    driver: Handle,
    runtime: RuntimeAtEntry,
}

/// Returns the innermost driver, unless a tokio runtime was entered inside of it.
#[inline]
fn innermost(entries: &Stack<Entry>) -> Option<&Handle> {
    let entry = entries.innermost()?;
    entry.runtime.is_still_current().then_some(&entry.driver)
}

/// Keeps a driver current on this thread until dropped; see [`Handle::enter`].
///
/// Guards may be dropped in any order. The driver of the innermost guard that lives is current:
/// dropping the innermost makes that of the next one current again, if there is one, and dropping
/// another guard changes nothing yet. A guard that is leaked with [`mem::forget`](std::mem::forget)
/// is never dropped: its driver stays entered.
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
#[must_use = "the driver is current only while the guard lives: name it, as in `let _entered =`; a plain `let _ =` drops it at once"]
pub struct Entered {
    /// `None` if the thread had destroyed its thread-locals: then nothing is current there.
    key: Option<Key>,
    /// A guard stays on its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            // Dropped after the borrow: it may be the last handle, whose drop runs foreign code.
            drop(CURRENT.try_with(|current| current.borrow_mut().remove(key)));
        }
    }
}

/// The error of [`Handle::try_current`]: no driver is current on this thread.
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
            "no timer driver is entered on this thread: call Handle::enter and keep the guard, \
             make the timer inside of the future that runs there, as in `async {{ sleep(d).await }}`, \
             or through a Handle{}",
            tokio_driver::HINT
        )
    }
}

impl Error for NoDriver {}

/// Panics because `function`, which pauses or moves a clock, was called where there is none.
#[cfg(feature = "test-util")]
#[cold]
#[track_caller]
pub(crate) fn no_clock(function: &str) -> ! {
    // The clock of `simulate` is a manual one: it can be advanced, but not paused.
    let is_for_simulate = function == "advance";
    let simulate = if is_for_simulate {
        ", of ManualClock::simulate"
    } else {
        ""
    };
    panic!(
        "there is no clock to {function}, since no timer driver is entered on this thread: call it \
         inside of reveille::rt::block_on{simulate}, or after Handle::enter{}",
        tokio_driver::HINT
    );
}

impl Handle {
    /// Makes this driver the current one of this thread until the guard is dropped.
    ///
    /// The free functions of [`time`](crate::time) then use it. Guards nest: the driver of the last
    /// one is current, in whatever order the others are dropped.
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
            runtime: RuntimeAtEntry::current(),
        };
        let key = CURRENT.try_with(|current| current.borrow_mut().push(entry));
        Entered {
            key: key.ok(),
            not_send: PhantomData,
        }
    }

    /// Returns the current driver.
    ///
    /// That is the driver entered on this thread, else that of the tokio runtime that the thread is
    /// in (feature `tokio`), else that of the process-wide thread. If there are both a driver and a
    /// runtime, it is that of the two which was entered last. (But a runtime inside which the
    /// driver was entered does not count if it is entered a second time, inside of the driver. If
    /// such a thread calls `block_on` of that runtime, drop the guard of the driver before.)
    ///
    /// A runtime with several workers has a driver for each worker, and one for all other threads:
    /// this is that of the calling thread.
    ///
    /// The driver of a tokio runtime is made with the first call, and ends with the runtime. (If
    /// the runtime has no I/O and its clock may be paused, and it ends while no timer is armed, its
    /// driver ends when the next runtime gets one.) The runtime's own loop fires its timers: woken
    /// by tokio's I/O driver on Linux, with a resolution of a nanosecond, and otherwise by tokio's
    /// time driver, with a resolution of a millisecond. In a runtime that has neither, timers are
    /// on the process-wide thread. That thread is started by the first call that needs it, and
    /// lives as long as the process.
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

    /// Returns the driver of the process-wide thread, because there is no other. Panics if the
    /// feature `fallback` is off, or the thread cannot start.
    #[cold]
    #[track_caller]
    pub(crate) fn process_wide(error: NoDriver, now: i64) -> Self {
        match fallback::handle(now) {
            Ok(Some(handle)) => handle,
            Ok(None) => no_fallback(error),
            Err(start) => panic!("{error}; the process-wide timer thread cannot start: {start}"),
        }
    }

    /// Returns the placeholder driver. A timer that is made where no driver is current has it until
    /// its first poll, or a reset where one is current.
    #[cold]
    #[track_caller]
    pub(crate) fn placeholder(error: NoDriver) -> Self {
        // A `match` and no closure: in a closure `track_caller` would not apply.
        match fallback::placeholder() {
            Some(handle) => handle,
            None => no_fallback(error),
        }
    }

    /// Returns the driver entered on this thread, or that of the tokio runtime that it is in.
    ///
    /// # Errors
    ///
    /// If there is neither. The process-wide thread is not used, nor started.
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
            None => tokio_driver::handle().ok_or(NoDriver),
        }
    }

    /// Returns the driver entered on this thread, unless a tokio runtime was entered inside of it.
    pub(crate) fn entered() -> Option<Self> {
        CURRENT
            .try_with(|current| innermost(&current.borrow()).cloned())
            .ok()
            .flatten()
    }

    /// Returns the same driver as [`entered`](Self::entered), without the limits of its handle on
    /// the number of timers.
    #[inline]
    pub(crate) fn entered_driver() -> Option<DriverRef> {
        CURRENT
            .try_with(|current| innermost(&current.borrow()).map(Handle::driver_ref))
            .ok()
            .flatten()
    }

    /// Returns the same driver as [`try_current`](Self::try_current), without the limits of its
    /// handle on the number of timers: for a timer that a plain constructor makes.
    #[inline]
    #[track_caller]
    pub(crate) fn try_current_driver() -> Result<DriverRef, NoDriver> {
        match Self::entered_driver() {
            Some(driver) => Ok(driver),
            None => tokio_driver::handle().map(DriverRef::from).ok_or(NoDriver),
        }
    }

    /// Calls `f` with the driver entered on this thread, without cloning it.
    ///
    /// `f` must not run foreign code: the current driver is borrowed during the call.
    #[inline]
    pub(crate) fn with_entered<T>(f: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        CURRENT
            .try_with(|current| innermost(&current.borrow()).and_then(f))
            .ok()
            .flatten()
    }

    /// Returns the driver for a timer that is polled for the first time and has none yet: the
    /// current one, else that of the process-wide thread. `now` is what the system's clock shows.
    pub(crate) fn current_or_fallback(now: i64) -> Self {
        Self::current_alive().unwrap_or_else(|| Self::process_wide(NoDriver, now))
    }

    /// Returns the current driver or, if that is closed, the next outer one that was entered in the
    /// same runtime, or the runtime's. `None` if there is none that is not closed.
    pub(crate) fn current_alive() -> Option<Self> {
        let is_alive = |handle: &Self| !handle.is_closed();
        let outer = |entries: &Stack<Entry>| {
            let mut entries = entries
                .outer()
                .filter(|entry| entry.runtime.is_still_current());
            let entry = entries.find(|entry| is_alive(&entry.driver))?;
            Some(entry.driver.clone())
        };
        match Self::try_current() {
            Ok(handle) if is_alive(&handle) => Some(handle),
            Ok(_) => {
                let outer = CURRENT.try_with(|current| outer(&current.borrow()));
                let outer = outer.ok().flatten();
                outer.or_else(|| tokio_driver::handle().filter(is_alive))
            }
            Err(NoDriver) => None,
        }
    }

    /// Returns the driver that a timer moves to if its own driver is gone. There may be none.
    pub(crate) fn successor() -> Option<Self> {
        Self::current_alive().or_else(|| fallback::handle(system::monotonic()).ok().flatten())
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

/// The values that a thread has entered, of which the innermost is current.
///
/// Guards may be dropped in any order. Each removes exactly the entry that it made, so that the
/// innermost entry whose guard lives is always current. The innermost is kept apart: finding it
/// costs one load, and entering allocates only where entries nest.
struct Stack<T> {
    innermost: Option<Keyed<T>>,
    /// The others, the outermost first.
    outer: Vec<Keyed<T>>,
    next_key: u64,
}

struct Keyed<T> {
    value: T,
    key: u64,
}

/// Identifies one entry of one [`Stack`]. Keys are never used again.
#[derive(Debug)]
struct Key(u64);

impl<T> Stack<T> {
    const fn new() -> Self {
        Self {
            innermost: None,
            outer: Vec::new(),
            next_key: 0,
        }
    }

    fn push(&mut self, value: T) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(outer) = self.innermost.replace(Keyed { value, key }) {
            self.outer.push(outer);
        }
        Key(key)
    }

    /// Removes an entry and returns its value, `None` if it was removed before. The caller drops
    /// the value when the stack is no longer borrowed: the drop may run foreign code.
    #[must_use]
    fn remove(&mut self, key: &Key) -> Option<T> {
        let entry = if self.innermost.as_ref()?.key == key.0 {
            std::mem::replace(&mut self.innermost, self.outer.pop())
        } else {
            let at = self.outer.iter().rposition(|entry| entry.key == key.0)?;
            Some(self.outer.remove(at))
        };
        entry.map(|entry| entry.value)
    }

    #[inline]
    fn innermost(&self) -> Option<&T> {
        self.innermost.as_ref().map(|entry| &entry.value)
    }

    /// Returns the entries around the innermost one, from the inside out.
    fn outer(&self) -> impl Iterator<Item = &T> {
        self.outer.iter().rev().map(|entry| &entry.value)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
