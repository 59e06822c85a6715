//! What does a worker keep to itself?
//!
//! Its queue, from which others steal, and the LIFO slot for the task to run next, from which they
//! steal only if the task has lain there for a moment.
//!
//! The slot is for a task that a running task has woken, or the first one that a timer has:
//! it runs at once, while what it was readied with is still in the cache. The second one to be
//! readied goes to the end of the queue and does not displace it, so that equals run in the order in
//! which they were readied. After [`STREAK`] tasks in a row the slot gives way to the queue, so that
//! two tasks that wake each other for ever keep nobody waiting. A new task is not put there: who
//! spawns it may go on for long, and means it to run meanwhile.

use std::cell::Cell;
use std::sync::Arc;

use crossbeam_deque::{Injector, Steal, Stealer};

use crate::rt::idle::Report;
use crate::rt::task::{List, Runnable, Why};

/// How many tasks in a row come out of the LIFO slot.
const STREAK: u32 = 3;

pub(super) struct Core {
    index: usize,
    /// It is the second of its worker, and nobody steals from it.
    is_spare: bool,
    slot: LifoSlot,
    /// How many tasks in a row came out of the slot.
    streak: Cell<u32>,
    queue: crossbeam_deque::Worker<Runnable>,
    phase: Cell<Phase>,
    /// A task has yielded to nobody: it will go on at once, so nobody was woken for it.
    quiet: Cell<bool>,
    /// The tasks that were spawned here, whichever thread had this core.
    list: Arc<List>,
    seed: Cell<u64>,
    /// How the worker goes about its work; it takes this out while it is at it.
    pace: Cell<Pace>,
}

/// How a worker goes about its work, from one run of its loop to the next.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// How many tasks may run until timers are polled.
    pub(super) left: u32,
    /// How many tasks run between two polls of the timers.
    pub(super) interval: u32,
    /// When timers were last polled, zero for never.
    pub(super) polled: u64,
    /// How often they were.
    pub(super) tick: u32,
    /// Whether local tasks come before others, the next time.
    pub(super) local_first: bool,
}

/// How many tasks at most run between two polls of the timers.
pub(super) const LONGEST_INTERVAL: u32 = 16;

/// What a worker that has taken a ready task has to do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// Another worker should be woken for it.
    NotifyOne,
    /// The slot is full, and this has to be reported.
    Report,
}

/// What a worker is at, as far as it matters to a task that is readied meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A task runs.
    Task,
    /// The main future runs. It may block its thread, where a task must not: nothing is kept from
    /// others meanwhile.
    Main,
    /// Timers fire, or I/O is collected: many tasks may be readied at once, and help is called for
    /// when they are.
    Firing,
}

impl Core {
    pub(super) fn new(
        index: usize,
        queue: crossbeam_deque::Worker<Runnable>,
        slot: LifoSlot,
        list: Arc<List>,
    ) -> Self {
        Self {
            index,
            is_spare: false,
            slot,
            streak: Cell::new(0),
            queue,
            phase: Cell::new(Phase::Task),
            quiet: Cell::new(false),
            list,
            pace: Cell::new(Pace {
                left: 0,
                interval: LONGEST_INTERVAL,
                polled: 0,
                tick: 0,
                local_first: false,
            }),
            seed: Cell::new(index as u64 + 1),
        }
    }

    /// A core that stands in for that of the first worker.
    pub(super) fn spare(slot: LifoSlot, list: Arc<List>) -> Self {
        let mut core = Self::new(0, crossbeam_deque::Worker::new_fifo(), slot, list);
        core.is_spare = true;
        core
    }

    pub(super) fn is_spare(&self) -> bool {
        self.is_spare
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn list(&self) -> &Arc<List> {
        &self.list
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace.get()
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        self.pace.set(pace);
    }

    /// Takes a ready task. Returns what has to be done about it.
    #[inline]
    pub(super) fn push(&self, task: Runnable, why: Why) -> Then {
        let phase = self.phase.get();
        if why != Why::Woken || phase == Phase::Main {
            let alone = why == Why::Yielded && self.queue.is_empty();
            self.queue.push(task);
            if alone {
                self.quiet.set(true);
                return Then::Nothing;
            }
            return Then::NotifyOne;
        }
        let in_task = phase == Phase::Task;
        if self.slot.is_empty() {
            self.slot.put(task);
            // While timers fire nothing runs that could block: `must_report` is asked afterwards.
            return match in_task && self.slot.must_report() {
                true => Then::Report,
                false => Then::Nothing,
            };
        }
        // The slot keeps what it holds.
        self.queue.push(task);
        match in_task {
            true => Then::NotifyOne,
            false => Then::Nothing,
        }
    }

    /// Returns whether the worker has to report that its slot is full, now that another task is
    /// about to run.
    #[inline]
    pub(super) fn must_report(&self) -> bool {
        self.slot.must_report() && !self.slot.is_empty()
    }

    /// Whether, now that something else is about to run, another worker should be woken for a task
    /// that has yielded.
    #[inline]
    pub(super) fn must_offer(&self) -> bool {
        self.quiet.get() && {
            self.quiet.set(false);
            self.has_spare()
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// The next task that is ready here.
    #[inline]
    pub(super) fn pop(&self) -> Option<Runnable> {
        let streak = self.streak.get();
        if streak < STREAK {
            if let Some(task) = self.slot.take() {
                self.streak.set(streak + 1);
                return Some(task);
            }
        } else if self.queue.is_empty() {
            // Nobody waits for a turn, and the streak goes on.
            if let Some(task) = self.slot.take() {
                return Some(task);
            }
        } else if let Some(task) = self.slot.take() {
            self.queue.push(task);
        }
        self.streak.set(0);
        self.queue.pop()
    }

    /// Whether there is something to steal.
    pub(super) fn has_spare(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.slot.is_empty()
    }

    /// Takes a share of what lies in the queue that all share, and one task out of it.
    pub(super) fn take_shared(&self, shared: &Injector<Runnable>) -> Option<Runnable> {
        retry(|| shared.steal_batch_and_pop(&self.queue))
    }

    /// Takes half of what another worker has, and one task out of it.
    pub(super) fn steal(&self, other: &Stealer<Runnable>) -> Option<Runnable> {
        retry(|| other.steal_batch_and_pop(&self.queue))
    }

    /// Returns a number by which to choose the worker that this one first steals from: xorshift
    /// (Marsaglia, 2003).
    pub(super) fn random(&self) -> usize {
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.set(seed);
        seed as usize
    }

    /// Takes the task out of another worker's slot into its own queue.
    pub(super) fn take_stuck(&self, slot: &Stealer<Runnable>) {
        if let Some(task) = retry(|| slot.steal()) {
            self.queue.push(task);
        }
    }

    /// Leaves what is ready to others: in the queue, of which they steal, or in `shared`.
    pub(super) fn release(&self, shared: &Injector<Runnable>) {
        if let Some(task) = self.slot.take() {
            self.queue.push(task);
        }
        while self.is_spare
            && let Some(task) = self.queue.pop()
        {
            shared.push(task);
        }
    }
}

/// Steals until it is clear whether there is anything.
pub(super) fn retry(mut steal: impl FnMut() -> Steal<Runnable>) -> Option<Runnable> {
    loop {
        match steal() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}

/// A worker's LIFO slot: the one task that it runs next.
///
/// The worker puts a task there and takes it out; another worker takes it only if it has lain there
/// for a moment, because the worker is busy with a task that blocks or takes long. When that is so
/// is told in `idle::slots`.
///
/// The slot is a queue of `crossbeam-deque` that never holds more than one task. Nobody can take a
/// task out of a place that others reach without an atomic read-modify-write; this queue needs none
/// to put one in, where a pointer that is swapped needs a second one.
pub(super) struct LifoSlot {
    task: crossbeam_deque::Worker<Runnable>,
    report: Arc<Report>,
}

impl LifoSlot {
    /// Makes an empty slot. `report` says when its worker has to report a put.
    pub(super) fn new(report: Arc<Report>) -> Self {
        Self {
            task: crossbeam_deque::Worker::new_fifo(),
            report,
        }
    }

    /// Returns the end at which other workers take the task.
    pub(super) fn stealer(&self) -> Stealer<Runnable> {
        self.task.stealer()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.task.is_empty()
    }

    /// Puts a task into the slot, which must be empty.
    #[inline]
    pub(super) fn put(&self, task: Runnable) {
        self.task.push(task);
    }

    #[inline]
    pub(super) fn take(&self) -> Option<Runnable> {
        self.task.pop()
    }

    /// Returns whether the worker has to report that the slot is full while it runs another task.
    #[inline]
    pub(super) fn must_report(&self) -> bool {
        self.report.is_wanted()
    }
}
