//! A stand-in for `src/rt/reactor/kernel.rs` in the models: an epoll instance and its descriptors.
//!
//! A descriptor stays ready until it is made not ready. An event is reported once for each time
//! that it was asked for; it is made up when it is collected, out of what is ready and was asked
//! for then, as Linux does.

use std::io;
use std::sync::Arc;
use std::vec::Drain;

use loom::sync::{Condvar, Mutex, MutexGuard};
use rustix::event::epoll::EventFlags;

use crate::park::worker::IoSource;

pub(crate) type Descriptor<'a> = &'a File;

pub(crate) type Batch = Vec<(usize, EventFlags)>;

/// The number of an open file.
pub(crate) struct File(usize);

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
    entry: Option<Entry>,
}

/// What was asked for.
#[derive(Clone, Copy)]
struct Entry {
    key: usize,
    armed: EventFlags,
}

impl Open {
    fn event(&self) -> Option<(usize, EventFlags)> {
        let Entry { key, armed } = self.entry.filter(|entry| !entry.armed.is_empty())?;
        let event = self.ready & (armed | EventFlags::ERR | EventFlags::HUP);
        (!event.is_empty()).then_some((key, event))
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
        let armed = EventFlags::empty();
        let entry = Entry { key, armed };
        match self.lock().files[file.0].entry.replace(entry) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    pub(super) fn arm(&self, file: &File, key: usize, armed: EventFlags) -> io::Result<()> {
        let mut state = self.lock();
        let Some(entry) = &mut state.files[file.0].entry else {
            return Err(io::ErrorKind::NotFound.into());
        };
        *entry = Entry { key, armed };
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn remove(&self, file: &File) {
        self.lock().files[file.0].entry = None;
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
                file.entry = file.entry.map(|Entry { key, .. }| {
                    let armed = EventFlags::empty();
                    Entry { key, armed }
                });
            }
        }
        batch.drain(..)
    }
}

/// What the model calls.
impl Epoll {
    /// Opens a file that is not ready.
    pub(super) fn open(&self) -> File {
        let mut state = self.lock();
        state.files.push(Open {
            ready: EventFlags::empty(),
            entry: None,
        });
        File(state.files.len() - 1)
    }

    pub(super) fn set_ready(&self, file: &File, ready: EventFlags) {
        self.lock().files[file.0].ready |= ready;
        self.changed.notify_one();
    }

    pub(super) fn is_ready(&self, file: &File, wanted: EventFlags) -> bool {
        self.lock().files[file.0].ready.intersects(wanted)
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
