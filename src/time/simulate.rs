//! [`ManualClock::simulate`]: runs a future on a manual clock, as fast as its work allows.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::backend::{coop, tokio_driver};
use crate::clock::ManualClock;
use crate::driver::{Driver, Handle};
use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};
use crate::sync::atomic::{AtomicBool, Ordering};

impl ManualClock {
    /// Runs `future` to its end on this thread, and returns its output and how much time has passed
    /// for it.
    ///
    /// Timers that the future makes are on this clock. When the future waits and nothing is due,
    /// time moves on to the next deadline: hours of waiting take no time. A future that waits for
    /// something else than a timer, such as another thread, is waited for, and time does not move
    /// while there is a [`hold`](Self::hold). For tasks that are spawned, use a runtime on this
    /// clock: `rt::Runtime::builder().worker_threads(1).clock(&clock)` (feature `rt`).
    ///
    /// Make timers, and read instants, *inside* of the future: `simulate(async { sleep(d).await
    /// })`. The argument of `simulate(sleep(d))` is made before this call. Inside a runtime, such
    /// as that of a `#[tokio::test]`, that timer is the runtime's, and not on this clock. Tokio's
    /// own timers are never on it.
    ///
    /// The same future does the same in each run: see [reproducible runs](Self#reproducible-runs).
    /// A future that waits for ever, with no timer left, is waited for, too: put a
    /// [`timeout`](crate::time::timeout()) around it, inside, as the example does. It costs no
    /// time. An interval that nobody ends keeps time moving for ever.
    ///
    /// # Panics
    ///
    /// If the future has nothing left to do on this clock, and waits for a timer of the driver that
    /// was current at this call. A runtime of one thread could not fire it: its thread is the one
    /// that calls this. On any other driver it would take real time. (This is not noticed if the
    /// timer was polled with a waker of its own, as in a `FuturesUnordered`. Then it is waited
    /// for.)
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
    #[track_caller]
    pub fn simulate<F: Future>(&self, future: F) -> (F::Output, Duration) {
        let outer = Handle::entered().or_else(tokio_driver::known_handle);
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
            // In this order: a thread that holds the clock wakes the future, and then ends its
            // hold. If the hold is seen to be over, the wake is seen, too, and the future is polled
            // before time moves. If the hold ends after this, its end unparks the driver.
            let was_free = driver.handle().clock().may_move();
            if woken.woken.load(Ordering::Acquire) || was_free && driver.advance_when_idle() {
                continue;
            }
            // Nothing is due. A thread that holds no clock may have woken the future meanwhile.
            if was_free && !woken.woken.load(Ordering::Acquire) {
                check_timers_of(outer.as_ref(), &waker);
            }
            driver.park();
        }
    }
}

/// Panics if the future waits for a timer of `outer`, the driver that was current before its own.
#[track_caller]
fn check_timers_of(outer: Option<&Handle>, waker: &Waker) {
    if let Some(outer) = outer.filter(|outer| outer.shared.has_waker_of(waker)) {
        panic!(
            "simulate waits for a timer that is not on its clock: it was made before the call, on the \
             driver that is current there ({}). Make timers inside of the future: \
             `simulate(async {{ timeout(limit, work).await }})`, not `simulate(timeout(limit, work))`",
            outer.shared.origin().name
        );
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
        // Not a store, which loom's models do not order against the swap of the loop.
        self.woken.swap(true, Ordering::Release);
        self.unpark.unpark();
    }
}
