//! The clock of a tokio runtime: the system's, or tokio's own if it may be paused.
//!
//! Tokio's clock may be paused with tokio's feature `test-util`, in a runtime of one thread. Then
//! every thread reads the time from tokio, in the runtime's context. Whether this crate's feature
//! of that name is on does not decide it: another crate of the program may have enabled tokio's
//! feature alone, and its tests call `tokio::time::pause`.

use std::future::pending;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::{self, Builder, RuntimeFlavor};
use tokio::task::{AbortHandle, JoinHandle};

use crate::clock::Clock;
use crate::instant::Instant;
use crate::sync::lock_std;
use crate::system;

/// Whether tokio was built so that clocks can be paused.
static CAN_PAUSE: LazyLock<bool> = LazyLock::new(|| {
    // This calls tokio's method or, if there is none, the one below: the type of the result tells
    // which.
    Builder::new_current_thread()
        .start_paused(false)
        .can_pause()
});

/// Has a method of the same name as one that tokio has only with the feature `test-util`. It is
/// called if tokio's is missing.
#[allow(dead_code, reason = "not used if tokio has the method itself")]
trait StartPaused {
    fn start_paused(&mut self, start_paused: bool) -> NoPause;
}

struct NoPause;

impl StartPaused for Builder {
    fn start_paused(&mut self, _: bool) -> NoPause {
        NoPause
    }
}

trait CanPause {
    fn can_pause(&self) -> bool;
}

impl CanPause for NoPause {
    fn can_pause(&self) -> bool {
        false
    }
}

impl CanPause for Builder {
    fn can_pause(&self) -> bool {
        true
    }
}

/// Returns whether the clock of a runtime may be paused.
pub(super) fn can_pause(runtime: &runtime::Handle) -> bool {
    *CAN_PAUSE && runtime.runtime_flavor() != RuntimeFlavor::MultiThread
}

/// Returns the time on the clock of the runtime that this thread is in, `None` if that is the
/// system's clock.
#[inline]
pub(crate) fn now() -> Option<Instant> {
    // Tokio's clock panics where its thread-locals are gone, as in the destructor of another one.
    (*CAN_PAUSE && !is_thread_ending()).then(tokio_now)
}

pub(super) fn tokio_now() -> Instant {
    Instant::from_std(tokio::time::Instant::now().into_std())
}

/// Returns whether the clock of the runtime that this thread is in runs.
#[cfg(feature = "test-util")]
pub(super) fn is_running() -> bool {
    system::shows_real_time(|| tokio_now().nanos())
}

/// Returns whether this thread has destroyed tokio's thread-locals, so that entering a runtime
/// would panic.
pub(super) fn is_thread_ending() -> bool {
    runtime::Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// Returns whether a runtime still runs tasks.
///
/// It spawns a task to find out: a runtime that has shut down ends the task at once. Every other
/// way panics if it has, or advances a paused clock.
pub(super) fn is_alive(runtime: &runtime::Handle) -> bool {
    let task = runtime.spawn(std::future::pending::<()>());
    let alive = !task.is_finished();
    task.abort();
    alive
}

/// Tells whether a runtime has ended: by a task in it that never ends by itself.
///
/// One task serves for all times that it is asked: a runtime that is alive and that nobody runs
/// keeps every task that it is given.
pub(super) struct Probe {
    runtime: runtime::Handle,
    /// Spawned when it is first asked, as most runtimes are gone before that.
    task: OnceLock<JoinHandle<()>>,
}

impl Probe {
    pub(super) fn new(runtime: &runtime::Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            task: OnceLock::new(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        let spawn = || self.runtime.spawn(std::future::pending());
        self.task.get_or_init(spawn).is_finished()
    }
}

/// Returns a time on the axis as a duration since its zero.
fn since_zero(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.max(0).cast_unsigned())
}

/// A reference to the runtime whose clock is read. It is shared by all clones, and released once.
///
/// The clock keeps it, and every timer keeps the clock: without the release, a timer that outlives
/// its runtime would keep what the runtime holds.
#[derive(Clone)]
pub(super) struct ClockRuntime(Arc<SharedRuntime>);

struct SharedRuntime {
    runtime: Mutex<Option<runtime::Handle>>,
    /// By how much the clock is ahead of the system's once the runtime is released, if it goes on.
    ahead: OnceLock<i64>,
    /// What all guards share that hold the clock.
    hold: Mutex<Weak<RuntimeHold>>,
}

impl ClockRuntime {
    pub(super) fn new(runtime: runtime::Handle) -> Self {
        Self(Arc::new(SharedRuntime {
            runtime: Mutex::new(Some(runtime)),
            ahead: OnceLock::new(),
            hold: Mutex::new(Weak::new()),
        }))
    }

    /// Returns the runtime's clock. It stands still on a thread that is ending, and once the
    /// runtime is released, unless it [goes on](Self::go_on).
    pub(super) fn clock(&self) -> Clock {
        let (reads, holds) = (self.clone(), self.clone());
        let elapsed = move || {
            let Some(runtime) = reads.get() else {
                let ahead = reads.0.ahead.get();
                return ahead.map_or(Duration::ZERO, |ahead| {
                    since_zero(system::monotonic().saturating_add(*ahead))
                });
            };
            if is_thread_ending() {
                return Duration::ZERO;
            }
            let _entered = runtime.enter();
            since_zero(tokio_now().nanos())
        };
        Clock::of_tokio_runtime(elapsed, Box::new(move || Some(holds.hold()?)))
    }

    /// Lets `clock`, this runtime's, go on with the system's once the runtime is released: so
    /// timers that move to another driver keep their deadlines.
    pub(super) fn go_on(&self, clock: &Clock) {
        // Read first, so that it is not fast: no timer may be early.
        let shown = clock.nanos().cast_signed();
        let _ = self.0.ahead.set(shown - system::monotonic());
    }

    /// Keeps the runtime from advancing its clock. Returns `None` if it is released.
    #[track_caller]
    fn hold(&self) -> Option<Arc<RuntimeHold>> {
        if let Some(hold) = lock_std(&self.0.hold).upgrade() {
            return Some(hold);
        }
        // Outside of the lock, because it calls into tokio. If another thread does the same, there
        // are two for a while.
        let hold = Arc::new(RuntimeHold::new(&self.get()?));
        *lock_std(&self.0.hold) = Arc::downgrade(&hold);
        Some(hold)
    }

    /// Releases the runtime, outside of the lock.
    pub(super) fn release(&self) {
        let runtime = lock_std(&self.0.runtime).take();
        drop(runtime);
    }

    fn get(&self) -> Option<runtime::Handle> {
        lock_std(&self.0.runtime).clone()
    }
}

/// Keeps a runtime of one thread from advancing its clock, until it is dropped or the runtime shuts
/// down: tokio does not advance the clock while there is a blocking task.
struct RuntimeHold {
    _release: ReleaseOnDrop,
    /// What aborts a task that only owns this and another [`ReleaseOnDrop`]. A runtime that shuts
    /// down drops its tasks, and after that waits for the blocking ones.
    ///
    /// The handle keeps the task's memory, which refers to the runtime. So the task itself owns the
    /// handle, and drops it when it ends.
    end: Weak<OnceLock<AbortHandle>>,
}

/// Ends the blocking task of a [`RuntimeHold`].
struct ReleaseOnDrop(Sender<()>);

impl RuntimeHold {
    #[track_caller]
    fn new(runtime: &runtime::Handle) -> Self {
        let (release, released) = mpsc::channel();
        let at_end = ReleaseOnDrop(release.clone());
        // Tokio does not advance the clock from this call on, even if the task has to wait for a
        // thread.
        runtime.spawn_blocking(move || released.recv());
        let owned = Arc::new(OnceLock::new());
        let end = Arc::downgrade(&owned);
        let task = runtime.spawn(async move {
            let _at_end = (at_end, owned);
            pending::<()>().await;
        });
        // A runtime that has shut down has dropped it already.
        if let Some(end) = end.upgrade() {
            let _ = end.set(task.abort_handle());
        }
        Self {
            _release: ReleaseOnDrop(release),
            end,
        }
    }
}

impl Drop for RuntimeHold {
    fn drop(&mut self) {
        let end = self.end.upgrade();
        if let Some(task) = end.as_ref().and_then(|end| end.get()) {
            task.abort();
        }
    }
}

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        // It fails if the task has ended.
        let _ = self.0.send(());
    }
}
