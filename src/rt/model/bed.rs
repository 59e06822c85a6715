//! How does a worker sleep in a model?
//!
//! A wait that is short passes at once, and time with it; a long one ends by a wake or by an earlier
//! alarm, or is a deadlock, which loom reports. Both kinds of bed are here: one keeps the alarm where
//! anybody may move it under the sleeper, the other remembers it for the next sleep.

use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use std::sync::Arc;

use crate::instant::NEVER;

/// Longer than any model lasts.
const LONG: u64 = 1 << 40;

pub(crate) struct Bed {
    /// Whether an alarm that is moved reaches who sleeps.
    moves: bool,
    time: Arc<AtomicU64>,
    state: Mutex<State>,
    changed: Condvar,
    wakes: AtomicUsize,
}

struct State {
    token: bool,
    alarm: u64,
}

impl Bed {
    pub(super) fn new(moves: bool, time: Arc<AtomicU64>) -> Self {
        Self {
            moves,
            time,
            state: Mutex::new(State {
                token: false,
                alarm: NEVER,
            }),
            changed: Condvar::new(),
            wakes: AtomicUsize::new(0),
        }
    }

    pub(super) fn sleep(&self) {
        let mut state = self.state.lock().unwrap();
        let mut alarm = state.alarm;
        while !state.token && alarm >= LONG {
            state = self.changed.wait(state).unwrap();
            if self.moves {
                alarm = state.alarm;
            }
        }
        if !std::mem::take(&mut state.token) {
            self.time.fetch_max(alarm, Ordering::AcqRel);
        }
    }

    pub(crate) fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.state.lock().unwrap().token = true;
        self.changed.notify_one();
    }

    pub(crate) fn set_alarm(&self, at: u64) -> bool {
        let mut state = self.state.lock().unwrap();
        let before = std::mem::replace(&mut state.alarm, at);
        self.changed.notify_one();
        !self.moves && at < before
    }

    #[expect(
        clippy::unused_self,
        reason = "it has no I/O, and the face of one that has"
    )]
    pub(crate) fn set_watch(&self, _watch: bool) -> bool {
        false
    }

    pub(super) fn alarm(&self) -> u64 {
        self.state.lock().unwrap().alarm
    }

    pub(super) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}
