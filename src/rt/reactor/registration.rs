//! The tasks that wait for one descriptor, and what the kernel was asked for.
//!
//! The kernel reports edges: it tells once each time that the descriptor becomes ready, and once
//! when it is asked, if the descriptor is ready then. There are two kinds of waits:
//!
//! - [`Wait::After`]: an operation of this task has failed with `WouldBlock`, so there is nothing
//!   now, and what comes makes an edge. The kernel is asked the first time, and reports all further
//!   edges by itself: a wait is usually no system call.
//! - [`Wait::Asking`]: the task has tried nothing, so the descriptor may be ready already, and its
//!   edge may have been delivered long ago. The kernel is asked for each of these waits.
//!
//! That an operation which fails with `WouldBlock` leaves nothing is true of sockets and pipes. It
//! is not of terminals: a read fails so, too, while another one reads. What is there then makes no
//! further edge. So for everything but sockets and pipes the kernel is asked for each wait of both
//! kinds (see [`Epoll::makes_edges`]).
//!
//! # Why no readiness is missed
//!
//! [`attempt`](Registration::attempt) reads how many events were delivered and then tries the
//! operation. What becomes ready after the operation has looked makes an edge after that, which is
//! delivered after the number was read, and changes it. So a wait that finds the number changed, or
//! is woken by a delivery, misses nothing. A number that only grows needs no rule for when to clear
//! it, and serves any number of tasks.
//!
//! Invariants, under the lock:
//!
//! - `reported` holds the directions whose edges the kernel reports. Those of all tasks that wait
//!   are in it.
//! - `asked` holds the directions for which the kernel was asked and no event was delivered since.
//!   The event may be on its way. So `asked` may name a direction for which nothing more will come.
//!   That harms no task that waits: the event on its way wakes it, and it tries again. The
//!   direction of each task that waits by [`Wait::Asking`] is in `asked`.
//! - A future that waits by [`Wait::After`] has a waiter until the number changes: the delivery
//!   that changes it removes the waiter. So the future learns by the number alone, without the
//!   lock, that its wait has ended and that it has nothing to remove.
//! - When the owner may change the descriptor, `reported` and `asked` become empty (see
//!   [`forget`](Registration::forget)), and a task that waits asks anew when it is polled.
//!
//! # What comes while no task waits
//!
//! Such an edge is delivered, too, and may end the park of a worker for nothing. It may come with
//! each message of the peer, and a Unix or UDP socket that a writer had to wait for once tells of
//! each message that the peer takes. So the next operation that is done, and the next task that
//! waits, have the kernel no longer report a direction that has told for nothing, unless a task
//! waits for it. An operation that reads has used what was told of reading. Only where no operation
//! is tried at all do such edges go on: an eventfd that nobody reads makes one for each write.

mod waiters;

use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;

use crate::panic::catch_panic;
use crate::rt::reactor::kernel::{Descriptor, Epoll};
pub(in crate::rt) use crate::rt::reactor::registration::waiters::{Direction, Wait, WaiterId};
use crate::rt::reactor::registration::waiters::{Waiter, Waiters};
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    lock,
};

/// What came of an operation.
pub(in crate::rt) enum Attempt<R> {
    Done(io::Result<R>),
    /// It would block. The wait is for the first event since before it was tried.
    Blocked(Wait),
}

pub(in crate::rt) struct Registration {
    /// How many events were delivered, for each direction. Written under the lock.
    events: [AtomicUsize; 2],
    /// Whether `unused` is not empty. Written under the lock.
    has_unused: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// `None` once the runtime is gone: no event comes any more.
    epoll: Option<Arc<Epoll>>,
    reported: EventFlags,
    asked: EventFlags,
    /// The directions that told while no task waited for them, since the kernel was last asked.
    unused: EventFlags,
    /// Whether the descriptor makes an edge for each readiness. `None`: not known yet.
    makes_edges: Option<bool>,
    /// Tasks were woken because of a change by the owner, and no event was delivered since.
    is_changed: bool,
    read: Waiters,
    write: Waiters,
}

impl Registration {
    /// Makes the registration of a descriptor that is about to be registered with `epoll`.
    pub(in crate::rt) fn new(epoll: Arc<Epoll>) -> Self {
        Self {
            events: [AtomicUsize::new(0), AtomicUsize::new(0)],
            has_unused: AtomicBool::new(false),
            state: Mutex::new(State {
                epoll: Some(epoll),
                reported: EventFlags::empty(),
                asked: EventFlags::empty(),
                unused: EventFlags::empty(),
                makes_edges: None,
                is_changed: false,
                read: Waiters::default(),
                write: Waiters::default(),
            }),
        }
    }

    /// Tries an operation on `descriptor`, which is registered under `key`.
    pub(in crate::rt) fn attempt<R>(
        &self,
        direction: Direction,
        (descriptor, key): (Descriptor<'_>, usize),
        operation: impl FnOnce() -> io::Result<R>,
    ) -> Attempt<R> {
        // Before the operation looks. An event that is delivered in between may have come before
        // that look: then the operation is tried once more.
        let events = self.events(direction);
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Attempt::Blocked(Wait::After(events))
            }
            result => {
                // Relaxed: what it overlooks is left to the next operation.
                if self.has_unused.load(Ordering::Relaxed) {
                    let mut state = lock(&self.state);
                    // It has read what came. Room that was not waited for is of no use.
                    if matches!(direction, Direction::Read) {
                        state.unused.remove(direction.interest());
                    }
                    state.drop_unused(descriptor, key);
                    self.note_unused(&state);
                }
                Attempt::Done(result)
            }
        }
    }

    /// Polls for the end of a wait. `descriptor` is registered under `key`.
    pub(in crate::rt) fn poll(
        &self,
        direction: Direction,
        wait: Wait,
        id: &mut WaiterId,
        cx: &mut Context<'_>,
        (descriptor, key): (Descriptor<'_>, usize),
    ) -> Poll<io::Result<()>> {
        // The first poll of a future mostly has to wait, so it is not checked twice.
        if !matches!(id, WaiterId::Future(None)) {
            if self.has_lost_waiter(direction, wait, id) && !self.has_unused.load(Ordering::Relaxed)
            {
                *id = WaiterId::Future(None);
                return Poll::Ready(Ok(()));
            }
            let checked = self.check(&mut lock(&self.state), direction, wait, id, cx.waker());
            if let Some(poll) = checked {
                return poll;
            }
        }
        // Cloning is foreign code, so no lock is held, and the check after it finds an event that
        // came meanwhile. The clone is declared before the guard: if it is not needed, it is
        // dropped after that.
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        if let Some(poll) = self.check(&mut state, direction, wait, id, cx.waker()) {
            return poll;
        }
        let replaced = state.set_waiting(direction, id, Waiter::Waiting(waker, wait));
        let asked = state.ask(direction, wait, descriptor, key);
        self.note_unused(&state);
        let removed = match asked {
            Ok(()) => Waiter::Idle,
            Err(_) => state.remove(direction, id),
        };
        drop(state);
        drop(removed);
        if let (Waiter::Waiting(waker, _), WaiterId::Poll) = (replaced, id)
            && !waker.will_wake(cx.waker())
        {
            // It may be another task's, which must not wait for ever: it is woken to poll again.
            catch_panic(|| waker.wake());
        }
        asked.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
    }

    /// Removes the waiter of a future, if it has one.
    pub(in crate::rt) fn cancel(&self, direction: Direction, wait: Wait, id: &mut WaiterId) {
        if matches!(id, WaiterId::Future(None)) || self.has_lost_waiter(direction, wait, id) {
            return;
        }
        let mut state = lock(&self.state);
        // The event may have come meanwhile.
        if !self.has_lost_waiter(direction, wait, id) {
            let removed = state.remove(direction, id);
            drop(state);
            drop(removed);
        }
    }

    /// Forgets what the kernel was asked for, and wakes the tasks that wait.
    ///
    /// To be called before the owner may replace the descriptor by another one. Each task then asks
    /// the kernel anew, about the descriptor that is there by then, and may get an error. The owner
    /// must have the only reference: futures that still have a waiter here were leaked.
    ///
    /// Tasks are woken only once between two events. Otherwise a task that has the owner changed in
    /// each of its polls would wake itself for ever.
    pub(in crate::rt) fn forget(&self) {
        let mut state = lock(&self.state);
        state.reported = EventFlags::empty();
        state.asked = EventFlags::empty();
        state.makes_edges = None;
        let mut wakers = Vec::new();
        if !state.is_changed {
            state.read.remove_all(&mut wakers);
            state.write.remove_all(&mut wakers);
            state.is_changed = !wakers.is_empty();
        }
        drop(state);
        for waker in wakers {
            catch_panic(|| waker.wake());
        }
    }

    /// Ends the waits that an event is for, and takes the wakers of their tasks.
    pub(in crate::rt) fn deliver(&self, event: EventFlags, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.is_changed = false;
        for direction in [Direction::Read, Direction::Write] {
            if !direction.is_ready(event) {
                continue;
            }
            state.asked.remove(direction.interest());
            let waiting = wakers.len();
            self.end_waits(&mut state, direction, wakers);
            // The kernel reports errors and hang-ups unasked.
            if wakers.len() == waiting && event.contains(direction.interest()) {
                state.unused.insert(direction.interest());
            }
        }
        self.note_unused(&state);
    }

    /// Removes the descriptor from the epoll instance.
    pub(in crate::rt) fn deregister(&self, descriptor: Descriptor<'_>) {
        if let Some(epoll) = &lock(&self.state).epoll {
            epoll.remove(descriptor);
        }
    }

    /// Takes the wakers of all tasks; waiting fails from now on. The caller has a reference to the
    /// epoll instance, so the one that is dropped here is not the last.
    pub(in crate::rt) fn close(&self, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.epoll = None;
        for direction in [Direction::Read, Direction::Write] {
            // A wait for an event ends, too: its operation is tried once more, and the next wait fails.
            self.end_waits(&mut state, direction, wakers);
        }
    }

    /// Ends all waits of a direction, and takes the wakers of their tasks.
    fn end_waits(&self, state: &mut State, direction: Direction, wakers: &mut Vec<Waker>) {
        self.events[direction as usize].fetch_add(1, Ordering::Release);
        state.waiters(direction).take_wakers(wakers);
    }

    /// Returns the result of a poll, or `None` if the task has to wait and its waker has to be
    /// stored.
    fn check(
        &self,
        state: &mut State,
        direction: Direction,
        wait: Wait,
        id: &mut WaiterId,
        waker: &Waker,
    ) -> Option<Poll<io::Result<()>>> {
        if state.epoll.is_none() {
            return Some(Poll::Ready(Err(runtime_gone())));
        }
        let has_ended = self.has_ended(direction, wait);
        if has_ended && let WaiterId::Future(_) = id {
            // An event has removed its waiter, or was told too early to wake the task, but not for
            // nothing.
            *id = WaiterId::Future(None);
            state.unused.remove(direction.interest());
            self.note_unused(state);
            return Some(Poll::Ready(Ok(())));
        }
        let is_asked = state.asked.contains(direction.interest());
        let is_reported = state.reported.contains(direction.interest());
        match state.waiter(direction, id) {
            Some(Waiter::Waiting(known, _)) if !has_ended => {
                // The kernel must be asked now if this is a `Wait::Asking` and the task there began
                // with `Wait::After`, and after a change by the owner.
                let waits = is_reported && (wait != Wait::Asking || is_asked);
                (waits && known.will_wake(waker)).then_some(Poll::Pending)
            }
            // Another task waits there, for an event that comes later.
            Some(Waiter::Waiting(..)) => Some(Poll::Ready(Ok(()))),
            Some(Waiter::Ready) => {
                let _ready = state.remove(direction, id);
                Some(Poll::Ready(Ok(())))
            }
            Some(Waiter::Idle) | None if has_ended => {
                // As above.
                state.unused.remove(direction.interest());
                self.note_unused(state);
                Some(Poll::Ready(Ok(())))
            }
            Some(Waiter::Idle) | None => None,
        }
    }

    fn note_unused(&self, state: &State) {
        let has_unused = !state.unused.is_empty();
        self.has_unused.store(has_unused, Ordering::Relaxed);
    }

    /// Returns whether a future had a waiter that an event has removed.
    fn has_lost_waiter(&self, direction: Direction, wait: Wait, id: &WaiterId) -> bool {
        matches!(id, WaiterId::Future(Some(_))) && self.has_ended(direction, wait)
    }

    /// Returns whether an event has ended a [`Wait::After`].
    fn has_ended(&self, direction: Direction, wait: Wait) -> bool {
        matches!(wait, Wait::After(events) if events != self.events(direction))
    }

    /// Returns how many events were delivered.
    fn events(&self, direction: Direction) -> usize {
        self.events[direction as usize].load(Ordering::Acquire)
    }
}

impl State {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Returns a waiter, if it has waited before.
    fn waiter(&mut self, direction: Direction, id: &WaiterId) -> Option<&mut Waiter> {
        let waiters = self.waiters(direction);
        match *id {
            WaiterId::Poll => Some(&mut waiters.poll),
            WaiterId::Future(key) => waiters.futures.get_mut(key?),
        }
    }

    /// Makes a task wait. Returns what the waiter was before.
    fn set_waiting(&mut self, direction: Direction, id: &mut WaiterId, waiting: Waiter) -> Waiter {
        match self.waiter(direction, id) {
            Some(waiter) => mem::replace(waiter, waiting),
            None => {
                let key = self.waiters(direction).futures.insert(waiting);
                *id = WaiterId::Future(Some(key));
                Waiter::Idle
            }
        }
    }

    /// Asks the kernel for what a task waits for, unless it was asked already.
    fn ask(
        &mut self,
        direction: Direction,
        wait: Wait,
        descriptor: Descriptor<'_>,
        key: usize,
    ) -> io::Result<()> {
        let (interest, other) = (direction.interest(), direction.other().interest());
        let is_unused = (self.unused & self.reported).contains(other);
        let asks_each_time = match wait {
            Wait::Asking => true,
            Wait::After(_) => {
                let makes_edges = || Epoll::makes_edges(descriptor);
                !*self.makes_edges.get_or_insert_with(makes_edges)
            }
        };
        let is_asked = match asks_each_time {
            true => self.asked.contains(interest),
            false => self.reported.contains(interest) && !is_unused,
        };
        if is_asked {
            return Ok(());
        }
        // The kernel tells at once of the other direction, too, if it is ready. So where it is
        // asked each time, it is not asked for one that no task waits for.
        let keeps_other = self.reported.contains(other)
            && (!asks_each_time && !is_unused || self.waiters(direction.other()).is_any_waiting());
        let reported = match keeps_other {
            true => interest | other,
            false => interest,
        };
        let epoll = self.epoll.as_ref().ok_or_else(runtime_gone)?;
        epoll.ask(descriptor, key, reported)?;
        self.reported = reported;
        self.asked = reported;
        self.unused = EventFlags::empty();
        Ok(())
    }

    /// Has the kernel report only what a task waits for, if a direction has told for nothing.
    fn drop_unused(&mut self, descriptor: Descriptor<'_>, key: usize) {
        let mut unused = mem::take(&mut self.unused);
        let mut waited_for = EventFlags::empty();
        for direction in [Direction::Read, Direction::Write] {
            if self.waiters(direction).is_any_waiting() {
                unused.remove(direction.interest());
                waited_for.insert(direction.interest());
            }
        }
        if unused.is_empty() {
            return;
        }
        let Some(epoll) = &self.epoll else {
            return;
        };
        // An error is for the next task that waits: it asks anew.
        let asked = epoll.ask(descriptor, key, waited_for);
        self.reported = asked.map_or(EventFlags::empty(), |()| waited_for);
        self.asked = self.reported;
    }

    /// Removes a waiter, and returns it for the caller to drop with the lock released.
    #[must_use]
    fn remove(&mut self, direction: Direction, id: &mut WaiterId) -> Waiter {
        let waiters = self.waiters(direction);
        match id {
            WaiterId::Poll => mem::take(&mut waiters.poll),
            WaiterId::Future(key) => key
                .take()
                .map_or(Waiter::Idle, |key| waiters.futures.remove(key)),
        }
    }
}

/// Returns the error of a wait whose runtime has ended.
pub(in crate::rt) fn runtime_gone() -> io::Error {
    io::Error::other(
        "the runtime that this descriptor was registered with is gone: keep the runtime for as long \
         as its descriptors are used",
    )
}
