//! What is known of a task, and where is it on a list until it ends?
//!
//! Each worker has a [`List`] of the tasks that were spawned on it, and so have the threads that are
//! no workers, together: spawning on one worker takes no lock that another takes. It is what a
//! runtime needs to end tasks that wait, since nobody else knows of them but whoever is to wake
//! them. With a list goes a [`Route`]: where its tasks are run.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use async_task::FallibleTask;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

pub(super) type Runnable = async_task::Runnable<Meta>;

/// What is known of a task besides its future.
pub(super) struct Meta {
    list: Arc<List>,
    key: usize,
}

/// Why a task is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Spawned,
    Woken,
    /// It woke itself while it ran: others are to run first.
    Yielded,
}

/// Where tasks are run: by any of a runtime's workers, or by one thread.
pub(super) trait Route: Send + Sync {
    /// Takes a task that is ready, from any thread, and wakes who is to run it.
    fn ready(&self, task: Runnable);
}

/// The tasks of one place that have not ended.
pub(super) struct List {
    route: Arc<dyn Route>,
    tasks: Mutex<Tasks>,
    /// How many tasks are aborted and have not ended, and one more when all are; hardly ever any, so
    /// a task that is about to run asks here first.
    aborted: AtomicUsize,
}

struct Tasks {
    slab: Slab<Entry>,
    /// How many there have been: numbers them, since keys are used again.
    count: u64,
    /// The runtime, or the stay of a thread in it, is over: what is spawned ends at once.
    closed: bool,
}

/// A task that has not ended.
struct Entry {
    /// By which to end it.
    waker: Waker,
    /// Its number, times two, and one more if it was aborted: there is an entry for each task, and
    /// two fields would make it a third larger.
    tag: u64,
}

impl Entry {
    fn is_aborted(&self) -> bool {
        self.tag % 2 == 1
    }
}

/// A task that is on a list: what it yields, and how to abort it.
pub(super) struct Started<T> {
    pub(super) output: FallibleTask<T, Meta>,
    list: Arc<List>,
    key: usize,
    number: u64,
}

impl<T> Started<T> {
    /// Ends the task when it is next to run, which is soon.
    pub(super) fn abort(&self) {
        self.list.abort(self.key, self.number);
    }

    pub(super) fn reference(&self) -> Reference {
        Reference {
            list: Arc::downgrade(&self.list),
            key: self.key,
            number: self.number,
        }
    }
}

/// Refers to a task without keeping anything of it, or of its runtime, alive.
#[derive(Clone)]
pub(super) struct Reference {
    list: Weak<List>,
    key: usize,
    number: u64,
}

impl Reference {
    /// Like [`Started::abort`].
    pub(super) fn abort(&self) {
        if let Some(list) = self.list.upgrade() {
            list.abort(self.key, self.number);
        }
    }

    /// Returns whether nothing is left of the task's future.
    pub(super) fn is_finished(&self) -> bool {
        // A list lives as long as one of its tasks.
        let list = self.list.upgrade();
        list.is_none_or(|list| list.tasks().find(self.key, self.number).is_none())
    }
}

impl Tasks {
    /// Returns the entry of a task that has not ended.
    fn find(&mut self, key: usize, number: u64) -> Option<&mut Entry> {
        let entry = self.slab.get_mut(key);
        entry.filter(|entry| entry.tag / 2 == number)
    }
}

/// Returns whether a ready task is to be dropped instead of run: it was aborted, or its runtime ends.
#[inline]
pub(super) fn is_aborted(task: &Runnable) -> bool {
    let meta = task.metadata();
    meta.list.has_aborted(meta.key)
}

impl Meta {
    pub(super) fn list(&self) -> &Arc<List> {
        &self.list
    }
}

impl List {
    pub(super) fn new(route: Arc<dyn Route>) -> Arc<Self> {
        Arc::new(Self {
            route,
            tasks: Mutex::new(Tasks {
                slab: Slab::new(),
                count: 0,
                closed: false,
            }),
            aborted: AtomicUsize::new(0),
        })
    }

    fn abort(&self, key: usize, number: u64) {
        let waker = {
            let mut tasks = self.tasks();
            let Some(entry) = tasks.find(key, number) else {
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

    /// Whether the task under this key was aborted.
    #[inline]
    fn has_aborted(&self, key: usize) -> bool {
        // Relaxed: who aborts wakes the task afterwards, and that it runs comes after that.
        self.aborted.load(Ordering::Relaxed) > 0 && {
            let tasks = self.tasks();
            tasks.closed || tasks.slab.get(key).is_some_and(Entry::is_aborted)
        }
    }

    pub(super) fn route(&self) -> &Arc<dyn Route> {
        &self.route
    }

    /// Lists the task that `make` builds around the future; it has to be made ready then, or to be
    /// ended, if there is nothing to be made ready.
    pub(super) fn start<F: Future>(
        self: Arc<Self>,
        future: F,
        make: impl FnOnce(Meta, Watched<F>) -> (Runnable, async_task::Task<F::Output, Meta>),
    ) -> (Option<Runnable>, Started<F::Output>) {
        let mut tasks = self.tasks();
        let closed = tasks.closed;
        tasks.count += 1;
        let number = tasks.count;
        let entry = tasks.slab.vacant_entry();
        let key = entry.key();
        let list = self.clone();
        let meta = Meta { list, key };
        let list = self.clone();
        let ended = Ended { list, key };
        let (runnable, task) = make(meta, Watched { future, ended });
        entry.insert(Entry {
            waker: runnable.waker(),
            tag: number * 2,
        });
        drop(tasks);
        let output = task.fallible();
        let runnable = (!closed).then_some(runnable);
        let started = Started {
            output,
            list: self,
            key,
            number,
        };
        (runnable, started)
    }

    pub(super) fn len(&self) -> usize {
        self.tasks().slab.len()
    }

    /// Makes every task here ready, so that it can be ended; from now on none can be spawned.
    pub(super) fn close(&self) -> usize {
        let wakers: Vec<Waker> = {
            let mut tasks = self.tasks();
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

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// What a task runs. Not an async block, which would hold the future twice: as what it was
    /// given, and as what it awaits.
    pub(super) struct Watched<F> {
        #[pin]
        future: F,
        // After the future: it strikes the task off when nothing is left of that.
        ended: Ended,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Once more: between the last look and here the task still counted as ready, and the wake of
        // who aborted it changed nothing. From here on a wake has it run again.
        if self.ended.list.has_aborted(self.ended.key) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.project().future.poll(cx)
    }
}

/// Strikes a task off the list when dropped.
struct Ended {
    list: Arc<List>,
    key: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // The waker is dropped after the lock is released.
        let entry = self.list.tasks().slab.try_remove(self.key);
        if entry.is_some_and(|entry| entry.is_aborted()) {
            self.list.aborted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
