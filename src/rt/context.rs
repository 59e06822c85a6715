//! In which runtime is this thread?
//!
//! In the one entered last: what it spawns goes there, and its timers are made there. Whether it
//! runs futures of that runtime, too, is told in `here`; otherwise it is a guest.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::backend::Entered as Driver;
use crate::handle::Handle as Timers;
use crate::rt::here;
use crate::rt::locals::Locals;
use crate::rt::seat::Seat;
use crate::rt::shared::Shared;
use crate::rt::task::List;
use crate::sync::thread_local;

thread_local! {
    static CONTEXT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// The runtime that this thread is in.
pub(super) fn current() -> Option<Arc<Shared>> {
    CONTEXT
        .try_with(|context| context.borrow().clone())
        .ok()
        .flatten()
}

/// The list of what this thread spawns, without taking a reference to the runtime, which its workers
/// would contend for.
pub(super) fn list() -> Option<Arc<List>> {
    CONTEXT
        .try_with(|context| context.borrow().as_ref().map(list_of))
        .ok()
        .flatten()
}

/// The list of what this thread spawns on a runtime.
pub(super) fn list_of(shared: &Arc<Shared>) -> Arc<List> {
    let core = here::core(&**shared.pool());
    core.map_or_else(|| shared.guests().clone(), |core| core.list().clone())
}

/// The local tasks of this thread; `None` if it runs no futures of the runtime.
pub(super) fn locals_of(shared: &Arc<Shared>) -> Option<Locals> {
    let pool = shared.pool();
    here::locals(&**pool, |core| {
        let (pool, seat) = (pool.clone(), Seat::worker(core.index()));
        Locals::new(move || seat.wake(&pool))
    })
}

/// The timers of the worker that this thread is, or of all threads that are none.
pub(super) fn timers_of(shared: &Arc<Shared>) -> Timers {
    let pool = shared.pool();
    pool.timers(here::worker(&**pool).unwrap_or(pool.workers()))
}

/// Keeps this thread in a runtime until dropped; see [`Handle::enter`](super::Handle::enter).
///
/// # Examples
///
/// ```
/// use reveille::rt::{self, Runtime};
///
/// let runtime = Runtime::new()?;
/// let entered: rt::Entered = runtime.enter();
/// let task = rt::spawn(async { 7 });
/// drop(entered);
/// assert_eq!(runtime.block_on(task).unwrap(), 7);
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "the thread is in the runtime only while the guard lives"]
pub struct Entered {
    previous: Option<Arc<Shared>>,
    _driver: Driver,
}

impl Entered {
    /// In the destructor of a thread-local there may be no place for it any more: then spawning
    /// finds no runtime.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let driver = timers_of(&shared).enter();
        Self {
            previous: CONTEXT
                .try_with(|current| current.replace(Some(shared)))
                .unwrap_or(None),
            _driver: driver,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // The old value is dropped after the borrow: it may be the last of its runtime.
        drop(CONTEXT.try_with(|current| current.replace(previous)));
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
