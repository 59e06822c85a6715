//! Where do locks and atomics come from?
//!
//! From std; from loom when the crate is built with `--cfg loom`, so that the models in
//! `tests/loom` run the very code that ships; from shuttle with `--cfg shuttle`, for `tests/shuttle`.
//! The executor has its threads from here, too. No other file knows the difference, but those in
//! which a thread blocks.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(feature = "rt", not(any(loom, shuttle))))]
pub(crate) use std::{sync::Condvar, thread};

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::thread_local;

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use std::thread_local;

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread, thread_local,
};

use std::sync::PoisonError;

/// Locks `mutex`, poisoned or not.
///
/// No foreign code runs under a lock of this crate, so a panic cannot leave half a change behind:
/// what a poisoned lock guards is as sound as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps `T` on a cache line of its own, away from neighbours that other threads write.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Line<T>(pub(crate) T);
