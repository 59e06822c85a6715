//! Tests of park hooks that wake tasks, arm timers, block or panic.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use reveille::rt::{self, Runtime};
use reveille::time::{Instant, Sleep, sleep, sleep_until};

use support::{Count, ms, watched};

/// A signal that a hook raises once, when a future waits for it.
#[derive(Clone, Default)]
struct Signal(Arc<Mutex<(bool, Option<Waker>)>>);

impl Signal {
    /// Wakes the waiting future, if there is one and it was not woken already.
    fn raise(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            let waker = state.1.take();
            state.0 |= waker.is_some();
            waker
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the wait, whether it has begun or not.
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

/// The other workers counted on the worker in the hook to search, and stayed parked.
#[test]
fn other_workers_run_tasks_while_a_park_hook_blocks() {
    watched(|| {
        let (leave, left) = mpsc::channel::<()>();
        let left = Mutex::new(left);
        let entered = Arc::new(AtomicUsize::new(0));
        let count = entered.clone();
        let runtime = with_hook(3, move || {
            if count.fetch_add(1, Ordering::SeqCst) == 1 {
                // The other worker has been here, and will park soon.
                let _ = left.lock().unwrap().recv();
            }
        });
        while entered.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        thread::sleep(ms(20));
        pollster::block_on(runtime.spawn(async {})).unwrap();
        drop(leave);
    });
}

/// As with a park hook: a worker that was unparked to search stays in its hook.
#[test]
fn other_workers_run_tasks_while_an_unpark_hook_blocks() {
    watched(|| {
        let (leave, left) = mpsc::channel::<()>();
        let left = Mutex::new(left);
        let entered = Arc::new(AtomicUsize::new(0));
        let count = entered.clone();
        let hook = move || {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = left.lock().unwrap().recv();
            }
        };
        let builder = Runtime::builder().worker_threads(3);
        let runtime = builder.on_thread_unpark(hook).build().unwrap();
        // Both workers that have threads are parked by then, if the machine is not too busy.
        thread::sleep(ms(50));
        let first = runtime.spawn(async {});
        while entered.load(Ordering::SeqCst) < 1 {
            thread::yield_now();
        }
        pollster::block_on(runtime.spawn(async {})).unwrap();
        drop(leave);
        pollster::block_on(first).unwrap();
    });
}

/// The task was in the LIFO slot of the worker that fires timers, and so in no queue, while that
/// worker was in its hook.
#[test]
fn a_task_that_a_timer_has_woken_runs_while_an_unpark_hook_blocks() {
    watched(|| {
        let (ran, has_run) = mpsc::channel::<()>();
        // The first worker that is unparked for the timer waits for the task.
        let has_run = Mutex::new(Some(has_run));
        let due = Instant::now() + ms(100);
        let hook = move || {
            let waits = || has_run.lock().unwrap().take();
            if let Some(has_run) = (Instant::now() >= due).then(waits).flatten() {
                let _ = has_run.recv();
            }
        };
        let builder = Runtime::builder().worker_threads(3);
        let runtime = builder.on_thread_unpark(hook).build().unwrap();
        let task = runtime.spawn(async move {
            sleep_until(due).await;
            drop(ran);
        });
        pollster::block_on(task).unwrap();
    });
}

/// The hook ran after the worker had searched for the last time, so a task that it woke did not run
/// until something else happened.
#[test]
fn a_task_woken_by_the_park_hook_runs() {
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

/// The hook spawns a task, and a task that arms a timer.
#[test]
fn a_task_spawned_by_the_park_hook_runs() {
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

/// The hook arms a timer itself, which is earlier than all others.
#[test]
fn a_timer_armed_by_the_park_hook_fires() {
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
fn a_park_hook_that_panics_loses_no_task() {
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
