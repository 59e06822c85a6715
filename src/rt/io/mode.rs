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
//! less harm than too early. All eventfds, timerfds and their like agree, so one that is found
//! non-blocking is never made blocking: as a rule its owner has made it non-blocking.
//!
//! Each process has a table of these files of its own, because the lock of its parent's may be held
//! for ever (see [`process`](crate::process)). A mode that the parent has set counts as set by the
//! owner of the descriptor there: the child does not restore it. But if the parent does, the
//! descriptor is blocking in the child, too.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

use crate::process::PerProcess;
use crate::sync::lock_std;

/// What descriptors of one open file agree in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    device: u64,
    inode: u64,
    access: u32,
    /// It has no name in the file system, and mostly no inode of its own: an eventfd, a timerfd.
    is_anonymous: bool,
}

/// How many `AsyncFd`s each open file has whose mode was changed.
///
/// Locked while a mode is read and changed. Otherwise one `AsyncFd` might restore a mode just after
/// another one has found it set.
type Changed = Mutex<BTreeMap<File, usize>>;

static CHANGED: PerProcess<Changed> = PerProcess::new();

/// What has to be restored for an `AsyncFd`.
pub(super) struct Mode {
    /// The open file in whose count it is. `None` if no `AsyncFd` has changed the mode of that
    /// file.
    counted: Option<File>,
    /// Whether the descriptor becomes blocking if this is the last `AsyncFd` of its open file.
    restores: bool,
}

impl Mode {
    /// Makes a descriptor non-blocking.
    pub(super) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let mut changed = lock();
        let flags = fcntl_getfl(descriptor)?;
        let is_set = flags.contains(OFlags::NONBLOCK);
        let unchanged = Self {
            counted: None,
            restores: false,
        };
        if is_set && changed.is_empty() {
            return Ok(unchanged);
        }
        let file = file(descriptor, flags)?;
        match changed.get_mut(&file) {
            Some(users) => *users += 1,
            // The owner of the descriptor has set it.
            None if is_set => return Ok(unchanged),
            None => {
                changed.insert(file, 1);
            }
        }
        let mode = Self {
            counted: Some(file),
            restores: !(is_set && file.is_anonymous),
        };
        if !is_set && let Err(error) = fcntl_setfl(descriptor, flags | OFlags::NONBLOCK) {
            drop(changed);
            mode.restore(descriptor);
            return Err(error.into());
        }
        Ok(mode)
    }

    /// Restores the mode, unless other `AsyncFd`s still rely on it.
    pub(super) fn restore(&self, descriptor: BorrowedFd<'_>) {
        let Some(known) = self.counted else {
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
        if self.restores
            && let Ok(flags) = fcntl_getfl(descriptor)
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
    Ok(File {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        access: (flags & OFlags::RWMODE).bits(),
        is_anonymous: FileType::from_raw_mode(stat.st_mode) == FileType::Unknown,
    })
}

/// Locks the table of this process, or that of the last one that has one.
fn lock() -> MutexGuard<'static, BTreeMap<File, usize>> {
    lock_std(match CHANGED.own(std::process::id(), |_| {}) {
        Ok(own) => own,
        Err(last) => last,
    })
}
