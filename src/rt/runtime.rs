//! In what order does an executor run tasks, fire timers and sleep?
//!
//! Each pass of the loop: poll the main future if it was woken; run a batch of ready tasks; turn
//! the driver, so that timers fire even if tasks never run out; and only if nothing is ready, park
//! until the next deadline or wake-up. Timers that fire push their tasks onto the same queue that
//! everything else does, in order of deadline.
//!
//! No wake-up is lost between the last look at the queue and the park: whoever pushes from another
//! thread unparks afterwards, and an unpark before the park makes the park return. Whoever pushes
//! on this thread need not, because the loop looks again before it parks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_task::Runnable;
use slab::Slab;

use crate::driver::Driver;
use crate::handle::Handle;
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};
use crate::rt::task::JoinHandle;

/// How many tasks run between two looks at the timers.
const BATCH: usize = 64;

thread_local! {
    /// The runtime whose `block_on` runs on this thread.
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// Runs `future` to its end on this thread, with timers and tasks.
///
/// A [`Runtime`] for one call: when `future` is ready, tasks that are not are dropped. Timers made
/// inside run on it; one made in the argument itself (`block_on(sleep(…))`) is made before.
///
/// # Examples
///
/// ```
/// use reveille::time::{sleep, Duration};
///
/// reveille::rt::block_on(async { sleep(Duration::from_millis(1)).await });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    Runtime::new().block_on(future)
}

/// Spawns a task on the runtime that runs this thread.
///
/// # Panics
///
/// If called outside [`Runtime::block_on`] and its tasks.
///
/// # Examples
///
/// ```
/// use reveille::rt;
///
/// assert_eq!(rt::block_on(async { rt::spawn(async { 7 }).await }).unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn(future)
}

/// Spawns a task that need not be `Send` on the runtime that runs this thread.
///
/// # Panics
///
/// If called outside [`Runtime::block_on`] and its tasks.
///
/// # Examples
///
/// ```
/// use reveille::rt;
/// use std::rc::Rc;
///
/// let shared = Rc::new(7);
/// assert_eq!(rt::block_on(async { rt::spawn_local(async move { *shared }).await }).unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    current().spawn_local(future)
}

#[track_caller]
fn current() -> Arc<Shared> {
    CURRENT
        .with_borrow(Clone::clone)
        .expect("no runtime runs on this thread: spawn inside of reveille::rt::block_on")
}

/// An executor of one thread on one driver.
///
/// Tasks run while [`block_on`](Self::block_on) does, and stay in between. Dropping the runtime
/// drops its tasks.
///
/// # Examples
///
/// ```
/// use reveille::{ManualClock, Driver, ThreadPark, rt::Runtime, time};
/// use std::time::Duration;
///
/// // On a clock moved by hand, an idle runtime moves on to the next deadline by itself.
/// let driver = Driver::builder().clock(ManualClock::new()).build(ThreadPark::new());
/// let year = Duration::from_secs(365 * 86_400);
/// Runtime::with_driver(driver).block_on(async { time::sleep(year).await });
/// ```
pub struct Runtime {
    driver: Driver<ThreadPark>,
    shared: Arc<Shared>,
    /// The batch being run, taken from `Shared::ready` at once.
    batch: VecDeque<Runnable>,
    /// Local tasks must end on the thread that they were spawned on.
    not_send: PhantomData<*const ()>,
}

/// What wakers share with the loop.
struct Shared {
    unpark: ThreadUnpark,
    ready: Mutex<VecDeque<Runnable>>,
    /// A waker for each task that has not ended, to end it with the runtime.
    tasks: Mutex<Slab<Waker>>,
}

impl Runtime {
    /// Makes a runtime on the system's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(reveille::rt::Runtime::new().block_on(async { 1 }), 1);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with_driver(Driver::new(ThreadPark::new()))
    }

    /// Makes a runtime on a driver with a clock or slack of your choice.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{Driver, ThreadPark, rt::Runtime};
    /// use std::time::Duration;
    ///
    /// let driver = Driver::builder().slack(Duration::ZERO).build(ThreadPark::new());
    /// assert_eq!(Runtime::with_driver(driver).block_on(async { 1 }), 1);
    /// ```
    #[must_use]
    pub fn with_driver(driver: Driver<ThreadPark>) -> Self {
        let shared = Arc::new(Shared {
            unpark: driver.get_ref().unparker(),
            ready: Mutex::default(),
            tasks: Mutex::default(),
        });
        Self {
            driver,
            shared,
            batch: VecDeque::new(),
            not_send: PhantomData,
        }
    }

    /// Returns the handle of the runtime's timers.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut runtime = reveille::rt::Runtime::new();
    /// let sleep = runtime.handle().sleep(std::time::Duration::from_millis(1));
    /// runtime.block_on(sleep);
    /// ```
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.driver.handle()
    }

    /// Spawns a task; it runs during [`block_on`](Self::block_on).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut runtime = reveille::rt::Runtime::new();
    /// let task = runtime.spawn(async { 7 });
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// ```
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.clone().spawn(future)
    }

    /// Runs `future` and the tasks on this thread until `future` is ready.
    ///
    /// Tasks that are not ready then wait for the next call. A panic of `future` is the caller's;
    /// one of a task is its [`JoinHandle`]'s.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut runtime = reveille::rt::Runtime::new();
    /// assert_eq!(runtime.block_on(async { 1 }), 1);
    /// ```
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _current = Current::enter(self.shared.clone());
        let _entered = self.driver.handle().enter();
        let main = Arc::new(Main {
            woken: AtomicBool::new(true),
            shared: self.shared.clone(),
        });
        let waker = Waker::from(main.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            // Acquire: pairs with the release in `Main::wake_by_ref`.
            if main.woken.swap(false, Ordering::Acquire)
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            self.run_batch();
            self.driver.turn();
            if !main.woken.load(Ordering::Relaxed) && !self.has_ready() {
                self.idle();
            }
        }
    }

    /// Runs tasks that are ready, [`BATCH`] of them at most.
    fn run_batch(&mut self) {
        for _ in 0..BATCH {
            if self.batch.is_empty() {
                // All that is ready, for one lock.
                std::mem::swap(&mut self.batch, &mut *self.shared.ready());
            }
            let Some(task) = self.batch.pop_front() else {
                return;
            };
            task.run();
        }
    }

    fn has_ready(&self) -> bool {
        !self.batch.is_empty() || !self.shared.ready().is_empty()
    }

    /// Nothing is ready: sleeps, or, where time is moved by hand, moves it.
    fn idle(&mut self) {
        if !self.driver.handle().clock().advance_when_idle() {
            self.driver.park();
        }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("driver", &self.driver)
            .field("tasks", &self.shared.tasks().len())
            .finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    /// Drops all tasks: waking makes each of them runnable, and dropping a runnable ends its task.
    /// What a task spawns or wakes when it is dropped is ended in the next round.
    fn drop(&mut self) {
        let _current = Current::enter(self.shared.clone());
        let _entered = self.driver.handle().enter();
        loop {
            let tasks = std::mem::take(&mut *self.shared.tasks());
            tasks.into_iter().for_each(|(_, waker)| waker.wake());
            self.batch.append(&mut self.shared.ready());
            if self.batch.is_empty() {
                return;
            }
            self.batch.clear();
        }
    }
}

impl Shared {
    fn spawn<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
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

    fn spawn_local<F>(self: Arc<Self>, future: F) -> JoinHandle<F::Output>
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

    /// Runs `future`, and strikes the task off the list when it ends in whatever way.
    async fn watch<F: Future>(self: Arc<Self>, key: usize, future: F) -> F::Output {
        let _ended = Ended { shared: self, key };
        future.await
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

    fn ready(&self) -> MutexGuard<'_, VecDeque<Runnable>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Wakes the main future.
struct Main {
    woken: AtomicBool,
    shared: Arc<Shared>,
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
struct Current {
    previous: Option<Arc<Shared>>,
}

impl Current {
    fn enter(shared: Arc<Shared>) -> Self {
        Self {
            previous: CURRENT.with(|current| current.replace(Some(shared))),
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        let previous = self.previous.take();
        drop(CURRENT.with(|current| current.replace(previous)));
    }
}
