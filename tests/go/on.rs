//! The executors that a test runs on.

use std::future::Future;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::ManualClock;
use reveille::rt;
use reveille::time::Instant;

use crate::support::{runtime, runtime_on, watched};

/// An executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// `rt`, with two workers.
    Rt,
    /// `rt` on a manual clock, which moves by itself when both workers are idle.
    Manual,
    /// Tokio, with two workers.
    Tokio,
    /// Tokio on one thread.
    TokioThread,
}

/// Runs a test on each executor, one after the other. Panics if it hangs.
pub(crate) fn everywhere<F>(test: fn(On) -> F)
where
    F: Future<Output = ()> + 'static,
{
    watched(move || {
        for on in [On::Rt, On::Manual, On::Tokio, On::TokioThread] {
            // Shown with the panic, if the test fails.
            eprintln!("on {on:?}");
            on.run(test(on));
        }
    });
}

impl On {
    pub(crate) fn run<T>(self, future: impl Future<Output = T>) -> T {
        match self {
            Self::Rt => runtime(2).block_on(future),
            Self::Manual => runtime_on(2, ManualClock::new()).block_on(future),
            Self::Tokio => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
                .block_on(future),
            Self::TokioThread => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(future),
        }
    }

    /// Spawns a task, and returns a future of its output.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let (sender, output) = oneshot::channel();
        let task = async move {
            let _ = sender.send(future.await);
        };
        match self {
            Self::Rt | Self::Manual => drop(rt::spawn(task)),
            Self::Tokio | Self::TokioThread => drop(tokio::spawn(task)),
        }
        async move { output.await.expect("the task has panicked") }
    }

    /// Asserts that `since` is `expected` ago: exactly on the manual clock, at least elsewhere.
    #[track_caller]
    pub(crate) fn has_passed(self, since: Instant, expected: Duration) {
        let elapsed = since.elapsed();
        assert!(elapsed >= expected, "{elapsed:?} of {expected:?}");
        if self == Self::Manual {
            assert_eq!(elapsed, expected);
        }
    }
}
