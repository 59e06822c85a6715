//! Errors of timers.
//!
//! [`Elapsed`] is the result of a timeout, and the only one that most programs meet. [`NoDriver`]
//! says that a handle was asked for where no driver is current. [`Error`] exists only because
//! `tokio::time` has it: no function of this crate returns it.

use std::error;
use std::fmt;
use std::io;

pub use crate::backend::NoDriver;

/// The error of a [`Timeout`](super::Timeout) whose deadline passed before its future was ready, or
/// of a [`stream::Timeout`](crate::stream::Timeout) whose limit passed before the next item.
///
/// Converts into an [`io::Error`] of kind [`TimedOut`](io::ErrorKind::TimedOut).
///
/// # Examples
///
/// ```
/// use reveille::time::{timeout, Duration};
/// use std::future::pending;
///
/// let elapsed = pollster::block_on(timeout(Duration::ZERO, pending::<()>())).unwrap_err();
/// assert_eq!(elapsed.to_string(), "deadline has elapsed");
/// assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl Elapsed {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl error::Error for Elapsed {}

/// The errors mean the same, so a function that returns one of ours takes tokio's by `?`.
#[cfg(feature = "tokio")]
impl From<tokio::time::error::Elapsed> for Elapsed {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::new()
    }
}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// The reason why a timer could not be made; it exists only because `tokio::time` has it.
///
/// No function of this crate returns it: a driver that is gone is replaced (see
/// [`Sleep`](super::Sleep)), a driver holds as many timers as fit into memory (some four thousand
/// million at most; arming one more panics), and no duration is too long. It is for code that makes
/// such errors or passes them on.
///
/// # Examples
///
/// ```
/// use reveille::time::error::Error;
///
/// let error = Error::at_capacity();
/// assert!(error.is_at_capacity() && !error.is_shutdown());
/// assert_eq!(error.to_string(), "timer is at capacity and cannot create a new entry");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Error(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shutdown,
    AtCapacity,
    Invalid,
}

impl Error {
    /// Creates an error that says that the driver is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(reveille::time::error::Error::shutdown().is_shutdown());
    /// ```
    #[must_use]
    pub fn shutdown() -> Self {
        Self(Kind::Shutdown)
    }

    /// Returns whether the driver is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!reveille::time::error::Error::invalid().is_shutdown());
    /// ```
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        self.0 == Kind::Shutdown
    }

    /// Creates an error that says that there is no capacity for another timer.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(reveille::time::error::Error::at_capacity().is_at_capacity());
    /// ```
    #[must_use]
    pub fn at_capacity() -> Self {
        Self(Kind::AtCapacity)
    }

    /// Returns whether there is no capacity for another timer.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!reveille::time::error::Error::invalid().is_at_capacity());
    /// ```
    #[must_use]
    pub fn is_at_capacity(&self) -> bool {
        self.0 == Kind::AtCapacity
    }

    /// Creates an error that says that the deadline cannot be represented.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(reveille::time::error::Error::invalid().is_invalid());
    /// ```
    #[must_use]
    pub fn invalid() -> Self {
        Self(Kind::Invalid)
    }

    /// Returns whether the deadline cannot be represented.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!reveille::time::error::Error::shutdown().is_invalid());
    /// ```
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.0 == Kind::Invalid
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Shutdown => "the timer is shutdown, must be called from the context of a driver",
            Kind::AtCapacity => "timer is at capacity and cannot create a new entry",
            Kind::Invalid => "timer duration exceeds maximum duration",
        })
    }
}

impl error::Error for Error {}
