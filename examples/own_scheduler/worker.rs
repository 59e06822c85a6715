//! The worker loop: run tasks, fire timers, search for tasks, park.
//!
//! The order of the steps in [`Worker::park`] is the protocol: each step relies on the one before.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use async_task::Runnable;
use crossbeam_deque::{Steal, Worker as Queue};
use reveille::{Driver, Park, ThreadPark};

use crate::scheduler::{QUEUE, Scheduler, WORKERS, count};

/// How many tasks run between two polls of the timers.
const INTERVAL: u32 = 16;

pub(crate) struct Worker {
    scheduler: Arc<Scheduler>,
    index: usize,
    parker: ThreadPark,
    /// Whether the worker must hand the driver over before it runs a task: it was unparked, or has
    /// put the driver back, and perhaps no other worker waits for the timers.
    must_hand_over: Cell<bool>,
}

impl Worker {
    pub(crate) fn new(scheduler: Arc<Scheduler>, index: usize, parker: ThreadPark) -> Self {
        Self {
            scheduler,
            index,
            parker,
            must_hand_over: Cell::new(false),
        }
    }

    pub(crate) fn run(mut self, queue: Queue<Runnable>) {
        QUEUE.set(Some(queue));
        // From here on the free functions of `reveille::time` find the driver.
        let timers = self.scheduler.timers.clone();
        let _entered = timers.enter();
        let mut left = 0;
        while !self.scheduler.stopping.load(Ordering::Acquire) {
            // Between tasks, and not only when there are none, because a scheduler that is never
            // idle must fire its timers, too.
            let poll_timers = left == 0;
            left = if poll_timers { INTERVAL } else { left - 1 };
            if poll_timers {
                self.poll_timers();
            }
            match self.next_task(poll_timers) {
                Some(task) => self.run_task(task),
                None => self.park(),
            }
        }
        // The tasks that are still queued are dropped on this thread, on which their wakers find no
        // local queue any more.
        drop(QUEUE.take());
    }

    fn run_task(&self, task: Runnable) {
        if self.must_hand_over.take() {
            self.scheduler.hand_over_driver();
        }
        count(&self.scheduler.counts.run[self.index], 1);
        task.run();
    }

    /// Fires the timers that are due, unless another worker has the driver and does so.
    fn poll_timers(&self) {
        // In a statement of its own, so that the lock is not held during the turn: its wakers push
        // tasks.
        let driver = self.scheduler.idle().driver.take();
        if let Some(mut driver) = driver {
            self.fire(&mut driver);
            self.scheduler.idle().driver = Some(driver);
            // Another worker may have parked meanwhile, without a driver to wait in.
            self.must_hand_over.set(true);
        }
    }

    /// Fires the timers that are due, at most a thousand at a time (see `Turn::is_unfinished`). The
    /// rest follows in the next turn, after some tasks.
    fn fire(&self, driver: &mut Driver<()>) {
        count(&self.scheduler.counts.fired, driver.turn().fired() as u64);
    }

    /// Returns the next task: from the local queue, the shared queue, or another worker's queue.
    /// With `shared_first`, which is so now and then, the shared queue comes first: otherwise local
    /// tasks that keep waking each other would starve it.
    fn next_task(&self, shared_first: bool) -> Option<Runnable> {
        QUEUE.with_borrow(|queue| {
            let queue = queue.as_ref()?;
            let Scheduler {
                injector, stealers, ..
            } = &*self.scheduler;
            // Takes a batch: one task is returned, the rest goes to the local queue. In between,
            // the batch is in no queue, and a worker that parks just then does not see it, so it
            // has to be notified.
            let take = |steal: &dyn Fn() -> Steal<Runnable>| {
                let task = retry(steal);
                if task.is_some() && !queue.is_empty() {
                    self.scheduler.notify();
                }
                task
            };
            let shared = || take(&|| injector.steal_batch_and_pop(queue));
            let first = shared_first.then(shared).flatten();
            first.or_else(|| queue.pop()).or_else(shared).or_else(|| {
                // Each worker begins with its next neighbour, so that not all try the same one
                // first.
                let others = (1..WORKERS).map(|step| &stealers[(self.index + step) % WORKERS]);
                let mut others = others.map(|other| take(&|| other.steal_batch_and_pop(queue)));
                let stolen = others.find_map(|task| task);
                count(&self.scheduler.counts.stolen, u64::from(stolen.is_some()));
                stolen
            })
        })
    }

    /// Parks the worker until there is a task or, if it owns the driver, a timer is due.
    fn park(&mut self) {
        // 1. Enter the list: from now on, a thread that pushes a task unparks this worker.
        let mut driver = self.transition_to_parked();
        fence(Ordering::SeqCst);
        // 2. Check the queues again: a task that was pushed before step 1 is there by now.
        if !self.scheduler.has_work() {
            // 3. Announce the wait: a timer that was armed before is in the timeout, and one that
            //    is armed from now on interrupts the wait if it is earlier.
            let timeout = driver.as_ref().map(|driver| driver.next_timeout());
            // 4. Block. A push, an earlier timer, or the stop ends the wait by a token, even if it
            //    comes before this call. The driver owner also has a timeout.
            count(&self.scheduler.counts.parks, 1);
            self.parker.park(timeout.flatten());
        }
        // 5. Fire the due timers before another worker gets the driver: that one would be unparked
        //    by the same deadline, and find none.
        if let Some(driver) = &mut driver {
            self.fire(driver);
        }
        // 6. Leave the list and put the driver back.
        self.transition_from_parked(driver);
    }

    /// Enters this worker into the list of parked workers, and takes the driver if it is there.
    fn transition_to_parked(&self) -> Option<Driver<()>> {
        // If the driver has to be handed over, this worker takes it itself.
        self.must_hand_over.set(false);
        let mut idle = self.scheduler.idle();
        idle.parked.push(self.index);
        let num_parked = idle.parked.len();
        self.scheduler
            .num_parked
            .store(num_parked, Ordering::Relaxed);
        let driver = idle.driver.take();
        if driver.is_some() {
            idle.driver_owner = Some(self.index);
        }
        driver
    }

    /// Removes this worker from the list of parked workers, and puts the driver back.
    fn transition_from_parked(&self, driver: Option<Driver<()>>) {
        let mut idle = self.scheduler.idle();
        // A thread that has notified this worker has removed it already.
        idle.parked.retain(|&worker| worker != self.index);
        let num_parked = idle.parked.len();
        self.scheduler
            .num_parked
            .store(num_parked, Ordering::Relaxed);
        if driver.is_some() {
            idle.driver_owner = None;
            idle.driver = driver;
        }
        self.must_hand_over.set(true);
    }
}

fn retry<T>(steal: impl Fn() -> Steal<T>) -> Option<T> {
    loop {
        match steal() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}
