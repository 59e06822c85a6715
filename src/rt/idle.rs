//! Which workers are parked, until when, and which one is unparked when a task is pushed.
//!
//! [`Idle`] also owns the runtime's sharded driver and its clock: the wake source of that driver
//! is the timeout of one parked worker, and a worker that parks may have to move the clock.
//!
//! A worker without work marks itself as parked here, looks for work once more, and blocks in its
//! parker ([`park`](Idle::park) is the whole sequence). One of the parked workers is the *keeper*,
//! which waits for the timers: its parker has a timeout, set for the earliest deadline of all
//! shards (see `sharded`) and moved from any thread. As a rule the keeper is the *driver owner*.
//! While that is away, its *deputy* is the keeper, and wakes at the *relief* at the latest (see
//! [`absence`]). The workers that are neither keeper nor deputy park without a timeout. When the
//! keeper's park ends, whatever has ended it, another parked worker becomes the keeper, if there is
//! one: its *successor*. (It is not unparked for that, unless its parker cannot be changed while it
//! blocks.)
//!
//! Whether a push unparks a worker, and why no task is left lying, is in [`notify`].
//!
//! # No deadline is missed
//!
//! `until` is when a worker has to wake for the timers. The parker of a driver owner is set for
//! `until`, or for the next check of the LIFO slots if that is earlier. (That of a deputy: see the
//! table in [`absence`].) `until` is written, and passed to a parker, under the lock, so parkers
//! are told of changes in order. A parking worker replans the sharded driver before it checks all
//! queues for the last time. So when it blocks, one of two things holds: `until` is up to date, or
//! another thread is still scanning, and sets the keeper's parker at the end. When `until` has
//! passed, the keeper sets it to never, under the lock, so that no successor wakes for the same
//! deadline; then it fires and replans. (The timeout of its own parker stays expired until that
//! parker is prepared for the next park.)
//!
//! The thread that takes the last worker out of the list clears all announcements: while no worker
//! is parked, those that run poll the timers, and a thread that arms one need not request a scan.
//! The announcements are cleared under the lock, so this cannot clear what a worker that parks
//! later has announced. A scan that runs at that moment may announce again. Then a timer that is
//! armed later asks for one needless scan; nothing is missed.
//!
//! # No task is left in a LIFO slot
//!
//! A task in a worker's LIFO slot is in no queue. The keeper's timeout also ends when the slots are
//! to be checked, see [`lifo_watch`].

mod absence;
mod all_parked;
mod io_absence;
mod lifo_watch;
mod notify;
mod park_end;
mod source;
#[cfg(all(test, not(loom)))]
mod tests;
mod timer_absence;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use self::absence::{Away, Deputies};
use self::all_parked::Next;
use self::io_absence::{Looker, NOBODY};
use self::lifo_watch::LifoWatch;
pub(crate) use self::lifo_watch::ReportFlag;
use self::notify::Counts;
pub(crate) use self::park_end::Unparked;
use self::source::{KeeperTimeout, ShardNotifier};
pub(crate) use self::timer_absence::SHORT_WORK;
use crate::clock::Clock;
use crate::driver::sharded::ShardedDriver;
use crate::driver::shared::Shared;
use crate::driver::slack::SharedSlack;
use crate::instant::NEVER;
use crate::panic::catch_panic;
use crate::park::worker::Parkers;
use crate::sync::{
    CachePadded, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering, fence},
    lock,
};

pub(crate) struct Idle {
    counts: Counts,
    parked: Mutex<Parked>,
    /// For each worker, whether it takes tasks out of the runtime's queues now. (If not, it runs
    /// the local tasks of one thread, at most.) While it does not, no task that is pushed to a
    /// queue unparks it. The worker sets it before it parks; the lock of the parked workers
    /// publishes it.
    takes_tasks: Box<[AtomicBool]>,
    /// For each parked worker, whether its parker is prepared: it has checked all queues for the
    /// last time, and has not left its parker since. Written and read under the lock of the parked
    /// workers, except that a worker that has left its parker clears its own flag without the lock.
    prepared: Box<[AtomicBool]>,
    /// For each worker, how often it has looked for I/O without parking (see [`io_absence`]). A
    /// look between two tasks counts only while some worker is parked. This and the next three
    /// fields are hints.
    io_looks: Box<[CachePadded<AtomicUsize>]>,
    /// The worker that has made the last of the looks that `io_looks` counts, or `NOBODY`.
    last_looker: AtomicUsize,
    /// The worker that is collecting I/O now, if its tasks are expected to be short, or `NOBODY`.
    collecting: AtomicUsize,
    /// Whether several timers fired when the keeper's timeout last ended: a hint, so the models
    /// (tests under loom) do not follow it.
    fired_several: std::sync::atomic::AtomicBool,
    parkers: Parkers,
    lifo_watch: LifoWatch,
    sharded_driver: ShardedDriver<KeeperTimeout>,
    clock: Clock,
}

struct Parked {
    /// The parked workers. Of those that are fit for it, the last one to park is the first to be
    /// unparked: its caches are the warmest.
    workers: Vec<usize>,
    /// The one that waits for the timers: the driver owner or, while that is away, its deputy.
    /// `None` if no worker is parked.
    keeper: Option<usize>,
    /// How many threads count when it is asked whether all are parked: those that run a worker, and
    /// the lenders, which have lent theirs and poll or drop their main future, or drop local tasks.
    /// A lender is never in `workers`. So if `workers.len() == threads`, each worker that a thread
    /// runs is parked, and there is no lender. (The first worker may have no thread.)
    ///
    /// Not counted is a thread that waits for the runtime to end. Nor is a lender while it is in a
    /// nested `block_on` of this runtime, called by a destructor, unless it runs a worker there.
    threads: usize,
    /// When a worker has to wake for the timers, in nanoseconds of the *parkers' clock*, the
    /// system's monotonic one. (The drivers' clock may be another one.)
    until: u64,
    away: Away,
    deputies: Deputies,
    /// What a driver owner has noted of another worker that looks for I/O without parking.
    looker: Looker,
    /// How many waits and looks for I/O there were since it was last decided which parkers keep the
    /// I/O source (see [`io_absence`]).
    since_io_review: usize,
}

/// What a worker does while it parks.
pub(crate) trait ParkContext {
    /// Returns whether the runtime is ending. Before that, frozen time moves only when all workers
    /// are parked, the first one included: so it stands still while no thread is in `block_on`.
    /// Afterwards, the workers that have a thread are enough.
    fn is_stopping(&self) -> bool;

    /// Returns whether a thread that has lent the first worker still polls or drops its main
    /// future, or drops local tasks: time must not be moved then.
    fn lender_polls(&self) -> bool;

    /// Returns whether this worker takes tasks out of the runtime's queues now.
    fn takes_tasks(&self) -> bool;

    /// Returns whether there is anything for this worker to do. This is the last look before it
    /// blocks.
    fn has_work(&self) -> bool;

    /// Returns whether I/O is ready that no worker has begun to collect.
    fn has_io(&self) -> bool;

    /// Collects the I/O that is ready.
    fn collect_io(&mut self);

    /// Returns whether `collect_io` was called since the worker began to park, and there was a
    /// reactor to ask.
    fn has_collected_io(&self) -> bool;

    /// Returns whether the tasks that this worker is about to wake are expected to be short.
    fn expects_short_tasks(&self) -> bool;

    /// Fires the timers that are due. Returns about how many fired.
    fn fire(&mut self) -> usize;

    /// Moves time on to the next deadline, and fires what is due there.
    fn advance(&mut self);
}

impl Idle {
    /// Makes one for as many workers as there are parkers, with `shards` drivers on `clock`.
    pub(crate) fn new(
        parkers: Parkers,
        shards: usize,
        clock: Clock,
        slack: SharedSlack,
    ) -> Arc<Self> {
        let idle = Arc::new_cyclic(|idle: &Weak<Self>| {
            // `note_whether_frozen` sets it, below, once this `Idle` observes the clock.
            let notify_on_cancel = false;
            let notifier = || Box::new(ShardNotifier(idle.clone()));
            let shard = |_| Shared::new(clock.clone(), notifier(), notify_on_cancel, slack.clone());
            let shards = (0..shards).map(shard).collect();
            let source = KeeperTimeout(idle.clone());
            Self {
                counts: Counts::new(),
                parked: Mutex::new(Parked {
                    workers: Vec::with_capacity(parkers.len()),
                    keeper: None,
                    threads: 0,
                    until: NEVER,
                    away: Away::default(),
                    deputies: Deputies::default(),
                    looker: Looker::default(),
                    since_io_review: 0,
                }),
                takes_tasks: parkers.iter().map(|_| AtomicBool::new(true)).collect(),
                prepared: parkers.iter().map(|_| AtomicBool::new(false)).collect(),
                io_looks: parkers
                    .iter()
                    .map(|_| CachePadded(AtomicUsize::new(0)))
                    .collect(),
                last_looker: AtomicUsize::new(NOBODY),
                collecting: AtomicUsize::new(NOBODY),
                fired_several: std::sync::atomic::AtomicBool::new(false),
                lifo_watch: LifoWatch::new(parkers.len()),
                parkers,
                sharded_driver: ShardedDriver::new(source, clock.clone(), slack.clone(), shards),
                clock: clock.clone(),
            }
        });
        let observer: Weak<Self> = Arc::downgrade(&idle);
        clock.observe(observer);
        idle.note_whether_frozen();
        idle
    }

    pub(crate) fn sharded_driver(&self) -> &ShardedDriver<KeeperTimeout> {
        &self.sharded_driver
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Parks a worker that has found nothing to do, unless there is something now. If the clock is
    /// frozen and every other worker is parked, this worker moves time on instead.
    pub(crate) fn park(
        &self,
        worker: usize,
        was_searching: bool,
        context: &mut impl ParkContext,
    ) -> Unparked {
        let sample = self.sharded_driver.begin_sample();
        self.takes_tasks[worker].store(context.takes_tasks(), Ordering::Relaxed);
        self.transition_to_parked(worker, was_searching);
        // Asked after the worker is in the list: a runtime that begins to end after this finds the
        // worker there, and unparks it.
        let is_stopping = context.is_stopping();
        self.sharded_driver.replan();
        // Asked before the last look, because it runs foreign code: it asks the clock's drivers for
        // their next deadlines, and may drop the last reference to one. What foreign code wakes
        // after the last look would be missed.
        // A panic there must not leave this worker in the list without its thread.
        let mut can_advance = false;
        catch_panic(|| can_advance = self.clock.can_advance());
        let can_advance = can_advance && !context.lender_polls();
        if context.has_work() {
            let mut unparked = self.leave_parked_and_fire(worker, context);
            // From now on it counts as searching, and the end of its search unparks the next
            // worker. A worker that searched before must do so: while it searched, no other one was
            // unparked for the tasks that were pushed.
            if !unparked.searching {
                self.counts.start_search();
                unparked.searching = true;
            }
            return unparked;
        }
        self.prepare_parker(worker);
        let next = match can_advance {
            true => self.after_last_look(worker, is_stopping, context),
            false => Next::Park,
        };
        match next {
            Next::Advance => {
                context.advance();
                return Unparked::default();
            }
            Next::Park => self.parkers[worker].park(),
            Next::CollectIo => {}
        }
        self.note_left_parker(worker);
        if let Some(sample) = sample
            && self.was_ended_by_timers(worker)
        {
            self.sharded_driver.note_cost(sample.spent());
        }
        // The I/O is collected before another worker becomes the keeper: as long as it is ready, it
        // would end that worker's park, too.
        context.collect_io();
        self.leave_parked_and_fire(worker, context)
    }

    /// Marks a worker as parked and, if it was searching, as no longer searching. A look at all
    /// queues has to follow.
    pub(crate) fn transition_to_parked(&self, worker: usize, was_searching: bool) {
        let mut parked = self.lock();
        parked.workers.push(worker);
        self.prepared[worker].store(false, Ordering::Relaxed);
        if parked.keeper.is_none() {
            parked.keeper = Some(worker);
        }
        self.stop_slot_checks(&parked);
        self.counts.add_parked(was_searching);
    }

    /// Notes that a thread begins to run a worker.
    pub(crate) fn add_thread(&self) {
        self.lock().threads += 1;
    }

    /// Notes that a thread, which is not parked, stops running a worker, or waits for the runtime
    /// to end. (If the worker was lent, another thread may be parked as that worker.) The thread
    /// has emptied its LIFO slot before: this may end the checks of the slots. `is_stopping` says
    /// whether the runtime is ending: then time may move once every worker that has a thread is
    /// parked.
    pub(crate) fn remove_thread(&self, is_stopping: bool) {
        let mut parked = self.lock();
        parked.threads -= 1;
        self.stop_slot_checks(&parked);
        // If every worker is parked now, one of them has to move time on.
        if parked.workers.len() == self.expected(&parked, is_stopping) {
            self.unpark_to_look_again(&parked);
        }
    }

    /// Returns what the clock of a worker's parker shows.
    pub(crate) fn parkers_now(&self, worker: usize) -> u64 {
        self.parkers[worker].now()
    }

    /// Returns whether any worker is parked. If it returns `false`, then a worker that parks from
    /// now on sees, in its last look, what the caller has written before.
    pub(crate) fn has_parked(&self) -> bool {
        // Pairs with the fence in `Counts::add_parked`.
        fence(Ordering::SeqCst);
        self.counts.has_parked()
    }

    /// Counts a worker among those that search, unless half of all workers do already. Returns
    /// whether it did.
    pub(crate) fn try_start_search(&self) -> bool {
        self.counts.try_start_search(self.parkers.len())
    }

    /// Takes a worker out of the count of searching workers, because it has found a task or stops
    /// searching. Returns whether it was the last one: then the caller looks at all queues, and
    /// calls [`notify_one`](Self::notify_one) if it finds a task.
    pub(crate) fn end_search(&self) -> bool {
        self.counts.end_search()
    }

    /// Ends every park, and closes the parkers' descriptors. A worker that is still parked then
    /// goes on with its loop, and has to find that the runtime is closed.
    pub(crate) fn close_parkers(&self) {
        for parker in &self.parkers {
            // First the unpark: it has no effect afterwards.
            parker.unpark();
            parker.close();
        }
    }

    fn is_prepared(&self, worker: usize) -> bool {
        self.prepared[worker].load(Ordering::Relaxed)
    }

    fn unpark(&self, worker: Option<usize>) {
        if let Some(worker) = worker {
            self.parkers[worker].unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        lock(&self.parked)
    }
}

impl Parked {
    fn position(&self, worker: usize) -> Option<usize> {
        self.workers.iter().rposition(|&parked| parked == worker)
    }
}
