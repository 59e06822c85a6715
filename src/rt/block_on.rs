//! `block_on`: a thread waits for one future, the *main future*, and runs tasks meanwhile.
//!
//! If no other thread does, it runs the first worker, and the main future is polled between tasks.
//! Otherwise it polls the main future and its local tasks, parks by itself in between, and runs the
//! worker once no other thread does. So as long as threads are in `block_on`, one of them runs
//! tasks, unless the one that runs the worker is blocked in a destructor or by its main future.
//!
//! The main future may block its thread. Where there is no other worker, another thread in
//! `block_on` may run the first worker while the future is polled or dropped. Where the other
//! workers' threads have ended, because the runtime stops, it may run one of those workers (see
//! `inner`).

mod main_future;

use std::cell::{Cell, Ref};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use self::main_future::MainFuture;
use crate::park::{Park, ThreadPark};
use crate::rt::core::{Core, Phase};
use crate::rt::inner::Inner;
use crate::rt::local::{LocalQueue, ThreadUnparker};
use crate::rt::scopes::{CallSite, Entered, Scope, ScopeGuard, call_site, is_lender, running_any};
use crate::rt::worker::{Mode, Worker};

/// Runs a future to its end.
///
/// # Panics
///
/// If called by a future that the runtime runs, or by anything else that a worker calls.
#[track_caller]
pub(super) fn block_on<F: Future>(inner: &Arc<Inner>, future: F) -> F::Output {
    let outer = match call_site(inner) {
        CallSite::Outside => None,
        CallSite::InDestructor(scope) => Some(scope),
        CallSite::InFuture => panic!(
            "block_on inside of a future that the same runtime runs would wait for itself: await it, or spawn it"
        ),
    };
    let park = ThreadPark::new();
    let thread = BlockOnThread::new(inner, ThreadUnparker::of_thread(park.unparker()), outer);
    // In this order: the future is dropped before the thread leaves the runtime.
    let mut dropped = DropInside {
        thread: &thread,
        future: pin!(Some(future)),
    };
    let future = dropped.future.as_mut().as_pin_mut();
    let future = future.expect("it is there until it is dropped");
    let main = MainFuture::new(inner.pool.clone(), thread.unparker.clone(), future);
    thread.run(main, park)
}

/// A thread in `block_on`. When it is dropped, also by a panic, its local tasks end and the core is
/// returned.
struct BlockOnThread {
    /// Whether this call keeps the runtime from ending. One in a destructor on a worker, or after
    /// the last member has left, does not.
    is_member: bool,
    /// What this thread does as a worker.
    mode: Mode,
    unparker: Arc<ThreadUnparker>,
    /// If a destructor of a future of the runtime makes this call, on a thread that runs a worker:
    /// the scope that has the worker's core, which fires timers for this call, too.
    outer: Option<Rc<Scope>>,
    /// The scope in which this call is made, if that has no hold on the clock during this call,
    /// because this call has taken it, or because it is an `in_lent_call`. While there is one,
    /// this call has a hold whenever it runs, also as a worker: the workers of the outer runtime do
    /// not see that it runs. At the end of the call the outer scope takes a hold again.
    outer_without_hold: Option<Rc<Scope>>,
    /// A destructor makes this call while its thread polls or drops the main future, or drops local
    /// tasks, and has lent the worker.
    in_lent_call: bool,
    /// The runtime has ended meanwhile: this thread runs no worker any more.
    closed: Cell<bool>,
    guard: ScopeGuard,
    /// Dropped before the core is returned.
    entered: Option<Entered>,
}

impl BlockOnThread {
    fn new(inner: &Arc<Inner>, unparker: Arc<ThreadUnparker>, outer: Option<Rc<Scope>>) -> Self {
        // A member keeps the runtime from ending, and so its core from being dropped with tasks in
        // it.
        let is_member = outer.is_none() && inner.add_member();
        let (caller, in_lent_call) = (running_any(), is_lender(inner));
        let guard = ScopeGuard::running(inner.clone(), unparker.clone());
        // On top of a destructor no task runs: it might wait for the destructor.
        let mode = match is_member && !in_lent_call {
            true => Mode::WithTasks,
            false => Mode::WithoutTasks,
        };
        if in_lent_call {
            // Before it counts as waiting: time must stand still until this call waits.
            guard.scope().hold_time();
            inner.begin_lent_wait();
        }
        let outer_without_hold =
            caller.filter(|caller| guard.scope().take_hold_from(caller) || in_lent_call);
        match &outer {
            Some(outer) => unparker.set_worker(outer.core().map(|core| core.index)),
            None => {
                if let Some(core) = inner.take_core() {
                    unparker.set_worker(Some(core.index));
                    guard.scope().set_core(core);
                }
            }
        }
        let entered = Some(Entered::new(inner.clone()));
        Self {
            is_member,
            mode,
            unparker,
            outer,
            outer_without_hold,
            in_lent_call,
            closed: Cell::new(false),
            guard,
            entered,
        }
    }

    fn scope(&self) -> &Scope {
        self.guard.scope()
    }

    fn inner(&self) -> &Arc<Inner> {
        self.scope().inner()
    }

    fn run<F: Future>(&self, mut main: MainFuture<'_, F>, mut park: ThreadPark) -> F::Output {
        loop {
            if self.inner().pool.is_closed() {
                self.stop_working();
            }
            if !self.is_worker() || self.outer_without_hold.is_some() {
                self.scope().hold_time();
            }
            if let Poll::Ready(output) = self.poll(&mut main) {
                return output;
            }
            let mut is_abandoned = false;
            if !self.is_worker() {
                self.run_local();
                is_abandoned = self.take_core_or_register();
            }
            if self.is_worker() {
                self.work(&main);
                if is_abandoned {
                    self.return_abandoned();
                }
            } else {
                self.wait(&main, &mut park);
            }
        }
    }

    /// Waits in the thread's own park, unless there is something to do. Time may move meanwhile.
    fn wait<F: Future>(&self, main: &MainFuture<'_, F>, park: &mut ThreadPark) {
        let is_idle = || !main.is_woken() && !self.has_local();
        self.unparker.begin_wait();
        if is_idle() {
            self.scope().drop_hold();
            // That was foreign code, which may have woken the future.
            if is_idle() {
                park.park(None);
            }
        }
        // In this order, so that time stands still in between.
        self.scope().hold_time();
        drop(self.unparker.end_wait());
    }

    /// Polls the future, which may block this thread.
    fn poll<F: Future>(&self, main: &mut MainFuture<'_, F>) -> Poll<F::Output> {
        let _lent = self.lend();
        main.poll()
    }

    /// Lends the worker that this thread runs, until the result is dropped, because foreign code
    /// may block the thread. Where there is no other worker, another thread may run the first
    /// worker meanwhile, and may go on doing so.
    fn lend(&self) -> Option<Lent<'_>> {
        let core = self.scope().core()?;
        core.phase.set(Phase::MainFuture);
        drop(core);
        (self.inner().pool.workers() == 1).then(|| Lent::new(self))
    }

    /// Runs the worker until the future is to be polled, if this thread has a core.
    fn work<F: Future>(&self, main: &MainFuture<'_, F>) {
        if self.outer_without_hold.is_none() {
            self.scope().drop_hold();
        }
        if let Some(core) = self.core() {
            let phase = core.phase.get();
            let pool = &self.inner().pool;
            let should_return = || main.is_woken() || pool.is_closed();
            Worker::new(self.scope(), &core, self.mode).run(&should_return);
            core.phase.set(phase);
        }
    }

    /// Returns the core of the worker that this thread runs, for this call or for one further out.
    fn core(&self) -> Option<Ref<'_, Core>> {
        let outer = self.outer.as_ref().filter(|_| !self.closed.get());
        self.scope().core().or_else(|| outer?.core())
    }

    /// Runs the worker no longer, because the runtime has ended: its parker is closed.
    fn stop_working(&self) {
        if !self.closed.replace(true) {
            self.stop_own_worker();
        }
    }

    fn is_worker(&self) -> bool {
        self.core().is_some()
    }

    /// Stops running an abandoned worker. It does so before the main future is polled, which may
    /// block this thread: others wait for timers, too.
    fn return_abandoned(&self) {
        // In this order, so that time stands still in between.
        self.scope().hold_time();
        self.stop_own_worker();
    }

    /// Stops running the worker whose core this call has taken, if it has taken one.
    fn stop_own_worker(&self) {
        self.unparker.set_worker(None);
        if let Some(core) = self.scope().take_core() {
            self.inner().stop_worker(core);
        }
    }

    /// Takes a core, if there is one for this thread. Returns whether it is an abandoned one.
    fn take_core_or_register(&self) -> bool {
        if self.outer.is_none()
            && let Some(core) = self.inner().take_core_or_register(&self.unparker)
        {
            let is_abandoned = core.index > 0;
            self.unparker.set_worker(Some(core.index));
            self.scope().set_core(core);
            return is_abandoned;
        }
        false
    }

    fn run_local(&self) {
        if let Some(local) = self.scope().local()
            && let Some(task) = local.pop()
        {
            self.scope().run(task);
        }
    }

    fn has_local(&self) -> bool {
        self.scope().local().is_some_and(LocalQueue::is_ready)
    }
}

/// The worker is lent to other threads while this lives, so also if the main future or a destructor
/// panics.
struct Lent<'a>(&'a BlockOnThread);

impl<'a> Lent<'a> {
    fn new(thread: &'a BlockOnThread) -> Self {
        thread.scope().set_lent(true);
        thread.inner().lend();
        Self(thread)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let thread = self.0;
        thread.scope().set_lent(false);
        if !thread.inner().reclaim()
            && let Some(core) = thread.scope().take_core()
        {
            thread.scope().hold_time();
            thread.unparker.set_worker(None);
            thread.inner().return_core(core);
        }
    }
}

impl Drop for BlockOnThread {
    fn drop(&mut self) {
        {
            // If there are local tasks, their destructors may block this thread.
            let _lent = self.scope().local().and_then(|_| self.lend());
            self.scope().shutdown_local();
        }
        // Only a panic in `wait` has left one.
        drop(self.unparker.end_wait());
        let inner = self.inner().clone();
        inner.stop_waiting(&self.unparker);
        self.entered = None;
        if let Some(outer) = &self.outer_without_hold {
            outer.hold_time();
        }
        if self.in_lent_call {
            // After the hold: a borrower that asked `lender_polls` before this, and got `false`, is
            // stopped by the hold.
            inner.end_lent_wait();
        }
        self.scope().drop_hold();
        if let Some(core) = self.scope().take_core() {
            inner.stop_worker(core);
        }
        let pool = &inner.pool;
        if pool.has_work() {
            pool.idle.notify_one();
        }
        if self.is_member {
            leave(&inner);
        }
    }
}

/// Removes a member of the runtime. After the last one, drops the tasks that are left, inside the
/// runtime.
pub(super) fn leave(inner: &Arc<Inner>) {
    inner.remove_member(|| {
        let _entered = Entered::new(inner.clone());
        inner.shutdown();
    });
}

/// Drops the main future when dropped, also by a panic. A destructor may call `block_on`, or block
/// the thread in another way.
struct DropInside<'a, F> {
    thread: &'a BlockOnThread,
    future: Pin<&'a mut Option<F>>,
}

impl<F> Drop for DropInside<'_, F> {
    fn drop(&mut self) {
        self.thread.scope().set_dropping();
        let _lent = self.thread.lend();
        self.future.set(None);
    }
}
