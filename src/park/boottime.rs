//! The park of a Linux thread that waits through suspend.
//!
//! A futex counts the time that the machine runs, so a wait that a suspend interrupts goes on for
//! as long as was left of it. This park waits on a timerfd of the clock that counts suspended time
//! too, and an eventfd for the token: the wait that should have ended during the suspend ends when
//! the machine resumes.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::TimerfdClockId;

use super::token::Token;
use super::{Park, Unpark, timerfd};
use crate::instant::{NEVER, nanos};
use crate::system;

/// A [`Park`] whose timeouts count the time that the machine is suspended; Linux only.
///
/// The companion of [`Clock::boottime`](crate::Clock::boottime): with
/// [`ThreadPark`](super::ThreadPark) a timer on that clock is late by the suspend that interrupts
/// its wait; with this park it fires when the machine resumes. It does not wake the machine.
///
/// Two file descriptors, closed with it, and three system calls for each wait.
///
/// # Examples
///
/// ```
/// use reveille::{BoottimePark, Clock, Driver, Park, Unpark};
/// use std::time::Duration;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let mut driver = Driver::builder().clock(Clock::boottime()).build(BoottimePark::new()?);
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut sleep = pin!(driver.handle().sleep(Duration::from_millis(1)));
/// while sleep.as_mut().poll(&mut cx).is_pending() {
///     driver.park();
/// }
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct BoottimePark {
    timer: OwnedFd,
    token: Arc<Token>,
    event: Arc<OwnedFd>,
}

/// Interrupts a [`BoottimePark`].
///
/// It may outlive the park, as one that a [`Handle`](crate::Handle) holds does: it then does
/// nothing, and keeps no file descriptor open.
///
/// # Examples
///
/// ```
/// use reveille::{BoottimePark, Park, Unpark};
///
/// let mut park = BoottimePark::new()?;
/// park.unparker().unpark();
/// park.park(None); // returns at once
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct BoottimeUnpark {
    token: Arc<Token>,
    // Weak: a handle or a timer may outlive the park, and must not keep its descriptor open.
    event: Weak<OwnedFd>,
}

impl BoottimePark {
    /// Creates a park without a token.
    ///
    /// # Errors
    ///
    /// If the process may open no more file descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// let park = reveille::BoottimePark::new()?;
    /// # drop(park);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Self> {
        let timer = timerfd::create(TimerfdClockId::Boottime)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            timer,
            token: Arc::new(Token::new()),
            event: Arc::new(event),
        })
    }

    /// Blocks until the eventfd is written to, or for at least `timeout`.
    fn block(&self, timeout: Option<Duration>) {
        let now = system::boottime().max(0).cast_unsigned();
        let at = timeout.map_or(NEVER, |timeout| now.saturating_add(nanos(timeout)));
        timerfd::set(&self.timer, at);
        let mut fds = [
            PollFd::new(&self.event, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
        ];
        // A signal ends the wait early, which is allowed.
        let _ = poll(&mut fds, None);
    }
}

impl Park for BoottimePark {
    type Unpark = BoottimeUnpark;

    fn unparker(&self) -> BoottimeUnpark {
        BoottimeUnpark {
            token: self.token.clone(),
            event: Arc::downgrade(&self.event),
        }
    }

    fn park(&mut self, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) {
            return self.token.end_park();
        }
        if !self.token.begin_park() {
            return;
        }
        self.block(timeout);
        self.token.end_park();
        // The thread that found this one parked writes to the eventfd. If that write is still to
        // come, it ends a later park early, which is allowed, too.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

impl Unpark for BoottimeUnpark {
    fn unpark(&self) {
        if self.token.set()
            && let Some(event) = self.event.upgrade()
        {
            // Fails only if the counter is full, and then the poll returns all the same.
            let _ = rustix::io::write(&event, &1u64.to_ne_bytes());
        }
    }
}

impl fmt::Debug for BoottimePark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoottimePark").finish_non_exhaustive()
    }
}

impl fmt::Debug for BoottimeUnpark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoottimeUnpark").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::{AcqRel, Acquire};
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_is_not_cut_short() {
        let mut park = BoottimePark::new().unwrap();
        let (start, timeout) = (Instant::now(), Duration::from_millis(3));
        park.park(Some(timeout));
        assert!(start.elapsed() >= timeout);
        park.park(Some(Duration::ZERO));
    }

    #[test]
    fn a_token_before_or_during_a_wait_ends_it() {
        for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(3600))] {
            let mut park = BoottimePark::new().unwrap();
            let unpark = park.unparker();
            unpark.unpark();
            unpark.unpark();
            park.park(timeout);
            let thread = thread::spawn(move || unpark.unpark());
            park.park(timeout);
            thread.join().unwrap();
        }
    }

    #[test]
    fn no_token_is_lost_in_ten_thousand_rounds() {
        let (mut here, mut there) = (BoottimePark::new().unwrap(), BoottimePark::new().unwrap());
        let (to_here, to_there) = (here.unparker(), there.unparker());
        let turns = Arc::new(AtomicU32::new(0));
        let counted = turns.clone();
        let wait = |park: &mut BoottimePark, turn: u32, counter: &AtomicU32| {
            while counter.load(Acquire) != turn {
                park.park(None);
            }
        };
        let thread = thread::spawn(move || {
            for round in 0..10_000 {
                wait(&mut there, round * 2 + 1, &counted);
                counted.fetch_add(1, AcqRel);
                to_here.unpark();
            }
        });
        for round in 0..10_000 {
            turns.fetch_add(1, AcqRel);
            to_there.unpark();
            wait(&mut here, round * 2 + 2, &turns);
        }
        thread.join().unwrap();
    }
}
