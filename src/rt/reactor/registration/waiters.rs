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
    /// The waiter of a future, if it has one.
    Future(Option<FutureWaiter>),
}

/// The waiter of a future. The next event removes it.
pub(in crate::rt) struct FutureWaiter {
    pub(super) place: Place,
    /// How many events were delivered when it was made.
    pub(super) events: usize,
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
    pub(super) futures: Wakers,
    /// That of `poll_readable` or `poll_writable`.
    pub(super) poll: PollWaiter,
}

/// The wakers of the tasks whose futures wait. Mostly there is one, so the others are elsewhere:
/// with them, the waiters of a direction would not fit into a cache line.
#[derive(Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    /// Made for the first that needs it, and kept.
    more: Option<Box<Slab<Waker>>>,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    First,
    More(usize),
}

impl Wakers {
    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.is_empty())
    }

    pub(super) fn insert(&mut self, waker: Waker) -> Place {
        if self.first.is_none() {
            self.first = Some(waker);
            return Place::First;
        }
        Place::More(self.more.get_or_insert_default().insert(waker))
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Waker> {
        match place {
            Place::First => self.first.as_mut(),
            Place::More(key) => self.more.as_mut()?.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Waker> {
        match place {
            Place::First => self.first.take(),
            Place::More(key) => {
                let more = self.more.as_mut()?;
                let removed = more.try_remove(key);
                if more.is_empty() {
                    // A slab goes through all places that were ever used at once. This forgets
                    // them.
                    more.clear();
                }
                removed
            }
        }
    }

    /// Moves all of them to the end of `wakers`.
    fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.first.take());
        if let Some(more) = &mut self.more {
            drain(more, wakers);
        }
    }
}

/// A function of its own, so that taking the first waker alone need not push registers for it.
#[inline(never)]
fn drain(from: &mut Slab<Waker>, to: &mut Vec<Waker>) {
    to.extend(from.drain());
}

#[derive(Default)]
pub(super) enum PollWaiter {
    /// No task waits, or it was woken and finds by the number of events that its wait has ended.
    #[default]
    Idle,
    Waiting(Waker, Wait),
    /// An event has ended a [`Wait::Asking`], and the task has not been polled since.
    Ready,
}

impl Waiters {
    pub(super) fn is_any_waiting(&self) -> bool {
        matches!(self.poll, PollWaiter::Waiting(..)) || !self.futures.is_empty()
    }

    /// Removes all waiters, and takes their wakers.
    pub(super) fn remove_all(&mut self, wakers: &mut Vec<Waker>) {
        self.take_wakers(wakers);
        self.poll = PollWaiter::Idle;
    }

    /// Ends the waits of all tasks, and takes their wakers. Removes the waiters of futures.
    pub(super) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        self.poll.end_wait(wakers);
        self.futures.take_all(wakers);
    }
}

impl PollWaiter {
    /// Returns the waker of the task, if it waits.
    pub(super) fn into_waker(self) -> Option<Waker> {
        match self {
            PollWaiter::Waiting(waker, _) => Some(waker),
            PollWaiter::Idle | PollWaiter::Ready => None,
        }
    }

    fn end_wait(&mut self, wakers: &mut Vec<Waker>) {
        let PollWaiter::Waiting(_, wait) = self else {
            return;
        };
        let ended = match wait {
            Wait::Asking => PollWaiter::Ready,
            Wait::After(_) => PollWaiter::Idle,
        };
        wakers.extend(mem::replace(self, ended).into_waker());
    }
}
