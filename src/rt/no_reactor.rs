//! The reactor of a runtime that has no I/O: the feature `io` is off, or the system is not Linux.

use std::io;

use crate::park::worker::IoSource;

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

    pub(crate) fn io_source(&self) -> Option<IoSource> {
        None
    }

    pub(crate) fn has_registrations(&self) -> bool {
        false
    }

    pub(crate) fn has_events(&self) -> bool {
        false
    }

    pub(crate) fn poll(&self) -> bool {
        false
    }

    pub(crate) fn close(&self) {}
}
