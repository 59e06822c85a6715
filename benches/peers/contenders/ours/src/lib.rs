//! reveille's timers on `reveille::rt`.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use harness::Contender;
use reveille::rt;
use reveille::time::{self, Interval, Sleep};

#[doc(hidden)]
pub use {harness, reveille};

/// The differences between the contenders.
pub trait Flavor: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    /// The number of workers, except in W5, W10 and W12, which use as many as they ask for.
    const THREADS: usize = 1;
    /// The slack that is set, if one is.
    const SLACK: Option<Duration> = None;
}

#[derive(Clone)]
pub struct Ours<F>(PhantomData<F>);

impl<Fl: Flavor> Contender for Ours<Fl> {
    const NAME: &'static str = Fl::NAME;
    const THREADS: usize = Fl::THREADS;
    type Timer = Sleep;
    type Ticker = Interval;

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        // To try others: SLACK_US=25 target/release/ours w8. SHOW_SLACK=1 shows what was chosen.
        let slack = std::env::var("SLACK_US").map_or(Fl::SLACK, |us| {
            let us = us.parse().expect("SLACK_US is a number");
            Some(Duration::from_micros(us))
        });
        let mut builder = rt::Runtime::builder().worker_threads(threads);
        if let Some(slack) = slack {
            builder = builder.slack(slack);
        }
        let runtime = builder.build().unwrap();
        let task = runtime.spawn(async move { main(Self(PhantomData)).await });
        let result = runtime.block_on(task).unwrap();
        if std::env::var("SHOW_SLACK").is_ok() {
            eprintln!("slack: {:?}", runtime.handle().timers().slack());
        }
        result
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(rt::spawn(fut)); // detaches it
    }
    fn outside<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce() -> T + Send + 'static {
        let runtime = rt::Handle::current();
        move || {
            let _entered = runtime.enter();
            work()
        }
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
