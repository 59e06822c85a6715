//! `quinn::AsyncTimer` and `quinn::Runtime` by themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{AsyncTimer, Runtime, TokioRuntime};
use reveille::adapters::quinn_0_11::{QuinnRuntime, QuinnTimers};
use reveille::{Driver, ManualClock, ThreadPark, rt};
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::{ms, secs};

fn poll(timer: &mut Pin<Box<dyn AsyncTimer>>) -> Poll<()> {
    timer
        .as_mut()
        .poll(&mut Context::from_waker(futures::task::noop_waker_ref()))
}

async fn wait(timer: &mut Pin<Box<dyn AsyncTimer>>) {
    futures::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
}

async fn waits(runtime: Arc<dyn Runtime>) {
    let deadline = runtime.now() + ms(5);
    let mut timer = runtime.new_timer(deadline);
    wait(&mut timer).await;
    assert!(runtime.now() >= deadline);

    // After it has fired, and while it waits: later, and sooner.
    for hours in [1, 2, 1] {
        timer.as_mut().reset(runtime.now() + secs(3600 * hours));
        assert!(poll(&mut timer).is_pending());
    }
    let deadline = runtime.now() + ms(2);
    timer.as_mut().reset(deadline);
    wait(&mut timer).await;
    assert!(runtime.now() >= deadline);
}

#[test]
fn waits_on_any_executor() {
    on_rt(async { waits(Arc::new(QuinnRuntime::current())).await });
    on_tokio(waits(Arc::new(QuinnTimers::new(TokioRuntime))));
    // No task is spawned, so it need not be tokio that runs this.
    let runtime = Arc::new(QuinnTimers::new(TokioRuntime));
    watched(|| pollster::block_on(waits(runtime)));
}

/// A timer yields after many ready results in one poll of a task. quinn must learn all the same that
/// the deadline has passed, and must be polled again.
async fn yields(runtime: Arc<dyn Runtime>) {
    let deadline = runtime.now();
    let mut timer = runtime.new_timer(deadline);
    let ready = futures::future::poll_fn(|cx| {
        let polls = (0..10_000).take_while(|_| timer.as_mut().poll(cx).is_ready());
        Poll::Ready(polls.count())
    });
    assert!(ready.await < 10_000);
    assert!(runtime.now() >= deadline);
    wait(&mut timer).await;
}

#[test]
fn an_overdue_timer_that_yields_wakes_its_task() {
    on_rt(async { yields(Arc::new(QuinnRuntime::current())).await });
    on_tokio(yields(Arc::new(QuinnTimers::new(TokioRuntime))));
}

#[test]
fn counts_on_the_clock_of_its_driver_and_stays_ready_until_it_is_moved() {
    let clock = ManualClock::new();
    let mut driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    let runtime = QuinnTimers::with_driver(TokioRuntime, driver.handle().clone());
    assert_eq!(runtime.now(), clock.now().into_std());

    let mut timer = runtime.new_timer(runtime.now() + secs(3600));
    assert!(poll(&mut timer).is_pending());
    clock.advance(secs(3600) - Duration::from_nanos(1));
    driver.turn();
    assert!(poll(&mut timer).is_pending());
    clock.advance(Duration::from_nanos(1));
    driver.turn();
    for _ in 0..3 {
        assert!(poll(&mut timer).is_ready());
    }
    timer.as_mut().reset(runtime.now() + ms(1));
    assert!(poll(&mut timer).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    drop(timer);
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn tells_the_time_of_its_runtime_to_any_thread() {
    let clock = ManualClock::new();
    let runtime = rt::Runtime::builder().worker_threads(1).clock(&clock);
    let runtime = runtime.build().unwrap();
    let quinn = QuinnRuntime::new(runtime.handle().clone());
    clock.advance(secs(3600));
    assert_eq!(quinn.now(), clock.now().into_std());
    let mut timer = quinn.new_timer(quinn.now());
    assert!(poll(&mut timer).is_ready());
}

#[test]
#[should_panic(expected = "this thread is in no runtime")]
fn there_is_no_current_runtime_outside_of_one() {
    let _ = QuinnRuntime::current();
}
