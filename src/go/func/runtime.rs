//! [`Runtime`], the runtime in which a function is to run as a task.
//!
//! A timer may outlive the runtime that it was made in, and what outlives a runtime must keep no
//! descriptors open. A handle of `rt` does not, but one of tokio does. So the handle of a tokio
//! runtime is kept only if another driver is to fire the timer. If it is the runtime's own, the
//! timer fires on a thread of the runtime, and finds it there.

use crate::driver;

pub(super) enum Runtime {
    Rt(on_rt::Handle),
    Tokio(on_tokio::Handle),
    /// That of tokio whose thread fires the timer.
    TokioOfThread,
    /// None: the function runs in the turn of the driver.
    None,
}

impl Runtime {
    /// Returns the runtime that this thread is in.
    pub(super) fn current() -> Self {
        // `None` if a tokio runtime was entered last, or nothing.
        let entered = driver::Handle::entered().is_some();
        match (on_rt::current(), on_tokio::current()) {
            (Some(handle), None) => Self::Rt(handle),
            (Some(handle), Some(_)) if entered => Self::Rt(handle),
            (_, Some(handle)) if entered || driver::Handle::try_current().is_err() => {
                Self::Tokio(handle)
            }
            (_, Some(_)) => Self::TokioOfThread,
            (None, None) => Self::None,
        }
    }

    /// Runs `f` as a task.
    pub(super) fn run(self, f: impl FnOnce() + Send + 'static) {
        match self {
            Self::Rt(handle) => on_rt::spawn(&handle, f),
            Self::Tokio(handle) => on_tokio::spawn(&handle, f),
            Self::TokioOfThread => match on_tokio::current() {
                Some(handle) => on_tokio::spawn(&handle, f),
                None => f(),
            },
            Self::None => f(),
        }
    }
}

#[cfg(feature = "rt")]
mod on_rt {
    pub(super) use crate::rt::Handle;

    pub(super) fn current() -> Option<Handle> {
        Handle::try_current().ok()
    }

    pub(super) fn spawn(handle: &Handle, f: impl FnOnce() + Send + 'static) {
        drop(handle.spawn(async move { f() }));
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    pub(super) use tokio::runtime::Handle;

    pub(super) fn current() -> Option<Handle> {
        Handle::try_current().ok()
    }

    pub(super) fn spawn(handle: &Handle, f: impl FnOnce() + Send + 'static) {
        drop(handle.spawn(async move { f() }));
    }
}

#[cfg(not(feature = "rt"))]
use self::without as on_rt;
#[cfg(not(feature = "tokio"))]
use self::without as on_tokio;

/// In place of a runtime that this crate is built without: no thread is in it.
#[cfg(not(all(feature = "rt", feature = "tokio")))]
mod without {
    pub(in crate::go::func) enum Handle {}

    pub(super) fn current() -> Option<Handle> {
        None
    }

    pub(super) fn spawn(handle: &Handle, _: impl FnOnce() + Send + 'static) {
        match *handle {}
    }
}
