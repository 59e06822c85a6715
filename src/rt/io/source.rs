//! Who waits for a descriptor, and what has the kernel been asked to tell of it?
//!
//! A source is the list of the tasks that wait until a descriptor can be read or written. The kernel
//! is asked for one event at a time: when the event comes, nothing more is asked until somebody
//! waits anew. So a descriptor that stays ready costs nothing while nobody waits for it, and one
//! that is ready already when somebody begins to wait tells so at once.
//!
//! Invariants, under the lock:
//!
//! - `armed` holds what the kernel was asked for and has not told. It may have told of it just now,
//!   in an event that is yet to be delivered, so `armed` may say too much and never too little for
//!   anybody who waits: that event wakes them.
//! - Whoever is [`Waiter::Waiting`] waits for something that is armed.
//!
//! An event ends all that was armed, though it tells of one direction, perhaps. To ask for the other
//! one again takes the descriptor, which only its owner has. So those who wait for it are woken too,
//! without being told ready, and ask anew when they are polled.

use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;
use slab::Slab;

use crate::driver::shared::fire::shield;
use crate::rt::io::kernel::{Descriptor, Epoll};
use crate::sync::{Mutex, lock};

#[derive(Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// What to ask the kernel for.
    fn interest(self) -> EventFlags {
        match self {
            Direction::Read => EventFlags::IN,
            Direction::Write => EventFlags::OUT,
        }
    }

    /// Whether an event ends a wait: an error or a hang-up ends both kinds, since reading or writing
    /// is how one learns of it.
    fn is_ready(self, event: EventFlags) -> bool {
        event.intersects(self.interest() | EventFlags::ERR | EventFlags::HUP)
    }
}

/// Where in a source a task waits.
pub(super) enum Place {
    /// In the one that is for callers of `poll_readable` or `poll_writable`.
    Shared,
    /// In one of its own, once it has waited.
    Own(Option<usize>),
}

pub(super) struct Source {
    state: Mutex<State>,
}

struct State {
    /// `None` once the runtime is gone: the kernel will never tell of anything.
    epoll: Option<Arc<Epoll>>,
    armed: EventFlags,
    read: Waiters,
    write: Waiters,
}

/// Who waits for one direction.
#[derive(Default)]
struct Waiters {
    shared: Waiter,
    own: Slab<Waiter>,
}

#[derive(Default)]
enum Waiter {
    /// Nobody, or one that was woken to ask again.
    #[default]
    Idle,
    Waiting(Waker),
    /// An event came; who waited is yet to be told.
    Ready,
}

impl Source {
    /// A source that nobody waits for, of a descriptor that is about to be registered with `epoll`.
    pub(super) fn new(epoll: Arc<Epoll>) -> Self {
        Self {
            state: Mutex::new(State {
                epoll: Some(epoll),
                armed: EventFlags::empty(),
                read: Waiters::default(),
                write: Waiters::default(),
            }),
        }
    }

    /// Waits at a place: for the next event since the wait there began.
    ///
    /// `descriptor` is registered under `key`.
    pub(super) fn poll(
        &self,
        direction: Direction,
        place: &mut Place,
        cx: &mut Context<'_>,
        descriptor: Descriptor<'_>,
        key: usize,
    ) -> Poll<io::Result<()>> {
        if let Some(answer) = lock(&self.state).look(direction, place, cx.waker()) {
            return answer;
        }
        // Cloned with the lock released, which is foreign code; and what came meanwhile is not
        // missed. It is older than the guard, so if it is not needed it is dropped after that.
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        if let Some(answer) = state.look(direction, place, cx.waker()) {
            return answer;
        }
        let replaced = state.file(direction, place, waker);
        let armed = state.arm(direction, descriptor, key);
        // Who cannot wait does not.
        let refused = match armed {
            Ok(()) => Waiter::Idle,
            Err(_) => state.leave(direction, place),
        };
        drop(state);
        drop(refused);
        if let (Waiter::Waiting(waker), Place::Shared) = (replaced, place) {
            // Perhaps another task's, which must not wait for ever: it finds itself displaced.
            shield(|| waker.wake());
        }
        armed.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
    }

    /// Ends the wait at a place of somebody's own.
    pub(super) fn leave(&self, direction: Direction, place: &mut Place) {
        let left = lock(&self.state).leave(direction, place);
        drop(left);
    }

    /// Forgets what the kernel was asked for and nobody waits for any more.
    ///
    /// The owner may be about to put another descriptor in the place of this one. Whoever waits then
    /// asks anew, and learns it.
    pub(super) fn trim(&self) {
        let mut state = lock(&self.state);
        for direction in [Direction::Read, Direction::Write] {
            if !state.waiters(direction).any() {
                state.armed.remove(direction.interest());
            }
        }
    }

    /// Takes the wakers of all to whom an event matters.
    pub(super) fn deliver(&self, event: EventFlags, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.armed = EventFlags::empty();
        for direction in [Direction::Read, Direction::Write] {
            let ready = direction.is_ready(event);
            state.waiters(direction).tell(ready, wakers);
        }
    }

    /// Takes the descriptor out of the kernel's list.
    pub(super) fn remove(&self, descriptor: Descriptor<'_>) {
        if let Some(epoll) = &lock(&self.state).epoll {
            epoll.remove(descriptor);
        }
    }

    /// Takes the wakers of all, and lets nobody wait any more. The caller has a reference to the epoll
    /// instance, so this one is not the last.
    pub(super) fn close(&self, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.epoll = None;
        for direction in [Direction::Read, Direction::Write] {
            state.waiters(direction).tell(false, wakers);
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

    /// The waiter at a place, if there is one.
    fn waiter(&mut self, direction: Direction, place: &Place) -> Option<&mut Waiter> {
        let waiters = self.waiters(direction);
        match *place {
            Place::Shared => Some(&mut waiters.shared),
            Place::Own(key) => waiters.own.get_mut(key?),
        }
    }

    /// What can be said without a waker to keep.
    fn look(
        &mut self,
        direction: Direction,
        place: &mut Place,
        waker: &Waker,
    ) -> Option<Poll<io::Result<()>>> {
        if self.epoll.is_none() {
            return Some(Poll::Ready(Err(gone())));
        }
        match self.waiter(direction, place)? {
            Waiter::Idle => None,
            Waiter::Waiting(known) => known.will_wake(waker).then_some(Poll::Pending),
            Waiter::Ready => {
                let _told = self.leave(direction, place);
                Some(Poll::Ready(Ok(())))
            }
        }
    }

    /// Has a task wait at a place; who waited there before.
    fn file(&mut self, direction: Direction, place: &mut Place, waker: Waker) -> Waiter {
        let waiting = Waiter::Waiting(waker);
        match self.waiter(direction, place) {
            Some(waiter) => mem::replace(waiter, waiting),
            None => {
                let key = self.waiters(direction).own.insert(waiting);
                *place = Place::Own(Some(key));
                Waiter::Idle
            }
        }
    }

    /// Asks the kernel for an event, unless it was asked already.
    fn arm(
        &mut self,
        direction: Direction,
        descriptor: Descriptor<'_>,
        key: usize,
    ) -> io::Result<()> {
        if !self.armed.contains(direction.interest()) {
            let armed = self.armed | direction.interest();
            let epoll = self.epoll.as_ref().ok_or_else(gone)?;
            epoll.arm(descriptor, key, armed)?;
            self.armed = armed;
        }
        Ok(())
    }

    /// Ends the wait at a place; what is left of it is to be dropped without the lock.
    #[must_use]
    fn leave(&mut self, direction: Direction, place: &mut Place) -> Waiter {
        let waiters = self.waiters(direction);
        match place {
            Place::Shared => mem::take(&mut waiters.shared),
            Place::Own(key) => key
                .take()
                .map_or(Waiter::Idle, |key| waiters.own.remove(key)),
        }
    }
}

impl Waiters {
    /// Whether anybody waits.
    fn any(&self) -> bool {
        let own = self.own.iter().map(|(_, waiter)| waiter);
        std::iter::once(&self.shared)
            .chain(own)
            .any(|waiter| matches!(waiter, Waiter::Waiting(_)))
    }

    /// Takes the wakers of all who wait; `ready` if this is what they wait for.
    fn tell(&mut self, ready: bool, wakers: &mut Vec<Waker>) {
        let own = self.own.iter_mut().map(|(_, waiter)| waiter);
        for waiter in std::iter::once(&mut self.shared).chain(own) {
            match mem::take(waiter) {
                Waiter::Idle => {}
                Waiter::Waiting(waker) => {
                    wakers.push(waker);
                    if ready {
                        *waiter = Waiter::Ready;
                    }
                }
                Waiter::Ready => *waiter = Waiter::Ready,
            }
        }
    }
}

/// What waiting fails with when nobody is left to tell.
pub(super) fn gone() -> io::Error {
    io::Error::other("the runtime that this descriptor was registered with is gone")
}
