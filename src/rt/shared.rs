//! How does a woken task get back into the loop?
//!
//! Its waker pushes it onto the queue of ready tasks and, on another thread than the loop's,
//! unparks. First the push, then the unpark: so the loop, which looks at the queue between the two
//! ends of every park, finds the task.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::park::{ThreadUnpark, Unpark};
use crate::rt::task::JoinHandle;

thread_local! {
    /// The runtime whose `block_on` runs on this thread.
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// What wakers share with the loop.
pub(super) struct Shared {
    unpark: ThreadUnpark,
    ready: Mutex<VecDeque<Runnable>>,
    /// A waker for each task that has not ended, to end it with the runtime.
    tasks: Mutex<Slab<Waker>>,
}

/// The runtime that runs this thread.
#[track_caller]
pub(super) fn current() -> Arc<Shared> {
    CURRENT
        .with_borrow(Clone::clone)
        .expect("no runtime runs on this thread: spawn inside of reveille::rt::block_on")
}

impl Shared {
    pub(super) fn new(unpark: ThreadUnpark) -> Arc<Self> {
        Arc::new(Self {
            unpark,
            ready: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    pub(super) fn spawn<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(|key| {
            let future = self.clone().watch(key, future);
            async_task::Builder::new()
                .propagate_panic(true)
                .spawn(|()| future, self.schedule())
        })
    }

    pub(super) fn spawn_local<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.start(|key| {
            let future = self.clone().watch(key, future);
            let builder = async_task::Builder::new().propagate_panic(true);
            builder.spawn_local(|()| future, self.schedule())
        })
    }

    /// Enters the task that `make` builds around the key, and makes it ready for the first time.
    fn start<T>(
        &self,
        make: impl FnOnce(usize) -> (Runnable, async_task::Task<T>),
    ) -> JoinHandle<T> {
        let mut tasks = self.tasks();
        let entry = tasks.vacant_entry();
        let (runnable, task) = make(entry.key());
        entry.insert(runnable.waker());
        drop(tasks);
        runnable.schedule();
        JoinHandle::new(task)
    }

    /// Strikes the task off the list when `future` ends in whatever way.
    fn watch<F: Future>(self: Arc<Self>, key: usize, future: F) -> Watched<F> {
        let ended = Ended { shared: self, key };
        Watched { future, ended }
    }

    fn schedule(self: &Arc<Self>) -> impl Fn(Runnable) + Send + Sync + 'static {
        let shared = self.clone();
        move |runnable| {
            shared.ready().push_back(runnable);
            shared.interrupt();
        }
    }

    /// Makes the loop look again, if it may be asleep.
    fn interrupt(self: &Arc<Self>) {
        let here = CURRENT.try_with(|current| {
            current
                .borrow()
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, self))
        });
        if !here.unwrap_or(false) {
            self.unpark.unpark();
        }
    }

    pub(super) fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tasks(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
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
    shared: Arc<Shared>,
    key: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // The waker is dropped after the lock is released. It may be gone: a runtime that is
        // dropped takes the whole list.
        let waker = self.shared.tasks().try_remove(self.key);
        drop(waker);
    }
}

/// Wakes the main future, which is no task.
pub(super) struct Main {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Main {
    /// Woken: it has to be polled once to begin with.
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let woken = AtomicBool::new(true);
        Arc::new(Self { woken, shared })
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Whether it was woken since the last call.
    pub(super) fn take_woken(&self) -> bool {
        // Acquire: pairs with the release in `wake_by_ref`.
        self.woken.swap(false, Ordering::Acquire)
    }
}

impl Wake for Main {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.shared.interrupt();
    }
}

/// Makes a runtime the current one of this thread until dropped.
pub(super) struct Current {
    previous: Option<Arc<Shared>>,
}

impl Current {
    /// In the destructor of a thread-local there may be no place for it any more: then spawning
    /// finds none, but the runtime can still be dropped.
    pub(super) fn enter(shared: Arc<Shared>) -> Self {
        Self {
            previous: CURRENT
                .try_with(|current| current.replace(Some(shared)))
                .unwrap_or(None),
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        let previous = self.previous.take();
        drop(CURRENT.try_with(|current| current.replace(previous)));
    }
}
