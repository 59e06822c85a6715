//! The time inside a tokio runtime: the system's, or that of tokio's clock if it may be paused.
//!
//! Tokio's clock may be paused with tokio's feature `test-util`, in a runtime of one thread. Then the
//! time is asked of tokio, in the runtime's context, on whatever thread. The feature of that name of
//! this crate does not tell: another crate of the program may have enabled tokio's alone, and its
//! tests call `tokio::time::pause`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Builder, RuntimeFlavor};

use crate::clock::Clock;
use crate::instant::Instant;
use crate::system;

/// Whether tokio was built so that clocks can be paused.
static CAN_PAUSE: LazyLock<bool> = LazyLock::new(|| {
    // Either tokio's method or, if there is none, the one below: the type of the answer tells.
    Builder::new_current_thread()
        .start_paused(false)
        .can_pause()
});

/// Stands in for a method that tokio has with the feature `test-util` only.
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

/// Whether the clock of a runtime may be paused.
pub(super) fn can_pause(runtime: &runtime::Handle) -> bool {
    *CAN_PAUSE && runtime.runtime_flavor() != RuntimeFlavor::MultiThread
}

/// Returns the time on the clock of the runtime that this thread is in, `None` if that is the system's.
#[inline]
pub(crate) fn now() -> Option<Instant> {
    CAN_PAUSE.then(tokio_now)
}

pub(super) fn tokio_now() -> Instant {
    Instant::from_std(tokio::time::Instant::now().into_std())
}

/// Returns whether the clock of the runtime that this thread is in runs.
#[cfg(feature = "test-util")]
pub(super) fn runs() -> bool {
    system::is_shown_by(|| tokio_now().nanos())
}

/// Whether a clock shows the real time, give or take what lies between two looks.
pub(super) fn is_real(clock: &Clock) -> bool {
    const GAP: u64 = 1_000;
    let before = system::monotonic().cast_unsigned();
    let now = clock.nanos();
    let after = system::monotonic().cast_unsigned();
    (before.saturating_sub(GAP)..=after + GAP).contains(&now)
}

/// Whether this thread is past the end of tokio's thread-locals: to enter a runtime would panic.
pub(super) fn is_thread_ending() -> bool {
    runtime::Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// Whether a runtime still runs tasks.
///
/// Asked by giving it one: a runtime that is gone ends it there and then. Nothing milder answers
/// without a panic, or leaves a paused clock alone.
pub(super) fn lives(runtime: &runtime::Handle) -> bool {
    let task = runtime.spawn(std::future::pending::<()>());
    let lives = !task.is_finished();
    task.abort();
    lives
}

/// A runtime whose time is asked for, until it is let go of.
#[derive(Clone)]
pub(super) struct Anchor(Arc<Mutex<Option<runtime::Handle>>>);

impl Anchor {
    pub(super) fn new(runtime: runtime::Handle) -> Self {
        Self(Arc::new(Mutex::new(Some(runtime))))
    }

    /// The runtime's clock. It stands still once that is let go of, and on a thread that is ending.
    pub(super) fn clock(&self) -> Clock {
        let anchor = self.clone();
        Clock::of_runtime(move || {
            let runtime = anchor.runtime().filter(|_| !is_thread_ending());
            runtime.map_or(Duration::ZERO, |runtime| {
                let _entered = runtime.enter();
                Duration::from_nanos(tokio_now().nanos().max(0).cast_unsigned())
            })
        })
    }

    pub(super) fn let_go(&self) {
        let runtime = self.lock().take();
        drop(runtime);
    }

    fn runtime(&self) -> Option<runtime::Handle> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<runtime::Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks tokio for what it may answer with a panic; `None` then.
#[track_caller]
pub(super) fn ask<T>(question: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(question)).ok()
}
