//! What the workers share: queues, the driver, and the list of parked workers.
//!
//! # The driver
//!
//! A worker that turns the driver, or waits in it, takes it out of [`Idle`] and puts it back
//! afterwards. So one parked worker, the *driver owner*, waits until the earliest deadline, and the
//! others without a timeout. No worker turns the driver while another one waits in it: that would
//! end the announcement on which the wait relies.
//!
//! Invariant: while a worker is parked, some worker takes care of the timers. Either it has taken
//! the driver, or it is running and hands the driver over before it runs a task. For a worker that
//! parks takes the driver if it is there; and a worker that was unparked, or has put the driver
//! back, unparks another worker to take it before it runs a task.
//!
//! # Tasks
//!
//! No task is left in a queue while all workers are parked: a thread that pushes a task checks for
//! parked workers after that, and a worker that parks checks for tasks after it has entered the
//! list.

use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use async_task::Runnable;
use crossbeam_deque::{Injector, Stealer, Worker as Queue};
use reveille::{Driver, Handle, Park, ThreadPark, ThreadUnpark, Unpark};

use crate::worker::Worker;

pub(crate) const WORKERS: usize = 3;

pub(crate) struct Scheduler {
    /// Tasks that were woken on other threads than the workers'.
    pub(crate) injector: Injector<Runnable>,
    pub(crate) stealers: Box<[Stealer<Runnable>]>,
    unparkers: Box<[ThreadUnpark]>,
    pub(crate) timers: Handle,
    idle: Mutex<Idle>,
    /// How many workers are parked; written under the lock of `idle`.
    pub(crate) num_parked: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    pub(crate) counts: Counts,
}

pub(crate) struct Idle {
    /// The driver, unless a worker has taken it.
    pub(crate) driver: Option<Driver<()>>,
    /// The worker that has taken the driver to wait in it.
    pub(crate) driver_owner: Option<usize>,
    pub(crate) parked: Vec<usize>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) run: [AtomicU64; WORKERS],
    pub(crate) stolen: AtomicU64,
    pub(crate) fired: AtomicU64,
    pub(crate) parks: AtomicU64,
    /// Unparks for a task, for a timer that was armed, and to take the driver.
    pub(crate) notified: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) handed_over: AtomicU64,
}

thread_local! {
    /// The local queue of this thread, if it is a worker. This program has one scheduler; if there
    /// may be several, the queue has to be stored with the scheduler that it belongs to.
    pub(crate) static QUEUE: RefCell<Option<Queue<Runnable>>> = const { RefCell::new(None) };
}

impl Scheduler {
    pub(crate) fn start() -> (Arc<Self>, Vec<thread::JoinHandle<()>>) {
        let queues: Vec<_> = (0..WORKERS).map(|_| Queue::new_fifo()).collect();
        let parks: Vec<_> = (0..WORKERS).map(|_| ThreadPark::new()).collect();
        let scheduler = Arc::new_cyclic(|scheduler: &Weak<Self>| {
            let scheduler = scheduler.clone();
            let driver = Driver::with_unpark(move || {
                if let Some(scheduler) = scheduler.upgrade() {
                    scheduler.interrupt();
                }
            });
            Self {
                injector: Injector::new(),
                stealers: queues.iter().map(Queue::stealer).collect(),
                unparkers: parks.iter().map(ThreadPark::unparker).collect(),
                timers: driver.handle().clone(),
                idle: Mutex::new(Idle {
                    driver: Some(driver),
                    driver_owner: None,
                    parked: Vec::new(),
                }),
                num_parked: AtomicUsize::new(0),
                stopping: AtomicBool::new(false),
                counts: Counts::default(),
            }
        });
        let threads = queues.into_iter().zip(parks).enumerate();
        let threads = threads.map(|(index, (queue, park))| {
            let scheduler = scheduler.clone();
            thread::spawn(move || Worker::new(scheduler, index, park).run(queue))
        });
        let threads = threads.collect();
        (scheduler, threads)
    }

    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F) -> async_task::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let scheduler = Arc::downgrade(self);
        let schedule = move |task| {
            // If the scheduler is gone, the task is dropped, which cancels it.
            if let Some(scheduler) = scheduler.upgrade() {
                scheduler.push(task);
            }
        };
        let (task, handle) = async_task::spawn(future, schedule);
        task.schedule();
        handle
    }

    /// Takes a task that is ready. Every waker of a task calls this, whether a timer wakes it or
    /// not.
    fn push(&self, task: Runnable) {
        QUEUE.with_borrow(|queue| match queue {
            Some(queue) => queue.push(task),
            None => self.injector.push(task),
        });
        self.notify();
    }

    /// Unparks a worker, if one is parked, to search for a task that was put into a queue.
    ///
    /// The caller puts the task into the queue first. A worker that parks enters the list first,
    /// and then checks the queues. Both have a fence between their two steps, so at least one of
    /// them sees what the other has done.
    pub(crate) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.num_parked.load(Ordering::Relaxed) > 0 {
            self.notify_one();
        }
    }

    /// Unparks one worker. It prefers one that does not own the driver, because another worker
    /// would have to become the owner instead.
    fn notify_one(&self) {
        let mut idle = self.idle();
        let owner = idle.driver_owner;
        let other = idle
            .parked
            .iter()
            .rposition(|&worker| Some(worker) != owner);
        let Some(at) = other.or(idle.parked.len().checked_sub(1)) else {
            return;
        };
        // Removed here, not by the worker, so that the next push unparks another one.
        let worker = idle.parked.remove(at);
        self.num_parked.store(idle.parked.len(), Ordering::Relaxed);
        drop(idle);
        count(&self.counts.notified, 1);
        self.unparkers[worker].unpark();
    }

    /// Unparks a worker to take the driver, if the driver is here and a worker is parked.
    ///
    /// A worker that was unparked, or has put the driver back, calls this before it runs a task. It
    /// would be enough to call it for a task that takes long, but that is not known beforehand.
    pub(crate) fn hand_over_driver(&self) {
        let mut idle = self.idle();
        if idle.driver.is_none() {
            return;
        }
        // The successor finds no task, parks and takes the driver. Or it finds a task, and hands
        // the driver over in turn.
        if let Some(successor) = idle.parked.pop() {
            self.num_parked.store(idle.parked.len(), Ordering::Relaxed);
            drop(idle);
            count(&self.counts.handed_over, 1);
            self.unparkers[successor].unpark();
        }
    }

    /// Unparks the driver owner, so that it computes its timeout again. The driver calls this when
    /// any thread has armed a timer that is earlier than announced; that thread does not hold the
    /// lock of `idle`.
    ///
    /// The owner had entered itself as such before it announced its wait. If it is no longer
    /// parked, its turn has seen the timer, or the next worker that asks for the timeout will.
    fn interrupt(&self) {
        let owner = self.idle().driver_owner;
        if let Some(owner) = owner {
            count(&self.counts.interrupted, 1);
            self.unparkers[owner].unpark();
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // A worker that is about to park finds the token and returns at once.
        self.unparkers.iter().for_each(Unpark::unpark);
    }

    pub(crate) fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
