//! Tests of what outlives a runtime: it must not keep descriptors of the runtime open.
//!
//! A task that waits on a channel leaves its waker there, and a thread keeps a handle for later. If
//! one of them kept the runtime's epoll instances, timers and events open, a program that starts
//! and ends runtimes would run out of descriptors, and later runtimes would have no I/O.
//!
//! The tests count descriptors, which other tests open and close meanwhile, so each test runs again
//! in a process of its own.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Waker;

use futures::StreamExt as _;
use futures::channel::mpsc;
use reveille::{BoottimePark, Clock, Driver, DriverThread, Park};

use crate::support::Task;
use crate::*;

/// Where a future leaves its waker, as it would in a channel.
#[derive(Clone, Default)]
struct WakerList(Arc<Mutex<Vec<Waker>>>);

impl WakerList {
    /// Stores the waker and never waits for it.
    async fn leave_waker(&self) {
        poll_fn(|cx| {
            self.0.lock().unwrap().push(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Runs `use_and_keep` on a runtime of one worker, on one of two, and with `rt::block_on`, and ends
/// each runtime. Asserts that what it returns keeps no descriptors open but its `own`.
fn outlives<T>(own: usize, use_and_keep: impl AsyncFn() -> T) {
    keeps_only(own, || rt::block_on(use_and_keep()));
    for workers in [1, 2] {
        keeps_only(own, || runtime(workers).block_on(use_and_keep()));
    }
}

#[test]
fn a_waker_of_the_main_future() {
    alone(|| {
        let shelf = WakerList::default();
        outlives(0, async || shelf.leave_waker().await);
        shelf.wake_all();
    });
}

#[test]
fn a_waker_of_a_main_future_that_waited_for_the_core() {
    alone(|| {
        let shelf = WakerList::default();
        keeps_only(0, || {
            let runtime = runtime(2);
            let handle = runtime.handle().clone();
            let left = shelf.clone();
            runtime.block_on(async {
                let other = thread::spawn(move || handle.block_on(left.leave_waker()));
                other.join().unwrap();
            });
        });
        shelf.wake_all();
    });
}

#[test]
fn a_waker_of_a_task() {
    alone(|| {
        let shelf = WakerList::default();
        outlives(0, async || {
            let left = shelf.clone();
            rt::spawn(async move { left.leave_waker().await })
                .await
                .unwrap();
            let left = shelf.clone();
            rt::spawn(async move {
                left.leave_waker().await;
                pending::<()>().await;
            });
            let left = shelf.clone();
            rt::spawn_local(async move {
                left.leave_waker().await;
                pending::<()>().await;
            });
            rt::yield_now().await;
        });
        shelf.wake_all();
    });
}

#[test]
fn a_join_handle() {
    alone(|| {
        outlives(0, async || rt::spawn(pending::<()>()));
        outlives(0, async || {
            let task = rt::spawn(async { 7 });
            rt::yield_now().await;
            [task]
        });
        outlives(0, async || rt::spawn_local(pending::<()>()));
    });
}

/// Without the feature `fallback` no driver is left for its timers.
#[cfg(feature = "fallback")]
#[test]
fn a_handle() {
    alone(|| {
        outlives(0, async || rt::Handle::current());
        // The handle can still be used, and opens no descriptor.
        let handle = runtime(2).handle().clone();
        keeps_only(0, || {
            handle.block_on(async { sleep(ms(1)).await });
            let task = handle.spawn(pending::<()>());
            assert!(handle.block_on(task).unwrap_err().is_cancelled());
            handle.enter()
        });
    });
}

#[test]
fn timers_and_their_handle() {
    alone(|| {
        // The timer of a runtime that has ended moves to the process-wide thread, which needs none
        // either.
        outlives(0, async || reveille::Handle::current());
        outlives(0, async || {
            let mut armed = sleep(secs(3600));
            poll_fn(|cx| Poll::Ready(Pin::new(&mut armed).poll(cx).is_ready())).await;
            (armed, sleep(secs(3600)))
        });
        outlives(0, async || rt::hold());
    });
}

#[test]
fn a_guard_that_entered_the_runtime() {
    alone(|| {
        for workers in [1, 2] {
            keeps_only(0, || {
                let runtime = runtime(workers);
                let entered = runtime.enter();
                drop(runtime);
                entered
            });
        }
    });
}

/// Only the two ends of the pipe are left, if they were opened inside.
#[test]
fn a_descriptor_and_a_task_that_waits_for_it() {
    alone(|| {
        let (reader, _writer) = pipe().unwrap();
        let reader = Arc::new(reader);
        outlives(0, async || AsyncFd::new(reader.clone()).unwrap());
        outlives(0, async || {
            let waiting = Box::leak(Box::new(AsyncFd::new(reader.clone()).unwrap()));
            let mut wait = waiting.readable();
            poll_fn(|cx| Poll::Ready(Pin::new(&mut wait).poll(cx).is_ready())).await;
            [wait]
        });
        outlives(2, async || piped());
    });
}

/// A later call used to run without I/O, and without an error, when 320 such calls had used up a
/// thousand descriptors.
#[test]
fn calls_of_block_on_whose_wakers_stay_on_channels_use_up_no_descriptors() {
    alone(|| {
        let mut channels = Vec::new();
        keeps_only(0, || {
            for _ in 0..320 {
                let (sender, mut receiver) = mpsc::unbounded::<()>();
                let late = rt::block_on(async { timeout(ms(0), receiver.next()).await });
                assert!(late.is_err());
                channels.push((sender, receiver));
            }
        });
        rt::block_on(async { piped() });
    });
}

/// A loop without an executor: what is made through its handle may outlive it, too.
#[test]
fn handles_and_timers_of_a_driver() {
    alone(|| {
        keeps_only(0, || {
            let driver = Driver::builder()
                .clock(Clock::boottime())
                .build(BoottimePark::new().unwrap());
            let task = Task::new();
            let mut armed = driver.handle().sleep(secs(3600));
            assert!(task.poll(&mut armed).is_pending());
            (driver.handle().clone(), armed)
        });
        keeps_only(0, || {
            let thread = DriverThread::new().unwrap();
            (thread.handle().clone(), thread.handle().sleep(secs(3600)))
        });
        keeps_only(0, || BoottimePark::new().unwrap().unparker());
    });
}
