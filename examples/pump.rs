//! Timers on an executor whose wakers must stay on their thread: a task fires the timers.
//!
//! ```sh
//! cargo run --release --features smol --example pump
//! ```
//!
//! The timers of a program without a driver of its own are fired by the process-wide thread, which
//! wakes tasks from outside. Some executors do not allow that (monoio without its feature `sync`),
//! but they have a timer of their own. So one task, the *pump*, holds the [`Driver`], sleeps on the
//! executor's timer until the next deadline, and fires the due timers on the executor's own thread.
//! All other code calls `sleep`, `timeout` and `interval` as usual, because the driver is entered
//! on that thread.
//!
//! The timers are as punctual as the executor's timer, and must stay on its thread: arming one on
//! another thread would wake the pump from there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use reveille::time::{Duration, Instant, interval, sleep, timeout};
use reveille::{Driver, Handle};

/// Returns a handle of a driver, and the future that fires its timers as long as it is polled.
///
/// `sleep` is the executor's own timer.
pub fn pump<S>(sleep: impl Fn(Duration) -> S) -> (Handle, impl Future<Output = ()>)
where
    S: Future,
{
    let interrupt = Arc::new(Interrupt::default());
    let unpark = interrupt.clone();
    let mut driver = Driver::with_unpark(move || unpark.set());
    let handle = driver.handle().clone();
    let fire = async move {
        loop {
            driver.turn();
            match driver.next_timeout() {
                // More timers are due. The tasks that the turn has woken run first.
                Some(Duration::ZERO) => yield_now().await,
                Some(timeout) => interrupt.or(sleep(timeout)).await,
                None => interrupt.or(std::future::pending::<()>()).await,
            }
        }
    };
    (handle, fire)
}

/// Set when a timer is armed that is due before the pump would wake.
#[derive(Default)]
struct Interrupt(Mutex<(bool, Option<Waker>)>);

impl Interrupt {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends when `sleep` ends, or when interrupted.
    async fn or(&self, sleep: impl Future) {
        let mut sleep = pin!(sleep);
        poll_fn(|cx| {
            // A waker's code may use the timers, so none is cloned or dropped under the lock.
            let waker = cx.waker().clone();
            let old = {
                let mut state = self.0.lock().unwrap();
                if std::mem::take(&mut state.0) {
                    return Poll::Ready(());
                }
                state.1.replace(waker)
            };
            drop(old);
            sleep.as_mut().poll(cx).map(drop)
        })
        .await;
    }
}

/// Lets the other tasks run once.
async fn yield_now() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn main() {
    // smol stands for any executor of one thread that has a timer.
    let executor = smol::LocalExecutor::new();
    let (handle, fire) = pump(smol::Timer::after);
    let _pump = executor.spawn(fire);
    let _entered = handle.enter();

    smol::block_on(executor.run(async {
        let start = Instant::now();
        let tasks: Vec<_> = [30, 10, 20]
            .into_iter()
            .map(|millis| {
                executor.spawn(async move {
                    sleep(Duration::from_millis(millis)).await;
                    println!("{millis} ms: {:?}", start.elapsed());
                })
            })
            .collect();
        let mut ticks = interval(Duration::from_millis(5));
        for _ in 0..3 {
            ticks.tick().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(10));
        let never = std::future::pending::<()>();
        assert!(timeout(Duration::from_millis(1), never).await.is_err());
        for task in tasks {
            task.await;
        }
        assert_eq!(handle.armed(), 0);
        println!("all timers fired on the executor's thread");
    }));
}
