//! Panics of foreign code: wakers, destructors, clocks, hooks, functions of the user's.
//!
//! The panic hook has reported a panic by the time that it is caught. What it carries, the payload,
//! is foreign, too: its destructor may panic.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs foreign code. If it panics, the panic ends here, and this returns `None`.
pub(crate) fn catch_panic<T>(foreign: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(foreign))
        .map_err(drop_payload)
        .ok()
}

/// Runs foreign code. Returns `None` if it panics. The payload of the first panic is kept in
/// `first`, for the caller to pass on when nothing is left to do; those of later ones are dropped.
pub(crate) fn catch_first<T>(
    first: &mut Option<Payload>,
    foreign: impl FnOnce() -> T,
) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(value) => Some(value),
        Err(payload) if first.is_none() => {
            *first = Some(payload);
            None
        }
        Err(payload) => {
            drop_payload(payload);
            None
        }
    }
}

/// Drops a payload. If that panics, too, the payload of that is leaked.
pub(crate) fn drop_payload(payload: Payload) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}
