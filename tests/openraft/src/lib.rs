//! A runtime for openraft on `reveille::rt`.
//!
//! Tasks and timers are those of `rt`. Channels and the mutex are tokio's, which work on any
//! executor.

use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot, TokioWatch};
use reveille::rt::{self, JoinError, JoinHandle, Runtime};
use reveille::time::{self, Sleep, Timeout, error::Elapsed};

/// A runtime of `rt`, as openraft asks for one. What openraft spawns goes to the runtime that is
/// current there.
#[derive(Debug)]
pub struct Rt {
    runtime: Runtime,
}

impl From<Runtime> for Rt {
    fn from(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

impl AsyncRuntime for Rt {
    type JoinError = JoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = rand::rngs::ThreadRng;
    type Mpsc = TokioMpsc;
    type Watch = TokioWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        rt::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        time::sleep(duration)
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        time::sleep_until(deadline.0)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Timeout<F> {
        time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Instant,
        future: F,
    ) -> Timeout<F> {
        time::timeout_at(deadline.0, future)
    }

    fn is_panic(error: &JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> rand::rngs::ThreadRng {
        rand::rng()
    }

    fn new(threads: usize) -> Self {
        let runtime = Runtime::builder().worker_threads(threads).build();
        Self::from(runtime.expect("a runtime"))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.runtime.block_on(future)
    }

    fn spawn_blocking<F, T>(function: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let task = rt::spawn_blocking(function);
        async { Ok(task.await?) }
    }
}

/// An instant of this crate. openraft's trait cannot be implemented for that outside of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(time::Instant);

impl openraft_rt::Instant for Instant {
    fn now() -> Self {
        Self(time::Instant::now())
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0 - earlier.0
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}
