//! What belongs to one thread of a runtime: its [`ThreadUnparker`], and its local tasks.
//!
//! A thread is notified of what concerns it alone: its main future and its local tasks. It parks as
//! a worker, in the worker's parker, or otherwise in a park of its own. A thread in `block_on`
//! changes from one to the other, and its unparker follows it.
//!
//! # No notification is lost
//!
//! The notifying thread first writes what the other thread looks at (a flag, or a task in an
//! inbox), fences, and reads where that thread parks. The other thread, when it is about to park
//! elsewhere, writes where, fences, and looks before it parks. One of the two sees the other
//! (Dekker's argument; both fences are sequentially consistent): either the thread finds what was
//! written, or it is unparked where it parks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::{Clock, Hold};
use crate::park::{ThreadUnpark, Unpark};
use crate::rt::idle::Idle;
use crate::rt::pool::Pool;
use crate::rt::task::{OwnedTasks, Runnable, Schedule};
use crate::sync::{
    Mutex, ThreadId,
    atomic::{AtomicUsize, Ordering, fence},
    lock, this_thread, thread,
};

const NO_WORKER: usize = usize::MAX;

/// Unparks one thread, wherever it parks.
pub(crate) struct ThreadUnparker {
    thread: Option<ThreadId>,
    /// Which worker the thread runs, or [`NO_WORKER`].
    worker: AtomicUsize,
    /// The park of a thread that is not always a worker.
    own: Option<OwnPark>,
}

struct OwnPark {
    unpark: ThreadUnpark,
    wait: Mutex<Wait>,
}

/// Whether the thread waits in its own park. While it does, it keeps no hold on time, and no worker
/// knows of it. So a thread that notifies it takes a hold for it: time stands still until the
/// thread runs, and has a hold of its own.
#[derive(Default)]
struct Wait {
    waits: bool,
    hold: Option<Hold>,
}

impl ThreadUnparker {
    /// Makes the unparker of the calling thread, which runs one worker as long as it lives.
    pub(crate) fn of_worker(worker: usize) -> Arc<Self> {
        Self::new(worker, None)
    }

    /// Makes the unparker of the calling thread, which parks by itself until
    /// [`set_worker`](Self::set_worker).
    pub(crate) fn of_thread(unpark: ThreadUnpark) -> Arc<Self> {
        Self::new(
            NO_WORKER,
            Some(OwnPark {
                unpark,
                wait: Mutex::default(),
            }),
        )
    }

    fn new(worker: usize, own: Option<OwnPark>) -> Arc<Self> {
        Arc::new(Self {
            thread: this_thread(),
            worker: AtomicUsize::new(worker),
            own,
        })
    }

    /// Notes that the thread runs this worker from now on, or none.
    ///
    /// The thread must look at what it may have been notified of before it parks the next time.
    pub(crate) fn set_worker(&self, worker: Option<usize>) {
        let worker = worker.unwrap_or(NO_WORKER);
        self.worker.store(worker, Ordering::Relaxed);
        // Pairs with the fence in `notify`: either this thread sees what it is notified of, or the
        // notifying thread sees where it parks now.
        fence(Ordering::SeqCst);
    }

    /// Notes that the thread is about to wait in its own park. From now on a thread that notifies
    /// it holds time for it. So the calling thread looks at what it may have been notified of, and
    /// only then drops its own hold.
    pub(crate) fn begin_wait(&self) {
        if let Some(own) = &self.own {
            lock(&own.wait).waits = true;
        }
    }

    /// Notes that the thread runs again, and has taken a hold on time. Returns the hold that a
    /// notifying thread has taken for it, for the caller to drop.
    pub(crate) fn end_wait(&self) -> Option<Hold> {
        let mut wait = lock(&self.own.as_ref()?.wait);
        wait.waits = false;
        wait.hold.take()
    }

    /// Unparks a thread that waits for the core of the first worker, because it may be free.
    pub(crate) fn notify_core_free(&self) {
        if let Some(own) = &self.own {
            own.unpark.unpark();
        }
    }

    /// Unparks the thread, if it is parked. To be called after the caller has written what it is to
    /// find.
    pub(crate) fn notify(&self, idle: &Idle) {
        if self.thread.is_some() && self.thread == this_thread() {
            // It runs, and looks before it parks.
            return;
        }
        // Pairs with the fences in `set_worker` and, by `idle.notify`, in `Counts::add_parked`.
        fence(Ordering::SeqCst);
        match self.worker.load(Ordering::Relaxed) {
            NO_WORKER => {
                if let Some(own) = &self.own {
                    own.hold_time(idle.clock());
                    own.unpark.unpark();
                }
            }
            worker => idle.notify(worker),
        }
    }
}

impl OwnPark {
    fn hold_time(&self, clock: &Clock) {
        let lacks_hold = |wait: &Wait| wait.waits && wait.hold.is_none();
        if !lacks_hold(&lock(&self.wait)) {
            return;
        }
        // Not under the lock: to hold the clock of a tokio runtime calls tokio.
        let mut hold = clock.hold_if_movable();
        let mut wait = lock(&self.wait);
        // Otherwise another thread has taken one meanwhile, or the thread runs and has its own.
        if lacks_hold(&wait) {
            wait.hold = hold.take();
        }
        drop(wait);
        drop(hold);
    }
}

/// The local tasks of one thread, which need not be `Send`.
///
/// They have a list of their own. When they are ready they go to an inbox, from which the thread
/// takes them. They end with the thread's scope in the runtime.
pub(super) struct LocalQueue {
    pub(super) owned: Arc<OwnedTasks>,
    inbox: Arc<Inbox>,
}

struct Inbox {
    ready: Mutex<VecDeque<Runnable>>,
    pool: Arc<Pool>,
    unparker: Arc<ThreadUnparker>,
}

impl LocalQueue {
    pub(super) fn new(pool: Arc<Pool>, unparker: Arc<ThreadUnparker>) -> Self {
        let inbox = Arc::new(Inbox {
            ready: Mutex::default(),
            pool,
            unparker,
        });
        Self {
            owned: OwnedTasks::new(inbox.clone()),
            inbox,
        }
    }

    /// Takes the next task that is ready.
    pub(super) fn pop(&self) -> Option<Runnable> {
        lock(&self.inbox.ready).pop_front()
    }

    /// Returns whether a task is ready.
    pub(super) fn is_ready(&self) -> bool {
        !lock(&self.inbox.ready).is_empty()
    }

    /// Ends all tasks, on their thread: closing the list makes each of them ready, and dropping a
    /// task that is ready ends it. What a task spawns or wakes when it is dropped is ended in the
    /// next round.
    pub(super) fn shutdown(&self) {
        while self.owned.close() > 0 {
            let Some(task) = self.pop() else {
                // Another thread has made a task ready and puts it into the inbox next. It calls no
                // foreign code in between, so this does not take long.
                thread::yield_now();
                continue;
            };
            drop(task);
            while let Some(task) = self.pop() {
                drop(task);
            }
        }
    }
}

impl Schedule for Inbox {
    fn schedule(&self, task: Runnable) {
        lock(&self.ready).push_back(task);
        self.unparker.notify(&self.pool.idle);
    }
}
