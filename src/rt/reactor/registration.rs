//! The tasks that wait for one descriptor, and what the kernel was asked for.
//!
//! The kernel reports edges: it tells once each time that the descriptor becomes ready, and once
//! when it is asked, if the descriptor is ready then. There are two kinds of waits:
//!
//! - [`Wait::After`]: an operation of this task has failed with `WouldBlock`, or a read was short
//!   (see below), so there is nothing now, and what comes makes an edge. The kernel is asked the
//!   first time, and reports all further edges by itself: a wait is usually no system call.
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
//! # A read that is short
//!
//! A read of a TCP socket that gets less than it has room for has taken all that there was. So the
//! next one waits at once, where it would otherwise be a system call that finds nothing (see
//! [`note_short_read`](Registration::note_short_read)): what comes after the short read makes an
//! edge. But the end of the stream, an error or urgent data may have come before it, cut it short,
//! and make no further edge. The event that tells of the data tells of them, too (of urgent data
//! unless the program has taken it by then), and from then on each read is tried. So it is once the
//! runtime is gone, since no event comes any more.
//!
//! It is not so of other descriptors: a read of a datagram, of a terminal or of a Unix socket that
//! descriptors are sent through may end before all that there is.
//!
//! # The lock
//!
//! Invariants, under the lock:
//!
//! - `reported` holds the directions whose edges the kernel reports. Those of all tasks that wait
//!   are in it, unless the owner may have changed the descriptor (see below).
//! - `asked` holds the directions for which the kernel was asked and no event was delivered since.
//!   The event may be on its way. So `asked` may name a direction for which nothing more will come.
//!   That harms no task that waits: the event on its way wakes it, and it tries again. The
//!   direction of each task that waits by [`Wait::Asking`] is in `asked`, with the same exception.
//! - A future that waits has a waiter until the number changes: the delivery that changes it
//!   removes the waiter. So the future learns by the number alone, without the lock, that its wait
//!   has ended and that it has nothing to remove.
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

mod state;
mod waiters;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;

use crate::panic::catch_panic;
use crate::rt::reactor::kernel::{Descriptor, Epoll, MORE_THAN_DATA};
use crate::rt::reactor::registration::state::State;
pub(in crate::rt) use crate::rt::reactor::registration::state::runtime_gone;
use crate::rt::reactor::registration::waiters::PollWaiter;
pub(in crate::rt) use crate::rt::reactor::registration::waiters::{Direction, Wait, WaiterId};
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

/// No read was short. With 64 bits there are never as many events. (With 32 bits, if no read was
/// short during 2³² events, one read may wait for the next event, though it need not.)
const NOT_SHORT: usize = usize::MAX;

/// The fields are in this order so that an event for reading, and the wait for it, touch two cache
/// lines, and those for writing three.
#[repr(C, align(64))]
pub(in crate::rt) struct Registration {
    /// How many events were delivered, for each direction. Written under the lock.
    events: [AtomicUsize; 2],
    /// How many events for reading were delivered when a read was short, or [`NOT_SHORT`].
    short_at: AtomicUsize,
    /// Whether `unused` is not empty. Written under the lock.
    has_unused: AtomicBool,
    /// Whether a short read may have left something: an event has told of more than data, or the
    /// runtime is gone. Written under the lock.
    may_leave: AtomicBool,
    state: Mutex<State>,
}

impl Registration {
    /// Makes the registration of a descriptor that is about to be registered with `epoll`.
    pub(in crate::rt) fn new(epoll: Arc<Epoll>) -> Self {
        Self {
            events: [AtomicUsize::new(0), AtomicUsize::new(0)],
            has_unused: AtomicBool::new(false),
            short_at: AtomicUsize::new(NOT_SHORT),
            may_leave: AtomicBool::new(false),
            state: Mutex::new(State::new(epoll)),
        }
    }

    /// Tries an operation on `descriptor`, which is registered under `key`.
    // Inlined: see `Worker::run_task`.
    #[inline(always)]
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
                    self.drop_unused(direction, descriptor, key);
                }
                Attempt::Done(result)
            }
        }
    }

    /// Has the kernel report only what a task waits for, after an operation that did not block.
    #[cold]
    fn drop_unused(&self, direction: Direction, descriptor: Descriptor<'_>, key: usize) {
        let mut state = lock(&self.state);
        // It has read what came. Room that was not waited for is of no use.
        if matches!(direction, Direction::Read) {
            state.unused.remove(direction.interest());
        }
        state.drop_unused(descriptor, key);
        self.note_unused(&state);
    }

    /// Returns how many events for reading were delivered, to be asked before a read looks.
    pub(in crate::rt) fn read_events(&self) -> usize {
        self.events(Direction::Read)
    }

    /// Notes that a read of a TCP socket was short. `events` is what
    /// [`read_events`](Self::read_events) returned before it.
    pub(in crate::rt) fn note_short_read(&self, events: usize) {
        // If one of these events has told of more, the flag was set before the number rose.
        if !self.may_leave.load(Ordering::Relaxed) {
            self.short_at.store(events, Ordering::Relaxed);
        }
    }

    /// Returns the wait that the next read begins with, if the last one was short and no event for
    /// reading was delivered since.
    pub(in crate::rt) fn wait_after_short_read(&self) -> Option<Wait> {
        let events = self.read_events();
        (self.short_at.load(Ordering::Relaxed) == events).then_some(Wait::After(events))
    }

    /// Polls for the end of a wait. `descriptor` is registered under `key`.
    #[inline]
    pub(in crate::rt) fn poll(
        &self,
        direction: Direction,
        wait: Wait,
        id: &mut WaiterId,
        cx: &mut Context<'_>,
        descriptor: (Descriptor<'_>, usize),
    ) -> Poll<io::Result<()>> {
        // (The end of the runtime is an event, too, but an error to a `Wait::Asking`.)
        if wait != Wait::Asking
            && self.has_lost_waiter(direction, id)
            && !self.has_unused.load(Ordering::Relaxed)
        {
            *id = WaiterId::Future(None);
            return Poll::Ready(Ok(()));
        }
        self.poll_locked(direction, wait, id, cx, descriptor)
    }

    fn poll_locked(
        &self,
        direction: Direction,
        wait: Wait,
        id: &mut WaiterId,
        cx: &mut Context<'_>,
        (descriptor, key): (Descriptor<'_>, usize),
    ) -> Poll<io::Result<()>> {
        // The first poll of a future mostly has to wait, so it is not checked twice.
        if !matches!(id, WaiterId::Future(None)) {
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
        let replaced = state.set_waiting(direction, id, (waker, wait), self.events(direction));
        let asked = state.ask(direction, wait, descriptor, key);
        self.note_unused(&state);
        let removed = match asked {
            Ok(()) => None,
            Err(_) => state.remove(direction, id),
        };
        drop(state);
        drop(removed);
        if let (Some(waker), WaiterId::Poll) = (replaced, id)
            && !waker.will_wake(cx.waker())
        {
            // It may be another task's, which must not wait for ever: it is woken to poll again.
            catch_panic(|| waker.wake());
        }
        asked.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
    }

    /// Removes the waiter of a future, if it has one.
    #[inline]
    pub(in crate::rt) fn cancel(&self, direction: Direction, id: &mut WaiterId) {
        if !matches!(id, WaiterId::Future(None)) && !self.has_lost_waiter(direction, id) {
            self.remove_waiter(direction, id);
        }
    }

    fn remove_waiter(&self, direction: Direction, id: &mut WaiterId) {
        let mut state = lock(&self.state);
        // The event may have come meanwhile.
        if !self.has_lost_waiter(direction, id) {
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
        self.short_at.store(NOT_SHORT, Ordering::Relaxed);
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
        if event.intersects(MORE_THAN_DATA) {
            // Before the number of events rises: a read that sees the number sees this, too.
            self.may_leave.store(true, Ordering::Relaxed);
        }
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
        // Nothing is asked for any more. And a task that has unused events to note takes the lock,
        // where it would find that the runtime is gone before it finds that its wait has ended.
        state.unused = EventFlags::empty();
        self.note_unused(&state);
        // What is there is still read, but nothing can be waited for. So each read is tried.
        self.may_leave.store(true, Ordering::Relaxed);
        for direction in [Direction::Read, Direction::Write] {
            // The `Wait::After` of a future ends, too: its operation is tried once more, and the
            // next wait fails.
            self.end_waits(&mut state, direction, wakers);
        }
    }

    /// Ends all waits of a direction, and takes the wakers of their tasks.
    fn end_waits(&self, state: &mut State, direction: Direction, wakers: &mut Vec<Waker>) {
        let events = &self.events[direction as usize];
        // Written under the lock only, so this need not be one step.
        events.store(
            events.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Release,
        );
        state.waiters(direction).take_wakers(wakers);
    }

    /// Returns the result of a poll, or `None` if the task has to wait and its waker has to be
    /// stored.
    // `inline(always)`: with two callers the compiler makes it a function of its own, and 20 of the
    // instructions of a wait are those that save and restore registers.
    #[inline(always)]
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
        let has_ended = match id {
            WaiterId::Future(Some(_)) => self.has_lost_waiter(direction, id),
            WaiterId::Future(None) | WaiterId::Poll => self.has_ended(direction, wait),
        };
        let poll_waiter = match id {
            WaiterId::Poll => &mut state.waiters(direction).poll,
            WaiterId::Future(_) if has_ended => {
                // An event has removed its waiter, or was told too early to wake the task, but not
                // for nothing.
                *id = WaiterId::Future(None);
                state.unused.remove(direction.interest());
                self.note_unused(state);
                return Some(Poll::Ready(Ok(())));
            }
            WaiterId::Future(waiter) => {
                let place = waiter.as_ref()?.place;
                let known = state.waiters(direction).futures.get_mut(place)?;
                return known.will_wake(waker).then_some(Poll::Pending);
            }
        };
        match poll_waiter {
            PollWaiter::Waiting(known, _) if !has_ended => {
                let will_wake = known.will_wake(waker);
                // The kernel must be asked now if this is a `Wait::Asking` and the task there began
                // with `Wait::After`, and after a change by the owner.
                let is_asked = wait != Wait::Asking || state.asked.contains(direction.interest());
                let waits = is_asked && state.reported.contains(direction.interest());
                (waits && will_wake).then_some(Poll::Pending)
            }
            // Another task waits there, for an event that comes later.
            PollWaiter::Waiting(..) => Some(Poll::Ready(Ok(()))),
            PollWaiter::Ready => {
                *poll_waiter = PollWaiter::Idle;
                Some(Poll::Ready(Ok(())))
            }
            PollWaiter::Idle if has_ended => {
                state.unused.remove(direction.interest());
                self.note_unused(state);
                Some(Poll::Ready(Ok(())))
            }
            PollWaiter::Idle => None,
        }
    }

    fn note_unused(&self, state: &State) {
        let has_unused = !state.unused.is_empty();
        self.has_unused.store(has_unused, Ordering::Relaxed);
    }

    /// Returns whether a future had a waiter that an event has removed.
    #[inline]
    fn has_lost_waiter(&self, direction: Direction, id: &WaiterId) -> bool {
        matches!(id, WaiterId::Future(Some(waiter)) if waiter.events != self.events(direction))
    }

    /// Returns whether an event has ended a [`Wait::After`].
    fn has_ended(&self, direction: Direction, wait: Wait) -> bool {
        matches!(wait, Wait::After(events) if events != self.events(direction))
    }

    /// Returns how many events were delivered.
    #[inline]
    fn events(&self, direction: Direction) -> usize {
        self.events[direction as usize].load(Ordering::Acquire)
    }
}
