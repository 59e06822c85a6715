//! How does a thread block where shuttle says who runs?
//!
//! On a lock and a condition variable of shuttle's. Time does not pass there: a wait that has an end
//! lets others run and is over.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, lock, thread};

pub(super) struct Parker {
    token: Arc<Token>,
}

#[derive(Clone)]
pub(super) struct Unparker {
    token: Arc<Token>,
}

struct Token {
    present: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub(super) fn new() -> Self {
        let token = Arc::new(Token {
            present: Mutex::new(false),
            changed: Condvar::new(),
        });
        Self { token }
    }

    pub(super) fn unparker(&self) -> Unparker {
        let token = self.token.clone();
        Unparker { token }
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        if timeout.is_some() {
            thread::yield_now();
        }
        let mut present = lock(&self.token.present);
        while timeout.is_none() && !*present {
            present = self.token.changed.wait(present).unwrap();
        }
        *present = false;
    }
}

impl Unparker {
    pub(super) fn unpark(&self) {
        *lock(&self.token.present) = true;
        self.token.changed.notify_one();
    }
}
