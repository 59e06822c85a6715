//! The main future of a call of `block_on`, and its waker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::backend::coop;
use crate::rt::local::ThreadUnparker;
use crate::rt::pool::Pool;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The future that a call of `block_on` waits for.
pub(super) struct MainFuture<'a, F> {
    future: Pin<&'a mut F>,
    main: Arc<MainWaker>,
    waker: Waker,
}

/// Wakes the main future.
struct MainWaker {
    woken: AtomicBool,
    pool: Arc<Pool>,
    unparker: Arc<ThreadUnparker>,
}

impl<'a, F: Future> MainFuture<'a, F> {
    pub(super) fn new(
        pool: Arc<Pool>,
        unparker: Arc<ThreadUnparker>,
        future: Pin<&'a mut F>,
    ) -> Self {
        let main = Arc::new(MainWaker {
            // It has to be polled once to begin with.
            woken: AtomicBool::new(true),
            pool,
            unparker,
        });
        Self {
            future,
            waker: Waker::from(main.clone()),
            main,
        }
    }

    /// Polls the future if it was woken.
    pub(super) fn poll(&mut self) -> Poll<F::Output> {
        // Acquire: pairs with the release of the wake.
        if !self.main.woken.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(&self.waker);
        coop::budget(|| self.future.as_mut().poll(&mut cx))
    }

    pub(super) fn is_woken(&self) -> bool {
        self.main.woken.load(Ordering::Relaxed)
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.unparker.notify(&self.pool.idle);
    }
}
