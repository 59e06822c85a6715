//! No I/O: the feature `poll` is off, or the system is not Linux.
//!
//! Not called `io`: a private module of that name would keep rustc from telling who uses `rt::io` that
//! a feature is missing.

use std::io;
#[cfg(all(target_os = "linux", not(shuttle)))]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(all(target_os = "linux", not(shuttle)))]
use std::sync::Arc;

/// There is no instance of it.
#[cfg(all(target_os = "linux", not(shuttle)))]
pub(crate) enum Epoll {}

#[cfg(all(target_os = "linux", not(shuttle)))]
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

pub(crate) struct Reactor;

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn without_io(_reason: io::Error) -> Self {
        Self
    }

    pub(crate) fn is_live(&self) -> bool {
        false
    }

    #[cfg(all(target_os = "linux", not(shuttle)))]
    pub(crate) fn epoll(&self) -> Option<Arc<Epoll>> {
        None
    }

    pub(crate) fn has_sources(&self) -> bool {
        false
    }

    pub(crate) fn poll(&self) {}

    pub(crate) fn close(&self) {}
}
