//! A timer for each operation, one that is reset, and a pool of timers, measured.
//!
//! ```sh
//! cargo run --release --example timer_reuse
//! ```
//!
//! In Go a timer is three allocations, so programs keep used ones in a `sync.Pool`. Here a timer is
//! a value inside of its future and allocates nothing: a pool only adds its lock, and one more
//! allocation for each timer that it keeps. It is shown here to be measured. To reset a timer saves
//! a few instructions, which is worth while only in a hot loop.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

use reveille::go::Timer;
use reveille::time::{Duration, Instant};
use reveille::{Driver, ThreadPark};

/// Timers that are not in use, like `sync.Pool` in Go.
#[derive(Default)]
pub(crate) struct TimerPool {
    unused: Mutex<Vec<Timer>>,
}

impl TimerPool {
    /// Takes a timer out of the pool, or makes one.
    pub(crate) fn get(&self, duration: Duration) -> Timer {
        let unused = self.lock().pop();
        match unused {
            Some(mut timer) => {
                timer.reset(duration);
                timer
            }
            None => Timer::new(duration),
        }
    }

    /// Gives a timer back. It is stopped; there is no channel to drain.
    pub(crate) fn put(&self, mut timer: Timer) {
        timer.stop();
        self.lock().push(timer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Timer>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that ends before its limit: the timer is armed and then not needed.
fn operation(timer: &mut Timer) {
    let poll = Pin::new(timer).poll(&mut Context::from_waker(Waker::noop()));
    assert!(black_box(poll).is_pending());
}

/// Returns the time that one operation takes with a new timer, with one that is reset, and with one
/// out of a pool.
pub(crate) fn measure(operations: u32) -> [Duration; 3] {
    const LIMIT: Duration = Duration::from_secs(60);
    // The driver of a loop: no other thread is involved.
    let driver = Driver::new(ThreadPark::new());
    let _entered = driver.handle().enter();
    let time = |each: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..operations).for_each(|_| each());
        start.elapsed() / operations
    };

    let new = time(&mut || operation(&mut Timer::new(LIMIT)));
    let mut timer = Timer::new(LIMIT);
    let reset = time(&mut || {
        timer.reset(LIMIT);
        operation(&mut timer);
    });
    let pool = TimerPool::default();
    let pooled = time(&mut || {
        let mut timer = pool.get(LIMIT);
        operation(&mut timer);
        pool.put(timer);
    });
    [new, reset, pooled]
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    let [new, reset, pooled] = measure(1_000_000);
    println!("A million operations with a limit that is not reached; one operation takes, with");
    println!("  a timer of its own      {new:>6.1?}");
    println!("  one timer that is reset {reset:>6.1?}");
    println!("  a timer out of a pool   {pooled:>6.1?}");
}
