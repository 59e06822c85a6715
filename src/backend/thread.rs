//! A thread that does nothing but drive timers.

use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::driver::Driver;
use crate::driver::Handle;
use crate::park::ThreadPark;

/// A driver on a thread of its own, for code that has no loop to put one in.
///
/// It sleeps in the kernel until the earliest deadline, and costs nothing while there is none.
/// Wakers run on it, so a wake-up crosses threads; on a loop of your own it does not. Dropping it
/// stops the thread and waits for that, unless a waker drops it on the thread itself; what becomes
/// of its timers is told at [`Sleep`](crate::time::Sleep).
///
/// After a `fork` the thread exists in the parent alone, and a child has to make its own: timers on a
/// copy of this one never fire there. (Dropping the copy stops nothing and waits for nobody. The
/// process-wide thread, which serves the free functions, is started anew by itself.)
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

// The thread is joined by `drop` alone.
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
        let mut driver = Driver::new(ThreadPark::new());
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

impl Drop for DriverThread {
    fn drop(&mut self) {
        if self.process != process::id() {
            // Forked: joining or detaching a thread that is not here is undefined.
            std::mem::forget(self.thread.take());
            self.handle.shared.abandon();
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.handle.unpark();
        // Dropped by a waker on the thread itself, it cannot wait for itself: the thread ends then
        // when that waker returns.
        let thread = self
            .thread
            .take()
            .filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // It cannot have panicked: wakers are shielded.
            let _ = thread.join();
        }
    }
}
