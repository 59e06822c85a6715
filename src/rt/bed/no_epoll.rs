//! Only Linux has an epoll to sleep in.

use std::convert::Infallible;
use std::io;

use crate::rt::Reactor;

pub(super) struct EpollBed(Infallible);

impl EpollBed {
    pub(super) fn new(_reactor: &Reactor) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn sleep(&self) {
        match self.0 {}
    }

    pub(super) fn wake(&self) {
        match self.0 {}
    }

    pub(super) fn set_alarm(&self, _at: u64) -> bool {
        match self.0 {}
    }

    pub(super) fn set_watch(&self, _watch: bool) -> bool {
        match self.0 {}
    }

    pub(super) fn close(&self) {
        match self.0 {}
    }
}
