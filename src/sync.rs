//! Locks, atomics and threads: from std, or from a model checker.
//!
//! From loom when the crate is built with `--cfg loom`, so that the models in `tests/loom` run the
//! very code that ships; from shuttle with `--cfg shuttle`, for `tests/shuttle`.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(any(feature = "rt", not(target_os = "linux")), not(any(loom, shuttle))))]
pub(crate) use std::sync::Condvar;

#[cfg(all(feature = "rt", not(any(loom, shuttle))))]
pub(crate) use std::thread;

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::thread_local;

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(loom)]
pub(crate) use std::thread_local;

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

use std::sync::PoisonError;
#[cfg(any(feature = "rt", not(target_os = "linux"), loom, shuttle))]
use std::time::Instant;

/// Locks `mutex`, poisoned or not.
///
/// No foreign code runs under a lock of this crate, so a panic cannot leave half a change behind:
/// what a poisoned lock guards is as sound as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condvar` is notified, or until `deadline`; may return early for no reason. Returns whether
/// the deadline has passed.
#[cfg(all(any(feature = "rt", not(target_os = "linux")), not(any(loom, shuttle))))]
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    _mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> (MutexGuard<'a, T>, bool) {
    let Some(deadline) = deadline else {
        let guard = condvar.wait(guard);
        return (guard.unwrap_or_else(PoisonError::into_inner), false);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let result = condvar.wait_timeout(guard, left);
    let (guard, _) = result.unwrap_or_else(PoisonError::into_inner);
    // Asked of the clock: a condition variable's ticks are not those of `Instant`.
    (guard, Instant::now() >= deadline)
}

/// The same in a model, where time does not pass: a wait with a deadline lets other threads run, and is
/// over.
#[cfg(any(loom, shuttle))]
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> (MutexGuard<'a, T>, bool) {
    if deadline.is_none() {
        let guard = condvar.wait(guard);
        return (guard.unwrap_or_else(PoisonError::into_inner), false);
    }
    drop(guard);
    yield_now();
    (lock(mutex), true)
}

#[cfg(loom)]
use loom::thread::yield_now;
#[cfg(shuttle)]
use shuttle::thread::yield_now;

/// Whether time passes while a thread waits: not where a model checker says what happens next.
#[cfg(all(feature = "rt", not(any(loom, shuttle))))]
pub(crate) const TIME_PASSES: bool = true;
#[cfg(any(loom, shuttle))]
pub(crate) const TIME_PASSES: bool = false;

/// Tells a living thread from all others.
#[cfg(loom)]
pub(crate) type ThreadId = loom::thread::ThreadId;
#[cfg(all(any(feature = "rt", shuttle), not(loom)))]
pub(crate) type ThreadId = usize;

/// Returns the number of this thread; `None` where a thread ends.
///
/// The address of a thread-local: `std::thread::current` would clone a reference.
#[cfg(all(any(feature = "rt", shuttle), not(loom)))]
#[inline]
pub(crate) fn this_thread() -> Option<ThreadId> {
    thread_local! {
        static THREAD: u8 = const { 0 };
    }
    THREAD
        .try_with(|thread| std::ptr::from_ref(thread).addr())
        .ok()
}

#[cfg(loom)]
pub(crate) fn this_thread() -> Option<ThreadId> {
    Some(loom::thread::current().id())
}

/// Keeps `T` on a cache line of its own, away from neighbours that other threads write.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct CachePadded<T>(pub(crate) T);

/// Returns `models` in the models of a model checker, else `shipped`: a bound that is small enough there
/// for a model to exceed it.
pub(crate) const fn in_models(models: usize, shipped: usize) -> usize {
    if cfg!(loom) { models } else { shipped }
}

/// Whether the state of a thread-local goes on from one run of a model to the next.
pub(crate) const THREAD_LOCALS_OUTLIVE_RUNS: bool = cfg!(loom);
