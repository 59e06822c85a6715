//! [`HyperExecutor`], which spawns hyper's tasks on a runtime of `rt`.

use std::future::Future;

use crate::rt;

/// Spawns hyper's tasks on a runtime of [`rt`]; with the features `hyper` and `rt`.
///
/// HTTP/2 wants an executor, for its streams, and so does the client of hyper-util, for its
/// connections and for the task that closes idle ones. A task that panics ends alone.
///
/// # Panics
///
/// Spawning by an executor made with [`new`](Self::new) panics where no runtime is current.
///
/// # Examples
///
/// ```
/// use hyper::rt::Executor;
/// use reveille::{adapters::hyper::HyperExecutor, rt};
/// use std::sync::mpsc;
///
/// let (sender, receiver) = mpsc::channel();
/// rt::block_on(async {
///     HyperExecutor::new().execute(async move { sender.send(7) });
///     while receiver.try_recv() != Ok(7) {
///         rt::yield_now().await;
///     }
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct HyperExecutor {
    runtime: Option<rt::Handle>,
}

impl HyperExecutor {
    /// Makes an executor that spawns on the runtime that is current at each call.
    ///
    /// # Examples
    ///
    /// See [`HyperExecutor`].
    #[must_use]
    pub const fn new() -> Self {
        Self { runtime: None }
    }

    /// Makes an executor that always spawns on `runtime`, for a client that is also used by threads
    /// outside of it. Once the runtime is gone, tasks are dropped without being run.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper::rt::Executor;
    /// use reveille::{adapters::hyper::HyperExecutor, rt::Runtime};
    /// use std::sync::mpsc;
    ///
    /// let runtime = Runtime::new()?;
    /// let (sender, receiver) = mpsc::channel();
    /// let executor = HyperExecutor::with_runtime(runtime.handle().clone());
    /// executor.execute(async move { sender.send(7) });
    /// assert_eq!(receiver.recv(), Ok(7));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn with_runtime(runtime: rt::Handle) -> Self {
        Self {
            runtime: Some(runtime),
        }
    }
}

impl<F> hyper::rt::Executor<F> for HyperExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(future)),
            None => drop(rt::spawn(future)),
        }
    }
}
