//! A worker's core: the tasks that are ready on it, and the state of its loop.
//!
//! A core has a queue, from which other workers steal, and the LIFO slot: the task to run next,
//! which others take only if it has lain there for a while. A task that a running task wakes goes
//! to the slot, and so does the first one that timers or I/O wake: it runs at once, while what it
//! was woken for is still in the cache. If the slot is full, the task goes to the end of the queue,
//! and the one in the slot stays: so the tasks that one task wakes run, as a rule, in the order in
//! which it wakes them. After [`MAX_LIFO_POLLS`] tasks in a row out of the slot the queue has its
//! turn, so that two tasks that wake each other for ever do not starve the others. A new task does
//! not go to the slot: the task that spawns it may run for long, and expects it to run meanwhile.

use std::cell::Cell;
use std::sync::Arc;

use crossbeam_deque::{Stealer, Worker as Queue};

use crate::rt::idle::ReportFlag;
use crate::rt::task::{OwnedTasks, Reason, Runnable};

/// How many tasks in a row are taken from the LIFO slot while the queue has one, too.
const MAX_LIFO_POLLS: u32 = 3;

pub(super) struct Core {
    pub(super) index: usize,
    /// A second core of the first worker, for the thread that borrows it: the lending thread keeps
    /// its core, as a rule the worker's own. No worker steals from the spare core.
    pub(super) is_spare: bool,
    slot: LifoSlot,
    /// How many tasks in a row came out of the slot: it stops at the limit.
    lifo_polls: Cell<u32>,
    pub(super) queue: Queue<Runnable>,
    pub(super) phase: Cell<Phase>,
    /// A task has yielded when the queue was empty. It runs next as a rule, so no worker was
    /// unparked for it.
    unnotified: Cell<bool>,
    /// The tasks that were spawned on this worker, whichever thread ran it.
    pub(super) owned: Arc<OwnedTasks>,
    seed: Cell<u64>,
    /// The worker loop works on a copy, and writes it back when it returns.
    pub(super) state: Cell<LoopState>,
}

/// What the worker loop keeps from one run to the next.
#[derive(Clone, Copy)]
pub(super) struct LoopState {
    /// How many tasks may run until timers are polled.
    pub(super) until_poll: u32,
    /// How many tasks run between two polls of the timers.
    pub(super) interval: u32,
    /// When the clock was last read for a poll; zero after a park.
    pub(super) last_poll: u64,
    /// The number of the last poll, modulo `STEAL_INTERVAL`: each eighth is for the timers of all
    /// workers, and after that of number zero a task of another worker has its turn.
    pub(super) tick: u32,
    /// Whether a local task ran before others the last time: the two kinds take turns.
    pub(super) local_first: bool,
    /// How long a task took lately, on average, in nanoseconds.
    pub(super) task_nanos: u64,
}

/// How many tasks at most run between two polls of the timers.
pub(super) const LONGEST_INTERVAL: u32 = 16;

/// What the thread that has pushed a task has to do next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterPush {
    Nothing,
    /// Unpark another worker for the task.
    NotifyOne,
    /// Report that the slot is full: see `report_flag` of the slot.
    ReportSlot,
}

/// What a worker does, as far as it matters to a task that becomes ready meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It runs tasks, which may block its thread, or does anything that is not listed below.
    Tasks,
    /// It polls or drops the main future, or drops local tasks. That may block its thread for long,
    /// as a task should not. So whatever becomes ready meanwhile goes to the queue, from which
    /// others steal.
    MainFuture,
    /// It fires timers, collects I/O or moves time. Many tasks may become ready at once; other
    /// workers are unparked for them afterwards.
    Waking,
}

impl Core {
    pub(super) fn new(
        index: usize,
        queue: Queue<Runnable>,
        slot: LifoSlot,
        owned: Arc<OwnedTasks>,
    ) -> Self {
        Self {
            index,
            is_spare: false,
            slot,
            lifo_polls: Cell::new(0),
            queue,
            phase: Cell::new(Phase::Tasks),
            unnotified: Cell::new(false),
            owned,
            state: Cell::new(LoopState {
                until_poll: 0,
                interval: LONGEST_INTERVAL,
                last_poll: 0,
                tick: 0,
                local_first: false,
                task_nanos: 0,
            }),
            seed: Cell::new(index as u64 + 1),
        }
    }

    /// Makes a spare core of the first worker.
    pub(super) fn spare(slot: LifoSlot, owned: Arc<OwnedTasks>) -> Self {
        Self {
            is_spare: true,
            ..Self::new(0, Queue::new_fifo(), slot, owned)
        }
    }

    /// Puts a ready task into the slot or the queue. Returns what the caller has to do next.
    #[inline]
    pub(super) fn push(&self, task: Runnable, reason: Reason) -> AfterPush {
        let phase = self.phase.get();
        if reason != Reason::Woken || phase == Phase::MainFuture {
            let is_next = reason == Reason::Yielded && self.queue.is_empty();
            self.queue.push(task);
            if is_next {
                self.unnotified.set(true);
                return AfterPush::Nothing;
            }
            return AfterPush::NotifyOne;
        }
        let may_block = phase == Phase::Tasks;
        if self.slot.task.is_empty() {
            self.slot.task.push(task);
            // While timers fire, no task runs that could block. Before the worker runs its next
            // task, it reports that its slot is full, see `must_report`.
            return match may_block && self.slot.report_flag.is_raised() {
                true => AfterPush::ReportSlot,
                false => AfterPush::Nothing,
            };
        }
        self.queue.push(task);
        match may_block {
            true => AfterPush::NotifyOne,
            false => AfterPush::Nothing,
        }
    }

    /// Returns whether a task that is put here now might wait for long: the thread of this core
    /// polls its main future, which may block, and no worker steals from a spare core.
    #[inline]
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.is_spare && self.phase.get() == Phase::MainFuture
    }

    /// Returns whether the worker, which is about to run another task, has to report that its slot
    /// is full.
    #[inline]
    pub(super) fn must_report(&self) -> bool {
        self.slot.report_flag.is_raised() && !self.slot.task.is_empty()
    }

    /// Returns whether another worker has to be unparked for a task that has yielded, because this
    /// worker is about to run another one: `true` once for each such task.
    #[inline]
    pub(super) fn take_must_notify(&self) -> bool {
        self.unnotified.get() && {
            self.unnotified.set(false);
            self.has_stealable()
        }
    }

    /// Takes the next task out of the slot or the queue.
    #[inline]
    pub(super) fn pop(&self) -> Option<Runnable> {
        let polls = self.lifo_polls.get();
        if polls < MAX_LIFO_POLLS {
            if let Some(task) = self.slot.task.pop() {
                self.lifo_polls.set(polls + 1);
                return Some(task);
            }
        } else if self.queue.is_empty() {
            // No task is in the queue, so the slot keeps its turn.
            if let Some(task) = self.slot.task.pop() {
                return Some(task);
            }
        } else {
            self.flush_slot();
        }
        self.lifo_polls.set(0);
        self.queue.pop()
    }

    /// Moves the task in the slot to the queue.
    #[inline]
    pub(super) fn flush_slot(&self) {
        if let Some(task) = self.slot.task.pop() {
            self.queue.push(task);
        }
    }

    /// Returns how many tasks are ready.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.slot.task.len()
    }

    /// Returns whether there is a task in the queue. (Other workers steal from the queue, except
    /// from that of a spare core.)
    pub(super) fn has_stealable(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.slot.task.is_empty()
    }

    /// Returns a random number, by which the worker chooses the first one to steal from: xorshift
    /// (Marsaglia, 2003).
    pub(super) fn random(&self) -> usize {
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.set(seed);
        seed as usize
    }
}

/// A worker's LIFO slot: the one task that it runs next. `idle::lifo_watch` tells when another
/// worker takes it.
///
/// The slot is a queue of `crossbeam-deque` that never holds more than one task. Taking a task out
/// of a place that other threads reach costs an atomic read-modify-write in any case. To put one in
/// needs no read-modify-write with this queue; with a pointer that is swapped it would.
pub(super) struct LifoSlot {
    task: Queue<Runnable>,
    /// While it is raised, the worker reports when its slot is full. Each check of the slots raises
    /// it, and a report lowers it, as a rule: see `idle::lifo_watch`.
    report_flag: Arc<ReportFlag>,
}

impl LifoSlot {
    pub(super) fn new(report_flag: Arc<ReportFlag>) -> Self {
        let task = Queue::new_fifo();
        Self { task, report_flag }
    }

    pub(super) fn stealer(&self) -> Stealer<Runnable> {
        self.task.stealer()
    }
}
