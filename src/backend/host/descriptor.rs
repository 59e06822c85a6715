//! The timerfd by which the poller of a tokio runtime wakes to the nanosecond.
//!
//! Tokio's own timers know milliseconds only. The timerfd is registered with the runtime's poller and
//! set for an absolute time on the monotonic clock: it becomes readable then. It is never read: to set
//! it anew is enough to have it become ready again, since the poller tells of changes only.
//!
//! Only Linux has a timer among its file descriptors. Elsewhere there never is a [`Descriptor`], and
//! tokio's own timers wake the runtime.

pub(super) use self::imp::Descriptor;

#[cfg(target_os = "linux")]
mod imp {
    use std::fs;
    use std::future::{Future, poll_fn};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use rustix::time::TimerfdClockId;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::coop;

    use crate::backend::host::time::ask;
    use crate::park::timerfd;

    pub(in crate::backend::host) struct Descriptor(AsyncFd<OwnedFd>);

    impl Descriptor {
        /// One that is registered with the runtime that this thread is in; `None` if that has no I/O,
        /// or the system no more descriptors.
        pub(in crate::backend::host) fn new() -> Option<Self> {
            // Tokio answers by a panic where there is no I/O. A process that has no poller at all is
            // spared it, and so is one in which a panic is the end.
            if cfg!(panic = "abort") || !has_poller() {
                return None;
            }
            let timer = timerfd::create(TimerfdClockId::Monotonic).ok()?;
            ask(|| register(timer))?.ok().map(Self)
        }

        /// Becomes readable at `at`, in nanoseconds of the monotonic clock.
        pub(in crate::backend::host) fn set(&self, at: u64) {
            timerfd::set(&self.0, at);
        }

        /// Wakes `waker` when it next becomes readable; `false` if the runtime is gone.
        pub(in crate::backend::host) fn listen(&self, waker: &Waker) -> bool {
            let mut cx = Context::from_waker(waker);
            loop {
                // A task's budget is none of our business.
                let mut poll = coop::unconstrained(poll_fn(|cx| {
                    self.0
                        .poll_read_ready(cx)
                        .map_ok(|mut ready| ready.clear_ready())
                }));
                match Pin::new(&mut poll).poll(&mut cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return false,
                    Poll::Pending => return true,
                }
            }
        }
    }

    // What is to replace it is an unsafe function, and asks that the descriptor stays the same and open
    // as long as it is registered: an `OwnedFd` that nobody takes out does.
    #[allow(deprecated, reason = "the replacement is unsafe, which we forbid")]
    fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(timer, Interest::READABLE)
    }

    /// Whether the process polls descriptors at all, as far as it may know.
    fn has_poller() -> bool {
        let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
            return false;
        };
        descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == "anon_inode:[eventpoll]")
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::convert::Infallible;
    use std::task::Waker;

    pub(in crate::backend::host) struct Descriptor(Infallible);

    impl Descriptor {
        pub(in crate::backend::host) fn new() -> Option<Self> {
            None
        }

        pub(in crate::backend::host) fn set(&self, _at: u64) {
            match self.0 {}
        }

        pub(in crate::backend::host) fn listen(&self, _waker: &Waker) -> bool {
            match self.0 {}
        }
    }
}
