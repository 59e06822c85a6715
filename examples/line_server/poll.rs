//! A poller: waits for many sockets, with a timeout, in one call.
//!
//! It wraps that of the crate `polling`: epoll, kqueue or IOCP, which is woken by a socket, by
//! another thread, or by the end of a timeout, which on Linux is exact to the nanosecond. Each
//! registration reports once and is then renewed, so a socket that the loop does not wait for
//! reports nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polling::{AsRawSource, AsSource, Event, Events, Poller};

/// The readiness of a socket that is reported next, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Read,
    Write,
}

pub(crate) struct Poll {
    poller: Arc<Poller>,
    events: Events,
    notified: Arc<AtomicBool>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Arc::new(Poller::new()?),
            events: Events::new(),
            notified: Arc::default(),
        })
    }

    /// Returns a function that makes the running `wait`, or else the next one, return at once.
    pub(crate) fn notifier(&self) -> impl Fn() + Send + Sync + 'static {
        let (poller, notified) = (self.poller.clone(), self.notified.clone());
        move || {
            notified.store(true, Ordering::Relaxed);
            poller
                .notify()
                .expect("a poller that exists can be notified");
        }
    }

    #[expect(
        unsafe_code,
        reason = "a poller cannot see by itself that its sockets outlive it"
    )]
    pub(crate) fn add(
        &mut self,
        socket: impl AsRawSource,
        key: u64,
        interest: Interest,
    ) -> io::Result<()> {
        // SAFETY: the server removes each socket before it closes it, or ends the program.
        unsafe { self.poller.add(socket, event(key, interest)) }
    }

    /// Asks for one more report about `socket`.
    pub(crate) fn renew(
        &mut self,
        socket: impl AsSource,
        key: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.poller.modify(socket, event(key, interest))
    }

    /// Removes `socket`. Must be called before the socket is closed.
    pub(crate) fn remove(&mut self, socket: impl AsSource) -> io::Result<()> {
        self.poller.delete(socket)
    }

    /// Waits for a socket, a notification or the end of `timeout`. Collects the keys of the sockets
    /// that are ready.
    ///
    /// Returns whether the timeout has ended the wait.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<u64>,
    ) -> io::Result<bool> {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        ready.extend(self.events.iter().map(|event| event.key as u64));
        let notified = self.notified.swap(false, Ordering::Relaxed);
        Ok(self.events.is_empty() && !notified)
    }
}

fn event(key: u64, interest: Interest) -> Event {
    // Keys are indices of connections, so they fit.
    let key = key as usize;
    match interest {
        Interest::Nothing => Event::none(key),
        Interest::Read => Event::readable(key),
        Interest::Write => Event::writable(key),
    }
}
