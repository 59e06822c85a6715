//! [`ManualClock::simulate`]: runs a future on a manual clock, as fast as its work allows.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::backend::coop;
use crate::clock::ManualClock;
use crate::driver::Driver;
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};

impl ManualClock {
    /// Runs `future` to its end on this thread, and returns its output and how much time has passed
    /// for it.
    ///
    /// Timers that the future makes are on this clock. When the future waits and nothing is due,
    /// time moves on to the next deadline: hours of waiting take no time. A future that waits for
    /// something else than a timer, such as another thread, is waited for, and time does not move
    /// while there is a [`hold`](Self::hold). Read instants inside of the future. For tasks that
    /// are spawned, use a runtime on this clock:
    /// `rt::Runtime::builder().worker_threads(1).clock(&clock)` (feature `rt`).
    ///
    /// The same future does the same in each run: see
    /// [reproducible runs](Self#reproducible-runs). A future that waits for ever, with no timer
    /// left, is waited for, too: put a [`timeout`](crate::time::timeout()) around it, which costs no
    /// time. An interval that nobody ends keeps time moving for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::{ManualClock, time::{sleep, timeout, Duration}};
    ///
    /// let (result, elapsed) = ManualClock::new().simulate(async {
    ///     for attempt in 0..5 {
    ///         sleep(Duration::from_secs(1 << attempt)).await; // back off
    ///     }
    ///     timeout(Duration::from_secs(60), std::future::pending::<()>()).await
    /// });
    /// assert!(result.is_err());
    /// assert_eq!(elapsed, Duration::from_secs(1 + 2 + 4 + 8 + 16 + 60));
    /// ```
    pub fn simulate<F: Future>(&self, future: F) -> (F::Output, Duration) {
        let park = ThreadPark::new();
        let woken = Arc::new(Woken {
            // It has to be polled once to begin with.
            woken: AtomicBool::new(true),
            unpark: park.unparker(),
        });
        let mut driver = Driver::builder().clock(self).build(park);
        let _entered = driver.handle().clone().enter();
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        let start = self.now();
        loop {
            // Acquire: pairs with the release of the wake.
            while woken.woken.swap(false, Ordering::Acquire) {
                let poll = coop::budget(|| future.as_mut().poll(&mut cx));
                if let Poll::Ready(output) = poll {
                    return (output, self.now() - start);
                }
            }
            if !driver.advance_when_idle() {
                driver.park();
            }
        }
    }
}

/// Wakes the future.
struct Woken {
    woken: AtomicBool,
    unpark: ThreadUnpark,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.unpark.unpark();
    }
}
