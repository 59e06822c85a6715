//! What do the workers share, and who wakes whom?
//!
//! # The driver lies on the table
//!
//! Who turns the driver or waits in it takes it off the table, and lays it back. So one worker waits
//! until the earliest deadline, and the others without end. Nobody turns the driver while another
//! waits in it, which would end the announcement that the wait relies on.
//!
//! *While somebody sleeps, somebody sees to the timers*: has taken the driver, or is awake and will
//! see to it before it runs a task. For who lies down takes the driver if it is there; and who was
//! woken, or has laid it back, wakes another sleeper to take it before it runs a task.
//!
//! # No task is left lying
//!
//! Who pushes a task looks for sleepers after that, who lies down looks for tasks after that.

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
    /// What is readied outside of the workers.
    pub(crate) injector: Injector<Runnable>,
    pub(crate) stealers: Box<[Stealer<Runnable>]>,
    unparkers: Box<[ThreadUnpark]>,
    pub(crate) timers: Handle,
    table: Mutex<Table>,
    /// How many sleep; written under the lock of `table`.
    pub(crate) asleep: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    pub(crate) counts: Counts,
}

pub(crate) struct Table {
    pub(crate) driver: Option<Driver<()>>,
    /// Who has taken the driver to wait in it.
    pub(crate) waiter: Option<usize>,
    pub(crate) asleep: Vec<usize>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) run: [AtomicU64; WORKERS],
    pub(crate) stolen: AtomicU64,
    pub(crate) fired: AtomicU64,
    pub(crate) sleeps: AtomicU64,
    /// Wake-ups for a task, for a timer that was armed, and to see to the driver.
    pub(crate) called: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) handed_over: AtomicU64,
}

thread_local! {
    /// The queue of the worker that this thread is. There is one scheduler here; where there may be
    /// several, a queue has to know whose it is.
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
                table: Mutex::new(Table {
                    driver: Some(driver),
                    waiter: None,
                    asleep: Vec::new(),
                }),
                asleep: AtomicUsize::new(0),
                stopping: AtomicBool::new(false),
                counts: Counts::default(),
            }
        });
        let threads = queues.into_iter().zip(parks).enumerate();
        let threads = threads.map(|(index, (queue, park))| {
            let scheduler = scheduler.clone();
            thread::spawn(move || Worker::new(scheduler, index, park).work(queue))
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
            // Without a scheduler the task is dropped, which cancels it.
            if let Some(scheduler) = scheduler.upgrade() {
                scheduler.push(task);
            }
        };
        let (task, handle) = async_task::spawn(future, schedule);
        task.schedule();
        handle
    }

    /// Takes a ready task: what every waker ends in, those of timers, too.
    fn push(&self, task: Runnable) {
        QUEUE.with_borrow(|queue| match queue {
            Some(queue) => queue.push(task),
            None => self.injector.push(task),
        });
        self.call();
    }

    /// Wakes a sleeper, if there is one, to look for work that has come into a queue.
    ///
    /// After that, never before: who lies down first enters itself, then looks for work. Between the
    /// two steps of each is a fence, so one of them sees the other.
    pub(crate) fn call(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) > 0 {
            self.call_one();
        }
    }

    /// Rather not the one that waits for the timers: somebody would have to take its place.
    fn call_one(&self) {
        let mut table = self.table();
        let waiter = table.waiter;
        let other = table.asleep.iter().rposition(|&who| Some(who) != waiter);
        let Some(at) = other.or(table.asleep.len().checked_sub(1)) else {
            return;
        };
        // Struck off at once: the next push wakes the next one.
        let who = table.asleep.remove(at);
        self.asleep.store(table.asleep.len(), Ordering::Relaxed);
        drop(table);
        count(&self.counts.called, 1);
        self.unparkers[who].unpark();
    }

    /// Sees that somebody waits for the timers, if anybody sleeps; to be called before a task is run
    /// by who was woken, or has laid the driver back.
    ///
    /// It would be enough to do so when a task takes long, but nobody knows that before.
    pub(crate) fn hand_over(&self) {
        let mut table = self.table();
        if table.driver.is_none() {
            return;
        }
        // It gets up, finds nothing, lies down and takes the driver. Or it finds a task, and hands
        // over in turn.
        if let Some(heir) = table.asleep.pop() {
            self.asleep.store(table.asleep.len(), Ordering::Relaxed);
            drop(table);
            count(&self.counts.handed_over, 1);
            self.unparkers[heir].unpark();
        }
    }

    /// Makes the waiter ask again how long to wait: a timer was armed that is earlier than announced,
    /// on any thread, which does not hold the table then.
    ///
    /// Whoever announced had entered itself as the waiter before. If it has got up since, the timer
    /// was seen by its turn, or will be by whoever asks next.
    fn interrupt(&self) {
        let waiter = self.table().waiter;
        if let Some(waiter) = waiter {
            count(&self.counts.interrupted, 1);
            self.unparkers[waiter].unpark();
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Who is about to sleep finds the token.
        self.unparkers.iter().for_each(Unpark::unpark);
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
