//! Keeps track of what runs, so that a program can end without cutting it off.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reveille::Context;
use reveille::time::timeout;

/// The two ends of a program: of what is new, and of what has begun.
pub(crate) struct Drain {
    /// Ends when nothing new is to begin.
    stop: Context,
    /// Ends when everything is to end.
    kill: Context,
    tracker: Arc<Tracker>,
}

struct Tracker {
    state: Mutex<State>,
    /// Ends when the program is to stop and nothing runs.
    idle: Context,
}

#[derive(Default)]
struct State {
    stopping: bool,
    running: usize,
    drained: Drained,
}

/// What has become of the work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Drained {
    /// How much has ended by itself.
    pub(crate) done: usize,
    /// How much was given up, or has panicked.
    pub(crate) given_up: usize,
}

impl Drain {
    pub(crate) fn new() -> Self {
        let tracker = Tracker {
            state: Mutex::default(),
            idle: Context::background(),
        };
        Self {
            stop: Context::background(),
            kill: Context::background(),
            tracker: Arc::new(tracker),
        }
    }

    /// Lets nothing new begin. May be called on any thread, as that of a signal handler.
    pub(crate) fn stop(&self, why: &'static str) {
        let mut state = self.tracker.lock();
        state.stopping = true;
        let is_idle = state.running == 0;
        drop(state);
        self.stop.cancel_with(why);
        if is_idle {
            self.tracker.idle.cancel();
        }
    }

    /// Returns why the program is to stop, if it is.
    pub(crate) fn why(&self) -> Option<String> {
        self.stop.cause().map(|why| why.to_string())
    }

    /// Waits for `future`. `None` if the program is told to stop first.
    pub(crate) async fn until_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stop.run(future).await.ok()
    }

    /// Returns a future that runs `work` to its end, unless the program cannot wait for that.
    /// `None` if the program is to stop.
    ///
    /// `work` counts as running from this call on, not only from its first poll.
    pub(crate) fn track<F>(&self, work: F) -> Option<impl Future<Output = ()> + use<F>>
    where
        F: Future,
    {
        let mut state = self.tracker.lock();
        if state.stopping {
            return None;
        }
        state.running += 1;
        drop(state);
        let running = Running {
            tracker: self.tracker.clone(),
            done: false,
        };
        let kill = self.kill.clone();
        let tracked = Tracked {
            work,
            kill,
            running,
        };
        Some(tracked.run())
    }

    /// Waits until nothing runs, for `limit` at most, and then ends what is left, for which it waits as
    /// long again at most: what blocks a thread cannot be ended, and is not in the result.
    pub(crate) async fn drain(&self, limit: Duration) -> Drained {
        self.stop("drain");
        if timeout(limit, self.tracker.idle.done()).await.is_err() {
            self.kill.cancel_with("the time to drain is over");
            // What was told to end does so at its next poll.
            let _ = timeout(limit, self.tracker.idle.done()).await;
        }
        self.tracker.lock().drained
    }
}

impl Tracker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of work that counts. Fields are dropped in order, so it counts until its destructors have
/// run, also if it was never polled.
struct Tracked<F> {
    work: F,
    kill: Context,
    running: Running,
}

impl<F: Future> Tracked<F> {
    async fn run(self) {
        let Self {
            work,
            kill,
            mut running,
        } = self;
        running.done = kill.run(work).await.is_ok();
    }
}

/// Counts a piece of work as running until it is dropped, also if it panics.
struct Running {
    tracker: Arc<Tracker>,
    done: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.tracker.lock();
        state.running -= 1;
        match self.done {
            true => state.drained.done += 1,
            false => state.drained.given_up += 1,
        }
        let is_idle = state.stopping && state.running == 0;
        drop(state);
        if is_idle {
            self.tracker.idle.cancel();
        }
    }
}
