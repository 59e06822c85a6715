//! What [`Handle::on_late_turn`](crate::Handle::on_late_turn) sets: a function that is called when
//! timers have fired late.
//!
//! It is for programs that want to know of a delay when it happens, and not from the figures of a
//! [`Stats`](crate::Stats) afterwards. Whether a turn was late is one comparison. The function is
//! foreign code: it is called with no lock held, after the turn's tasks were woken, and its panic
//! ends there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::instant::nanos;
use crate::panic::catch_panic;
use crate::sync::lock_std;

pub(super) type Function = Arc<dyn Fn(LateTurn) + Send + Sync>;

/// A turn that has fired timers late: see [`Handle::on_late_turn`](crate::Handle::on_late_turn).
///
/// # Examples
///
/// ```
/// use reveille::{Driver, LateTurn, ThreadPark};
/// use std::time::Duration;
///
/// let driver = Driver::new(ThreadPark::new());
/// let report = |turn: LateTurn| eprintln!("{turn:?}");
/// driver.handle().on_late_turn(Duration::from_millis(10), report);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateTurn {
    lateness: Duration,
    fired: usize,
}

impl LateTurn {
    /// Returns the greatest lateness, which is that of its first timer.
    ///
    /// # Examples
    ///
    /// ```
    /// let late = |turn: reveille::LateTurn| eprintln!("late by {:?}", turn.lateness());
    /// # drop(late);
    /// ```
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.lateness
    }

    /// Returns how many timers it has fired, late or not.
    ///
    /// # Examples
    ///
    /// ```
    /// let late = |turn: reveille::LateTurn| eprintln!("{} timers", turn.fired());
    /// # drop(late);
    /// ```
    #[must_use]
    pub fn fired(&self) -> usize {
        self.fired
    }
}

/// The function of one driver, and when it is called.
pub(super) struct LateObserver {
    /// In nanoseconds; `u64::MAX` if there is no function. A copy, written under the lock, that is
    /// read without it.
    threshold: AtomicU64,
    function: Mutex<Option<(u64, Function)>>,
    /// Held by a call of `on_late_turn`, in the first of a runtime's drivers: of two calls at once,
    /// the same one is the last for all drivers. No foreign code runs under it.
    pub(super) setting: Mutex<()>,
}

impl LateObserver {
    pub(super) fn new() -> Self {
        Self {
            threshold: AtomicU64::new(u64::MAX),
            function: Mutex::new(None),
            setting: Mutex::new(()),
        }
    }

    #[inline]
    pub(super) fn is_late(&self, nanos: u64) -> bool {
        nanos >= self.threshold.load(Ordering::Relaxed)
    }

    #[cold]
    pub(super) fn report(&self, lateness: u64, fired: usize) {
        // Called, and perhaps dropped, with the lock released.
        let observer = lock_std(&self.function).clone();
        catch_panic(move || {
            // Another thread may just have set a function with another threshold.
            if let Some((threshold, function)) = observer
                && lateness >= threshold
            {
                let lateness = Duration::from_nanos(lateness);
                function(LateTurn { lateness, fired });
            }
        });
    }

    /// Returns what was set before, to be dropped with no lock held.
    #[must_use]
    pub(super) fn set(&self, threshold: Duration, function: Function) -> Option<(u64, Function)> {
        let threshold = nanos(threshold);
        let mut current = lock_std(&self.function);
        self.threshold.store(threshold, Ordering::Relaxed);
        current.replace((threshold, function))
    }

    /// Drops the function.
    pub(super) fn forget(&self) {
        let mut current = lock_std(&self.function);
        self.threshold.store(u64::MAX, Ordering::Relaxed);
        let before = current.take();
        drop(current);
        catch_panic(|| drop(before));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
