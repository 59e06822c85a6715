//! Chunks that have a free entry, other than the current one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::{Mutex, lock};

/// A queue of them.
pub(super) struct Available {
    pub(super) chunks: Mutex<VecDeque<u32>>,
    /// How many there are. Written under the lock. It is only a hint, so it is not modelled.
    len: AtomicUsize,
}

impl Available {
    pub(super) fn new() -> Self {
        Self {
            chunks: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
        }
    }

    /// Returns whether there is none, without the lock: one that another thread adds meanwhile may
    /// be missed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: what a missed chunk costs is an entry more than is needed.
        self.len.load(Ordering::Relaxed) == 0
    }

    #[cold]
    pub(super) fn push(&self, chunk: u32) {
        self.with(|chunks| chunks.push_back(chunk));
    }

    /// Takes out the chunk that has waited longest.
    pub(super) fn pop(&self) -> Option<u32> {
        self.with(VecDeque::pop_front)
    }

    pub(super) fn remove(&self, chunk: u32) {
        self.with(|chunks| chunks.retain(|&other| other != chunk));
    }

    fn with<T>(&self, f: impl FnOnce(&mut VecDeque<u32>) -> T) -> T {
        let mut chunks = lock(&self.chunks);
        let result = f(&mut chunks);
        self.len.store(chunks.len(), Ordering::Relaxed);
        result
    }
}
