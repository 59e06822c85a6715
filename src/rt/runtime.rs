//! In what order does an executor run tasks, fire timers and sleep?
//!
//! Each pass of the loop: poll the main future if it was woken; run a batch of ready tasks; turn
//! the driver, so that timers fire even if tasks never run out; and only if nothing is ready, park
//! until the next deadline or wake-up. Timers that fire push their tasks onto the same queue that
//! everything else does, in order of deadline.
//!
//! How wake-ups reach the queue, and why none is lost to a park, is told in `rt/shared.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_task::Runnable;

use crate::driver::Driver;
use crate::handle::Handle;
use crate::park::{Park, ThreadPark};
use crate::rt::shared::{Current, Main, Shared, current};
use crate::rt::task::JoinHandle;

/// How many tasks run between two looks at the timers.
const BATCH: usize = 64;

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
/// A panic of the task is its [`JoinHandle`]'s. A panic in the *drop* of its future, or of an
/// output that nobody took, aborts the process.
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
        let shared = Shared::new(driver.get_ref().unparker());
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
        let main = Main::new(self.shared.clone());
        let waker = Waker::from(main.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if main.take_woken()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            self.run_batch();
            self.driver.turn();
            if !main.is_woken() && !self.has_ready() {
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
        if !self.driver.advance_when_idle() {
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
            let tasks: Vec<Waker> = {
                let tasks = self.shared.tasks();
                tasks.iter().map(|(_, waker)| waker.clone()).collect()
            };
            tasks.into_iter().for_each(Waker::wake);
            self.batch.append(&mut self.shared.ready());
            if self.batch.is_empty() {
                if self.shared.tasks().is_empty() {
                    return;
                }
                // Another thread is waking the rest just now: it pushes them and then unparks.
                self.driver.get_mut().park(None);
            }
            self.batch.clear();
        }
    }
}
