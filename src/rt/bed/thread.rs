//! How does a worker sleep without a file descriptor?
//!
//! In a [`ThreadPark`], until the alarm as it stood when the sleep began. Whoever sets an earlier
//! one has to wake the sleeper: `set_alarm` says so, and the wake leaves a token, so it makes no
//! difference whether the worker had read the old alarm or is yet to read the new one.

use std::time::Duration;

use crate::instant::NEVER;
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
    lock,
};
use crate::system;

pub(super) struct ThreadBed {
    // Locked by the one that sleeps, for as long as it sleeps, and by nobody else: it turns the
    // rule that one thread sleeps at a time into `&mut`.
    park: Mutex<ThreadPark>,
    unpark: ThreadUnpark,
    // Relaxed: who sets an alarm that matters to a sleeper wakes it, and the token publishes.
    alarm: AtomicU64,
}

impl ThreadBed {
    pub(super) fn new() -> Self {
        let park = ThreadPark::new();
        Self {
            unpark: park.unparker(),
            park: Mutex::new(park),
            alarm: AtomicU64::new(NEVER),
        }
    }

    pub(super) fn sleep(&self) {
        let timeout = match self.alarm.load(Relaxed) {
            NEVER => None,
            at => {
                let now = system::monotonic().max(0).cast_unsigned();
                Some(Duration::from_nanos(at.saturating_sub(now)))
            }
        };
        lock(&self.park).park(timeout);
    }

    pub(super) fn wake(&self) {
        self.unpark.unpark();
    }

    pub(super) fn set_alarm(&self, at: u64) -> bool {
        at < self.alarm.swap(at, Relaxed)
    }
}
