//! [`DeadlineHeader`]: where a request states how much time it has.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::context::{
    Context, TimeoutHeaderError, format_grpc_timeout, format_seconds, parse_grpc_timeout,
    parse_seconds,
};

/// The header of a request that states how much time there is for it, and its form.
///
/// # Examples
///
/// ```
/// use reveille::adapters::tower::{DeadlineHeader, DeadlineLayer};
///
/// let grpc = DeadlineLayer::new().read(DeadlineHeader::grpc_timeout());
/// let seconds = DeadlineHeader::seconds(http::HeaderName::from_static("x-request-timeout"));
/// let http = DeadlineLayer::new().read(seconds);
/// ```
#[derive(Clone, Debug)]
pub struct DeadlineHeader {
    name: HeaderName,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Grpc,
    Seconds,
}

impl DeadlineHeader {
    /// The header `grpc-timeout`, such as `250m`; see
    /// [`parse_grpc_timeout`](crate::context::parse_grpc_timeout).
    ///
    /// # Examples
    ///
    /// See [`DeadlineHeader`].
    #[must_use]
    pub const fn grpc_timeout() -> Self {
        Self {
            name: HeaderName::from_static("grpc-timeout"),
            form: Form::Grpc,
        }
    }

    /// A header with plain seconds, such as `1.5`; see
    /// [`parse_seconds`](crate::context::parse_seconds).
    ///
    /// # Examples
    ///
    /// See [`DeadlineHeader`].
    #[must_use]
    pub const fn seconds(name: HeaderName) -> Self {
        Self {
            name,
            form: Form::Seconds,
        }
    }

    /// Returns the time that is stated, `None` if there is no such header.
    pub(super) fn time(&self, headers: &HeaderMap) -> Result<Option<Duration>, TimeoutHeaderError> {
        let Some(value) = headers.get(&self.name) else {
            return Ok(None);
        };
        // What is not text is no valid time, either.
        let text = String::from_utf8_lossy(value.as_bytes());
        match self.form {
            Form::Grpc => parse_grpc_timeout(&text),
            Form::Seconds => parse_seconds(&text),
        }
        .map(Some)
    }

    /// States what is left of the time of `context`, if that has a deadline.
    pub(super) fn set(&self, headers: &mut HeaderMap, context: &Context) {
        let Some(remaining) = context.remaining() else {
            return;
        };
        let text = match self.form {
            Form::Grpc => format_grpc_timeout(remaining),
            Form::Seconds => format_seconds(remaining),
        };
        let value = HeaderValue::try_from(text).expect("digits, a point and letters");
        headers.insert(self.name.clone(), value);
    }
}
