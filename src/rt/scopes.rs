//! Which runtimes this thread is in, as a stack of scopes, and where a task goes that is ready.
//!
//! A thread is in a runtime in one of two ways. It *runs* the runtime's futures, as a worker or in
//! `block_on`: then its scope has local tasks and, while the thread is a worker, a core. Or it has
//! only *entered* the runtime by a guard: then what it spawns and the timers that it makes go
//! there, and that is all. Scopes nest: a future may call `block_on` of another runtime, or enter
//! one.
//!
//! The innermost scope says which runtime is current. A task that becomes ready on this thread goes
//! to the thread's core only if the innermost scope that runs futures belongs to the task's
//! runtime. Otherwise, and on an external thread, it goes to the shared queue; a local task goes to
//! its thread's inbox.

mod ended;
mod hold;

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use async_task::{ScheduleInfo, WithInfo};

use self::ended::NotingEnd;
pub(super) use self::hold::while_blocked;
use crate::backend::{self, coop};
use crate::clock::Hold;
use crate::driver;
use crate::rt::core::{AfterPush, Core};
use crate::rt::inner::Inner;
use crate::rt::join::JoinHandle;
use crate::rt::local::{LocalQueue, ThreadUnparker};
use crate::rt::pool::Pool;
use crate::rt::task::{self, OwnedTasks, Reason, Runnable, Spawned};
use crate::sync::thread_local;

thread_local! {
    static SCOPES: RefCell<Vec<Rc<Scope>>> = const { RefCell::new(Vec::new()) };
}

/// Notes that a thread is in a runtime, from entering it to leaving it.
pub(super) struct Scope {
    inner: Arc<Inner>,
    /// `None` if the thread runs no futures.
    unparker: Option<Arc<ThreadUnparker>>,
    /// `Some` while the thread is a worker. `None` in the scope of a `block_on` that was called in
    /// a destructor, if a scope further out has the core.
    core: RefCell<Option<Core>>,
    /// The local tasks; empty until one is spawned.
    local: OnceCell<LocalQueue>,
    /// The local tasks have ended, and one that is spawned from now on ends at once.
    local_closed: Cell<bool>,
    /// Futures are being dropped, not run.
    dropping: Cell<bool>,
    /// This scope has the core of a worker that is lent: another thread may run that worker.
    lent: Cell<bool>,
    /// Keeps time that is moved by hand from moving while this thread runs futures. A scope needs
    /// it in these cases:
    ///
    /// - Its thread is no worker.
    /// - The thread is inside a future of another runtime on the same clock. The workers of that
    ///   other runtime do not see that this thread runs.
    /// - A destructor has called `block_on` while the thread polls or drops its main future, or
    ///   drops local tasks, and has lent its worker.
    hold: Cell<Option<Hold>>,
}

impl Scope {
    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Makes this thread a worker.
    pub(super) fn set_core(&self, core: Core) {
        *self.core.borrow_mut() = Some(core);
    }

    /// Returns the core, if this thread is a worker.
    pub(super) fn core(&self) -> Option<Ref<'_, Core>> {
        Ref::filter_map(self.core.borrow(), Option::as_ref).ok()
    }

    /// Takes the core: this thread is a worker no longer.
    pub(super) fn take_core(&self) -> Option<Core> {
        self.core.borrow_mut().take()
    }

    /// Returns the local tasks, if one was ever spawned.
    pub(super) fn local(&self) -> Option<&LocalQueue> {
        self.local.get()
    }

    /// Returns the local tasks, or `None` if this thread runs no futures of the runtime.
    pub(super) fn local_or_init(&self) -> Option<&LocalQueue> {
        let unparker = self.unparker.as_ref()?;
        let new = || {
            let local = LocalQueue::new(self.inner.pool.clone(), unparker.clone());
            if self.local_closed.get() {
                local.shutdown();
            }
            local
        };
        Some(self.local.get_or_init(new))
    }

    /// Runs a task, or drops it if it was aborted.
    // Inlined: see `Worker::run_task`.
    #[inline(always)]
    pub(super) fn run(&self, task: Runnable) {
        if task::is_aborted(&task) {
            self.while_dropping(|| drop(task));
        } else {
            coop::budget(|| task.run());
            // If the task has ended, `NotingEnd` has set it.
            self.dropping.set(false);
        }
    }

    /// Ends all local tasks, and lets no more be spawned. If this thread is the last
    /// member of the runtime (see `inner`), it drops all tasks of the runtime soon after this call,
    /// and their destructors must not spawn.
    pub(super) fn shutdown_local(&self) {
        self.local_closed.set(true);
        if let Some(local) = self.local() {
            self.while_dropping(|| local.shutdown());
        }
    }

    /// Notes that futures are dropped from now on, not run: a destructor may call `block_on`.
    pub(super) fn set_dropping(&self) {
        self.dropping.set(true);
    }

    /// Notes whether the worker of this scope's core is lent: whether another thread may run it.
    pub(super) fn set_lent(&self, lent: bool) {
        self.lent.set(lent);
    }

    /// Returns whether this scope has the core of a worker that is not lent.
    fn runs_worker(&self) -> bool {
        !self.lent.get() && self.core().is_some()
    }

    fn while_dropping(&self, run: impl FnOnce()) {
        let before = self.dropping.replace(true);
        run();
        self.dropping.set(before);
    }

    fn runs_futures(&self) -> bool {
        self.unparker.is_some()
    }

    fn is_of(&self, inner: &Inner) -> bool {
        std::ptr::eq(&*self.inner, inner)
    }

    fn owned(&self) -> Option<Arc<OwnedTasks>> {
        Some(self.core()?.owned.clone())
    }
}

/// Keeps a scope on this thread's stack until dropped.
pub(super) struct ScopeGuard(Rc<Scope>);

impl ScopeGuard {
    /// Pushes the scope of a thread that runs futures.
    pub(super) fn running(inner: Arc<Inner>, unparker: Arc<ThreadUnparker>) -> Self {
        Self::push(inner, Some(unparker))
    }

    fn push(inner: Arc<Inner>, unparker: Option<Arc<ThreadUnparker>>) -> Self {
        let scope = Rc::new(Scope {
            inner,
            unparker,
            core: RefCell::new(None),
            local: OnceCell::new(),
            local_closed: Cell::new(false),
            dropping: Cell::new(false),
            lent: Cell::new(false),
            hold: Cell::new(None),
        });
        // In the destructor of a thread-local the stack may be gone. Then spawning finds no
        // runtime, and a task that becomes ready here goes where it would on an external thread.
        let _ = SCOPES.try_with(|scopes| scopes.borrow_mut().push(scope.clone()));
        Self(scope)
    }

    pub(super) fn scope(&self) -> &Rc<Scope> {
        &self.0
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        // Its own scope, wherever it is: guards may be dropped in any order. (The guard has another
        // reference, so no scope is dropped under the borrow. That could drop the last reference to
        // a runtime.)
        let _ = SCOPES.try_with(|scopes| {
            let mut scopes = scopes.borrow_mut();
            let at = scopes.iter().rposition(|scope| Rc::ptr_eq(scope, &self.0));
            at.map(|at| scopes.remove(at))
        });
    }
}

/// Keeps this thread in a runtime until dropped; see [`Handle::enter`](super::Handle::enter).
///
/// Guards may be dropped in any order: the thread is in the runtime of the innermost guard that is
/// left.
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
#[must_use = "the thread is in the runtime only while the guard lives: name it, as in `let _entered =`; `let _ =` drops it at once"]
pub struct Entered {
    _driver: backend::Entered,
    _scope: ScopeGuard,
}

impl Entered {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            _driver: driver_of(&inner).enter(),
            _scope: ScopeGuard::push(inner, None),
        }
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// Returns the runtime that this thread is in.
pub(super) fn current() -> Option<Arc<Inner>> {
    with(|scopes| Some(scopes.last()?.inner.clone()))
}

/// Returns the list for what this thread spawns. Takes no reference to the runtime: its workers
/// would contend for the reference count.
pub(super) fn current_owned() -> Option<Arc<OwnedTasks>> {
    with(|scopes| {
        let inner = &scopes.last()?.inner;
        let owned = running(scopes, inner).and_then(|scope| scope.owned());
        Some(owned.unwrap_or_else(|| inner.external().clone()))
    })
}

/// Returns the list for what this thread spawns on a runtime.
pub(super) fn owned_of(inner: &Inner) -> Arc<OwnedTasks> {
    let owned = with(|scopes| running(scopes, inner)?.owned());
    owned.unwrap_or_else(|| inner.external().clone())
}

/// Returns the scope in which this thread runs futures of the current runtime, if it does.
pub(super) fn running_current() -> Option<Rc<Scope>> {
    with(|scopes| running(scopes, &scopes.last()?.inner).cloned())
}

/// Where a call of `block_on` is made.
pub(super) enum CallSite {
    /// In no future of the runtime. (Or in the destructor of one of its futures, on a thread that
    /// runs no worker.)
    Outside,
    /// In the destructor of a future of the runtime. The call may block, and the thread fires
    /// timers for it, with the core of this scope.
    InDestructor(Rc<Scope>),
    /// In a future of the runtime that is being polled: the thread would wait for itself.
    InFuture,
}

/// Returns where a call of `block_on` on this thread is made, as seen from a runtime.
pub(super) fn call_site(inner: &Inner) -> CallSite {
    with(|scopes| {
        let mut running = running_of(scopes, inner).peekable();
        if !running.peek()?.dropping.get() {
            return Some(CallSite::InFuture);
        }
        // Destructors may nest: the core may be that of a scope further out.
        let with_worker = running.find(|scope| scope.runs_worker())?;
        Some(CallSite::InDestructor(with_worker.clone()))
    })
    .unwrap_or(CallSite::Outside)
}

/// Returns whether this thread has lent a worker of a runtime, and polls or drops its main future,
/// or drops local tasks. Calls on other runtimes may lie in between.
pub(super) fn is_lender(inner: &Inner) -> bool {
    with(|scopes| Some(running_of(scopes, inner).next()?.lent.get())).unwrap_or(false)
}

/// Returns the innermost scope in which this thread runs futures, of any runtime.
pub(super) fn running_any() -> Option<Rc<Scope>> {
    with(|scopes| innermost(scopes).cloned())
}

/// Returns the driver of the worker that this thread runs, or that of all external threads.
pub(super) fn driver_of(inner: &Inner) -> driver::Handle {
    let pool = &inner.pool;
    let worker = with(|scopes| Some(running(scopes, inner)?.core()?.index));
    pool.shard_handle(worker.unwrap_or(pool.workers()))
}

/// Pushes a ready task to this thread's core.
///
/// Gives the task back (`Err`) if it is local, if the innermost scope that runs futures has no core
/// of the task's runtime, or if this thread polls its main future with a spare core, from which no
/// worker steals.
#[inline]
pub(super) fn push(task: Runnable, reason: Reason) -> Result<(), Runnable> {
    let mut task = Some(task);
    let _ = SCOPES.try_with(|scopes| {
        let scopes = scopes.borrow();
        if let Some(scope) = innermost(&scopes)
            && let Some(core) = scope.core()
            && !core.is_out_of_reach()
            && let Some(task) = task.take_if(|task| is_run_by(task, &scope.inner.pool))
        {
            // None of this runs foreign code.
            match core.push(task, reason) {
                AfterPush::Nothing => {}
                AfterPush::NotifyOne => scope.inner.pool.idle.notify_one(),
                AfterPush::ReportSlot => scope.inner.pool.idle.report_full_slot(core.index),
            }
        }
    });
    task.map_or(Ok(()), Err)
}

#[inline]
fn is_run_by(task: &Runnable, pool: &Arc<Pool>) -> bool {
    let scheduler = &task.metadata().owned.scheduler;
    std::ptr::addr_eq(Arc::as_ptr(scheduler), Arc::as_ptr(pool))
}

/// Returns the innermost scope that runs futures, if it belongs to this runtime.
fn running<'a>(scopes: &'a [Rc<Scope>], inner: &Inner) -> Option<&'a Rc<Scope>> {
    innermost(scopes).filter(|scope| scope.is_of(inner))
}

/// Returns the scopes in which this thread runs futures of a runtime, from the innermost one on.
fn running_of<'a>(scopes: &'a [Rc<Scope>], inner: &Inner) -> impl Iterator<Item = &'a Rc<Scope>> {
    let of_runtime = |scope: &&Rc<Scope>| scope.runs_futures() && scope.is_of(inner);
    scopes.iter().rev().filter(of_runtime)
}

/// Returns the innermost scope that runs futures.
#[inline]
fn innermost(scopes: &[Rc<Scope>]) -> Option<&Rc<Scope>> {
    scopes.iter().rev().find(|scope| scope.runs_futures())
}

/// Calls a function with the stack. It must run no foreign code, which may change the stack.
#[inline]
fn with<T>(read: impl FnOnce(&[Rc<Scope>]) -> Option<T>) -> Option<T> {
    SCOPES.try_with(|scopes| read(&scopes.borrow())).ok()?
}

/// Spawns a task for any worker.
pub(super) fn spawn<F>(owned: Arc<OwnedTasks>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, spawned) = owned.bind(future, |metadata, future| {
        async_task::Builder::new()
            .metadata(metadata)
            .propagate_panic(true)
            .spawn(|_| NotingEnd { future }, WithInfo(wake))
    });
    finish_spawn(task, spawned)
}

/// Spawns a task that stays on this thread.
pub(super) fn spawn_local<F>(local: &LocalQueue, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (task, spawned) = local.owned.clone().bind(future, |metadata, future| {
        async_task::Builder::new()
            .metadata(metadata)
            .propagate_panic(true)
            .spawn_local(|_| NotingEnd { future }, WithInfo(wake))
    });
    finish_spawn(task, spawned)
}

fn finish_spawn<T>(task: Result<Runnable, Runnable>, spawned: Spawned<T>) -> JoinHandle<T> {
    match task {
        Ok(task) => schedule(task, Reason::Spawned),
        Err(ended) => drop_late(ended),
    }
    JoinHandle::new(spawned)
}

/// Drops a task that was spawned too late, perhaps on a runtime further out, in a call on another
/// one. The destructor of its future may call `block_on` of any runtime that this thread is in.
fn drop_late(task: Runnable) {
    let scopes = with(|scopes| Some(scopes.to_vec())).unwrap_or_default();
    let set_dropping = |scope: &Rc<Scope>| scope.dropping.replace(true);
    let before: Vec<_> = scopes.iter().map(set_dropping).collect();
    drop(task);
    for (scope, before) in scopes.iter().zip(before) {
        scope.dropping.set(before);
    }
}

/// Schedules a task that was woken.
///
/// It is a function, and finds the list in the task's metadata. If it were a closure that holds the
/// list, `async_task` would keep the task alive during each call, by two atomic operations.
fn wake(task: Runnable, info: ScheduleInfo) {
    let reason = if info.woken_while_running {
        Reason::Yielded
    } else {
        Reason::Woken
    };
    schedule(task, reason);
}

fn schedule(task: Runnable, reason: Reason) {
    if let Err(task) = push(task, reason) {
        let owned = task.metadata().owned.clone();
        owned.scheduler.schedule(task);
    }
}
