//! The tasks that wait for one descriptor, and the event that the kernel was asked for.
//!
//! The kernel is asked for one event at a time: after an event, it reports no other one until a
//! task waits again. So a descriptor that stays ready costs nothing while no task waits for it, and
//! for one that is ready already when a task begins to wait, the event comes at once.
//!
//! Invariants, under the lock:
//!
//! - `armed` holds what the kernel was asked for and has not reported. It may have reported it just
//!   now, in an event that is yet to be delivered. So `armed` may hold too much, but never too
//!   little for a task that waits: that event wakes the task.
//! - What a [`Waiter::Waiting`] waits for is in `armed`.
//!
//! An event ends all that was armed, though it may report only one direction. To ask for the other
//! one again takes the descriptor, which only its owner has. So the tasks that wait for the other
//! direction are woken as well, without being marked ready, and ask again when they are polled.

use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;
use slab::Slab;

use crate::driver::shared::fire::catch_panic;
use crate::rt::reactor::kernel::{Descriptor, Epoll};
use crate::sync::{Mutex, lock};

#[derive(Clone, Copy)]
pub(in crate::rt) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// Returns the event to ask the kernel for.
    fn interest(self) -> EventFlags {
        match self {
            Direction::Read => EventFlags::IN,
            Direction::Write => EventFlags::OUT,
        }
    }

    /// Returns whether an event ends a wait. An error or a hang-up ends both kinds: the task learns
    /// of it by reading or writing.
    fn is_ready(self, event: EventFlags) -> bool {
        event.intersects(self.interest() | EventFlags::ERR | EventFlags::HUP)
    }
}

/// Identifies a waiter of one direction.
pub(in crate::rt) enum WaiterId {
    /// The one waiter of `poll_readable` or `poll_writable`.
    Poll,
    /// The waiter of a future, once that has waited.
    Future(Option<usize>),
}

pub(in crate::rt) struct Registration {
    state: Mutex<State>,
}

struct State {
    /// `None` once the runtime is gone: no event comes any more.
    epoll: Option<Arc<Epoll>>,
    armed: EventFlags,
    read: Waiters,
    write: Waiters,
}

/// What a task finds that is woken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Its wait has ended.
    Ready,
    /// It has to ask the kernel again, or learns that the runtime is gone.
    AskAgain,
}

/// The waiters of one direction.
#[derive(Default)]
struct Waiters {
    poll: Waiter,
    futures: Slab<Waiter>,
}

#[derive(Default)]
enum Waiter {
    /// No task waits, or it was woken to ask again.
    #[default]
    Idle,
    Waiting(Waker),
    /// An event came, and the task has not been polled since.
    Ready,
}

impl Registration {
    /// Makes the registration of a descriptor that is about to be registered with `epoll`.
    pub(in crate::rt) fn new(epoll: Arc<Epoll>) -> Self {
        Self {
            state: Mutex::new(State {
                epoll: Some(epoll),
                armed: EventFlags::empty(),
                read: Waiters::default(),
                write: Waiters::default(),
            }),
        }
    }

    /// Polls for the first event since the waiter began to wait. `descriptor` is registered under
    /// `key`.
    pub(in crate::rt) fn poll(
        &self,
        direction: Direction,
        id: &mut WaiterId,
        cx: &mut Context<'_>,
        descriptor: Descriptor<'_>,
        key: usize,
    ) -> Poll<io::Result<()>> {
        if let Some(poll) = lock(&self.state).check(direction, id, cx.waker()) {
            return poll;
        }
        // Cloning is foreign code, so the lock is released, and the second check finds an event
        // that came meanwhile. The clone is declared before the guard: if it is not needed, it is
        // dropped after that.
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        if let Some(poll) = state.check(direction, id, cx.waker()) {
            return poll;
        }
        let replaced = state.set_waiting(direction, id, waker);
        let armed = state.arm(direction, descriptor, key);
        let removed = match armed {
            Ok(()) => Waiter::Idle,
            Err(_) => state.remove(direction, id),
        };
        drop(state);
        drop(removed);
        if let (Waiter::Waiting(waker), WaiterId::Poll) = (replaced, id) {
            // It may be another task's, which must not wait for ever: it is woken to poll again.
            catch_panic(|| waker.wake());
        }
        armed.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
    }

    /// Removes the waiter of a future.
    pub(in crate::rt) fn cancel(&self, direction: Direction, id: &mut WaiterId) {
        let removed = lock(&self.state).remove(direction, id);
        // With the lock released.
        drop(removed);
    }

    /// Takes out of `armed` what no task waits for.
    ///
    /// To be called before the owner may replace the descriptor by another one: the next task that
    /// waits asks the kernel anew, and gets the error.
    pub(in crate::rt) fn disarm_unused(&self) {
        let mut state = lock(&self.state);
        for direction in [Direction::Read, Direction::Write] {
            if !state.waiters(direction).is_any_waiting() {
                state.armed.remove(direction.interest());
            }
        }
    }

    /// Takes the wakers of the tasks that an event wakes.
    pub(in crate::rt) fn deliver(&self, event: EventFlags, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.armed = EventFlags::empty();
        for direction in [Direction::Read, Direction::Write] {
            let outcome = match direction.is_ready(event) {
                true => Outcome::Ready,
                false => Outcome::AskAgain,
            };
            state.waiters(direction).take_wakers(outcome, wakers);
        }
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
            state
                .waiters(direction)
                .take_wakers(Outcome::AskAgain, wakers);
        }
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

    /// Returns the result of a poll, or `None` if the task has to wait and its waker has to be
    /// stored.
    fn check(
        &mut self,
        direction: Direction,
        id: &mut WaiterId,
        waker: &Waker,
    ) -> Option<Poll<io::Result<()>>> {
        if self.epoll.is_none() {
            return Some(Poll::Ready(Err(runtime_gone())));
        }
        match self.waiter(direction, id)? {
            Waiter::Idle => None,
            Waiter::Waiting(known) => known.will_wake(waker).then_some(Poll::Pending),
            Waiter::Ready => {
                let _ready = self.remove(direction, id);
                Some(Poll::Ready(Ok(())))
            }
        }
    }

    /// Makes a task wait. Returns what the waiter was before.
    fn set_waiting(&mut self, direction: Direction, id: &mut WaiterId, waker: Waker) -> Waiter {
        let waiting = Waiter::Waiting(waker);
        match self.waiter(direction, id) {
            Some(waiter) => mem::replace(waiter, waiting),
            None => {
                let key = self.waiters(direction).futures.insert(waiting);
                *id = WaiterId::Future(Some(key));
                Waiter::Idle
            }
        }
    }

    /// Asks the kernel for an event, unless it has been asked already.
    fn arm(
        &mut self,
        direction: Direction,
        descriptor: Descriptor<'_>,
        key: usize,
    ) -> io::Result<()> {
        if !self.armed.contains(direction.interest()) {
            let armed = self.armed | direction.interest();
            let epoll = self.epoll.as_ref().ok_or_else(runtime_gone)?;
            epoll.arm(descriptor, key, armed)?;
            self.armed = armed;
        }
        Ok(())
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

impl Waiters {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter> {
        let futures = self.futures.iter_mut().map(|(_, waiter)| waiter);
        std::iter::once(&mut self.poll).chain(futures)
    }

    fn is_any_waiting(&mut self) -> bool {
        let mut waiters = self.iter_mut();
        waiters.any(|waiter| matches!(waiter, Waiter::Waiting(_)))
    }

    /// Takes the wakers of the tasks that wait.
    fn take_wakers(&mut self, outcome: Outcome, wakers: &mut Vec<Waker>) {
        for waiter in self.iter_mut() {
            match mem::take(waiter) {
                Waiter::Idle => {}
                Waiter::Waiting(waker) => {
                    wakers.push(waker);
                    if outcome == Outcome::Ready {
                        *waiter = Waiter::Ready;
                    }
                }
                Waiter::Ready => *waiter = Waiter::Ready,
            }
        }
    }
}

/// Returns the error of a wait whose runtime has ended.
pub(in crate::rt) fn runtime_gone() -> io::Error {
    io::Error::other("the runtime that this descriptor was registered with is gone")
}
