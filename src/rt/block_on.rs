//! A thread waits for one future, and runs tasks meanwhile.
//!
//! If no other thread does so, it is the first worker: the future is polled between tasks. Else it
//! polls the future and its local tasks, parks in between, and becomes the worker when no other thread
//! is, so that there is always a thread to run the tasks as long as one waits.
//!
//! The future may block its thread. Where there is no other worker, another thread in `block_on` may be
//! it while the future is polled (see `inner`).

use std::cell::Ref;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::backend::coop;
use crate::clock::Hold;
use crate::park::{Park, ThreadPark};
use crate::rt::context::{Entered, Nesting, Scope, ScopeGuard, nesting};
use crate::rt::core::{Core, Phase};
use crate::rt::inner::Inner;
use crate::rt::local::{LocalQueue, ThreadNotifier};
use crate::rt::pool::Pool;
use crate::rt::worker::{Wanted, Worker};
use crate::sync::atomic::{AtomicBool, Ordering};

/// Runs a future to its end.
///
/// # Panics
///
/// If called by a future that the runtime runs.
#[track_caller]
pub(super) fn block_on<F: Future>(inner: &Arc<Inner>, future: F) -> F::Output {
    let outer = match nesting(inner) {
        Nesting::Outside => None,
        Nesting::InDestructor(scope) => Some(scope),
        Nesting::InFuture => panic!(
            "block_on inside of a future that the same runtime runs would wait for itself: await it, or spawn it"
        ),
    };
    let park = ThreadPark::new();
    let member = Member::new(inner, ThreadNotifier::of_thread(park.unparker()), outer);
    // In this order: the future is dropped first, inside the runtime, and may wait for it.
    let future = pin!(future);
    let _dropping = SetDropping(member.scope());
    let main = MainFuture::new(inner.pool().clone(), member.notifier.clone(), future);
    member.run(main, park)
}

/// A thread's time in `block_on`. When it is over, however, the local tasks end, and the core goes
/// back.
struct Member {
    /// The thread keeps the runtime from ending.
    joined: bool,
    notifier: Arc<ThreadNotifier>,
    /// The worker whose future this call is a destructor of: its core fires timers for this call, too.
    outer: Option<Rc<Scope>>,
    guard: ScopeGuard,
    /// Left before the core goes back.
    entered: Option<Entered>,
}

impl Member {
    fn new(inner: &Arc<Inner>, notifier: Arc<ThreadNotifier>, outer: Option<Rc<Scope>>) -> Self {
        // What keeps the runtime from ending also keeps the tasks that lie in the core from being
        // forgotten.
        let joined = outer.is_none() && inner.join();
        let guard = ScopeGuard::running(inner.clone(), notifier.clone());
        match &outer {
            Some(outer) => notifier.set_worker(outer.core().map(|core| core.index())),
            None => {
                if let Some(core) = inner.become_worker() {
                    notifier.set_worker(Some(core.index()));
                    guard.scope().set_core(core);
                }
            }
        }
        let entered = Some(Entered::new(inner.clone()));
        Self {
            joined,
            notifier,
            outer,
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
        // While time is moved by hand and this thread is no worker, it stands still for it by a hold.
        let mut hold = None;
        loop {
            if !self.is_worker() {
                hold = hold.or_else(|| self.hold_if_frozen());
                drop(self.notifier.take_hold());
            }
            let poll = self.poll(&mut main, &mut hold);
            if let Poll::Ready(output) = poll {
                return output;
            }
            if !self.is_worker() {
                self.run_local();
                self.become_worker_or_wait();
            }
            if self.is_worker() {
                hold = None;
                self.work(&main);
            } else if !main.is_wanted() && !self.has_local() {
                hold = None;
                park.park(None);
            }
        }
    }

    /// Polls the future, which may block this thread. Where there is no other worker, another thread may
    /// be the worker meanwhile, and perhaps remains it.
    fn poll<F: Future>(
        &self,
        main: &mut MainFuture<'_, F>,
        hold: &mut Option<Hold>,
    ) -> Poll<F::Output> {
        let lends = match self.scope().core() {
            Some(core) => {
                core.set_phase(Phase::Main);
                self.inner().pool().workers() == 1
            }
            None => false,
        };
        if !lends {
            return main.poll();
        }
        self.inner().lend_place();
        let poll = main.poll();
        if !self.inner().take_place_back()
            && let Some(core) = self.scope().take_core()
        {
            *hold = self.hold_if_frozen();
            self.notifier.set_worker(None);
            self.inner().return_core(core);
        }
        poll
    }

    fn hold_if_frozen(&self) -> Option<Hold> {
        let clock = self.inner().pool().clock();
        clock.is_frozen().then(|| clock.hold())
    }

    /// Works until the future is to be polled, if this thread is a worker.
    fn work<F: Future>(&self, main: &MainFuture<'_, F>) {
        if let Some(core) = self.core() {
            let phase = core.phase();
            let only_timers = !self.joined || self.outer.is_some();
            Worker::new(self.scope(), &core, only_timers).work(main);
            core.set_phase(phase);
        }
    }

    /// Returns the core of the worker that this thread is, for this call or for one further out.
    fn core(&self) -> Option<Ref<'_, Core>> {
        let outer = self.outer.as_ref();
        self.scope().core().or_else(|| outer?.core())
    }

    fn is_worker(&self) -> bool {
        self.core().is_some()
    }

    fn become_worker_or_wait(&self) {
        if self.outer.is_none()
            && let Some(core) = self.inner().become_worker_or_wait(&self.notifier)
        {
            self.notifier.set_worker(Some(core.index()));
            drop(self.notifier.take_hold());
            self.scope().set_core(core);
        }
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

impl Drop for Member {
    fn drop(&mut self) {
        self.scope().end_local();
        self.notifier.leave();
        let inner = self.inner().clone();
        inner.stop_waiting(&self.notifier);
        self.entered = None;
        if let Some(core) = self.scope().take_core() {
            inner.leave_place(core);
        }
        let pool = inner.pool();
        if pool.has_work() {
            pool.idle().notify_one();
        }
        if self.joined {
            leave(&inner);
        }
    }
}

/// A member leaves; the last one ends the runtime, inside it.
pub(super) fn leave(inner: &Arc<Inner>) {
    inner.leave(|| {
        let _entered = Entered::new(inner.clone());
        inner.end();
    });
}

/// Notes in its drop that the future is dropped next.
struct SetDropping<'a>(&'a Scope);

impl Drop for SetDropping<'_> {
    fn drop(&mut self) {
        self.0.set_dropping();
    }
}

/// The future that a thread waits for.
struct MainFuture<'a, F> {
    future: Pin<&'a mut F>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Wakes the main future, which is no task.
struct Woken {
    woken: AtomicBool,
    pool: Arc<Pool>,
    notifier: Arc<ThreadNotifier>,
}

impl<'a, F: Future> MainFuture<'a, F> {
    fn new(pool: Arc<Pool>, notifier: Arc<ThreadNotifier>, future: Pin<&'a mut F>) -> Self {
        // Woken: it has to be polled once to begin with.
        let woken = Arc::new(Woken {
            woken: AtomicBool::new(true),
            pool,
            notifier,
        });
        Self {
            future,
            waker: Waker::from(woken.clone()),
            woken,
        }
    }

    /// Polls the future if it was woken.
    fn poll(&mut self) -> Poll<F::Output> {
        // Acquire: pairs with the release of the wake.
        if !self.woken.woken.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(&self.waker);
        coop::budget(|| self.future.as_mut().poll(&mut cx))
    }
}

impl<F> Wanted for MainFuture<'_, F> {
    fn is_wanted(&self) -> bool {
        self.woken.woken.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.notifier.notify(self.pool.idle());
    }
}
