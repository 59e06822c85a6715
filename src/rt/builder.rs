//! How many workers, on which clock, and who is told?

use std::io;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::driver;
use crate::instant::nanos;
use crate::rt::inner::{Hook, Hooks};
use crate::rt::runtime::Runtime;

/// Sets up a [`Runtime`]; made by [`Runtime::builder`].
///
/// A hook that panics is reported as any panic is, and the thread goes on.
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
    slack: Duration,
    hooks: Hooks,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            name: "reveille-worker".into(),
            clock: Clock::monotonic(),
            slack: driver::Builder::DEFAULT_SLACK,
            hooks: Hooks::default(),
        }
    }

    /// Sets how many threads run tasks, by default as many as can run at once.
    ///
    /// The one that waits in [`block_on`](Runtime::block_on) is one of them, so one less is started,
    /// and with 1 none: then tasks run only during `block_on`. Zero counts as one, more than
    /// 32 768 as that.
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

    /// Sets what the threads are called, `reveille-worker` by default.
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

    /// Sets the clock of the timers, [`Clock::monotonic`] by default.
    ///
    /// One that stands still, a [`ManualClock`](crate::ManualClock) or one that was
    /// paused (`time::pause`), moves on to the next deadline by itself when all workers are
    /// idle and nobody [holds](super::hold) it. A thread that is not in `block_on` is not idle: so
    /// time stands still outside of it.
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

    /// Sets how far apart wake-ups are kept when timers are dense, 150 µs by default.
    ///
    /// What that means is told at [`reveille::Builder::slack`](crate::Builder::slack); here it is
    /// the timers of all workers together that are dense or not.
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
        self.slack = slack;
        self
    }

    /// Has each thread that the runtime starts call a function before anything else.
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

    /// Has each thread that the runtime started call a function before it ends.
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

    /// Has each worker call a function before it sleeps, that in `block_on` included.
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

    /// Has each worker call a function after it has slept.
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
    /// If the system refuses to start a thread; those that were started are stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reveille::rt::Runtime::builder().build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn build(self) -> io::Result<Runtime> {
        let workers = self.workers.unwrap_or_else(|| {
            let count = thread::available_parallelism();
            count.map_or(1, NonZeroUsize::get)
        });
        Runtime::start(
            workers,
            &self.name,
            self.clock,
            nanos(self.slack),
            self.hooks,
        )
    }
}

impl Runtime {
    /// Makes a runtime with as many workers as can run at once, on the system's clock.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
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

    /// Starts to set up a runtime.
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
