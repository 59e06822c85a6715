//! Timers on tokio's runtimes: those of the module `time` of the crate that includes this file.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use harness::Contender;

use super::{CT, MT, prepare, time};

/// The differences between the three contenders.
pub trait Flavor: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    const THREADS: usize;
    const MANY_WORKERS: bool = true;
    fn runtime(threads: usize) -> tokio::runtime::Runtime;
}

#[derive(Clone)]
pub struct Tokio<F>(std::marker::PhantomData<F>);

impl<Fl: Flavor> Contender for Tokio<Fl> {
    const NAME: &'static str = Fl::NAME;
    const THREADS: usize = Fl::THREADS;
    const MANY_WORKERS: bool = Fl::MANY_WORKERS;
    type Timer = time::Sleep;
    type Ticker = time::Interval;

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let rt = Fl::runtime(threads);
        let prepared = prepare(&rt);
        let task = rt.spawn(async move { main(Tokio(std::marker::PhantomData)).await });
        let result = rt.block_on(task).unwrap();
        drop(prepared);
        result
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(fut);
    }
    fn outside<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce() -> T + Send + 'static {
        let runtime = tokio::runtime::Handle::current();
        move || {
            let _entered = runtime.enter();
            work()
        }
    }
    fn sleep(&self, dur: Duration) -> time::Sleep {
        time::sleep(dur)
    }
    fn sleep_until(&self, at: Instant) -> time::Sleep {
        time::sleep_until(at.into())
    }
    fn reset(&self, timer: Pin<&mut time::Sleep>, dur: Duration) {
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
    fn ticker(&self, start: Instant, period: Duration) -> time::Interval {
        time::interval_at(start.into(), period)
    }
    async fn tick(ticker: &mut time::Interval) {
        ticker.tick().await;
    }
}

/// On the current-thread runtime.
#[derive(Clone)]
pub struct Ct;

impl Flavor for Ct {
    const NAME: &'static str = CT;
    const THREADS: usize = 1;
    const MANY_WORKERS: bool = false;
    fn runtime(_: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }
}

/// On the multi-thread runtime.
#[derive(Clone)]
pub struct Mt;

impl Flavor for Mt {
    const NAME: &'static str = MT;
    const THREADS: usize = 2;
    fn runtime(threads: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap()
    }
}
