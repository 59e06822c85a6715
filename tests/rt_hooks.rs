//! Hooks that wake tasks and arm timers when a worker parks.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use reveille::rt::{self, Runtime};
use reveille::time::{Sleep, sleep};

use support::{Count, ms, watched};

/// Something that a hook raises once, when a future waits for it.
#[derive(Clone, Default)]
struct Signal(Arc<Mutex<(bool, Option<Waker>)>>);

impl Signal {
    /// Wakes the future that waits, if one does, and has not been told.
    fn raise(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            let waker = state.1.take();
            state.0 |= waker.is_some();
            waker
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the wait, whether one has begun or not.
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn with_hook(workers: usize, hook: impl Fn() + Send + Sync + 'static) -> Runtime {
    let builder = Runtime::builder().worker_threads(workers);
    builder.on_thread_park(hook).build().unwrap()
}

/// Others counted on the worker in the hook to search, and slept.
#[test]
fn park_hook_that_blocks_keeps_no_task_from_other_workers() {
    watched(|| {
        let (leave, left) = mpsc::channel::<()>();
        let left = Mutex::new(left);
        let entered = Count::default();
        let count = entered.clone();
        let runtime = with_hook(3, move || {
            count.add();
            if count.get() == 2 {
                // The other worker has been here, and sleeps before long.
                let _ = left.lock().unwrap().recv();
            }
        });
        while entered.get() < 2 {
            thread::yield_now();
        }
        thread::sleep(ms(20));
        pollster::block_on(runtime.spawn(async {})).unwrap();
        drop(leave);
    });
}

/// The hook ran after the worker had looked for work for the last time: what it woke lay there until
/// something else happened.
#[test]
fn what_the_park_hook_wakes_runs() {
    watched(|| {
        for workers in [1, 2] {
            for place in ["main future", "task", "local task"] {
                let signal = Signal::default();
                let hook = signal.clone();
                let runtime = with_hook(workers, move || hook.raise());
                let waits = signal.clone();
                runtime.block_on(async move {
                    match place {
                        "main future" => waits.wait().await,
                        "task" => rt::spawn(async move { waits.wait().await }).await.unwrap(),
                        _ => rt::spawn_local(async move { waits.wait().await })
                            .await
                            .unwrap(),
                    }
                });
            }
        }
    });
}

/// A task that it spawns, and one that arms a timer.
#[test]
fn what_the_park_hook_spawns_runs() {
    watched(|| {
        for workers in [1, 2] {
            let (ran, once) = (Signal::default(), AtomicBool::new(false));
            let raise = ran.clone();
            let runtime = with_hook(workers, move || {
                if !once.swap(true, Ordering::Relaxed) {
                    let raise = raise.clone();
                    drop(rt::spawn(async move {
                        sleep(ms(1)).await;
                        raise.set();
                    }));
                }
            });
            runtime.block_on(ran.wait());
        }
    });
}

/// A timer that the hook arms itself, earlier than all others.
#[test]
fn timer_that_the_park_hook_arms_fires() {
    watched(|| {
        for workers in [1, 2] {
            let (fired, armed) = (Signal::default(), Mutex::new(None::<Sleep>));
            let raise = Arc::new(Raise(fired.clone()));
            let runtime = with_hook(workers, move || {
                let mut armed = armed.lock().unwrap();
                if armed.is_none() {
                    let mut timer = sleep(ms(1));
                    let waker = Waker::from(raise.clone());
                    let mut cx = std::task::Context::from_waker(&waker);
                    assert!(
                        std::pin::Pin::new(&mut timer)
                            .as_mut()
                            .poll(&mut cx)
                            .is_pending()
                    );
                    *armed = Some(timer);
                }
            });
            runtime.block_on(fired.wait());
        }
    });
}

struct Raise(Signal);

impl std::task::Wake for Raise {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

#[test]
fn park_hook_that_panics_loses_nothing() {
    watched(|| {
        for workers in [1, 2] {
            let called = Count::default();
            let count = called.clone();
            let runtime = with_hook(workers, move || {
                count.add();
                panic!("on purpose");
            });
            runtime.block_on(async {
                sleep(ms(1)).await;
                rt::spawn(async { sleep(ms(1)).await }).await.unwrap();
            });
            assert!(called.get() > 0);
        }
    });
}
