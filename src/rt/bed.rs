//! Where does a worker sleep, and how is it woken?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::instant::NEVER;
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};
use crate::system;

/// Where one worker sleeps.
pub(crate) struct Bed {
    park: Mutex<ThreadPark>,
    unpark: ThreadUnpark,
    alarm: AtomicU64,
}

impl Bed {
    pub(crate) fn new(_workers: usize) -> Self {
        let park = ThreadPark::new();
        Self {
            unpark: park.unparker(),
            park: Mutex::new(park),
            alarm: AtomicU64::new(NEVER),
        }
    }

    /// Blocks until woken or until the alarm rings; may return for no reason.
    pub(crate) fn sleep(&self) {
        let mut park = self.park.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = self.alarm.load(Ordering::Acquire);
        let timeout = (alarm != NEVER).then(|| {
            let now = system::monotonic().cast_unsigned();
            Duration::from_nanos(alarm.saturating_sub(now))
        });
        park.park(timeout);
    }

    pub(crate) fn wake(&self) {
        self.unpark.unpark();
    }

    /// Whether who sleeps must be woken for it to take effect.
    pub(crate) fn set_alarm(&self, at: u64) -> bool {
        self.alarm.store(at, Ordering::Release);
        true
    }
}
