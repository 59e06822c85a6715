//! The contender `tokio` with `reveille::time` in place of `tokio::time`: on the current-thread
//! runtime and on the multi-thread runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use harness::Contender;
use reveille::time::{Interval, Sleep};

#[doc(hidden)]
pub use {harness, reveille, tokio};

/// What differs between the three.
pub trait Flavor: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    const THREADS: usize;
    const SKIP: &'static [&'static str] = &[];
    fn runtime(threads: usize) -> tokio::runtime::Runtime;
}

#[derive(Clone)]
pub struct Tokio<F>(std::marker::PhantomData<F>);

impl<Fl: Flavor> Contender for Tokio<Fl> {
    const NAME: &'static str = Fl::NAME;
    const THREADS: usize = Fl::THREADS;
    const SKIP: &'static [&'static str] = Fl::SKIP;
    type Timer = Sleep;
    type Ticker = Interval;

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let rt = Fl::runtime(threads);
        let task = rt.spawn(async move { main(Tokio(std::marker::PhantomData)).await });
        rt.block_on(task).unwrap()
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(fut);
    }
    fn sleep(&self, dur: Duration) -> Sleep {
        reveille::time::sleep(dur)
    }
    fn sleep_until(&self, at: Instant) -> Sleep {
        reveille::time::sleep_until(at.into())
    }
    fn reset(&self, timer: Pin<&mut Sleep>, dur: Duration) {
        timer.reset(reveille::time::Instant::now() + dur);
    }
    fn timeout<F>(&self, dur: Duration, fut: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        let t = reveille::time::timeout(dur, fut);
        async move { t.await.ok() }
    }
    fn ticker(&self, start: Instant, period: Duration) -> Interval {
        reveille::time::interval_at(start.into(), period)
    }
    async fn tick(ticker: &mut Interval) {
        ticker.tick().await;
    }
}
