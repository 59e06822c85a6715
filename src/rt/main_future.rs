//! How does a thread wait for one future while it runs tasks?
//!
//! As the first worker, if nobody else is that just now: the future is polled between tasks. Else
//! it polls the future and its local tasks, sleeps in between, and takes the core when it is free,
//! so that there is always somebody to run the tasks as long as somebody waits.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::park::{Park, ThreadPark};
use crate::rt::context::Entered;
use crate::rt::core::Core;
use crate::rt::here::Here;
use crate::rt::leave::leave;
use crate::rt::locals::Locals;
use crate::rt::pool::Pool;
use crate::rt::seat::Seat;
use crate::rt::shared::Shared;
use crate::rt::task;
use crate::rt::worker::{Main, Worker};
use crate::sync::atomic::{AtomicBool, Ordering};

/// Runs a future to its end.
pub(super) fn block_on<F: Future>(shared: &Arc<Shared>, future: F) -> F::Output {
    let pool = shared.pool();
    let future = pin!(future);
    let mut stay = Stay::new(shared);
    if let Some(core) = shared.take_core() {
        let seat = Seat::worker(core.index());
        stay.sit(core);
        return stay.work(MainFuture::new(pool.clone(), seat, future));
    }
    let mut park = ThreadPark::new();
    let seat = Seat::thread(park.unparker());
    let locals = stay.wait(&seat);
    let mut main = MainFuture::new(pool.clone(), seat.clone(), future);
    loop {
        // Time that is moved by hand waits for who runs here, too.
        let clock = pool.clock();
        let hold = clock.is_frozen().then(|| clock.hold());
        drop(seat.take_hold());
        while main.is_woken() || locals.has_mail() {
            if main.run()
                && let Some(output) = main.output.take()
            {
                return output;
            }
            locals.pop().into_iter().for_each(task::run);
        }
        drop(hold);
        if let Some(core) = shared.take_core_or_wait(&seat) {
            seat.move_to(core.index());
            seat.leave();
            stay.sit(core);
            return stay.work(main);
        }
        if !main.is_woken() && !locals.has_mail() {
            park.park(None);
        }
    }
}

/// A thread's time in `block_on`: when it is over, however, the local tasks end and the core goes
/// back.
struct Stay<'a> {
    shared: &'a Arc<Shared>,
    /// It keeps the runtime from ending: that has to wait until the tasks which lie in the core are
    /// to be had.
    joined: bool,
    /// Always there, but for the end.
    here: Option<Here>,
    /// Its seat, if it began without a core.
    waited: Option<Arc<Seat>>,
    entered: Option<Entered>,
}

impl<'a> Stay<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            joined: shared.join(),
            here: Some(Here::new(shared.pool().clone())),
            waited: None,
            entered: None,
        }
    }

    /// Takes part without a core.
    fn wait(&mut self, seat: &Arc<Seat>) -> Locals {
        let (pool, wakes) = (self.shared.pool().clone(), seat.clone());
        let locals = Locals::new(move || wakes.wake(&pool));
        if let Some(here) = &self.here {
            here.locals_or_init(|| locals.clone());
        }
        self.waited = Some(seat.clone());
        self.entered = Some(Entered::new(self.shared.clone()));
        locals
    }

    /// Takes part as a worker.
    fn sit(&mut self, core: Core) {
        if let Some(here) = &self.here {
            here.set_core(core);
        }
        // Who waited before has entered, and its future may have entered another runtime since.
        if self.entered.is_none() {
            self.entered = Some(Entered::new(self.shared.clone()));
        }
    }

    fn work<F: Future>(&self, mut main: MainFuture<'_, F>) -> F::Output {
        loop {
            if let Some(here) = &self.here
                && let Some(core) = here.core()
            {
                let (pool, hooks) = (self.shared.pool(), self.shared.hooks());
                Worker::new(pool, here, core, hooks).work(&mut main);
            }
            if let Some(output) = main.output.take() {
                return output;
            }
        }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if let Some(locals) = self.here.as_ref().and_then(Here::locals) {
            locals.end();
        }
        if let Some(seat) = &self.waited {
            seat.leave();
            self.shared.forget(seat);
        }
        self.entered = None;
        if let Some(core) = self.here.take().and_then(Here::leave) {
            core.release();
            self.shared.return_core(core);
        }
        let pool = self.shared.pool();
        if pool.has_work() {
            pool.wake_one();
        }
        if self.joined {
            leave(self.shared);
        }
    }
}

/// The future that a thread waits for, and what became of it.
struct MainFuture<'a, F: Future> {
    future: Pin<&'a mut F>,
    woken: Arc<Woken>,
    waker: Waker,
    output: Option<F::Output>,
}

/// Wakes the main future, which is no task.
struct Woken {
    woken: AtomicBool,
    pool: Arc<Pool>,
    seat: Arc<Seat>,
}

impl<'a, F: Future> MainFuture<'a, F> {
    fn new(pool: Arc<Pool>, seat: Arc<Seat>, future: Pin<&'a mut F>) -> Self {
        // Woken: it has to be polled once to begin with.
        let woken = Arc::new(Woken {
            woken: AtomicBool::new(true),
            pool,
            seat,
        });
        Self {
            future,
            waker: Waker::from(woken.clone()),
            woken,
            output: None,
        }
    }
}

impl<F: Future> Main for MainFuture<'_, F> {
    fn run(&mut self) -> bool {
        // The load first: it is asked after each task. Acquire: pairs with the release of the wake.
        if !self.is_woken() || !self.woken.woken.swap(false, Ordering::Acquire) {
            return false;
        }
        let mut cx = Context::from_waker(&self.waker);
        match self.future.as_mut().poll(&mut cx) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                self.output = Some(output);
                true
            }
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.woken.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.seat.wake(&self.pool);
    }
}
