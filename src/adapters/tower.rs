//! Layers for [tower](https://docs.rs/tower/0.5): timeouts, delays and deadlines; feature `tower`.
//!
//! | layer | what it does | for |
//! |---|---|---|
//! | [`TimeoutLayer`] | limits the time until there is a response | any service |
//! | [`DelayLayer`] | waits before it calls the service | any service |
//! | [`DeadlineLayer`] | gives each request a [`Context`](crate::Context), with the deadline that the request states; limits its response, the body included; passes on what is left | services of HTTP, such as axum's and hyper-util's client |
//!
//! Their timers are on the driver that is [current](crate::Handle::current) where the service is
//! called, so a test moves them on a manual clock.
//!
//! A body is ended at the deadline when the server polls it. On HTTP/1 hyper does not poll it while
//! its write buffer is full, so a client that does not read keeps the body beyond the deadline.
//! What limits that is a timeout for writing, in the stream or in a proxy, or `TCP_USER_TIMEOUT` of
//! the socket.
//!
//! # Errors
//!
//! A [`Delay`] has the error of the inner service. That of the others is [`BoxError`], as in tower:
//! the error of the inner service, or [`Elapsed`] once the time is over, which
//! `error.is::<Elapsed>()` tells. A [`Deadline`] also fails with [`TimeoutHeaderError`] if a
//! request states no valid time, and with [`ContextError::Canceled`](crate::ContextError) if a
//! context that it got was cancelled.

mod deadline;
mod delay;
mod header;
mod response;
mod timeout;

use std::error::Error;

pub use self::deadline::{Deadline, DeadlineLayer};
pub use self::delay::{Delay, DelayFuture, DelayLayer};
pub use self::header::DeadlineHeader;
pub use self::response::{DeadlineBody, DeadlineFuture};
pub use self::timeout::{Timeout, TimeoutFuture, TimeoutLayer};
pub use crate::context::TimeoutHeaderError;
pub use crate::time::error::Elapsed;

/// The same as `tower::BoxError`.
pub type BoxError = Box<dyn Error + Send + Sync>;
