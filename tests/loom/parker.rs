//! The parker of a worker in a model.
//!
//! A short timeout ends at once, and time passes; a long one is ended by an unpark or an earlier
//! timeout, or is a deadlock, which loom reports. All kinds of parkers are here: one keeps the timeout
//! where other threads move it while the worker is parked, and perhaps also whether it waits for
//! I/O; the other reads them once for each park.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};

use crate::instant::NEVER;
use crate::park::worker::WorkerPark;

/// Longer than any model lasts.
const LONG: u64 = 1 << 40;

/// What a parker does with a timeout that is set while its worker is parked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeouts {
    /// It reads the timeout when it begins to park: for an earlier one the worker is unparked.
    Fixed,
    /// It takes the new timeout at once.
    Moved,
    /// The same, but whether it waits for I/O is read when it begins to park, as by a parker in
    /// whose instance the I/O source is not nested.
    MovedWithoutIo,
}

impl Timeouts {
    fn are_moved(self) -> bool {
        self != Self::Fixed
    }

    fn sets_io_while_parked(self) -> bool {
        self != Self::MovedWithoutIo
    }
}

pub(super) struct Parker {
    timeouts: Timeouts,
    time: Arc<AtomicU64>,
    state: Mutex<State>,
    changed: Condvar,
    unparks: AtomicUsize,
}

struct State {
    token: bool,
    timeout: u64,
    waits_for_io: bool,
    /// There is I/O to collect.
    io: bool,
}

impl Parker {
    pub(super) fn new(timeouts: Timeouts, time: Arc<AtomicU64>) -> Self {
        Self {
            timeouts,
            time,
            state: Mutex::new(State {
                token: false,
                timeout: NEVER,
                waits_for_io: false,
                io: false,
            }),
            changed: Condvar::new(),
            unparks: AtomicUsize::new(0),
        }
    }

    pub(super) fn timeout(&self) -> u64 {
        self.state.lock().unwrap().timeout
    }

    /// Notes whether there is I/O to collect.
    pub(super) fn set_io_ready(&self, ready: bool) {
        self.state.lock().unwrap().io = ready;
        self.changed.notify_one();
    }

    /// Returns how often it was unparked.
    pub(super) fn unparks(&self) -> usize {
        self.unparks.load(Ordering::Relaxed)
    }
}

impl WorkerPark for Arc<Parker> {
    fn park(&self) {
        let mut state = self.state.lock().unwrap();
        let (mut timeout, mut waits_for_io) = (state.timeout, state.waits_for_io);
        while !state.token && timeout >= LONG && !(waits_for_io && state.io) {
            state = self.changed.wait(state).unwrap();
            if self.timeouts.are_moved() {
                timeout = state.timeout;
            }
            if self.timeouts.sets_io_while_parked() {
                waits_for_io = state.waits_for_io;
            }
        }
        if !std::mem::take(&mut state.token) && timeout < LONG {
            self.time.fetch_max(timeout, Ordering::AcqRel);
        }
    }

    fn unpark(&self) {
        self.unparks.fetch_add(1, Ordering::Relaxed);
        self.state.lock().unwrap().token = true;
        self.changed.notify_one();
    }

    fn set_timeout(&self, at: u64) -> bool {
        let mut state = self.state.lock().unwrap();
        let before = std::mem::replace(&mut state.timeout, at);
        self.changed.notify_one();
        self.timeouts == Timeouts::Fixed && at < before
    }

    fn sets_timeout_while_parked(&self) -> bool {
        self.timeouts.are_moved()
    }

    fn set_io(&self, waits: bool) -> bool {
        let mut state = self.state.lock().unwrap();
        let before = std::mem::replace(&mut state.waits_for_io, waits);
        self.changed.notify_one();
        waits && !before && !self.timeouts.sets_io_while_parked()
    }

    fn sets_io_while_parked(&self) -> bool {
        self.timeouts.sets_io_while_parked()
    }

    fn review_io(&self, _is_own: bool) {}

    fn now(&self) -> u64 {
        self.time.load(Ordering::Acquire)
    }

    fn close(&self) {}
}
