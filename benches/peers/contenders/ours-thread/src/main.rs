//! reveille's timers on its process-wide driver thread, on async-executor, which enters no driver.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_executor::Executor;
use futures_lite::future::block_on;
use harness::Contender;
use reveille::time::{self, Interval, Sleep};

static EX: Executor<'static> = Executor::new();

#[derive(Clone)]
struct OursThread;

impl Contender for OursThread {
    const NAME: &'static str = "ours_thread";
    type Timer = Sleep;
    type Ticker = Interval;

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        for _ in 1..threads {
            std::thread::spawn(|| block_on(EX.run(std::future::pending::<()>())));
        }
        let task = EX.spawn(async move { main(OursThread).await });
        block_on(EX.run(task))
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        EX.spawn(fut).detach();
    }
    fn sleep(&self, dur: Duration) -> Sleep {
        time::sleep(dur)
    }
    fn sleep_until(&self, at: Instant) -> Sleep {
        time::sleep_until(at.into())
    }
    fn reset(&self, timer: Pin<&mut Sleep>, dur: Duration) {
        timer.reset(time::Instant::now() + dur);
    }
    fn timeout<F>(&self, dur: Duration, fut: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        let t = time::timeout(dur, fut);
        async move { t.await.ok() }
    }
    fn ticker(&self, start: Instant, period: Duration) -> Interval {
        time::interval_at(start.into(), period)
    }
    async fn tick(ticker: &mut Interval) {
        ticker.tick().await;
    }
}

fn main() {
    harness::main::<OursThread>()
}
