//! A fake timer that reads the clock, keeps the deadline and the waker, and never
//! fires. Its cost is that of the harness plus the least that any timer behind
//! `Future` has to do. For W1, W2, W3, W5, W7, W10, W12, W13, and W11
//! without short timers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_executor::Executor;
use futures_lite::future::block_on;
use harness::Contender;

static EX: Executor<'static> = Executor::new();

#[derive(Clone)]
struct Floor;

struct NullTimer {
    deadline: Instant,
    waker: Option<Waker>,
}

impl Future for NullTimer {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.waker {
            Some(w) => w.clone_from(cx.waker()),
            w => *w = Some(cx.waker().clone()),
        }
        std::hint::black_box(self.deadline);
        Poll::Pending
    }
}

impl Contender for Floor {
    const NAME: &'static str = "floor";
    const SKIP: &'static [&'static str] = &["verify", "w4", "w6", "w6m", "w8", "w9", "w14"];
    const FIRES: bool = false;
    type Timer = NullTimer;
    type Ticker = ();

    fn run<T, F, Fut>(threads: usize, main: F) -> T
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        for _ in 1..threads {
            std::thread::spawn(|| block_on(EX.run(std::future::pending::<()>())));
        }
        let task = EX.spawn(async move { main(Floor).await });
        block_on(EX.run(task))
    }
    fn spawn<F>(&self, fut: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        EX.spawn(fut).detach();
    }
    fn sleep(&self, dur: Duration) -> NullTimer {
        NullTimer {
            deadline: Instant::now() + dur,
            waker: None,
        }
    }
    fn sleep_until(&self, at: Instant) -> NullTimer {
        NullTimer {
            deadline: at,
            waker: None,
        }
    }
    fn reset(&self, mut timer: Pin<&mut NullTimer>, dur: Duration) {
        timer.deadline = Instant::now() + dur;
    }
    fn ticker(&self, _: Instant, _: Duration) {}
    async fn tick(_: &mut ()) {
        std::future::pending::<()>().await
    }
}

fn main() {
    harness::main::<Floor>()
}
