//! Tests of races between a few instructions, which show only when many threads repeat them.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use reveille::rt::{self, Runtime};

use support::watched;

/// How long each race is repeated: twice as long as it took to show the bug.
const LONG_ENOUGH: Duration = Duration::from_millis(2500);

/// Returns a runtime of one worker, which is the thread in `block_on`.
fn single() -> Runtime {
    Runtime::builder().worker_threads(1).build().unwrap()
}

/// The runtime took its list of owned tasks, found none of them ready, and was gone when a thread
/// that was waking one pushed it: the task was never dropped.
#[test]
fn task_woken_while_its_runtime_is_dropped_is_dropped_with_it() {
    watched(|| {
        let end = Instant::now() + LONG_ENOUGH;
        while Instant::now() < end {
            wake_while_dropped();
        }
    });
}

fn wake_while_dropped() {
    let alive = Arc::new(());
    let wakers = Arc::<Mutex<Vec<Waker>>>::default();
    let runtime = single();
    for _ in 0..64 {
        let (alive, wakers) = (alive.clone(), wakers.clone());
        let task = poll_fn(move |cx| {
            let _ = &alive;
            wakers.lock().unwrap().push(cx.waker().clone());
            Poll::<()>::Pending
        });
        drop(runtime.spawn(task));
    }
    runtime.block_on(async {
        // The tasks run, one batch after the other.
        while wakers.lock().unwrap().len() < 64 {
            rt::yield_now().await;
        }
    });
    let wakers = std::mem::take(&mut *wakers.lock().unwrap());
    assert_eq!(wakers.len(), 64);
    let go = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = wakers
        .chunks(16)
        .map(|wakers| {
            let (wakers, go) = (wakers.to_vec(), go.clone());
            thread::spawn(move || {
                while !go.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                wakers.into_iter().for_each(Waker::wake);
            })
        })
        .collect();
    go.store(true, Ordering::Release);
    drop(runtime);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(Arc::strong_count(&alive), 1, "tasks were not dropped");
}

/// The destructors of a thread's thread-locals run in an unspecified order: the thread-local of the
/// current runtime may be gone before a runtime that is kept in another one. That aborted the
/// process.
#[test]
fn runtime_in_a_thread_local_ends_with_its_thread() {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(single());
    }
    let thread = thread::spawn(|| {
        RUNTIME.with_borrow(|runtime| runtime.block_on(async { rt::yield_now().await }));
    });
    thread.join().unwrap();
}

/// The same for a runtime that is first made in a destructor.
#[test]
fn block_on_in_the_destructor_of_a_thread_local_works() {
    struct Last(Arc<OnceLock<i32>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.set(rt::block_on(async { 7 })).unwrap();
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let seen = Arc::new(OnceLock::new());
    let last = Last(seen.clone());
    let thread = thread::spawn(move || {
        LAST.set(Some(last));
        rt::block_on(async {});
    });
    thread.join().unwrap();
    assert_eq!(seen.get(), Some(&7));
}
