//! The runtime as its owner has it: its threads, its start, and its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::driver::slack::SharedSlack;
use crate::park::worker::{Parkers, park_without_io, worker_park};
use crate::rt::block_on::leave;
use crate::rt::core::Core;
use crate::rt::handle::Handle;
use crate::rt::inner::{Hooks, Inner};
use crate::rt::join::JoinHandle;
use crate::rt::local::ThreadUnparker;
use crate::rt::reactor::Reactor;
use crate::rt::scopes::{Entered, ScopeGuard, while_blocked};
use crate::rt::worker::{Mode, Worker};
use crate::sync::thread;

/// An executor on one thread or several, with timers on each.
///
/// Every worker has a queue of tasks and a heap of timers. A worker without work steals tasks from
/// the others, and fires the timers that they do not get to. When there is nothing left to do, one
/// worker parks until the earliest deadline of all, and the others park until they are needed.
///
/// As long as threads are in [`block_on`](Self::block_on), one of them is one of the workers. In a
/// runtime with one worker, tasks run only then. In one with several, their threads run tasks at
/// any time.
///
/// Dropping the runtime waits for its threads to return from the tasks that they run, and drops the
/// tasks that have not ended. A task that blocks keeps it waiting; see
/// [`shutdown_timeout`](Self::shutdown_timeout) for a limit. A thread that is still in
/// [`Handle::block_on`] is not waited for: its future and its timers go on, without tasks. A
/// destructor of a task or of a main future may call [`block_on`](Handle::block_on): its timers
/// fire, its local tasks run, and if its thread runs a worker, that runs no other task meanwhile.
/// (A thread that runs none may become a worker, as in any call.) It must not wait for the end of
/// its own runtime, for example by joining a thread that drops the [`Runtime`]: that end waits for
/// the destructor. A future that is spawned when the runtime has begun to end is dropped by the
/// thread that spawns it, and the runtime does not wait for that.
///
/// # Blocking
///
/// A task must not block its thread: it keeps that from other tasks. The future in `block_on` may.
///
/// But if a task blocks, other workers take over all that can leave its thread: the tasks in its
/// queue, its timers, and the one task that it has woken to run next on its thread. An idle worker
/// takes that one after 5 ms at first, or after up to 20 ms if the thread was busy before. Local
/// tasks cannot leave the thread, and wait.
///
/// A [`Waker`](std::task::Waker) that is made by hand must not block either: the worker that fires
/// its timer waits for it, and other timers and tasks may wait until it returns.
///
/// # Examples
///
/// ```
/// use reveille::{rt::{self, Runtime}, time::{sleep, Duration}};
///
/// let runtime = Runtime::new()?;
/// let sum = runtime.block_on(async {
///     let tasks: Vec<_> = (1..=10)
///         .map(|n| rt::spawn(async move {
///             sleep(Duration::from_millis(1)).await;
///             n
///         }))
///         .collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum, 55);
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Runtime {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Runs `future` to completion on this thread, with timers and tasks. Returns its output.
///
/// It makes a [`Runtime`] with one worker for the call. When `future` is ready, tasks that have not
/// ended are dropped. Timers that `future` makes are on that runtime; a timer in the argument
/// itself (`block_on(sleep(…))`) is made before the runtime.
///
/// Inside a task this makes a second runtime, and blocks the worker of the first. If that has one
/// worker, its other tasks wait meanwhile, and so does a timer in the argument, for ever. Write
/// `block_on(async { sleep(limit).await })`, or better, `await`.
///
/// # Examples
///
/// ```
/// use reveille::time::{sleep, Duration};
///
/// reveille::rt::block_on(async { sleep(Duration::from_millis(1)).await });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    Runtime::single().block_on(future)
}

impl Runtime {
    /// Makes a runtime of one worker, for a single call of `block_on`.
    pub(super) fn single() -> Self {
        let (reactor, parkers) = parkers(1).unwrap_or_else(|reason| {
            // A runtime without I/O: registering a descriptor fails with the reason.
            let parker = park_without_io();
            (Arc::new(Reactor::without_io(reason)), Box::new([parker]))
        });
        let (inner, _) = Inner::new(
            reactor,
            parkers,
            Clock::monotonic(),
            SharedSlack::adaptive(),
            Hooks::default(),
        );
        Self {
            handle: Handle::new(inner),
            threads: Vec::new(),
        }
    }

    pub(super) fn start(
        workers: usize,
        name: &str,
        clock: Clock,
        slack: SharedSlack,
        hooks: Hooks,
    ) -> io::Result<Self> {
        let (reactor, parkers) = parkers(workers)?;
        let (inner, cores) = Inner::new(reactor, parkers, clock, slack, hooks);
        let mut runtime = Self {
            handle: Handle::new(inner.clone()),
            threads: Vec::new(),
        };
        for core in cores {
            inner.add_member();
            let worker = WorkerThread(inner.clone());
            let thread = thread::Builder::new()
                .name(name.into())
                .spawn(move || worker.run(core))?;
            runtime.threads.push(thread);
        }
        Ok(runtime)
    }

    /// Returns a handle, by which any thread spawns tasks and makes timers.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// let handle = runtime.handle().clone();
    /// let task = std::thread::spawn(move || handle.spawn(async { 7 })).join().unwrap();
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a task.
    ///
    /// In a runtime with one worker it runs during [`block_on`](Self::block_on), otherwise at once.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// let task = runtime.spawn(async { 7 });
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Makes this the current runtime of this thread until the guard is dropped; see
    /// [`Handle::enter`].
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{rt::{self, Runtime}, time};
    ///
    /// let runtime = Runtime::new()?;
    /// let entered = runtime.enter();
    /// let sleep = time::sleep(time::Duration::from_millis(1)); // on the runtime's timers
    /// runtime.block_on(sleep);
    /// # drop(entered);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn enter(&self) -> Entered {
        self.handle.enter()
    }

    /// Runs `future` to completion on this thread, and tasks meanwhile. Returns its output.
    ///
    /// Any number of threads may call this at the same time: one of them is a worker. A panic of
    /// `future` goes to the caller, a panic of a task to its [`JoinHandle`]. Local tasks that
    /// `future` or its local tasks have spawned end with the call.
    ///
    /// # Panics
    ///
    /// If called by a future that this runtime polls, or by anything else that a worker calls (a
    /// timer's function, a waker made by hand, a park hook): the thread would wait for itself.
    /// There, `block_on` of another runtime may be called, which blocks the worker.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// assert_eq!(runtime.block_on(async { 1 }), 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Shuts the runtime down, and waits at most `timeout` for its threads and those in
    /// [`Handle::block_on`]. Returns whether all have left the runtime.
    ///
    /// Tasks are not polled again. Those that have not ended are dropped, at the latest by the last
    /// thread that leaves. A thread that blocks in a task for longer than `timeout` leaves when it
    /// returns from that. Until the last one has left, timers of the runtime that are awaited
    /// elsewhere do not move to another driver, and fire only while a thread runs a worker.
    ///
    /// This may take longer than `timeout`: if the calling thread is the last one to leave, it runs
    /// the destructors of all tasks, however long they take. Inside the runtime, as in one of its
    /// tasks, the call waits all of `timeout` for its own thread: with `Duration::MAX` for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = reveille::rt::Runtime::new()?;
    /// let task = runtime.spawn(std::future::pending::<()>());
    /// assert!(runtime.shutdown_timeout(Duration::from_secs(5)));
    /// assert!(task.is_finished());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "the caller may ignore it")]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> bool {
        let inner = self.handle.inner().clone();
        // The threads end by themselves: dropping the runtime waits for none of them.
        self.threads.clear();
        drop(self);
        // Without a wait this thread does not block, and time stays where it is.
        if timeout.is_zero() || inner.has_ended() {
            return inner.has_ended();
        }
        while_blocked(&inner, || inner.wait_until_ended(timeout))
    }

    /// Shuts the runtime down without waiting for other threads; see
    /// [`shutdown_timeout`](Self::shutdown_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::new()?;
    /// runtime.shutdown_background();
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }
}

// As for `Handle`: a panic leaves nothing half done.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let inner = self.handle.inner();
        inner.stop();
        // A task that drops its own runtime cannot wait for its thread: that ends when the task
        // returns.
        let here = thread::current().id();
        self.threads.retain(|thread| thread.thread().id() != here);
        if !self.threads.is_empty() {
            while_blocked(inner, || {
                for thread in self.threads.drain(..) {
                    // No worker panics.
                    let _ = thread.join();
                }
            });
        }
        leave(inner);
    }
}

/// Makes the reactor of a runtime, and the parkers of its workers.
fn parkers(workers: usize) -> io::Result<(Arc<Reactor>, Parkers)> {
    let reactor = Arc::new(Reactor::new()?);
    let park = |_| worker_park(workers, reactor.io_source());
    let parkers: io::Result<_> = (0..workers).map(park).collect();
    Ok((reactor, parkers?))
}

/// A thread that runs one worker as long as the runtime runs.
struct WorkerThread(Arc<Inner>);

impl WorkerThread {
    fn run(self, core: Core) {
        let (pool, hooks) = (&self.0.pool, &self.0.hooks);
        hooks.start.call();
        let guard = ScopeGuard::running(self.0.clone(), ThreadUnparker::of_worker(core.index));
        let scope = guard.scope();
        scope.set_core(core);
        pool.idle.add_thread();
        let entered = Entered::new(self.0.clone());
        if let Some(core) = scope.core() {
            Worker::new(scope, &core, Mode::WithTasks).run(&|| pool.is_stopping());
        }
        scope.shutdown_local();
        drop(entered);
        if let Some(core) = scope.take_core() {
            self.0.stop_worker(core);
        }
        drop(guard);
        // For a thread in `block_on` that is parked.
        if pool.has_work() {
            pool.idle.notify_one();
        }
        hooks.stop.call();
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        leave(&self.0);
    }
}
