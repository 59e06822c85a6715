//! A worker's LIFO slot: the one task that it runs next.
//!
//! The worker puts a task there and takes it out; another worker takes it only if it has lain there
//! for a moment, because the worker is busy with a task that blocks or takes long. When that is so
//! is told in `idle::slots`.
//!
//! The slot is a queue of `crossbeam-deque` that never holds more than one task. Nobody can take a
//! task out of a place that others reach without an atomic read-modify-write; this queue needs none
//! to put one in, where a pointer that is swapped needs a second one.

use std::sync::Arc;

use crossbeam_deque::{Stealer, Worker};

use crate::rt::idle::Report;
use crate::rt::task::Runnable;

/// The end of the worker that the slot belongs to.
pub(super) struct LifoSlot {
    task: Worker<Runnable>,
    report: Arc<Report>,
}

impl LifoSlot {
    /// Makes an empty slot. `report` says when its worker has to report a put.
    pub(super) fn new(report: Arc<Report>) -> Self {
        Self {
            task: Worker::new_fifo(),
            report,
        }
    }

    /// Returns the end at which other workers take the task.
    pub(super) fn stealer(&self) -> Stealer<Runnable> {
        self.task.stealer()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.task.is_empty()
    }

    /// Puts a task into the slot, which must be empty.
    #[inline]
    pub(super) fn put(&self, task: Runnable) {
        self.task.push(task);
    }

    #[inline]
    pub(super) fn take(&self) -> Option<Runnable> {
        self.task.pop()
    }

    /// Returns whether the worker has to report that the slot is full while it runs another task.
    #[inline]
    pub(super) fn must_report(&self) -> bool {
        self.report.is_wanted()
    }
}
