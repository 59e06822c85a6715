//! The tasks that wait for one direction of a descriptor.

#[cfg(all(test, not(loom)))]
mod tests;

use std::mem;
use std::task::Waker;

use rustix::event::epoll::EventFlags;
use slab::Slab;

#[derive(Clone, Copy)]
pub(in crate::rt) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// Returns the event to ask the kernel for.
    pub(super) fn interest(self) -> EventFlags {
        match self {
            Direction::Read => EventFlags::IN,
            Direction::Write => EventFlags::OUT,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        }
    }

    /// Returns whether an event ends a wait. An error or a hang-up ends both kinds: the task learns
    /// of it by reading or writing.
    pub(super) fn is_ready(self, event: EventFlags) -> bool {
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

/// What a task waits for that begins to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::rt) enum Wait {
    /// That the descriptor is ready. It may be so already.
    Asking,
    /// The first event after so many. An operation has failed with `WouldBlock` since that number
    /// was read, or a read was short.
    After(usize),
}

/// The waiters of one direction.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) poll: Waiter,
    pub(super) futures: Slab<Waiter>,
}

#[derive(Default)]
pub(super) enum Waiter {
    /// No task waits, or it was woken and finds by the number of events that its wait has ended.
    /// (Only for [`WaiterId::Poll`]: a future then has no waiter.)
    #[default]
    Idle,
    Waiting(Waker, Wait),
    /// An event has ended a [`Wait::Asking`], and the task has not been polled since.
    Ready,
}

impl Waiters {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter> {
        let futures = self.futures.iter_mut().map(|(_, waiter)| waiter);
        std::iter::once(&mut self.poll).chain(futures)
    }

    pub(super) fn is_any_waiting(&mut self) -> bool {
        let mut waiters = self.iter_mut();
        waiters.any(|waiter| matches!(waiter, Waiter::Waiting(..)))
    }

    /// Removes all waiters, and takes their wakers.
    pub(super) fn remove_all(&mut self, wakers: &mut Vec<Waker>) {
        self.take_wakers(wakers);
        self.poll = Waiter::Idle;
        self.futures.clear();
    }

    /// Takes the wakers of the tasks that wait. Removes the waiters of futures that wait by
    /// [`Wait::After`].
    pub(super) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        self.poll.end_wait(wakers);
        self.futures.retain(|_, waiter| {
            waiter.end_wait(wakers);
            matches!(waiter, Waiter::Ready)
        });
        self.trim();
    }

    /// Removes the waiter of a future.
    pub(super) fn remove_future(&mut self, key: usize) -> Waiter {
        let removed = self.futures.remove(key);
        self.trim();
        removed
    }

    /// Lets the next calls go through no places of futures that are gone.
    fn trim(&mut self) {
        if self.futures.is_empty() {
            // A slab goes through all places that were ever used at once. This forgets them.
            self.futures.clear();
        }
    }
}

impl Waiter {
    fn end_wait(&mut self, wakers: &mut Vec<Waker>) {
        match mem::take(self) {
            Waiter::Idle => {}
            Waiter::Waiting(waker, wait) => {
                wakers.push(waker);
                if wait == Wait::Asking {
                    *self = Waiter::Ready;
                }
            }
            Waiter::Ready => *self = Waiter::Ready,
        }
    }
}
