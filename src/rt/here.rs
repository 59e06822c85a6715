//! Whose futures does this thread run, and with which core?
//!
//! Of one runtime, as a worker or as one that waits to be one; or of several, if a future waits for
//! another runtime: then the innermost is the one that it is at. Runtimes are told apart by where
//! their tasks are run, their [`Route`].

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::rt::core::Core;
use crate::rt::locals::Locals;
use crate::rt::task::{Route, Runnable, Why};
use crate::sync::thread_local;

thread_local! {
    static STAYS: RefCell<Vec<Rc<Stay>>> = const { RefCell::new(Vec::new()) };
}

/// A thread's time among those that run a runtime's futures.
struct Stay {
    route: Arc<dyn Route>,
    core: OnceCell<Rc<Core>>,
    /// The local tasks, made for the first one.
    locals: OnceCell<Locals>,
}

/// Notes that this thread runs futures of a runtime, until dropped.
pub(super) struct Here(Rc<Stay>);

impl Here {
    pub(super) fn new(route: Arc<dyn Route>) -> Self {
        let stay = Rc::new(Stay {
            route,
            core: OnceCell::new(),
            locals: OnceCell::new(),
        });
        // In the destructor of a thread-local there may be no place for it any more: then what is
        // readied here goes where it would from outside.
        let _ = STAYS.try_with(|stays| stays.borrow_mut().push(stay.clone()));
        Self(stay)
    }

    /// Makes this thread a worker.
    pub(super) fn set_core(&self, core: Core) -> &Rc<Core> {
        self.0.core.get_or_init(|| Rc::new(core))
    }

    /// The core, if it is a worker.
    pub(super) fn core(&self) -> Option<&Rc<Core>> {
        self.0.core.get()
    }

    pub(super) fn locals_or_init(&self, make: impl FnOnce() -> Locals) -> &Locals {
        self.0.locals.get_or_init(make)
    }

    pub(super) fn locals(&self) -> Option<&Locals> {
        self.0.locals.get()
    }

    /// Ends the stay, and gives the core back.
    pub(super) fn leave(self) -> Option<Core> {
        let stay = self.0.clone();
        drop(self);
        let stay = Rc::into_inner(stay)?;
        stay.core.into_inner().and_then(Rc::into_inner)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // The innermost is ours: they are as nested as the calls that made them.
        let stay = STAYS.try_with(|stays| stays.borrow_mut().pop());
        drop(stay);
    }
}

/// Whether this thread runs futures of a runtime, now or further out.
pub(super) fn runs(route: &dyn Route) -> bool {
    STAYS
        .try_with(|stays| stays.borrow().iter().any(|stay| stay.is_of(route)))
        .unwrap_or(false)
}

/// The core of the worker that this thread is in a runtime.
pub(super) fn core(route: &dyn Route) -> Option<Rc<Core>> {
    with(route, |stay| stay.core.get().cloned()).flatten()
}

/// The local tasks of this thread, made by `make` for the first one; `None` if it runs no futures of
/// the runtime.
pub(super) fn locals(route: &dyn Route, make: impl FnOnce(&Core) -> Locals) -> Option<Locals> {
    with(route, |stay| {
        if let Some(core) = stay.core.get() {
            return Some(stay.locals.get_or_init(|| make(core)).clone());
        }
        stay.locals.get().cloned()
    })
    .flatten()
}

/// Which worker this thread is in a runtime.
pub(super) fn worker(route: &dyn Route) -> Option<usize> {
    with(route, |stay| Some(stay.core.get()?.index())).flatten()
}

/// Gives a ready task to this thread's worker, if it is one of the runtime's, or back.
#[inline]
pub(super) fn push(task: Runnable, why: Why) -> Result<(), Runnable> {
    let mut task = Some(task);
    let _ = STAYS.try_with(|stays| {
        let stays = stays.borrow();
        if let Some(stay) = stays.last()
            && let Some(core) = stay.core.get()
            && let Some(ready) = task.take_if(|task| stay.is_of(&**task.metadata().list().route()))
            && core.push(ready, why)
        {
            // No foreign code runs in there.
            stay.route.help();
        }
    });
    task.map_or(Ok(()), Err)
}

impl Stay {
    #[inline]
    fn is_of(&self, route: &dyn Route) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.route), route)
    }
}

/// Asks the innermost stay, if it is in this runtime. `ask` runs no foreign code.
#[inline]
fn with<T>(route: &dyn Route, ask: impl FnOnce(&Stay) -> T) -> Option<T> {
    STAYS
        .try_with(|stays| {
            let stays = stays.borrow();
            let stay = stays.last()?;
            stay.is_of(route).then(|| ask(stay))
        })
        .ok()
        .flatten()
}
