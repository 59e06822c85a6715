//! What the kernel was asked for about one descriptor, and who waits: the state of a registration.

use std::io;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use rustix::event::epoll::EventFlags;

use crate::rt::reactor::kernel::{Descriptor, Epoll};
use crate::rt::reactor::registration::waiters::{
    Direction, FutureWaiter, PollWaiter, Wait, WaiterId, Waiters,
};

/// What the lock of a [`Registration`](super::Registration) guards; its invariants are told there.
#[repr(C)]
pub(super) struct State {
    /// `None` once the runtime is gone: no event comes any more.
    pub(super) epoll: Option<Arc<Epoll>>,
    pub(super) reported: EventFlags,
    pub(super) asked: EventFlags,
    /// The directions that told while no task waited for them, since the kernel was last asked.
    pub(super) unused: EventFlags,
    /// Whether the descriptor makes an edge for each readiness. `None`: not known yet.
    pub(super) makes_edges: Option<bool>,
    /// Tasks were woken because of a change by the owner, and no event was delivered since.
    pub(super) is_changed: bool,
    pub(super) read: Waiters,
    pub(super) write: Waiters,
}

impl State {
    pub(super) fn new(epoll: Arc<Epoll>) -> Self {
        Self {
            epoll: Some(epoll),
            reported: EventFlags::empty(),
            asked: EventFlags::empty(),
            unused: EventFlags::empty(),
            makes_edges: None,
            is_changed: false,
            read: Waiters::default(),
            write: Waiters::default(),
        }
    }

    pub(super) fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Makes a task wait, after so many events. Returns the waker that was there before.
    pub(super) fn set_waiting(
        &mut self,
        direction: Direction,
        id: &mut WaiterId,
        (waker, wait): (Waker, Wait),
        events: usize,
    ) -> Option<Waker> {
        let waiters = self.waiters(direction);
        let known = match id {
            WaiterId::Poll => {
                let waiting = PollWaiter::Waiting(waker, wait);
                return mem::replace(&mut waiters.poll, waiting).into_waker();
            }
            WaiterId::Future(Some(waiter)) => waiters.futures.get_mut(waiter.place),
            WaiterId::Future(None) => None,
        };
        if let Some(known) = known {
            return Some(mem::replace(known, waker));
        }
        let place = waiters.futures.insert(waker);
        *id = WaiterId::Future(Some(FutureWaiter { place, events }));
        None
    }

    /// Asks the kernel for what a task waits for, unless it was asked already.
    pub(super) fn ask(
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
        // asked each time, it is not asked for one that no task waits for. One that a task waits
        // for may not be in `reported`: after a change by the owner.
        let keeps_other = self.waiters(direction.other()).is_any_waiting()
            || self.reported.contains(other) && !asks_each_time && !is_unused;
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
    pub(super) fn drop_unused(&mut self, descriptor: Descriptor<'_>, key: usize) {
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

    /// Removes a waiter. Returns its waker, for the caller to drop with the lock released.
    #[must_use]
    pub(super) fn remove(&mut self, direction: Direction, id: &mut WaiterId) -> Option<Waker> {
        let waiters = self.waiters(direction);
        match id {
            WaiterId::Poll => mem::take(&mut waiters.poll).into_waker(),
            WaiterId::Future(waiter) => waiters.futures.remove(waiter.take()?.place),
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
