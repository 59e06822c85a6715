//! Parks a thread on a lock and a condition variable: on systems other than Linux, and in
//! models.
//!
//! The precision is that of the system's timed wait on a condition variable: on macOS and the BSDs
//! nanoseconds, coalesced by the system with other wake-ups; on Windows whole milliseconds, rounded
//! up, on a tick of up to 15.6 ms unless the process has asked for a finer one.
//!
//! The models of `tests/loom` and `tests/shuttle` park here, too, and so check the token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::token::Token;
use crate::sync::{Condvar, Mutex, lock, wait_until};

pub(super) struct Parker {
    inner: Arc<Inner>,
}

#[derive(Clone)]
pub(super) struct Unparker {
    inner: Arc<Inner>,
}

struct Inner {
    token: Token,
    /// Guards nothing: it is what orders a look at the token before a wait.
    lock: Mutex<()>,
    unparked: Condvar,
}

impl Parker {
    pub(super) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                token: Token::new(),
                lock: Mutex::new(()),
                unparked: Condvar::new(),
            }),
        }
    }

    pub(super) fn unparker(&self) -> Unparker {
        Unparker {
            inner: self.inner.clone(),
        }
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        let token = &self.inner.token;
        if timeout == Some(Duration::ZERO) {
            return token.end_park();
        }
        if !token.begin_park() {
            return;
        }
        self.block(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
        token.end_park();
    }

    /// Blocks until a token comes, or until `deadline`.
    fn block(&self, deadline: Option<Instant>) {
        let Inner {
            token,
            lock: mutex,
            unparked,
        } = &*self.inner;
        let mut guard = lock(mutex);
        let mut over = false;
        while token.is_parked() && !over {
            (guard, over) = wait_until(unparked, mutex, guard, deadline);
        }
    }
}

impl Unparker {
    pub(super) fn unpark(&self) {
        if self.inner.token.set() {
            // The parking thread looks at the token under the lock. Taking the lock waits until it
            // either has seen the token or has begun to wait.
            drop(lock(&self.inner.lock));
            self.inner.unparked.notify_one();
        }
    }
}
