//! [`DriverThread`], a thread that only runs a driver.
//!
//! It is for code that has no loop of its own, and serves as the process-wide thread.

use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::driver::shared::{Notifier, Origin};
use crate::driver::{Driver, Handle};
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};

/// A driver on a thread of its own, for code that has no loop to put one in.
///
/// The thread blocks in the kernel until the earliest deadline, and uses no CPU while there is
/// none. It calls the wakers, so each wake-up crosses threads, which it does not on a loop of your
/// own. Dropping the `DriverThread` stops the thread and waits until it has ended, unless a waker
/// drops it on the thread itself. [`Sleep`](crate::time::Sleep) describes what its timers do then.
///
/// After a `fork` the thread exists only in the parent, and a child has to make its own: timers on
/// the child's copy of this one never fire. (Dropping the copy neither stops the thread nor waits
/// for it. The process-wide thread, which the free functions use, is started again by itself.)
///
/// # Examples
///
/// ```
/// use reveille::DriverThread;
/// use std::time::Duration;
///
/// let timers = DriverThread::new()?;
/// pollster::block_on(timers.handle().sleep(Duration::from_millis(1)));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DriverThread {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The process that the thread is in.
    process: u32,
}

// Only `drop` joins the thread.
impl UnwindSafe for DriverThread {}
impl RefUnwindSafe for DriverThread {}

impl DriverThread {
    /// Starts the thread, on the system's monotonic clock.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Self> {
        Self::start("driver thread")
    }

    /// Starts the thread; `Debug` of its handle calls it by `name`.
    pub(super) fn start(name: &'static str) -> io::Result<Self> {
        let park = ThreadPark::new();
        let notifier = ThreadNotifier(park.unparker(), name);
        let mut driver = Driver::builder().driver(park, Box::new(notifier));
        let handle = driver.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("reveille".into())
            .spawn(move || {
                // Relaxed: the unpark that follows the store makes it visible.
                while !stopped.load(Ordering::Relaxed) {
                    driver.park();
                }
            })?;
        Ok(Self {
            handle,
            stop,
            thread: Some(thread),
            process: process::id(),
        })
    }

    /// Returns the handle through which timers are made.
    ///
    /// # Examples
    ///
    /// ```
    /// let timers = reveille::DriverThread::new()?;
    /// let _entered = timers.handle().enter();
    /// let sleep = reveille::time::sleep(std::time::Duration::from_millis(1));
    /// # drop(sleep);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Unparks the thread.
struct ThreadNotifier(ThreadUnpark, &'static str);

impl Notifier for ThreadNotifier {
    fn interrupt(&self) {
        self.0.unpark();
    }

    fn look_again(&self) {
        self.0.unpark();
    }

    fn origin(&self) -> Origin {
        Origin::of(self.1)
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        if self.process != process::id() {
            // Forked: joining or detaching a thread that does not exist in this process is
            // undefined.
            std::mem::forget(self.thread.take());
            self.handle.shared.abandon();
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.handle.unpark();
        // If a waker drops it on the thread itself, it cannot wait: the thread ends when that waker
        // returns.
        let thread = self
            .thread
            .take()
            .filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // The thread cannot have panicked: panics of wakers are caught.
            let _ = thread.join();
        }
    }
}
