//! The non-blocking mode of descriptors: set while an `AsyncFd` owns them, then restored.
//!
//! An operation that blocks would hold up a worker with all its tasks and timers. But the mode is
//! not one of the descriptor. It belongs to the *open file* behind it, which duplicates of the
//! descriptor share (as `TcpStream::try_clone` makes, one for reading and one for writing): if the
//! first of two that is dropped restored the mode, operations on the other one would block. So the
//! mode is restored when the last `AsyncFd` of an open file is dropped, and only if an `AsyncFd`
//! has set it. The kernel does not tell which descriptors share an open file, but those that do
//! agree in device, inode and access mode. For descriptors that agree and do not share it, such as
//! two eventfds or a terminal that was opened twice, the mode is restored late or never, which does
//! less harm than too early.
//!
//! A child process has a copy of the table of these files, whose lock may have been held at the
//! fork, by a thread that is missing in the child. So each process has a table of its own. A mode
//! that the parent has set counts as set by the owner of the descriptor there, and stays.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

/// What descriptors of one open file agree in: device, inode and access mode.
type File = (u64, u64, u32);

/// The tables of this process and of those that it was forked from, the oldest first, as far as
/// they needed one. (The last one is for all after that.)
static TABLES: [Table; 64] = [const { Table::new() }; 64];

struct Table {
    /// The id of the process, zero while no process has claimed the table.
    process: AtomicU32,
    /// How many `AsyncFd`s each open file has whose mode was changed.
    ///
    /// Locked while a mode is read and changed. Otherwise one `AsyncFd` might restore a mode just
    /// after another one has found it set.
    changed: Mutex<BTreeMap<File, usize>>,
}

impl Table {
    const fn new() -> Self {
        Self {
            process: AtomicU32::new(0),
            changed: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns whether it is that of a process, which claims it if none has.
    fn is_of(&self, id: u32) -> bool {
        // Relaxed: what the table holds is under its lock.
        match self.process.compare_exchange(0, id, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(known) => known == id,
        }
    }
}

/// The open file whose mode has to be restored, if there is one.
pub(super) struct Mode(Option<File>);

impl Mode {
    /// Makes a descriptor non-blocking.
    pub(super) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let mut changed = lock();
        let flags = fcntl_getfl(descriptor)?;
        let is_set = flags.contains(OFlags::NONBLOCK);
        if is_set && changed.is_empty() {
            return Ok(Self(None));
        }
        let file = file(descriptor, flags)?;
        match changed.get_mut(&file) {
            Some(users) => *users += 1,
            // The owner of the descriptor has set it.
            None if is_set => return Ok(Self(None)),
            None => {
                changed.insert(file, 1);
            }
        }
        let mode = Self(Some(file));
        if !is_set && let Err(error) = fcntl_setfl(descriptor, flags | OFlags::NONBLOCK) {
            drop(changed);
            mode.restore(descriptor);
            return Err(error.into());
        }
        Ok(mode)
    }

    /// Restores the mode, unless other `AsyncFd`s still rely on it.
    pub(super) fn restore(&self, descriptor: BorrowedFd<'_>) {
        let Some(known) = self.0 else {
            return;
        };
        let mut changed = lock();
        let Some(users) = changed.get_mut(&known) else {
            return;
        };
        *users -= 1;
        if *users > 0 {
            return;
        }
        changed.remove(&known);
        // The owner may have replaced the descriptor by another one, which is left alone.
        if let Ok(flags) = fcntl_getfl(descriptor)
            && file(descriptor, flags).is_ok_and(|file| file == known)
        {
            // Fails only for a number that is no descriptor.
            let _ = fcntl_setfl(descriptor, flags - OFlags::NONBLOCK);
        }
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the width of the numbers depends on the processor"
)]
fn file(descriptor: BorrowedFd<'_>, flags: OFlags) -> io::Result<File> {
    let stat = fstat(descriptor)?;
    let access = (flags & OFlags::RWMODE).bits();
    Ok((stat.st_dev as u64, stat.st_ino as u64, access))
}

/// Locks the table of this process.
fn lock() -> MutexGuard<'static, BTreeMap<File, usize>> {
    let (id, last) = (process::id(), &TABLES[TABLES.len() - 1]);
    let own = TABLES.iter().find(|table| table.is_of(id));
    let changed = &own.unwrap_or(last).changed;
    changed.lock().unwrap_or_else(PoisonError::into_inner)
}
