//! [`Runtime`], the runtime in which a function is to run as a task, and that [`Task`].
//!
//! A timer may outlive the runtime that it was made in, and what outlives a runtime must keep no
//! descriptors open. A handle of `rt` keeps none, but one of tokio does. So a timer keeps a handle
//! of tokio's only if it is on another driver than that runtime's. Otherwise it keeps the runtime's
//! id: it is fired on a thread of the runtime, which knows the handle. A thread outside of the
//! runtime cannot spawn the function, so if it resets the timer to a time that has passed, it
//! leaves the function to the driver's next turn.

use crate::callback::Spawn;
use crate::driver;

pub(super) enum Runtime {
    Rt(on_rt::Handle),
    Tokio(on_tokio::Handle),
    /// That of tokio whose thread fires the timer.
    TokioOfThread(on_tokio::Id),
    /// None: the function runs in the turn of the driver.
    None,
}

impl Runtime {
    /// Returns the runtime that this thread is in.
    pub(super) fn current() -> Self {
        // The driver of the program or of `rt` that was entered last; none if a tokio runtime was
        // entered since.
        let entered = driver::Handle::entered().is_some();
        match (on_rt::current(), on_tokio::current()) {
            (Some(handle), None) => Self::Rt(handle),
            (Some(handle), Some(_)) if entered => Self::Rt(handle),
            // The timer is on no driver of tokio's, so its thread may be in no runtime when it
            // fires.
            (_, Some(handle)) if entered || driver::Handle::try_current().is_err() => {
                Self::Tokio(handle)
            }
            // The timer is on that runtime's driver, whose thread is in the runtime.
            (_, Some(handle)) => Self::TokioOfThread(on_tokio::id(&handle)),
            (None, None) => Self::None,
        }
    }

    /// Runs `f` as a task.
    fn run(self, f: impl FnOnce() + Send + 'static) {
        match self {
            Self::Rt(handle) => on_rt::spawn(&handle, f),
            Self::Tokio(handle) => on_tokio::spawn(&handle, f),
            Self::TokioOfThread(id) => match on_tokio::current_if(id) {
                Some(handle) => on_tokio::spawn(&handle, f),
                None => f(),
            },
            Self::None => f(),
        }
    }
}

/// A function, and where it is to run as a task.
pub(super) struct Task<F> {
    pub(super) runtime: Runtime,
    pub(super) f: F,
}

impl<F: FnOnce() + Send + 'static> Spawn for Task<F> {
    fn may_spawn_here(&self) -> bool {
        match self.runtime {
            Runtime::Rt(_) | Runtime::Tokio(_) => true,
            Runtime::TokioOfThread(id) => on_tokio::current_if(id).is_some(),
            Runtime::None => false,
        }
    }

    fn spawn(self: Box<Self>) {
        let Self { runtime, f } = *self;
        runtime.run(f);
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
    pub(super) use tokio::runtime::{Handle, Id};

    pub(super) fn current() -> Option<Handle> {
        Handle::try_current().ok()
    }

    pub(super) fn id(handle: &Handle) -> Id {
        handle.id()
    }

    /// Returns the runtime that this thread is in, if it is the one with this `id`.
    pub(super) fn current_if(id: Id) -> Option<Handle> {
        current().filter(|handle| handle.id() == id)
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

    #[cfg(not(feature = "tokio"))]
    #[derive(Clone, Copy)]
    pub(in crate::go::func) struct Id;

    pub(super) fn current() -> Option<Handle> {
        None
    }

    #[cfg(not(feature = "tokio"))]
    pub(super) fn id(handle: &Handle) -> Id {
        match *handle {}
    }

    #[cfg(not(feature = "tokio"))]
    pub(super) fn current_if(_: Id) -> Option<Handle> {
        None
    }

    pub(super) fn spawn(handle: &Handle, _: impl FnOnce() + Send + 'static) {
        match *handle {}
    }
}
