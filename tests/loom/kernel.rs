//! A stand-in for `src/rt/reactor/kernel.rs` in the models: an epoll instance and its descriptors.
//!
//! A descriptor stays ready until what made it so is taken; a hang-up stays for good. There is an
//! edge when it becomes ready for something that was asked for and it was not ready before, and when
//! it is asked for what it is ready for. Errors and hang-ups are always asked for. Linux makes more
//! edges than that, which no task may rely on. An event is made up when it is collected, out of what
//! is ready and asked for then, as Linux does.

use std::io;
use std::mem;
use std::sync::Arc;
use std::vec::Drain;

use loom::sync::{Condvar, Mutex, MutexGuard};
use rustix::event::epoll::EventFlags;

use crate::park::worker::IoSource;

pub(crate) type Descriptor<'a> = &'a File;

pub(crate) type Batch = Vec<(usize, EventFlags)>;

/// An open file.
pub(crate) struct File {
    number: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Socket,
    /// An operation may fail with `WouldBlock` although the file is ready, because of another one.
    Terminal,
}

/// See the one that this stands for. Here, too, the events for reading tell of it.
pub(super) const MORE_THAN_DATA: EventFlags = EventFlags::HUP;

/// What is reported unasked.
const ALWAYS: EventFlags = EventFlags::ERR.union(EventFlags::HUP);

#[derive(Default)]
pub(crate) struct Epoll {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    files: Vec<Open>,
    /// The sleeping worker was woken, or the next sleep is.
    token: bool,
}

struct Open {
    ready: EventFlags,
    /// The next operation meets another one.
    is_busy: bool,
    entry: Option<Entry>,
}

/// What was asked for.
#[derive(Clone, Copy)]
struct Entry {
    key: usize,
    interest: EventFlags,
    /// There was an edge since the last event.
    has_edge: bool,
}

impl Open {
    fn event(&self) -> Option<(usize, EventFlags)> {
        let Entry { key, interest, .. } = self.entry.filter(|entry| entry.has_edge)?;
        let event = self.ready & (interest | ALWAYS);
        (!event.is_empty()).then_some((key, event))
    }
}

impl Entry {
    fn new(key: usize, interest: EventFlags, ready: EventFlags) -> Self {
        Self {
            key,
            interest,
            has_edge: ready.intersects(interest | ALWAYS),
        }
    }
}

/// What the reactor and its registrations call.
impl Epoll {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the face of one that may be refused"
    )]
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(super) fn add(&self, file: &File, key: usize) -> io::Result<()> {
        let mut state = self.lock();
        let Open { ready, entry, .. } = &mut state.files[file.number];
        match entry.replace(Entry::new(key, EventFlags::empty(), *ready)) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    pub(super) fn makes_edges(file: &File) -> bool {
        file.kind == Kind::Socket
    }

    pub(super) fn ask(&self, file: &File, key: usize, interest: EventFlags) -> io::Result<()> {
        let mut state = self.lock();
        let Open { ready, entry, .. } = &mut state.files[file.number];
        match entry {
            Some(entry) => *entry = Entry::new(key, interest, *ready),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn remove(&self, file: &File) {
        self.lock().files[file.number].entry = None;
    }

    /// In the models workers do not wait for it.
    pub(super) fn io_source(_epoll: Arc<Self>) -> Option<IoSource> {
        None
    }

    pub(super) fn batch() -> Batch {
        Vec::new()
    }

    pub(super) fn has_events(&self) -> bool {
        let state = self.lock();
        state.files.iter().any(|file| file.event().is_some())
    }

    pub(super) fn collect<'a>(&self, batch: &'a mut Batch) -> Drain<'a, (usize, EventFlags)> {
        for file in &mut self.lock().files {
            if let Some(event) = file.event() {
                batch.push(event);
            }
            // Also the edge of what was taken meanwhile.
            if let Some(entry) = &mut file.entry {
                entry.has_edge = false;
            }
        }
        batch.drain(..)
    }
}

/// What the model calls.
impl Epoll {
    /// Opens a file that is not ready.
    pub(super) fn open(&self, kind: Kind) -> File {
        let mut state = self.lock();
        state.files.push(Open {
            ready: EventFlags::empty(),
            is_busy: false,
            entry: None,
        });
        let number = state.files.len() - 1;
        File { number, kind }
    }

    /// Has the next operation meet another one.
    pub(super) fn set_busy(&self, file: &File) {
        assert!(file.kind == Kind::Terminal);
        self.lock().files[file.number].is_busy = true;
    }

    pub(super) fn set_ready(&self, file: &File, made: EventFlags) {
        let mut state = self.lock();
        let Open { ready, entry, .. } = &mut state.files[file.number];
        let new = made & !*ready;
        *ready |= made;
        if let Some(entry) = entry {
            entry.has_edge |= new.intersects(entry.interest | ALWAYS);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes all that it is ready with for a direction, or fails with `WouldBlock`. After a hang-up
    /// it finds the end.
    pub(super) fn take(&self, file: &File, taken: EventFlags) -> io::Result<()> {
        let mut state = self.lock();
        let Open { ready, is_busy, .. } = &mut state.files[file.number];
        let met_another = mem::take(is_busy);
        match !met_another && ready.intersects(taken | ALWAYS) {
            true => ready.remove(taken),
            false => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(())
    }

    pub(super) fn is_ready(&self, file: &File, wanted: EventFlags) -> bool {
        self.lock().files[file.number].ready.intersects(wanted)
    }

    /// Blocks until there is an event, or `wake` is called.
    pub(super) fn sleep(&self) {
        let mut state = self.lock();
        while !state.token && state.files.iter().all(|file| file.event().is_none()) {
            state = self.changed.wait(state).unwrap();
        }
        state.token = false;
    }

    /// Ends that.
    pub(super) fn wake(&self) {
        self.lock().token = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
