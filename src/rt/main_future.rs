//! How does a thread wait for one future while it runs tasks?
//!
//! As the first worker, if nobody else is that just now: the future is polled between tasks. Else
//! it polls the future and its local tasks, sleeps in between, and takes the core when it is free,
//! so that there is always somebody to run the tasks as long as somebody waits.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use crate::park::{Park, ThreadPark};
use crate::rt::context::{self, Context, Entered, Place, Running, Waiting};
use crate::rt::core::Core;
use crate::rt::home::{self, Home};
use crate::rt::pool::Pool;
use crate::rt::seat::Seat;
use crate::rt::shared::Shared;
use crate::rt::worker::{Main, Worker};

/// Runs a future to its end.
pub(super) fn block_on<F: Future>(shared: &Arc<Shared>, future: F) -> F::Output {
    let pool = shared.pool();
    let future = pin!(future);
    if let Some(core) = shared.take_core() {
        let seat = Seat::worker(core.index());
        let mut stay = Stay::new(shared);
        stay.sit(core);
        return stay.work(MainFuture::new(pool.clone(), seat, future));
    }
    let mut park = ThreadPark::new();
    let seat = Seat::thread(park.unparker());
    let mut stay = Stay::new(shared);
    let local = stay.wait(&seat);
    let mut main = MainFuture::new(pool.clone(), seat.clone(), future);
    loop {
        // Time that is moved by hand waits for who runs here, too.
        let clock = pool.clock();
        let hold = clock.is_frozen().then(|| clock.hold());
        drop(seat.take_hold());
        while main.is_woken() || local.has_mail() {
            if main.run()
                && let Some(output) = main.output.take()
            {
                return output;
            }
            local.pop().into_iter().for_each(home::run);
        }
        drop(hold);
        if let Some(core) = shared.take_core_or_wait(&seat) {
            seat.move_to(core.index());
            seat.leave();
            stay.sit(core);
            return stay.work(main);
        }
        if !main.is_woken() && !local.has_mail() {
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
    waiting: Option<Rc<Waiting>>,
    core: Option<Rc<Core>>,
    entered: Option<Entered>,
    running: Option<Running>,
}

impl<'a> Stay<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            joined: shared.join(),
            waiting: None,
            core: None,
            entered: None,
            running: Some(Running::new(shared.pool())),
        }
    }

    /// Takes part without a core.
    fn wait(&mut self, seat: &Arc<Seat>) -> Arc<Home> {
        let local = Home::local(self.shared.pool().clone(), seat.clone());
        let waiting = Rc::new(Waiting {
            seat: seat.clone(),
            local: local.clone(),
            core: OnceCell::new(),
        });
        self.enter(Place::Waiting(Rc::downgrade(&waiting)));
        self.waiting = Some(waiting);
        local
    }

    /// Takes part as a worker.
    fn sit(&mut self, core: Core) {
        let core = Rc::new(core);
        let entered_more = self.waiting.as_ref().is_some_and(|waiting| {
            core.local_or_init(|| waiting.local.clone());
            let _ = waiting.core.set(Rc::downgrade(&core));
            !context::is_waiting(waiting)
        });
        // The future may have entered another runtime, and has to find itself there.
        if !entered_more {
            self.enter(Place::Worker(Rc::downgrade(&core)));
        }
        self.core = Some(core);
    }

    fn enter(&mut self, place: Place) {
        // First out, then in: guards nest.
        self.entered = None;
        self.entered = Some(Entered::new(Context {
            shared: self.shared.clone(),
            place,
        }));
    }

    fn work<F: Future>(&self, mut main: MainFuture<'_, F>) -> F::Output {
        loop {
            if let Some(core) = &self.core {
                Worker::new(self.shared.pool(), core.clone(), self.shared.hooks()).work(&mut main);
            }
            if let Some(output) = main.output.take() {
                return output;
            }
        }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let local = self.core.as_ref().and_then(|core| core.local());
        let waiting = self.waiting.as_ref().map(|waiting| &waiting.local);
        if let Some(local) = local.or(waiting) {
            local.end_local();
        }
        if let Some(waiting) = &self.waiting {
            waiting.seat.leave();
            self.shared.forget(&waiting.seat);
        }
        self.entered = None;
        // Ours alone: the worker is gone, and contexts do not keep it.
        if let Some(core) = self.core.take().and_then(Rc::into_inner) {
            self.shared.return_core(core.leave());
        }
        let pool = self.shared.pool();
        if pool.has_work() {
            pool.wake_one();
        }
        self.running = None;
        if self.joined {
            self.shared.leave();
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
        let mut cx = TaskContext::from_waker(&self.waker);
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
