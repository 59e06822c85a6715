//! What ends a context by itself: its deadline, and the [`Trigger`], a timer or the end of a token.
//!
//! A node that has a trigger is the waker with which that is polled (`context/poll.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::backend::coop;
use crate::context::error::{Cause, ContextError, Outcome};
use crate::driver::DriverRef;
use crate::instant::Instant;
use crate::system;
use crate::time::Sleep;

/// The deadline of a node. The node's timer is in `State::trigger`.
pub(super) struct Deadline {
    /// The deadline when it was made: on the driver's clock, or the system's if there was no
    /// driver.
    initial: Instant,
    /// The driver, if there was one when the deadline was made.
    driver: Option<DriverRef>,
    /// Otherwise, once it is bound: the driver, and the deadline on its clock.
    pub(super) bound: OnceLock<Box<(DriverRef, Instant)>>,
    /// The cause if this deadline ends the context.
    cause: Option<Cause>,
}

/// Guarded by the lock of `Node::state`.
pub(super) enum Trigger {
    Absent,
    Idle(Source),
    /// A thread polls it. `again` says that it was woken meanwhile.
    Polled {
        again: bool,
    },
}

pub(super) enum Source {
    Timer(Sleep),
    #[cfg_attr(
        not(feature = "tokio-util"),
        expect(dead_code, reason = "only a token is such a source")
    )]
    Other(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Deadline {
    pub(super) fn new(timer: &Sleep, cause: Option<Cause>) -> Self {
        Self {
            initial: timer.deadline(),
            driver: (!timer.is_unbound()).then(|| timer.driver().clone()),
            bound: OnceLock::new(),
            cause,
        }
    }

    /// Returns the driver, and the deadline on its clock.
    pub(super) fn bound(&self) -> Option<(&DriverRef, Instant)> {
        match &self.driver {
            Some(driver) => Some((driver, self.initial)),
            None => self.bound.get().map(|bound| (&bound.0, bound.1)),
        }
    }

    pub(super) fn at(&self) -> Instant {
        self.bound().map_or(self.initial, |(_, at)| at)
    }

    /// Returns the time until the deadline.
    pub(super) fn remaining(&self) -> Duration {
        match self.bound() {
            Some((driver, at)) => at - driver.now(),
            None => self.initial - system_now(),
        }
    }

    /// Returns whether the deadline has passed.
    pub(super) fn has_passed(&self) -> bool {
        match self.bound() {
            Some((driver, at)) => !is_far_off(driver, at) && driver.now() >= at,
            None => system_now() >= self.initial,
        }
    }

    /// Returns whether the deadline has passed; `false` if the clock is foreign code, as it may not
    /// be called here.
    pub(super) fn has_surely_passed(&self) -> bool {
        match self.bound() {
            Some((driver, at)) => {
                let now = || driver.clock().now_without_foreign_code();
                !is_far_off(driver, at) && now().is_some_and(|now| now >= at)
            }
            None => system_now() >= self.initial,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            error: ContextError::DeadlineExceeded,
            cause: self.cause.clone(),
        }
    }
}

/// Returns the time on the clock of a deadline that has no driver yet. (A thread that has found
/// none must not look for the driver once more: another thread may have bound the timer.)
fn system_now() -> Instant {
    Instant::at(system::monotonic())
}

/// Returns whether a deadline is so far off that the coarse clock shows that it has not passed (for
/// the exception see `Clock::is_far_off`). To read that costs a fifth.
fn is_far_off(driver: &DriverRef, at: Instant) -> bool {
    driver.shared.is_far_off(driver.clock().nanos_of(at))
}

impl Trigger {
    /// Puts a source back into a trigger that is `Polled`. Returns it if it is to be polled once
    /// more.
    pub(super) fn put_back(&mut self, source: Source) -> Option<Source> {
        match self {
            Self::Polled { again } if *again => {
                *again = false;
                Some(source)
            }
            _ => {
                *self = Self::Idle(source);
                None
            }
        }
    }
}

impl Source {
    /// Returns whether it is a timer that has a driver, which does not have the timer.
    pub(super) fn is_bound_and_unarmed(&self) -> bool {
        match self {
            Self::Timer(timer) => !timer.is_unbound() && !timer.is_registered(),
            Self::Other(_) => false,
        }
    }

    /// Polls it with a budget of its own: the task in which this may happen is not concerned.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        coop::budget(|| match self {
            Self::Timer(timer) => Pin::new(timer).poll(cx),
            Self::Other(future) => future.as_mut().poll(cx),
        })
    }
}
