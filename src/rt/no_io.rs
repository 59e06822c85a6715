//! No I/O: the feature `poll` is off, or the system is not Linux.

use std::io;
#[cfg(all(target_os = "linux", not(shuttle)))]
use std::os::fd::BorrowedFd;

pub(crate) struct Reactor;

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn without_io() -> Self {
        Self
    }

    pub(crate) fn is_live(&self) -> bool {
        false
    }

    #[cfg(all(target_os = "linux", not(shuttle)))]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(crate) fn has_sources(&self) -> bool {
        false
    }

    pub(crate) fn poll(&self) {}

    pub(crate) fn close(&self) {}
}
