//! [`Descriptor`], a timerfd that wakes the poller of a tokio runtime, to the nanosecond.
//!
//! It is there because tokio's own timers have a resolution of a millisecond. The timerfd is
//! registered with the runtime's poller and set for an absolute time on the monotonic clock, at
//! which it becomes readable. It is never read: setting it again is enough to make it ready again,
//! since the poller reports changes only.
//!
//! Only Linux has timers among its file descriptors. On other systems there is never a
//! [`Descriptor`], and tokio's own timers wake the runtime.

pub(super) use self::imp::Descriptor;

#[cfg(target_os = "linux")]
mod imp {
    use std::fs;
    use std::future::{Future, poll_fn};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    use rustix::time::TimerfdClockId;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::coop;

    use crate::driver::sharded::Liveness;
    use crate::instant::NEVER;
    use crate::panic::catch_panic;
    use crate::park::timerfd;
    use crate::system;

    pub(in crate::backend::tokio_driver) struct Descriptor {
        timer: AsyncFd<OwnedFd>,
        /// What it was last set for. One thread at a time sets it.
        set_for: AtomicU64,
    }

    impl Descriptor {
        /// Creates a timerfd and registers it with the runtime that this thread is in. Returns
        /// `None` if the runtime has no I/O, or the system no descriptors left.
        pub(in crate::backend::tokio_driver) fn new() -> Option<Self> {
            // Tokio panics if the runtime has no I/O. It is not asked in a process that has no
            // poller at all, nor if panics abort the process.
            if cfg!(panic = "abort") || !has_poller() {
                return None;
            }
            let timer = timerfd::create(TimerfdClockId::Monotonic).ok()?;
            let timer = catch_panic(|| register(timer))?.ok()?;
            Some(Self {
                timer,
                set_for: AtomicU64::new(NEVER),
            })
        }

        /// Sets it to become readable at `at`, in nanoseconds of the monotonic clock.
        ///
        /// [`NEVER`] disarms it. If it has expired, it is disarmed already: a task that sleeps
        /// again and again is spared every second system call.
        pub(in crate::backend::tokio_driver) fn set(&self, at: u64) {
            if at == NEVER && self.is_disarmed() {
                return;
            }
            timerfd::set(&self.timer, at);
            self.set_for.store(at, Ordering::Relaxed);
        }

        fn is_disarmed(&self) -> bool {
            let set_for = self.set_for.load(Ordering::Relaxed);
            set_for == NEVER || set_for <= system::monotonic().cast_unsigned()
        }

        /// Has tokio wake `waker` when it next becomes readable. If it has become so before, that
        /// wakes nobody any more.
        pub(in crate::backend::tokio_driver) fn watch(&self, waker: &Waker) -> Liveness {
            let mut cx = Context::from_waker(waker);
            loop {
                // Not limited by the budget of the task that happens to run.
                let mut poll = coop::unconstrained(poll_fn(|cx| {
                    self.timer
                        .poll_read_ready(cx)
                        .map_ok(|mut ready| ready.clear_ready())
                }));
                match Pin::new(&mut poll).poll(&mut cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Liveness::Gone,
                    Poll::Pending => return Liveness::Alive,
                }
            }
        }
    }

    // The function that replaces it is unsafe. It requires that the descriptor stays the same, and
    // open, as long as it is registered, which holds for an `OwnedFd` that is never taken out.
    #[allow(deprecated, reason = "the replacement is unsafe, which we forbid")]
    fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(timer, Interest::READABLE)
    }

    /// Returns whether the process has a poller, as far as it can tell.
    ///
    /// It takes a system call for each descriptor up to that of the poller, which a runtime usually
    /// opens early. So of a process with very many descriptors only the first are looked at: if the
    /// poller is none of them, tokio's own timers have to do.
    fn has_poller() -> bool {
        const MAX_DESCRIPTORS: usize = 1024;
        let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
            return false;
        };
        descriptors
            .flatten()
            .take(MAX_DESCRIPTORS)
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == "anon_inode:[eventpoll]")
    }

    #[cfg(all(test, not(loom)))]
    mod tests {
        use super::*;

        /// A task that sleeps in a loop had it disarmed after each sleep, and set for the next one.
        #[test]
        fn one_that_has_expired_counts_as_disarmed_and_one_that_is_set_is_disarmed() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            let _inside = runtime.enter();
            let timer = Descriptor::new().unwrap();
            assert!(timer.is_disarmed(), "never set");
            let hour = 3_600_000_000_000;
            timer.set(system::monotonic().cast_unsigned() + hour);
            assert!(!timer.is_disarmed());
            timer.set(NEVER);
            assert!(timer.is_disarmed());
            let left = || {
                rustix::time::timerfd_gettime(&timer.timer)
                    .unwrap()
                    .it_value
            };
            assert_eq!((left().tv_sec, left().tv_nsec), (0, 0), "the system agrees");
            timer.set(1);
            assert!(timer.is_disarmed(), "that has passed");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::convert::Infallible;
    use std::task::Waker;

    use crate::driver::sharded::Liveness;

    pub(in crate::backend::tokio_driver) struct Descriptor(Infallible);

    impl Descriptor {
        pub(in crate::backend::tokio_driver) fn new() -> Option<Self> {
            None
        }

        pub(in crate::backend::tokio_driver) fn set(&self, _at: u64) {
            match self.0 {}
        }

        pub(in crate::backend::tokio_driver) fn watch(&self, _waker: &Waker) -> Liveness {
            match self.0 {}
        }
    }
}
