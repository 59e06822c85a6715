//! Which tasks are alive, and where do they go when they are woken?
//!
//! Each task has a *home*, where it is on a list until it ends. Every worker has one, and so have
//! the threads that are no workers, together: spawning on one worker takes no lock that another
//! takes. A home with a *mailbox* is that of local tasks: they never leave the thread that spawned
//! them, and end with its stay in the runtime.
//!
//! A woken task goes to the queue of the worker that woke it; woken elsewhere, to the queue that all
//! share; a local one to its mailbox.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use async_task::{ScheduleInfo, WithInfo};
use pin_project_lite::pin_project;
use slab::Slab;

use crate::rt::context;
use crate::rt::core::Why;
use crate::rt::pool::Pool;
use crate::rt::seat::Seat;
use crate::rt::task::JoinHandle;

pub(super) type Runnable = async_task::Runnable<Meta>;

/// What is known of a task besides its future.
pub(super) struct Meta {
    home: Arc<Home>,
    key: usize,
}

pub(super) struct Home {
    pool: Arc<Pool>,
    tasks: Mutex<Tasks>,
    /// How many tasks are aborted and have not ended, and one more when all are; hardly ever any, so
    /// a task that is about to run asks here first.
    aborted: AtomicUsize,
    mailbox: Option<Mailbox>,
}

struct Tasks {
    list: Slab<Entry>,
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

/// Where a task is on a list.
pub(super) struct Place {
    home: Arc<Home>,
    key: usize,
    number: u64,
}

struct Mailbox {
    seat: Arc<Seat>,
    ready: Mutex<VecDeque<Runnable>>,
}

impl Place {
    /// Ends the task when it is next to run, which is soon.
    pub(super) fn abort(&self) {
        let waker = {
            let mut tasks = self.home.tasks();
            let entry = tasks.list.get_mut(self.key);
            let Some(entry) = entry.filter(|entry| entry.tag / 2 == self.number) else {
                return;
            };
            if !entry.is_aborted() {
                entry.tag += 1;
                self.home.aborted.fetch_add(1, Ordering::Relaxed);
            }
            entry.waker.clone()
        };
        waker.wake();
    }
}

/// Runs a task, or ends it if it was aborted.
pub(super) fn run(task: Runnable) {
    if task.metadata().is_aborted() {
        drop(task);
    } else {
        task.run();
    }
}

impl Meta {
    fn is_aborted(&self) -> bool {
        // Relaxed: who aborts wakes the task afterwards, and that it runs comes after that.
        self.home.aborted.load(Ordering::Relaxed) > 0 && {
            let tasks = self.home.tasks();
            tasks.closed || tasks.list.get(self.key).is_some_and(Entry::is_aborted)
        }
    }
}

impl Home {
    pub(super) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Self::with(pool, None)
    }

    /// The home of local tasks on the thread with this seat.
    pub(super) fn local(pool: Arc<Pool>, seat: Arc<Seat>) -> Arc<Self> {
        let ready = Mutex::default();
        Self::with(pool, Some(Mailbox { seat, ready }))
    }

    fn with(pool: Arc<Pool>, mailbox: Option<Mailbox>) -> Arc<Self> {
        Arc::new(Self {
            pool,
            tasks: Mutex::new(Tasks {
                list: Slab::new(),
                count: 0,
                closed: false,
            }),
            aborted: AtomicUsize::new(0),
            mailbox,
        })
    }

    pub(super) fn spawn<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(|meta, ended| {
            let builder = async_task::Builder::new().metadata(meta);
            let future = Watched { future, ended };
            builder
                .propagate_panic(true)
                .spawn(|_| future, WithInfo(schedule))
        })
    }

    pub(super) fn spawn_local<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.start(|meta, ended| {
            let builder = async_task::Builder::new().metadata(meta);
            let future = Watched { future, ended };
            builder
                .propagate_panic(true)
                .spawn_local(|_| future, WithInfo(schedule))
        })
    }

    /// Lists the task that `make` builds, and makes it ready for the first time.
    fn start<T>(
        self: Arc<Self>,
        make: impl FnOnce(Meta, Ended) -> (Runnable, async_task::Task<T, Meta>),
    ) -> JoinHandle<T> {
        let mut tasks = self.tasks();
        let closed = tasks.closed;
        tasks.count += 1;
        let number = tasks.count;
        let entry = tasks.list.vacant_entry();
        let key = entry.key();
        let home = self.clone();
        let meta = Meta { home, key };
        let home = self.clone();
        let (runnable, task) = make(meta, Ended { home, key });
        entry.insert(Entry {
            waker: runnable.waker(),
            tag: number * 2,
        });
        drop(tasks);
        if closed {
            drop(runnable);
        } else {
            ready(runnable, Why::Spawned);
        }
        let place = Place {
            home: self,
            key,
            number,
        };
        JoinHandle::new(task, place)
    }

    /// The next local task that is ready.
    pub(super) fn pop(&self) -> Option<Runnable> {
        self.mailbox.as_ref()?.ready().pop_front()
    }

    /// Whether a local task is ready.
    pub(super) fn has_mail(&self) -> bool {
        self.mailbox
            .as_ref()
            .is_some_and(|mailbox| !mailbox.ready().is_empty())
    }

    pub(super) fn len(&self) -> usize {
        self.tasks().list.len()
    }

    /// Makes every task here ready, so that it can be ended; from now on none can be spawned.
    pub(super) fn close(&self) -> usize {
        let wakers: Vec<Waker> = {
            let mut tasks = self.tasks();
            if !std::mem::replace(&mut tasks.closed, true) {
                self.aborted.fetch_add(1, Ordering::Relaxed);
            }
            tasks
                .list
                .iter()
                .map(|(_, entry)| entry.waker.clone())
                .collect()
        };
        let count = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    /// Ends all local tasks, on their thread: waking makes each of them ready, and dropping one that
    /// is ready ends it. What such a task spawns or wakes when it is dropped is ended in the next
    /// round.
    pub(super) fn end_local(&self) {
        while self.close() > 0 {
            let Some(task) = self.pop() else {
                // Another thread is waking one just now, and about to put it into the mailbox.
                thread::yield_now();
                continue;
            };
            drop(task);
            while let Some(task) = self.pop() {
                drop(task);
            }
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a task ready that was woken.
///
/// A function, and the home in the task's own data: a closure that held it would have to be kept
/// alive during each call, at the cost of two atomic steps.
fn schedule(task: Runnable, info: ScheduleInfo) {
    let why = if info.woken_while_running {
        Why::Yielded
    } else {
        Why::Woken
    };
    ready(task, why);
}

/// Puts a task where it is run from.
fn ready(task: Runnable, why: Why) {
    let home = &task.metadata().home;
    if home.mailbox.is_some() {
        let home = home.clone();
        if let Some(mailbox) = &home.mailbox {
            mailbox.ready().push_back(task);
            mailbox.seat.wake(&home.pool);
        }
        return;
    }
    let pool = Arc::as_ptr(&home.pool);
    if let Err(task) = context::push(pool, task, why) {
        let pool = task.metadata().home.pool.clone();
        pool.push(task);
    }
}

pin_project! {
    /// What a task runs. Not an async block, which would hold the future twice: as what it was
    /// given, and as what it awaits.
    struct Watched<F> {
        #[pin]
        future: F,
        // After the future: it strikes the task off when nothing is left of that.
        ended: Ended,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Strikes a task off the list when dropped.
struct Ended {
    home: Arc<Home>,
    key: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // The waker is dropped after the lock is released.
        let entry = self.home.tasks().list.try_remove(self.key);
        if entry.is_some_and(|entry| entry.is_aborted()) {
            self.home.aborted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
