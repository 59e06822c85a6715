//! In which runtime is this thread, and as what?
//!
//! As a worker, with a core of its own; or as a guest, that spawns and makes timers but runs
//! nothing.

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::backend::Entered as Driver;
use crate::handle::Handle as Timers;
use crate::rt::core::{Core, Why};
use crate::rt::home::{Home, Runnable};
use crate::rt::pool::Pool;
use crate::rt::seat::Seat;
use crate::rt::shared::Shared;

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
    /// The runtimes whose futures this thread runs, one inside of the other; told by their pools.
    static RUNS: RefCell<Vec<*const Pool>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone)]
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
}

#[derive(Clone)]
pub(super) enum Place {
    /// It runs tasks. The core is the worker's; a guard that outlives that leaves a guest behind.
    Worker(Weak<Core>),
    /// It waits for a future of its own, and began to while another thread had the core it needs.
    Waiting(Weak<Waiting>),
    /// It has entered, and does something else.
    Guest,
}

/// What belongs to a thread that came to `block_on` second.
pub(super) struct Waiting {
    pub(super) seat: Arc<Seat>,
    pub(super) local: Arc<Home>,
    /// The core, once the thread has it: who entered before need not enter again.
    pub(super) core: OnceCell<Weak<Core>>,
}

impl Context {
    /// The core of the worker that this thread is.
    pub(super) fn core(&self) -> Option<Rc<Core>> {
        match &self.place {
            Place::Worker(core) => core.upgrade(),
            Place::Waiting(waiting) => waiting.upgrade()?.core.get()?.upgrade(),
            Place::Guest => None,
        }
    }

    /// The home of what this thread spawns.
    pub(super) fn home(&self) -> Arc<Home> {
        let core = self.core();
        let home = core
            .as_ref()
            .map_or(self.shared.guests(), |core| core.home());
        home.clone()
    }

    /// The home of local tasks; `None` if this thread runs none.
    pub(super) fn local(&self) -> Option<Arc<Home>> {
        if let Place::Waiting(waiting) = &self.place {
            return Some(waiting.upgrade()?.local.clone());
        }
        let core = self.core()?;
        let pool = self.shared.pool();
        let seat = || Seat::worker(core.index());
        let local = core.local_or_init(|| Home::local(pool.clone(), seat()));
        Some(local.clone())
    }

    /// The timers of the worker that this thread is, or of all threads that are none.
    pub(super) fn timers(&self) -> Timers {
        let pool = self.shared.pool();
        let place = self.core().map_or(pool.workers(), |core| core.index());
        pool.timers(place)
    }
}

/// The runtime that this thread is in.
pub(super) fn current() -> Option<Context> {
    CONTEXT
        .try_with(|context| context.borrow().clone())
        .ok()
        .flatten()
}

/// The home of what this thread spawns, without taking a reference to the runtime, which its workers
/// would contend for.
pub(super) fn home() -> Option<Arc<Home>> {
    CONTEXT
        .try_with(|context| context.borrow().as_ref().map(Context::home))
        .ok()
        .flatten()
}

/// Whether this thread runs futures of the runtime with this pool, now or further out.
pub(super) fn runs(pool: &Arc<Pool>) -> bool {
    let pool = Arc::as_ptr(pool);
    RUNS.try_with(|runs| runs.borrow().contains(&pool))
        .unwrap_or(false)
}

/// Whether it is as this that the thread is in a runtime: nothing else was entered since.
pub(super) fn is_waiting(as_this: &Rc<Waiting>) -> bool {
    let is_this = |context: &Option<Context>| {
        let place = context.as_ref().map(|context| &context.place);
        matches!(place, Some(Place::Waiting(waiting)) if waiting.as_ptr() == Rc::as_ptr(as_this))
    };
    CONTEXT
        .try_with(|context| is_this(&context.borrow()))
        .unwrap_or(false)
}

/// Notes that this thread runs futures of a runtime, until dropped.
pub(super) struct Running(());

impl Running {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        let pool = Arc::as_ptr(pool);
        let _ = RUNS.try_with(|runs| runs.borrow_mut().push(pool));
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The innermost is ours: they are as nested as the calls that made them.
        let _ = RUNS.try_with(|runs| runs.borrow_mut().pop());
    }
}

/// Which of the pool's workers this thread is.
pub(super) fn worker_of(pool: *const Pool) -> Option<usize> {
    with_pool(pool, |context| Some(context.core()?.index())).flatten()
}

/// Gives a ready task to this thread's worker, if it is one of the pool's, or back.
#[inline]
pub(super) fn push(pool: *const Pool, task: Runnable, why: Why) -> Result<(), Runnable> {
    let mut task = Some(task);
    with_pool(pool, |context| {
        if let Some(core) = context.core()
            && let Some(task) = task.take()
            && core.push(task, why)
        {
            context.shared.pool().wake_one();
        }
    });
    task.map_or(Ok(()), Err)
}

/// Asks the context of this thread if it is in the pool's runtime. `ask` runs no foreign code.
#[inline]
fn with_pool<T>(pool: *const Pool, ask: impl FnOnce(&Context) -> T) -> Option<T> {
    CONTEXT
        .try_with(|context| {
            let context = context.borrow();
            let context = context.as_ref()?;
            std::ptr::eq(Arc::as_ptr(context.shared.pool()), pool).then(|| ask(context))
        })
        .ok()
        .flatten()
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
    previous: Option<Context>,
    _driver: Driver,
}

impl Entered {
    /// In the destructor of a thread-local there may be no place for it any more: then spawning
    /// finds no runtime.
    pub(super) fn new(context: Context) -> Self {
        let driver = context.timers().enter();
        Self {
            previous: CONTEXT
                .try_with(|current| current.replace(Some(context)))
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

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
