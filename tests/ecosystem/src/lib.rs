//! What the tests of the adapters share: a watchdog. And the examples of `docs/adapters.md`, as tests.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Runs `test` on a thread of its own, and panics if it hangs. Passes on its panic.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        // The receiver is gone if the test took too long.
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("still running after a minute"),
        Err(RecvTimeoutError::Disconnected) => {
            resume_unwind(thread.join().expect_err("the test has panicked"))
        }
    }
}

/// Runs `future` on a new runtime of `rt` with two workers, under the watchdog.
pub fn on_rt<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    watched(|| {
        let runtime = reveille::rt::Runtime::builder().worker_threads(2).build();
        runtime.expect("a runtime").block_on(future);
    });
}

/// Runs `future` on a new runtime of tokio with two workers, under the watchdog.
pub fn on_tokio<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(future);
    });
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adapters.md")]
pub mod page {}
