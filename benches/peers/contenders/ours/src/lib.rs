//! reveille's timers: on `reveille::rt` where one thread is measured; on async-executor where
//! there are two, each thread with a driver of its own.

use std::future::{Future, pending};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_executor::Executor;
use harness::Contender;
use reveille::rt::{self, Runtime};
use reveille::time::{self, Interval, Sleep};
use reveille::{Builder, Driver, ThreadPark};

#[doc(hidden)]
pub use {harness, reveille};

static EX: Executor<'static> = Executor::new();

/// What differs between the three.
pub trait Flavor: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    const SLACK: Duration = Builder::DEFAULT_SLACK;
    const SKIP: &'static [&'static str] = &[];
}

#[derive(Clone)]
pub struct Ours<F> {
    /// Whether tasks run on `EX`.
    shared: bool,
    flavor: PhantomData<F>,
}

impl<F: Flavor> Ours<F> {
    fn new(shared: bool) -> Self {
        Self {
            shared,
            flavor: PhantomData,
        }
    }

    fn runtime() -> Runtime {
        // To try others: SLACK_US=25 target/release/ours w8
        let slack = std::env::var("SLACK_US").map_or(F::SLACK, |us| {
            Duration::from_micros(us.parse().expect("SLACK_US is a number"))
        });
        Runtime::with_driver(Driver::builder().slack(slack).build(ThreadPark::new()))
    }
}

impl<Fl: Flavor> Contender for Ours<Fl> {
    const NAME: &'static str = Fl::NAME;
    const SKIP: &'static [&'static str] = Fl::SKIP;
    type Timer = Sleep;
    type Ticker = Interval;

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        if threads == 1 {
            let mut runtime = Self::runtime();
            let task = runtime.spawn(async move { main(Self::new(false)).await });
            return runtime.block_on(task).unwrap();
        }
        for _ in 1..threads {
            std::thread::spawn(|| Self::runtime().block_on(EX.run(pending::<()>())));
        }
        let task = EX.spawn(async move { main(Self::new(true)).await });
        Self::runtime().block_on(EX.run(task))
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.shared {
            EX.spawn(fut).detach();
        } else {
            drop(rt::spawn(fut)); // detaches it
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
