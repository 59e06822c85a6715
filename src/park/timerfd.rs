//! A timer among the file descriptors, set in absolute nanoseconds; Linux only.
//!
//! Three parts of the crate wait on one: [`BoottimePark`](super::BoottimePark) (its timeouts also
//! count the time that the machine is suspended), the parkers of an executor's workers, and the
//! driver of a tokio runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::instant::NEVER;

/// Creates a timer that is not set.
///
/// Fails if the process may have no more descriptors.
pub(crate) fn create(clock: TimerfdClockId) -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(timerfd_create(clock, flags)?)
}

/// Sets a timer to become readable at `at`, in nanoseconds of its clock, instead of when it was set
/// for. [`NEVER`] disarms it; a time that has passed makes it readable at once.
///
/// From any thread, also while another one waits on the timer.
pub(crate) fn set(timer: impl AsFd, at: u64) {
    let (secs, nanos) = match at {
        NEVER => (0, 0),
        // Zero would disarm it, so it is set to 1, which has passed, too.
        at => (at.max(1) / 1_000_000_000, at.max(1) % 1_000_000_000),
    };
    let never = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let value = Itimerspec {
        it_interval: never,
        it_value: Timespec {
            tv_sec: secs.cast_signed(),
            tv_nsec: nanos.cast_signed(),
        },
    };
    // Fails for bad arguments only: a time before zero, a descriptor that is no timer.
    let set = timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &value);
    debug_assert!(set.is_ok(), "{set:?} for {at}");
}
