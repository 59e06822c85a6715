//! Tasks, and the lists of those that have not ended.
//!
//! While a task waits, only its wakers and its `JoinHandle` refer to it. So a runtime keeps lists
//! of its tasks, to be able to end them: one for each worker, of the tasks that were spawned on it,
//! and one for all external threads. Workers that spawn therefore have no lock in common. A list
//! knows by [`Schedule`] where its tasks run.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use async_task::FallibleTask;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    lock,
};

pub(super) type Runnable = async_task::Runnable<Metadata>;

/// What a task holds besides its future.
pub(super) struct Metadata {
    pub(super) owned: Arc<OwnedTasks>,
    key: usize,
}

/// Why a task is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Spawned,
    Woken,
    /// It was woken while it ran, mostly by itself: other tasks are to run first.
    Yielded,
}

/// Where tasks run: on any worker of a runtime, or on one thread.
pub(super) trait Schedule: Send + Sync {
    /// Takes a task that is ready, on any thread. Some thread runs it soon.
    fn schedule(&self, task: Runnable);
}

/// Identifies a task in its list.
#[derive(Clone, Copy)]
struct Id {
    key: usize,
    /// Keys are used again, numbers are not.
    number: u64,
}

/// The key of a task that was spawned after its list was closed, and is not in it.
const NO_KEY: usize = usize::MAX;

/// A list of tasks that have not ended: those spawned on one worker, or on all external threads, or
/// the local tasks of one thread.
pub(super) struct OwnedTasks {
    pub(super) scheduler: Arc<dyn Schedule>,
    tasks: Mutex<Tasks>,
    /// How many tasks are aborted and have not ended, and one more once the list is closed. Mostly
    /// zero, so that a worker that is about to run a task takes no lock to check it.
    aborted: AtomicUsize,
}

struct Tasks {
    slab: Slab<Entry>,
    /// How many tasks there have been.
    count: u64,
    /// The runtime begins to end, or the thread leaves it: a task that is spawned ends at once.
    closed: bool,
}

/// The most places that a list keeps when its last task has ended.
const KEPT_PLACES: usize = 1024;

impl Tasks {
    /// Removes a task. Returns its entry, and the memory of a burst that has ended, for the caller
    /// to drop with the lock released.
    fn remove(&mut self, key: usize) -> (Option<Entry>, Option<Slab<Entry>>) {
        let entry = self.slab.try_remove(key);
        let is_unused = self.slab.is_empty() && self.slab.capacity() > KEPT_PLACES;
        (entry, is_unused.then(|| std::mem::take(&mut self.slab)))
    }
}

/// A task that has not ended.
struct Entry {
    /// Wakes the task so that it can be ended.
    waker: Waker,
    /// Twice the task's number, plus one if it was aborted. Two fields would make an entry, of
    /// which each task has one, a third larger.
    tag: u64,
}

impl Entry {
    fn is_aborted(&self) -> bool {
        self.tag % 2 == 1
    }
}

/// A task that was added to a list: its output, and the means to abort it.
pub(super) struct Spawned<T> {
    pub(super) output: FallibleTask<T, Metadata>,
    owned: Arc<OwnedTasks>,
    id: Id,
}

impl<T> Spawned<T> {
    /// Makes the task end the next time that it would run, which is soon.
    pub(super) fn abort(&self) {
        self.owned.abort(self.id);
    }

    /// Returns whether nothing is left of the task's future.
    pub(super) fn is_finished(&self) -> bool {
        // First the output, which takes no lock. That alone is not enough: an aborted task is
        // finished before its future is dropped.
        self.output.is_finished() && self.owned.has_removed(self.id)
    }

    pub(super) fn task_ref(&self) -> TaskRef {
        TaskRef {
            owned: Arc::downgrade(&self.owned),
            id: self.id,
        }
    }
}

/// Refers to a task without keeping anything of it, or of its runtime, alive.
#[derive(Clone)]
pub(super) struct TaskRef {
    owned: Weak<OwnedTasks>,
    id: Id,
}

impl TaskRef {
    /// Like [`Spawned::abort`].
    pub(super) fn abort(&self) {
        if let Some(owned) = self.owned.upgrade() {
            owned.abort(self.id);
        }
    }

    /// Returns whether nothing is left of the task's future.
    pub(super) fn is_finished(&self) -> bool {
        // A list lives as long as any of its tasks.
        let owned = self.owned.upgrade();
        owned.is_none_or(|owned| owned.has_removed(self.id))
    }
}

impl Tasks {
    /// Returns the entry of a task that has not ended.
    fn find(&mut self, id: Id) -> Option<&mut Entry> {
        let entry = self.slab.get_mut(id.key);
        entry.filter(|entry| entry.tag / 2 == id.number)
    }
}

/// Returns whether a ready task is to be dropped instead of run: it was aborted, or its runtime
/// ends.
#[inline]
pub(super) fn is_aborted(task: &Runnable) -> bool {
    let metadata = task.metadata();
    metadata.owned.has_aborted(metadata.key)
}

impl OwnedTasks {
    pub(super) fn new(scheduler: Arc<dyn Schedule>) -> Arc<Self> {
        Arc::new(Self {
            scheduler,
            tasks: Mutex::new(Tasks {
                slab: Slab::new(),
                count: 0,
                closed: false,
            }),
            aborted: AtomicUsize::new(0),
        })
    }

    fn abort(&self, id: Id) {
        let waker = {
            let mut tasks = lock(&self.tasks);
            let Some(entry) = tasks.find(id) else {
                return;
            };
            if !entry.is_aborted() {
                entry.tag += 1;
                self.aborted.fetch_add(1, Ordering::Relaxed);
            }
            entry.waker.clone()
        };
        waker.wake();
    }

    /// Returns whether nothing is left of a task's future.
    fn has_removed(&self, id: Id) -> bool {
        lock(&self.tasks).find(id).is_none()
    }

    /// Returns whether the task with this key has to end: it was aborted, or the list is closed.
    #[inline]
    fn has_aborted(&self, key: usize) -> bool {
        // Relaxed: the thread that aborts a task wakes it afterwards, and the task runs after that
        // wake.
        self.aborted.load(Ordering::Relaxed) > 0 && {
            let tasks = lock(&self.tasks);
            tasks.closed || tasks.slab.get(key).is_some_and(Entry::is_aborted)
        }
    }

    /// Adds a task, which `make` builds around the future, and returns it for the caller to
    /// schedule.
    ///
    /// If the list is closed, the task is not added, and is returned in the error for the caller to
    /// drop. (The destructor of its future may wait for the end of the runtime. If the task were in
    /// the list, the end of the runtime would wait for that destructor.)
    pub(super) fn bind<F: Future>(
        self: Arc<Self>,
        future: F,
        make: impl FnOnce(Metadata, TaskFuture<F>) -> (Runnable, async_task::Task<F::Output, Metadata>),
    ) -> (Result<Runnable, Runnable>, Spawned<F::Output>) {
        let mut tasks = lock(&self.tasks);
        let closed = tasks.closed;
        tasks.count += 1;
        let number = tasks.count;
        let key = if closed {
            NO_KEY
        } else {
            tasks.slab.vacant_key()
        };
        let owned = self.clone();
        let metadata = Metadata { owned, key };
        let owned = self.clone();
        let remove = RemoveOnDrop { owned, key };
        let (runnable, task) = make(metadata, TaskFuture { future, remove });
        if !closed {
            tasks.slab.insert(Entry {
                waker: runnable.waker(),
                tag: number * 2,
            });
        }
        drop(tasks);
        let output = task.fallible();
        let runnable = if closed { Err(runnable) } else { Ok(runnable) };
        let spawned = Spawned {
            output,
            owned: self,
            id: Id { key, number },
        };
        (runnable, spawned)
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.tasks).slab.len()
    }

    /// Wakes every task, so that it can be ended. Returns how many there are. From now on none can
    /// be spawned.
    pub(super) fn close(&self) -> usize {
        let wakers: Vec<Waker> = {
            let mut tasks = lock(&self.tasks);
            if !std::mem::replace(&mut tasks.closed, true) {
                self.aborted.fetch_add(1, Ordering::Relaxed);
            }
            let entries = tasks.slab.iter();
            entries.map(|(_, entry)| entry.waker.clone()).collect()
        };
        let count = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        count
    }
}

pin_project! {
    /// The future of a task. Not an async block: that would hold the spawned future twice, as what
    /// it captures and as what it awaits.
    pub(super) struct TaskFuture<F> {
        #[pin]
        future: F,
        // After the future: the task is removed from its list when nothing is left of that.
        remove: RemoveOnDrop,
    }
}

impl<F: Future> Future for TaskFuture<F> {
    type Output = F::Output;

    // Inlined: see `Worker::run_task`.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Checked again. `async_task` ignores the wake of a task that is scheduled already, so an
        // abort between the worker's check and the start of this run makes no further run, and is
        // seen only here. A wake that comes later makes the task run again.
        if self.remove.owned.has_aborted(self.remove.key) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.project().future.poll(cx)
    }
}

/// Removes a task from its list when dropped.
struct RemoveOnDrop {
    owned: Arc<OwnedTasks>,
    key: usize,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // The waker is dropped after the lock is released, as is the memory.
        let (entry, _unused) = lock(&self.owned.tasks).remove(self.key);
        if entry.is_some_and(|entry| entry.is_aborted()) {
            self.owned.aborted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_the_memory_of_a_burst_back_when_its_last_task_ends() {
        let entry = || Entry {
            waker: Waker::noop().clone(),
            tag: 2,
        };
        let mut tasks = Tasks {
            slab: Slab::new(),
            count: 0,
            closed: false,
        };
        let keys: Vec<_> = (0..2 * KEPT_PLACES)
            .map(|_| tasks.slab.insert(entry()))
            .collect();
        assert!(keys.into_iter().all(|key| tasks.remove(key).0.is_some()));
        assert!(tasks.slab.capacity() <= KEPT_PLACES);
    }
}
