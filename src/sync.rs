//! Locks, atomics and threads: from std, or from a model checker.
//!
//! With `--cfg loom` they are loom's, so that the models in `tests/loom` run the code that ships.
//! With `--cfg shuttle` they are shuttle's, for `tests/shuttle`.

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
/// No foreign code runs under a lock of this crate, so a panic cannot leave a half-made change
/// behind: the data under a poisoned lock is as sound as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does the same with a mutex of std, also in a model: one that no model uses.
pub(crate) fn lock_std<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condvar` is notified, or until `deadline`. Returns whether the deadline has passed;
/// may return early for no reason.
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
    // Compared with the clock: a condition variable does not count time exactly as `Instant` does.
    (guard, Instant::now() >= deadline)
}

/// Does the same in a model, where time does not pass: a wait with a deadline lets other threads
/// run, and then ends.
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

/// Whether time passes while a thread waits. It does not under a model checker, which chooses what
/// happens next.
#[cfg(all(feature = "rt", not(any(loom, shuttle))))]
pub(crate) const TIME_PASSES: bool = true;
#[cfg(any(loom, shuttle))]
pub(crate) const TIME_PASSES: bool = false;

/// Identifies a thread among all that are alive.
#[cfg(loom)]
pub(crate) type ThreadId = loom::thread::ThreadId;
#[cfg(all(any(feature = "rt", shuttle), not(loom)))]
pub(crate) type ThreadId = usize;

/// Returns the number of this thread. On some targets it is `None` while the thread destroys its
/// thread-locals. (On those with native thread-locals, one without a destructor stays readable.)
///
/// It is the address of a thread-local: `std::thread::current` would clone a reference.
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

/// Keeps `T` on a cache line of its own, apart from data that other threads write.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct CachePadded<T>(pub(crate) T);

/// Returns `models` under loom, else `shipped`. It is for bounds, which a model exceeds only if
/// they are small.
pub(crate) const fn under_loom_or(models: usize, shipped: usize) -> usize {
    if cfg!(loom) { models } else { shipped }
}

/// Whether thread-locals keep their state from one run of a model to the next.
pub(crate) const THREAD_LOCALS_OUTLIVE_RUNS: bool = cfg!(loom);
