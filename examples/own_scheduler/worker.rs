//! In what order does a worker run tasks, fire timers, look for work and sleep?
//!
//! The order of `rest` is the protocol: each step relies on the one before it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use async_task::Runnable;
use crossbeam_deque::{Steal, Worker as Queue};
use reveille::{Driver, Park, ThreadPark};

use crate::scheduler::{QUEUE, Scheduler, WORKERS, count};

/// How many tasks run between two looks at the timers.
const STRIDE: u32 = 16;

pub(crate) struct Worker {
    scheduler: Arc<Scheduler>,
    index: usize,
    park: ThreadPark,
    /// It was woken, or has laid the driver back, and must not leave the timers to nobody.
    owes: Cell<bool>,
}

impl Worker {
    pub(crate) fn new(scheduler: Arc<Scheduler>, index: usize, park: ThreadPark) -> Self {
        Self {
            scheduler,
            index,
            park,
            owes: Cell::new(false),
        }
    }

    pub(crate) fn work(mut self, queue: Queue<Runnable>) {
        QUEUE.set(Some(queue));
        // From here on the free functions of `reveille::time` find the driver.
        let timers = self.scheduler.timers.clone();
        let _entered = timers.enter();
        let mut left = 0;
        while !self.scheduler.stopping.load(Ordering::Acquire) {
            // Between tasks, and not only when there are none: a scheduler that is never idle has to
            // fire its timers, too.
            let look = left == 0;
            left = if look { STRIDE } else { left - 1 };
            if look {
                self.turn();
            }
            match self.next(look) {
                Some(task) => self.run(task),
                None => self.rest(),
            }
        }
        // What is still queued is dropped on this thread, where its wakers find no queue.
        drop(QUEUE.take());
    }

    fn run(&self, task: Runnable) {
        if self.owes.take() {
            self.scheduler.hand_over();
        }
        count(&self.scheduler.counts.run[self.index], 1);
        task.run();
    }

    /// Fires what is due, unless another has the driver: then that one does.
    fn turn(&self) {
        // In a statement of its own, so that the lock is not held during the turn: wakers push.
        let driver = self.scheduler.table().driver.take();
        if let Some(mut driver) = driver {
            self.fire(&mut driver);
            self.scheduler.table().driver = Some(driver);
            // Somebody may have lain down meanwhile, without a driver to wait in.
            self.owes.set(true);
        }
    }

    /// Not more than a thousand at a time (see `Turn::is_unfinished`): the rest comes in the next
    /// turn, after tasks.
    fn fire(&self, driver: &mut Driver<()>) {
        count(&self.scheduler.counts.fired, driver.turn().fired() as u64);
    }

    /// The next task: of one's own, of the shared queue, of another's; now and then the shared queue
    /// comes first, or those who ready each other here for ever would starve it.
    fn next(&self, shared_first: bool) -> Option<Runnable> {
        QUEUE.with_borrow(|queue| {
            let queue = queue.as_ref()?;
            let Scheduler {
                injector, stealers, ..
            } = &*self.scheduler;
            // A batch: the rest goes to the own queue. For a moment it is in no queue, and who lies
            // down just then does not see it: so that one is told.
            let take = |steal: &dyn Fn() -> Steal<Runnable>| {
                let task = retry(steal);
                if task.is_some() && !queue.is_empty() {
                    self.scheduler.call();
                }
                task
            };
            let shared = || take(&|| injector.steal_batch_and_pop(queue));
            let first = shared_first.then(shared).flatten();
            first.or_else(|| queue.pop()).or_else(shared).or_else(|| {
                // The next neighbour first, so that not all go to the same.
                let others = (1..WORKERS).map(|step| &stealers[(self.index + step) % WORKERS]);
                let mut others = others.map(|other| take(&|| other.steal_batch_and_pop(queue)));
                let stolen = others.find_map(|task| task);
                count(&self.scheduler.counts.stolen, u64::from(stolen.is_some()));
                stolen
            })
        })
    }

    /// Sleeps until there is work or, with the driver, a timer is due.
    fn rest(&mut self) {
        // 1. Lie down: from now on a push finds this worker and wakes it.
        let mut driver = self.lie_down();
        fence(Ordering::SeqCst);
        // 2. Look once more: what was pushed before it could be found is there by now.
        if !self.scheduler.has_work() {
            // 3. Announce the wait: a timer armed before is in the answer, one armed from now on
            //    interrupts if it is earlier.
            let timeout = driver.as_ref().map(|driver| driver.next_timeout());
            // 4. Block. Whatever is to end it leaves a token, also in between: a push, an earlier
            //    timer, the stop. Without the driver, that is all; with it, until a deadline.
            count(&self.scheduler.counts.sleeps, 1);
            self.park.park(timeout.flatten());
        }
        // 5. Fire what is due before anybody else gets the driver, who would be woken by the same
        //    deadline to find nothing.
        if let Some(driver) = &mut driver {
            self.fire(driver);
        }
        // 6. Get up.
        self.get_up(driver);
    }

    /// Enters this worker among those that sleep, and takes the driver if it is there.
    fn lie_down(&self) -> Option<Driver<()>> {
        // What it owed, it does itself.
        self.owes.set(false);
        let mut table = self.scheduler.table();
        table.asleep.push(self.index);
        let asleep = table.asleep.len();
        self.scheduler.asleep.store(asleep, Ordering::Relaxed);
        let driver = table.driver.take();
        if driver.is_some() {
            table.waiter = Some(self.index);
        }
        driver
    }

    fn get_up(&self, driver: Option<Driver<()>>) {
        let mut table = self.scheduler.table();
        // Unless somebody has struck it off, to wake it.
        table.asleep.retain(|&who| who != self.index);
        let asleep = table.asleep.len();
        self.scheduler.asleep.store(asleep, Ordering::Relaxed);
        if driver.is_some() {
            table.waiter = None;
            table.driver = driver;
        }
        self.owes.set(true);
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
