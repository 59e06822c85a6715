//! The one trait a contender implements.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

/// A timer crate plus the executor it is measured on.
///
/// The value itself is a cheap handle that is cloned into every task (empty
/// for crates whose timers are reached through a global or a thread-local).
///
/// All methods are called from inside a task spawned on the runtime made by
/// [`Contender::run`].
pub trait Contender: Clone + Send + Sync + 'static {
    /// Name in the results.
    const NAME: &'static str;

    /// Worker threads, except where the workload says how many (W5, W10, W12).
    const THREADS: usize = 1;

    /// Whether [`Contender::run`] can start several workers. One that cannot leaves out W5, and
    /// W10 and W12 with `from=workers`.
    const MANY_WORKERS: bool = true;

    /// Whether timers fire. One whose timers do not leaves out W11 with `short` above 0.
    const FIRES: bool = true;

    /// Workloads this contender cannot do ("w4", "w5", ...).
    const SKIP: &'static [&'static str] = &[];

    /// One-shot timer. It may be `!Unpin`; `!Send` timers can be wrapped in
    /// [`AssertSend`] (and must then skip "w5", "w10" and "w12").
    type Timer: Future + Send + 'static;

    /// Periodic timer.
    type Ticker: Send + 'static;

    /// Starts the runtime with `threads` workers, spawns `main(ctx)` on it as
    /// an ordinary task, and blocks until that task is done.
    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static;

    /// Spawns a detached task.
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Wraps `work` for a thread that is not the runtime's, so that the timers which it makes there
    /// are the runtime's. The default is for timers that do not depend on the thread.
    fn outside<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce() -> T + Send + 'static {
        work
    }

    /// A timer due `dur` from now (the contender reads its own clock, once).
    fn sleep(&self, dur: Duration) -> Self::Timer;

    /// A timer due at `at`.
    fn sleep_until(&self, at: Instant) -> Self::Timer;

    /// Moves an (armed) timer to `dur` from now.
    fn reset(&self, timer: Pin<&mut Self::Timer>, dur: Duration);

    /// A future limited to `dur`. The default polls the future first and then
    /// the timer, exactly like `tokio::time::timeout`; override it where the
    /// crate has a timeout of its own.
    fn timeout<F>(&self, dur: Duration, fut: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        let timer = self.sleep(dur);
        async move {
            let mut fut = pin!(fut);
            let mut timer = pin!(timer);
            poll_fn(|cx| {
                if let Poll::Ready(v) = fut.as_mut().poll(cx) {
                    return Poll::Ready(Some(v));
                }
                match timer.as_mut().poll(cx) {
                    Poll::Ready(_) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        }
    }

    /// A ticker: first tick at `start`, then every `period`.
    fn ticker(&self, start: Instant, period: Duration) -> Self::Ticker;

    /// Waits for the next tick.
    fn tick(ticker: &mut Self::Ticker) -> impl Future<Output = ()> + Send + '_;
}

/// For contenders without a periodic timer: one boxed timer, re-created for
/// every tick at `start + k * period`.
pub struct RearmTicker<C: Contender> {
    ctx: C,
    next: Instant,
    period: Duration,
}

impl<C: Contender> RearmTicker<C> {
    pub fn new(ctx: C, start: Instant, period: Duration) -> Self {
        Self {
            ctx,
            next: start,
            period,
        }
    }

    pub async fn tick(&mut self) {
        self.ctx.sleep_until(self.next).await;
        self.next += self.period;
    }
}

/// Lets a `!Send` timer satisfy the trait for single-threaded workloads.
pub struct AssertSend<T>(pub T);
// SAFETY: by contract only used by contenders whose runtime has one thread.
unsafe impl<T> Send for AssertSend<T> {}
impl<T: Future> Future for AssertSend<T> {
    type Output = T::Output;
    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<T::Output> {
        // SAFETY: structural pinning of the only field.
        unsafe { self.map_unchecked_mut(|s| &mut s.0) }.poll(cx)
    }
}
