//! Why a context has ended: [`ContextError`], and the cause that the program gave.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a context has ended, as [`Context::err`](crate::Context::err) tells.
///
/// It converts into an [`io::Error`] of the kind `Interrupted` or `TimedOut`, so that `?` passes it
/// on in functions that return `io::Result`.
///
/// # Examples
///
/// ```
/// use reveille::{Context, ContextError};
/// use std::io;
///
/// let context = Context::background();
/// context.cancel();
/// assert_eq!(context.err(), Some(ContextError::Canceled));
/// let error = io::Error::from(ContextError::DeadlineExceeded);
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextError {
    /// The context, or one that it descends from, was cancelled.
    Canceled,
    /// The deadline of the context, or of one that it descends from, has passed.
    DeadlineExceeded,
}

impl ContextError {
    /// Returns whether the deadline has passed, in contrast to a cancellation.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(reveille::ContextError::DeadlineExceeded.is_timeout());
    /// assert!(!reveille::ContextError::Canceled.is_timeout());
    /// ```
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self == Self::DeadlineExceeded
    }
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canceled => "context canceled",
            Self::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}

impl From<ContextError> for io::Error {
    fn from(error: ContextError) -> Self {
        let kind = match error {
            ContextError::Canceled => io::ErrorKind::Interrupted,
            ContextError::DeadlineExceeded => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// Why a context was ended, in the words of the program.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// How a context has ended.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) error: ContextError,
    pub(super) cause: Option<Cause>,
}
