//! The settings of a runtime: its workers, its clock, its hooks.

use std::io;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::driver::slack::SharedSlack;
use crate::rt::inner::{Hook, Hooks};
use crate::rt::runtime::Runtime;

/// Sets up a [`Runtime`]; made by [`Runtime::builder`].
///
/// If a hook panics, the panic hook of the process reports it, and the thread goes on.
///
/// # Examples
///
/// ```
/// use reveille::{rt::Runtime, time::{sleep, Duration}};
///
/// let runtime = Runtime::builder()
///     .worker_threads(2)
///     .thread_name("timers")
///     .slack(Duration::ZERO)
///     .build()?;
/// runtime.block_on(async { sleep(Duration::from_millis(1)).await });
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    workers: Option<usize>,
    name: String,
    clock: Clock,
    slack: Option<Duration>,
    hooks: Hooks,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            name: "reveille-worker".into(),
            clock: Clock::monotonic(),
            slack: None,
            hooks: Hooks::default(),
        }
    }

    /// Sets the number of workers, the threads that run tasks. The default is the number of threads
    /// that can run at once, see [`available_parallelism`](std::thread::available_parallelism).
    ///
    /// One thread in [`block_on`](Runtime::block_on) is one of them, so one less is started. With 1
    /// no thread is started, and tasks run only during `block_on`. Values are clamped to
    /// `1..=32_768`.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::builder().worker_threads(1).build()?;
    /// let thread = std::thread::current().id();
    /// let task = runtime.spawn(async { std::thread::current().id() });
    /// assert_eq!(runtime.block_on(task).unwrap(), thread);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn worker_threads(mut self, count: usize) -> Self {
        self.workers = Some(count.clamp(1, 1 << 15));
        self
    }

    /// Sets the name of the threads, by default `reveille-worker`.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = reveille::rt::Runtime::builder().thread_name("timers");
    /// # drop(builder);
    /// ```
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the clock of the timers, by default [`Clock::monotonic`].
    ///
    /// A [`ManualClock`](crate::ManualClock), or a clock that was paused (`time::pause`), moves on
    /// to the next deadline by itself when all workers are idle and there is no [hold](super::hold)
    /// on it. While no thread is in `block_on`, the first worker has no thread and counts as busy:
    /// then time stands still.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{rt::Runtime, time::{sleep, Duration}};
    ///
    /// let clock = reveille::ManualClock::new();
    /// let runtime = Runtime::builder().clock(&clock).build()?;
    /// let start = clock.now();
    /// runtime.block_on(async { sleep(Duration::from_secs(3600)).await });
    /// assert_eq!(clock.now(), start + Duration::from_secs(3600));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets the slack: timers wake the runtime at most once per slack.
    ///
    /// See [`reveille::Builder::slack`](crate::Builder::slack), also for the slack that is chosen
    /// if none is set. The timers of all workers together count as dense or not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let frugal = reveille::rt::Runtime::builder().slack(Duration::from_millis(1));
    /// # drop(frugal);
    /// ```
    pub fn slack(mut self, slack: Duration) -> Self {
        self.slack = Some(slack);
        self
    }

    /// Sets a function that each thread of the runtime calls when it starts.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = reveille::rt::Runtime::builder().on_thread_start(|| println!("hello"));
    /// # drop(builder);
    /// ```
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.start = Hook::new(hook);
        self
    }

    /// Sets a function that each thread of the runtime calls before it ends.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = reveille::rt::Runtime::builder().on_thread_stop(|| println!("bye"));
    /// # drop(builder);
    /// ```
    pub fn on_thread_stop(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.stop = Hook::new(hook);
        self
    }

    /// Sets a function that each worker calls before it parks, also the one in `block_on`.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = reveille::rt::Runtime::builder().on_thread_park(|| println!("idle"));
    /// # drop(builder);
    /// ```
    pub fn on_thread_park(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.park = Hook::new(hook);
        self
    }

    /// Sets a function that each worker calls after it was parked, also if it has found something
    /// to do at the last moment and has not blocked.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = reveille::rt::Runtime::builder().on_thread_unpark(|| println!("awake"));
    /// # drop(builder);
    /// ```
    pub fn on_thread_unpark(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.unpark = Hook::new(hook);
        self
    }

    /// Makes the runtime and starts its threads.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread, or to open a file descriptor. Threads that were
    /// started are stopped. Also if the [name](Self::thread_name) contains a NUL, at which the
    /// system's names end.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::builder().build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn build(self) -> io::Result<Runtime> {
        if self.name.contains('\0') {
            // With such a name, the standard library panics.
            let error = format!("thread name {:?} contains a NUL: leave it out", self.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let default = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = self.workers.unwrap_or_else(default);
        Runtime::start(
            workers,
            &self.name,
            self.clock,
            SharedSlack::of(self.slack),
            self.hooks,
        )
    }
}

impl Runtime {
    /// Makes a runtime with the default settings of the [`Builder`].
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(reveille::rt::Runtime::new()?.block_on(async { 1 }), 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder, to set up a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::builder().worker_threads(1).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }
}
