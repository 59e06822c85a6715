//! Parks a Linux thread in a futex, for nanoseconds.
//!
//! The token's own word is the address to block on: it needs no file descriptor, cannot fail to be
//! created, and needs no clean-up.
//!
//! # Why a futex
//!
//! With the timer slack at 1 ns, `ppoll` on an eventfd, an absolute timerfd and `clock_nanosleep`
//! end as late as a futex, some 30 µs for waits of up to 1 ms, against 81 µs on the default slack
//! (`cargo bench --bench wait`, Linux 6.18 guest on an AMD EPYC, November 2026). The first two need
//! file descriptors and a further system call to take the token, the last cannot be interrupted.

use std::cell::Cell;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use rustix::thread::futex::{self, Flags, Timespec};
use rustix::thread::{current_timer_slack, gettid, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};

use super::token::{PARKED, Token};

pub(super) struct Parker {
    token: Arc<Token>,
}

#[derive(Clone)]
pub(super) struct Unparker {
    // Shared, not borrowed: a wake that was decided upon before the parker returned may reach
    // the kernel long after, when the `Parker` is gone. The word must still be there, or the wake
    // would hit whatever futex the allocator put in its place.
    token: Arc<Token>,
}

impl Parker {
    pub(super) fn new() -> Self {
        Parker {
            token: Arc::new(Token::new()),
        }
    }

    pub(super) fn unparker(&self) -> Unparker {
        Unparker {
            token: Arc::clone(&self.token),
        }
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) {
            return self.token.end_park();
        }
        if !self.token.begin_park() {
            return;
        }
        // The kernel compares the word with PARKED under the lock that `wake` takes. An unpark
        // since the word was set either has changed it, and the wait refuses, or finds this thread
        // blocked, and wakes it.
        self.block(timeout);
        // No loop: unparked, timed out and interrupted by a signal are the same to the caller,
        // which looks at the clock in any case.
        self.token.end_park();
    }

    /// Blocks while the word is PARKED, for at least `timeout`.
    ///
    /// All errors mean "do not block now": the word has changed, the time is over, a signal came.
    fn block(&self, timeout: Option<Duration>) {
        let word = self.token.word();
        let Some(deadline) = timeout.and_then(deadline) else {
            let _ = futex::wait(word, Flags::PRIVATE, PARKED, None);
            return;
        };
        let slack = refine_slack();
        // An absolute time, so that the calls in between do not make the wait longer.
        let _ = futex::wait_bitset(word, Flags::PRIVATE, PARKED, Some(&deadline), ANY);
        restore_slack(slack);
    }
}

impl Unparker {
    pub(super) fn unpark(&self) {
        if self.token.set() {
            // Fails for a bad address or bad flags only. Waking nobody is fine: the thread was on
            // its way into the wait, or out of it, and sees the word.
            let _ = futex::wake(self.token.word(), Flags::PRIVATE, 1);
        }
    }
}

/// The bits of a wait that every `wake` reaches.
const ANY: NonZeroU32 = NonZeroU32::MAX;

/// A longer wait is one without end: 34 years from now still fit the seconds of a 32-bit kernel.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// Returns the end of `timeout` on the clock of futexes and of [`Instant`](std::time::Instant), or
/// `None` when it never comes.
fn deadline(timeout: Duration) -> Option<Timespec> {
    if timeout > LONGEST {
        return None;
    }
    clock_gettime(ClockId::Monotonic).checked_add(timeout.try_into().ok()?)
}

/// The finest slack that can be set; 0 would ask for the thread's default.
const FINEST: NonZeroU64 = NonZeroU64::MIN;

/// Sets the timer slack of this thread to the finest, and returns what to restore.
///
/// The slack is how long the kernel may delay a timed wait so as to serve several with one
/// interrupt: 50 µs unless changed, most of the lateness of a wait. But the thread is not ours,
/// and nothing that the caller does after `park` may run on a slack that it did not choose,
/// hence the scope of one wait. Reading it anew each time takes 0.2 µs of a wait's 25 µs, before
/// the wait begins; a remembered value would be cheaper, and wrong once the caller sets another
/// or parks on another thread.
///
/// Where a sandbox refuses either call, the wait is merely less precise. Real-time threads have a
/// slack of 0 and are left alone.
///
/// A slack above [`LONGEST_SLACK`] is left alone, too.
fn refine_slack() -> Option<NonZeroU64> {
    if began_with_longer_slack() {
        return None;
    }
    let slack = current_timer_slack().ok().and_then(NonZeroU64::new)?;
    if slack <= FINEST || slack.get() > LONGEST_SLACK {
        return None;
    }
    set_current_timer_slack(Some(FINEST)).ok()?;
    Some(slack)
}

/// The longest slack that `prctl` returns whole, 2 s. A longer one is cut, so it could not be
/// restored; in a debug build `rustix` panics instead.
const LONGEST_SLACK: u64 = i32::MAX as u64;

/// Returns whether this thread had a slack above [`LONGEST_SLACK`] when it first parked with a
/// timeout. Where that cannot be read, it had not.
///
/// Such a slack comes from outside, as that of a whole service does (`TimerSlackNSec` of systemd),
/// so it is read once for each thread.
fn began_with_longer_slack() -> bool {
    thread_local! {
        static IS_LONGER: Cell<Option<bool>> = const { Cell::new(None) };
    }
    let read = || {
        let path = format!("/proc/{}/timerslack_ns", gettid().as_raw_nonzero());
        let slack = fs::read_to_string(path).ok()?;
        Some(slack.trim().parse::<u64>().ok()? > LONGEST_SLACK)
    };
    IS_LONGER.with(|known| {
        let is_longer = known.get().unwrap_or_else(|| read().unwrap_or(false));
        known.set(Some(is_longer));
        is_longer
    })
}

fn restore_slack(slack: Option<NonZeroU64>) {
    if slack.is_some() {
        let _ = set_current_timer_slack(slack);
    }
}
